"""Documents of images, as strangers send them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeyard.errors import InputError
from pipeyard.oci import History, ImageConfig, RootFs, RuntimeConfig, decode_config, decode_manifest, encode


@pytest.mark.parametrize("data", [b'{"\x80": 1}', b'{"mediaType": "\xff"}', b'["\xff"]', b"\xff", b"[" * 100_000])
def test_what_is_not_text_is_no_manifest_and_no_configuration(data: bytes) -> None:
    with pytest.raises(InputError, match="not a manifest"):
        decode_manifest(data)
    with pytest.raises(InputError, match="not an image configuration"):
        decode_config(data)


def test_bytes_that_are_not_utf8_are_written_as_replacements() -> None:
    config = RuntimeConfig(labels={"a\udce9": "\udcff\udcfe\U0001f600"}, env=["B=\udce9x"])
    written = encode(ImageConfig(rootfs=RootFs(), config=config, history=[History(created_by="RUN \udc80")]))
    read = decode_config(written)
    assert read.config == RuntimeConfig(labels={"a\ufffd": "\ufffd\ufffd\U0001f600"}, env=["B=\ufffdx"])
    assert read.history[0].created_by == "RUN \ufffd"


@given(st.binary(max_size=60).map(lambda data: b'{"config": {"' + data + b'": 1}, "layers": []}'))
def test_any_bytes_are_a_manifest_or_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        decode_manifest(data)
