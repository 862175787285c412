"""Any COPY and any archive of ADD give an image or a told error: no crash, and nothing outside of the image."""

import io
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeyard.errors import PipeyardError
from tests.image.build.conftest import Yard, entries_of

FLAGS = st.sampled_from(
    [
        "--chown=1", "--chown=1:2", "--chown=:3", "--chown=nobody", "--chown=", "--chown=4294967296", "--chmod=755",
        "--chmod=u+x,go=", "--chmod=+t", "--chmod=99", "--chmod=", "--link", "--link=false", "--link=x", "--parents",
        "--exclude=*.txt", "--exclude=**", "--exclude=!a", "--exclude=[", "--from=0", "--from=other", "--unpack", "--x",
    ]
)  # fmt: skip
PATHS = st.one_of(
    st.sampled_from([".", "/", "..", "a", "a/", "a/../b", "*", "**/*", "a?", "[", "./a/./b", "//a", "l", "l/x", "\\a"]),
    st.text("ab/*.?[]\\ $l", min_size=1, max_size=8),
)
NAMES = st.one_of(
    st.sampled_from(["a", "a/b", "../x", "/x", ".", "", "a/../../x", "l", "l/x", ".wh.a", "\u00e9", "n" * 120]),
    st.text("ab/.l", min_size=1, max_size=10),
)
KINDS = st.sampled_from(
    [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
BOUNDED = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.timeout(120)
@BOUNDED
@given(word=st.sampled_from(["COPY", "ADD"]), flags=st.lists(FLAGS, max_size=3), paths=st.lists(PATHS, max_size=4))
def test_any_copy_is_an_image_or_a_told_error(word: str, flags: list[str], paths: list[str]) -> None:
    instruction = " ".join([word, *flags, *paths])
    with tempfile.TemporaryDirectory() as name:
        yard = Yard(Path(name))
        yard.write({"a/b.txt": "b", "a/c/d": "d", "b": "b"})
        (yard.context / "l").symlink_to("/etc")
        _build(yard, f"FROM scratch AS first\nCOPY b /b\nFROM scratch\n{instruction}\n")


@pytest.mark.timeout(120)
@BOUNDED
@given(
    members=st.lists(st.tuples(NAMES, KINDS, NAMES, st.integers(0, 0o7777)), max_size=6),
    cut=st.integers(0, 3000),
)
def test_any_archive_is_unpacked_below_its_destination_or_told(
    members: list[tuple[str, bytes, str, int]], cut: int
) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, kind, link, mode in members:
            member = tarfile.TarInfo(path)
            member.type, member.linkname, member.mode = kind, link, mode
            data = b"data" if kind == tarfile.REGTYPE else b""
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    data = packed.getvalue()
    with tempfile.TemporaryDirectory() as name:
        yard = Yard(Path(name))
        yard.write({"data.tar": data[: len(data) - cut] if cut < 1000 else data})
        _build(yard, "FROM scratch\nADD data.tar /in/\n", below="in")


def _build(yard: Yard, dockerfile: str, below: str = "") -> None:
    try:
        built = yard.build(dockerfile)
    except PipeyardError:
        return
    finally:
        yard.store.close()
    for layer in range(len(built.platforms[0].layers)):
        for entry in entries_of(built, layer):
            assert ".." not in entry.path.split("/")
            assert not entry.path.startswith("/")
            assert not below or entry.path == below or entry.path.startswith(f"{below}/")
