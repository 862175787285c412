"""What comes with a context steers only the build: never what is read of this machine, nor for how long."""

import os
from pathlib import Path

import pytest

from pipeyard.errors import DockerfileError
from pipeyard.image.build import BuildRequest
from pipeyard.image.build.requested import read_dockerfile
from pipeyard.image.build.sources import read_ignore


@pytest.mark.parametrize("target", ["/dev/zero", "/etc/passwd", "../outside"])
def test_an_ignore_file_that_leads_elsewhere_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "outside").write_text("*\n")
    (tmp_path / "context").mkdir()
    (tmp_path / "context/.dockerignore").symlink_to(target)
    with pytest.raises(DockerfileError, match="leads out of its folder"):
        read_ignore(tmp_path / "context/.dockerignore")


def test_an_ignore_file_may_be_a_link_within_its_folder(tmp_path: Path) -> None:
    (tmp_path / "ignore").write_text("*.log\n")
    (tmp_path / ".dockerignore").symlink_to("ignore")
    matcher = read_ignore(tmp_path / ".dockerignore")
    assert matcher is not None
    assert matcher.ignores("a.log")


@pytest.mark.parametrize("name", ["Dockerfile", ".dockerignore"])
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(DockerfileError, match="not a regular file"):
        read_dockerfile(BuildRequest(context=tmp_path)) if name == "Dockerfile" else read_ignore(tmp_path / name)
