"""Folders that stand for buckets: what builds leave there leads nowhere, and hostile ZIPs are refused in our words."""

import io
import os
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeyard.errors import InputError
from pipeyard.service.buckets import Buckets, unpack
from pipeyard.settings import Settings


def no_client() -> Any:
    raise AssertionError("S3 itself is not asked")


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    (tmp_path / "bucket").mkdir()
    (tmp_path / "away").mkdir()
    (tmp_path / "away/kept").write_text("of this machine")
    return tmp_path / "bucket"


@pytest.fixture
def buckets(tmp_path: Path, bucket: Path) -> Buckets:
    return Buckets(Settings(home=tmp_path / "home", connections={"bucket": str(bucket)}), no_client)


def artifact(tmp_path: Path, **files: str | Path) -> Path:
    folder = tmp_path / f"artifact-{os.urandom(4).hex()}"
    folder.mkdir()
    for name, content in files.items():
        place = folder / name.replace("__", "/")
        place.parent.mkdir(exist_ok=True)
        if isinstance(content, Path):
            place.symlink_to(content)
        else:
            place.write_text(content)
    return folder


def test_no_artifact_is_stored_through_a_link_of_an_earlier_one(tmp_path: Path, bucket: Path, buckets: Buckets) -> None:
    away = tmp_path / "away"
    links = artifact(tmp_path, file=away / "kept", folder=away)
    buckets.store(links, "bucket", "out", zipped=False)
    buckets.store(links, "bucket", "out", zipped=False)
    assert (bucket / "out/file").readlink() == away / "kept"
    buckets.store(artifact(tmp_path, file="new"), "bucket", "out", zipped=False)
    assert (bucket / "out/file").read_text() == "new"
    with pytest.raises(InputError, match="leads out of the bucket's folder"):
        buckets.store(artifact(tmp_path, folder__kept="evil"), "bucket", "out", zipped=False)
    with pytest.raises(InputError, match="leads out of the bucket's folder"):
        buckets.store(artifact(tmp_path, a="evil"), "bucket", "out/folder/kept", zipped=True)
    with pytest.raises(InputError, match="leads out"):
        buckets.store(artifact(tmp_path, a="evil"), "bucket", "out/../../away/kept", zipped=True)
    assert [(each.name, each.read_text()) for each in away.iterdir()] == [("kept", "of this machine")]


def test_no_source_is_read_through_a_link_that_leads_out_of_the_bucket(
    tmp_path: Path, bucket: Path, buckets: Buckets
) -> None:
    (bucket / "file").symlink_to(tmp_path / "away/kept")
    (bucket / "folder").symlink_to(tmp_path / "away")
    for key in ("file", "folder", "folder/kept", "folder/"):
        for fetch in (buckets.fetch, buckets.fetch_object):
            into = tmp_path / f"into-{os.urandom(4).hex()}"
            into.mkdir()
            with pytest.raises(InputError, match="leads out of the bucket's folder"):
                fetch("bucket", key, "", into)
            assert list(into.iterdir()) == []


def made(*entries: tuple[str, bytes, int]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data, mode in entries:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            archive.writestr(entry, data)
    return out.getvalue()


LINK = stat.S_IFLNK | 0o777
HOSTILE = {
    "a link, then a file below it": made(("a", b"..", LINK), ("a/b", b"x", 0o644)),
    "a link of zeros": made(("a", b"x\0y", LINK)),
    "an endless link": made(("a", b"x" * 100_000, LINK)),
    "a name above": made(("../a", b"x", 0o644)),
    "a name above for Windows": made(("b\\..\\..\\a", b"x", 0o644)),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_zip_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "packed").write_bytes(data)
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError):
        unpack(tmp_path / "packed", tmp_path / "in")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in", "packed"]


GOOD = made(("a", b"content " * 20, 0o644), ("b/c", b"x", 0o755), ("l", b"a", LINK))


@given(at=st.integers(0, len(GOOD) - 1), byte=st.integers(0, 255))
@example(at=GOOD.rindex(b"a"), byte=0)  # no name is left
def test_no_changed_byte_of_a_zip_is_a_fault(tmp_path_factory: pytest.TempPathFactory, at: int, byte: int) -> None:
    folder = tmp_path_factory.mktemp("zip")
    (folder / "packed").write_bytes(GOOD[:at] + bytes([byte]) + GOOD[at + 1 :])
    (folder / "in").mkdir()
    try:
        unpack(folder / "packed", folder / "in")
    except InputError:
        return
