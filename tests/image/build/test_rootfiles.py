"""Outputs of an image's files: attestations beside them, and one folder for each platform."""

import hashlib
import io
import json
import stat
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeyard.errors import InputError
from pipeyard.image.build import Built, BuiltPlatform, Provenance
from pipeyard.image.build.rootfiles import FilesOutput, write_root_folder, write_root_tar
from pipeyard.oci import parse_platform
from tests.image.build.conftest import Yard

FILE = "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /arch-$TARGETARCH\nCOPY d /d/\n"
FILES = {"amd64": "x86", "arm64": "arm", "d/f": "f" * 10_000}
BOTH = (parse_platform("linux/amd64"), parse_platform("linux/arm64"))


def bill(image: BuiltPlatform) -> bytes:
    return msgspec.json.encode({"spdxVersion": "SPDX-2.3", "name": str(image.platform)})


def built_for(yard: Yard, *platforms: Any) -> Built:
    return yard.build(FILE, FILES, platforms=platforms, sbom=True, provenance=Provenance(), parts={"bill": bill})


def names_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_statements_lie_beside_the_files_and_are_about_each_of_them(yard: Yard, tmp_path: Path) -> None:
    write_root_folder(built_for(yard, BOTH[0]).platforms, tmp_path / "out")
    assert names_below(tmp_path / "out") == ["arch-amd64", "d/f", "provenance.json", "sbom.spdx.json"]
    for name, kind in (("provenance", "https://slsa.dev/provenance/v1"), ("sbom.spdx", "https://spdx.dev/Document")):
        file = tmp_path / "out" / f"{name}.json"
        statement = json.loads(file.read_text())
        assert statement["predicateType"] == kind
        assert statement["subject"] == [
            {"name": path, "digest": {"sha256": hashlib.sha256((tmp_path / "out" / path).read_bytes()).hexdigest()}}
            for path in ("arch-amd64", "d/f")
        ]
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.read_text().startswith('{\n  "_type"')
    assert json.loads((tmp_path / "out/sbom.spdx.json").read_text())["predicate"]["name"] == "linux/amd64"


def test_what_was_not_attested_leaves_no_file(yard: Yard, tmp_path: Path) -> None:
    write_root_folder(yard.build("FROM scratch\nCOPY d /\n", FILES).platforms, tmp_path / "out")
    assert names_below(tmp_path / "out") == ["f"]


def test_several_platforms_have_a_folder_each(yard: Yard, tmp_path: Path) -> None:
    built = built_for(yard, *BOTH)
    write_root_folder(built.platforms, tmp_path / "out")
    expected = [
        f"linux_{arch}/{name}"
        for arch in ("amd64", "arm64")
        for name in (f"arch-{arch}", "d/f", "provenance.json", "sbom.spdx.json")
    ]
    assert names_below(tmp_path / "out") == expected
    out = io.BytesIO()
    write_root_tar(built.platforms, out.write)
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        assert sorted(member.name for member in tar if member.isfile()) == expected
        assert tar.extractfile("linux_arm64/arch-arm64").read() == b"arm"  # type: ignore[union-attr] # it is a file


def test_one_platform_may_have_a_folder_too(yard: Yard, tmp_path: Path) -> None:
    write_root_folder(built_for(yard, BOTH[1]).platforms, tmp_path / "out", FilesOutput(split=True, prefix="x-"))
    assert names_below(tmp_path / "out") == [
        f"linux_arm64/{name}" for name in ("arch-arm64", "d/f", "x-provenance.json", "x-sbom.spdx.json")
    ]


def test_platforms_that_share_a_folder_have_no_file_in_common(yard: Yard, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot overwrite d/f from linux_amd64 with linux_arm64"):
        write_root_folder(built_for(yard, *BOTH).platforms, tmp_path / "no", FilesOutput(split=False))
    own = "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /bin/arch-$TARGETARCH\n"
    built = yard.build(own, FILES, platforms=BOTH, sbom=True, parts={"bill": bill})
    write_root_folder(built.platforms, tmp_path / "out", FilesOutput(split=False))
    assert names_below(tmp_path / "out") == [
        "bin/arch-amd64", "bin/arch-arm64", "sbom.spdx.linux_amd64.json", "sbom.spdx.linux_arm64.json",
    ]  # fmt: skip


def test_a_hard_link_is_a_subject_with_the_content_of_its_file(yard: Yard, busybox: str, tmp_path: Path) -> None:
    lines = f"FROM {busybox} AS a\nRUN mkdir /o && echo one > /o/a && /bin/busybox ln /o/a /o/b\n"
    built = yard.build(f"{lines}FROM scratch\nCOPY --from=a /o /o\n", provenance=Provenance())
    write_root_folder(built.platforms, tmp_path / "out", FilesOutput(split=True))
    (folder,) = (tmp_path / "out").iterdir()
    assert (folder / "o/a").stat().st_ino == (folder / "o/b").stat().st_ino
    subjects = json.loads((folder / "provenance.json").read_text())["subject"]
    assert [(one["name"], one["digest"]["sha256"]) for one in subjects] == [
        (name, hashlib.sha256(b"one\n").hexdigest()) for name in ("o/a", "o/b")
    ]
