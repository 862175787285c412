"""`pipeyard image sbom` and `image build --sbom` as their users call them."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest


class Shell:
    """A context to build from, and a home."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.context = root / "context"
        self.context.mkdir()

    def write(self, name: str, text: str) -> None:
        path = self.context / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def image(self, *arguments: str) -> bytes:
        environment = {
            "HOME": str(self.root),
            "PATH": os.environ["PATH"],
            "PIPEYARD_HOME": str(self.root / "home"),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        command = [sys.executable, "-m", "pipeyard", "image", *arguments]
        return subprocess.run(command, cwd=self.root, env=environment, stdout=subprocess.PIPE, check=True).stdout


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    found = Shell(tmp_path)
    found.write("status", "Package: curl\nStatus: install ok installed\nVersion: 7.88\nArchitecture: amd64\n")
    found.write("release", "ID=debian\nVERSION_ID=12\n")
    found.write("app/node_modules/a/package.json", '{"name":"a","version":"1.0.0"}')
    found.write("Dockerfile", "FROM scratch\nCOPY status /var/lib/dpkg/\nCOPY release /etc/os-release\nCOPY app /app\n")
    return found


def purls(document: dict[str, Any]) -> list[str]:
    return [ref["referenceLocator"] for package in document["packages"] for ref in package.get("externalRefs", ())]


def test_the_packages_of_an_image_are_listed_and_equally_each_time(shell: Shell) -> None:
    shell.image("build", "-q", "-t", "app:1", "context")
    first = shell.image("sbom", "app:1")
    assert purls(json.loads(first)) == ["pkg:deb/debian/curl@7.88?arch=amd64&distro=debian-12", "pkg:npm/a@1.0.0"]
    assert shell.image("sbom", "app:1") == first


def test_a_build_attests_the_packages_of_its_image(shell: Shell) -> None:
    shell.image("build", "-q", "--sbom", "--provenance", "context", "-t", "app:1")
    _, attestation = json.loads(shell.image("inspect", "app:1", "--raw"))["manifests"]
    manifest = json.loads(shell.image("inspect", f"app@{attestation['digest']}", "--raw"))
    kinds = [layer["annotations"]["in-toto.io/predicate-type"] for layer in manifest["layers"]]
    assert kinds == ["https://spdx.dev/Document", "https://slsa.dev/provenance/v1"]
    blob = shell.root / "home" / "registry" / "blobs" / manifest["layers"][0]["digest"].replace(":", "/")
    archive = shell.root / "layout.tar"
    shell.image("build", "-q", "--sbom", "context", "-o", f"type=oci,dest={archive}")
    with tarfile.open(archive) as tar:
        names = [name for name in tar.getnames() if name.endswith(blob.name)]
        content = tar.extractfile(names[0])
        assert content is not None
        statement = json.load(io.TextIOWrapper(content))
    assert "pkg:npm/a@1.0.0" in purls(statement["predicate"])


def test_a_record_is_read_under_each_name_that_links_to_it(shell: Shell) -> None:
    with tarfile.open(shell.context / "files.tar", "w") as tar:
        data = b"Name: six\nVersion: 1.16.0\n"
        kept = tarfile.TarInfo("cache/0a1b")
        kept.size = len(data)
        tar.addfile(kept, io.BytesIO(data))
        link = tarfile.TarInfo("lib/six-1.16.0.dist-info/METADATA")
        link.type, link.linkname = tarfile.LNKTYPE, "cache/0a1b"
        tar.addfile(link)
    shell.write("Dockerfile", "FROM scratch\nADD files.tar /\n")
    shell.image("build", "-q", "-t", "linked", "context")
    assert purls(json.loads(shell.image("sbom", "linked"))) == ["pkg:pypi/six@1.16.0"]
