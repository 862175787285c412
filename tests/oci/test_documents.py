"""Documents of images, as strangers send them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeyard.errors import InputError
from pipeyard.oci import decode_config, decode_manifest


@pytest.mark.parametrize("data", [b'{"\x80": 1}', b'{"mediaType": "\xff"}', b'["\xff"]', b"\xff", b"[" * 100_000])
def test_what_is_not_text_is_no_manifest_and_no_configuration(data: bytes) -> None:
    with pytest.raises(InputError, match="not a manifest"):
        decode_manifest(data)
    with pytest.raises(InputError, match="not an image configuration"):
        decode_config(data)


@given(st.binary(max_size=60).map(lambda data: b'{"config": {"' + data + b'": 1}, "layers": []}'))
def test_any_bytes_are_a_manifest_or_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        decode_manifest(data)
