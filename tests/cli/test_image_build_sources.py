"""`pipeyard image build` with sources from elsewhere, and with what it grants to a Dockerfile."""

import functools
import http.server
import os
import shutil
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from tests.cli.test_image_build import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of one commit, in a folder that ends in `.git`."""
    folder = tmp_path / "tool.git"
    folder.mkdir()
    (folder / "tool").write_text("#!/bin/sh\n")
    (folder / "tool").chmod(0o755)
    (folder / "docs").mkdir()
    (folder / "docs" / "read.me").write_text("read")
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run(["git", *identity, *command], cwd=folder, check=True)
    return folder


def files(shell: Shell, name: str = "out.tar") -> dict[str, tarfile.TarInfo]:
    with tarfile.open(shell.root / name) as tar:
        return {member.name: member for member in tar}


def test_a_git_repository_is_added_without_its_history(shell: Shell, repository: Path) -> None:
    shell.write("Dockerfile", f"FROM scratch\nADD file://{repository}#main /x/\n")
    done = shell.build("-o", "type=tar,dest=out.tar")
    assert done.code == 0, done.err
    found = files(shell)
    assert {"x/tool", "x/docs/read.me"} <= set(found)
    assert found["x/tool"].mode == 0o755
    assert not any(".git" in name for name in found)


def test_with_keep_git_dir_the_repository_is_a_clean_checkout(shell: Shell, repository: Path) -> None:
    shell.write("Dockerfile", f"FROM scratch\nADD --keep-git-dir=true file://{repository}#main /x/\n")
    done = shell.build("-o", "type=local,dest=out")
    assert done.code == 0, done.err
    trusted = ["git", "-c", "safe.directory=*"]
    status = subprocess.run(
        [*trusted, "status", "--porcelain"], cwd=shell.root / "out/x", capture_output=True, check=True
    )
    assert status.stdout == b""
    heads = [
        subprocess.run([*trusted, "rev-parse", "HEAD"], cwd=folder, capture_output=True, check=True).stdout
        for folder in (shell.root / "out/x", repository)
    ]
    assert heads[0] == heads[1]


def test_a_named_context_may_be_a_folder_of_a_git_repository(shell: Shell, repository: Path) -> None:
    shell.write("Dockerfile", "FROM scratch\nCOPY --from=tools / /t/\n")
    done = shell.build("--build-context", f"tools=file://{repository}#main:docs", "-o", "type=tar,dest=out.tar")
    assert done.code == 0, done.err
    assert {"t/read.me"} == {name for name in files(shell) if "read" in name or "tool" in name}


def test_a_ref_that_is_not_there_is_told_with_those_that_are(shell: Shell, repository: Path) -> None:
    shell.write("Dockerfile", f"FROM scratch\nADD file://{repository}#missing /x/\n")
    done = shell.build("-o", "type=tar,dest=out.tar")
    assert done.code == 2
    assert "missing" in done.err
    assert "main" in done.err


def test_a_named_context_may_be_a_download(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "data.txt").write_text("data")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            shell.write("Dockerfile", "FROM scratch\nCOPY --from=web context /data\n")
            url = f"http://127.0.0.1:{server.server_port}/data.txt"
            done = shell.build("--build-context", f"web={url}", "-o", "type=local,dest=out")
        finally:
            server.shutdown()
            thread.join()
    assert done.code == 0, done.err
    assert (shell.root / "out/data").read_text() == "data"


def with_shell(shell: Shell, instruction: str) -> None:
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("no busybox to run")
    shutil.copy(busybox, shell.root / "context" / "busybox")
    shell.write("Dockerfile", f"FROM scratch\nCOPY busybox /bin/sh\n{instruction}\n")


def test_a_run_leaves_the_sandbox_only_when_that_is_allowed(shell: Shell) -> None:
    with_shell(shell, "RUN --security=insecure :")
    done = shell.build("-o", "type=tar,dest=out.tar")
    assert done.code == 1
    assert "security.insecure is not allowed" in done.err
    assert "--allow security.insecure" in done.err


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's sandbox has no more to grant")
def test_a_run_that_may_leave_the_sandbox_is_carried_out(shell: Shell) -> None:
    with_shell(shell, "RUN --security=insecure : > /made")
    done = shell.build("--allow", "security.insecure", "-o", "type=tar,dest=out.tar")
    if "not permitted" in done.err or "forbids" in done.err:
        pytest.skip("this machine grants no privileges")
    assert done.code == 0, done.err
    assert "made" in files(shell)


def test_an_entitlement_that_is_none_is_refused(shell: Shell) -> None:
    shell.write("Dockerfile", "FROM scratch\nLABEL a=b\n")
    done = shell.build("--allow", "everything")
    assert done.code == 2
    assert "everything" in done.err


def test_pruning_gives_the_cache_back_and_the_next_build_is_whole(shell: Shell) -> None:
    shell.write("Dockerfile", "FROM scratch\nCOPY f /f\n")
    shell.write("f", "f" * 1000)
    before = shell.build("-o", "type=tar,dest=out.tar")
    kept = shell.call("image", "prune", "--keep-storage", "1g")
    assert kept.out == b"0 bytes removed\n", kept.err
    freed = shell.call("image", "prune", "--all")
    assert int(freed.out.split()[0]) > 0, freed.err
    after = shell.build("-o", "type=tar,dest=out.tar")
    assert "CACHED" not in after.err
    assert before.out == after.out


def test_pruning_where_nothing_was_built_removes_nothing(shell: Shell) -> None:
    assert shell.call("image", "prune").out == b"0 bytes removed\n"
    assert shell.call("image", "prune", "--keep-storage", "much").code == 2
