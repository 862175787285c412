"""Commits are resolved and exported from every kind of git repository, and nothing hostile in one escapes."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeyard.errors import InputError
from pipeyard.progress import ignore
from pipeyard.source import GitOrigin, export, parse_origin, resolve, uncommitted_changes
from pipeyard.source.git import enclosing_checkout
from pipeyard.threads import NEVER
from tests.source.git_repositories import commit, git, make_repository


def exported(origin: GitOrigin, commit_id: str, folder: Path) -> dict[str, str]:
    into = folder / "out"
    into.mkdir()
    export(origin, commit_id, into, folder / "mirrors", ignore, NEVER)
    return {str(p.relative_to(into)): p.read_text() for p in into.rglob("*") if p.is_file()}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The URL of a bare repository, served by git's own daemon on a free port."""
    import socket

    commit_id = make_repository(tmp_path / "served/work", {"a.txt": "from afar"})
    git(tmp_path, "clone", "-q", "--bare", str(tmp_path / "served/work"), str(tmp_path / "served/app.git"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    daemon = subprocess.Popen(
        ["git", "daemon", "--export-all", f"--base-path={tmp_path / 'served'}", "--listen=127.0.0.1", f"--port={port}"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"},
    )
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        subprocess.run(["sleep", "0.05"], check=True)
    assert commit_id
    yield f"git://127.0.0.1:{port}/app.git"
    daemon.terminate()
    daemon.wait()


@pytest.mark.parametrize("bare", [False, True])
def test_a_branch_of_a_local_repository_is_exported_as_committed(tmp_path: Path, bare: bool) -> None:
    work = tmp_path / "work"
    commit_id = make_repository(work, {"a.txt": "one", "folder/b.txt": "two"}, "Say hello\n\nwith a body")
    place = work
    if bare:
        place = tmp_path / "bare.git"
        git(tmp_path, "clone", "-q", "--bare", str(work), str(place))
    (work / "a.txt").write_text("not committed")
    origin = parse_origin(f"{place}#main", tmp_path)
    revision = resolve(origin, tmp_path / "mirrors", ignore, NEVER)
    assert revision.commit_id == commit_id
    assert revision.message == "Say hello\n\nwith a body\n"
    assert (revision.author_name, revision.author_email) == ("Ann Author", "ann@example.com")
    assert revision.author_date == "2024-05-06T05:08:09Z"
    assert exported(origin, commit_id, tmp_path) == {"a.txt": "one", "folder/b.txt": "two"}


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    work = tmp_path / "work"
    make_repository(work, {"folder/a": ""})
    (work / "run").write_text("")
    (work / "run").chmod(0o755)
    commit_id = commit(work, {}, "Add a program")
    before = os.umask(0o077)
    try:
        exported(GitOrigin(str(work)), commit_id, tmp_path)
    finally:
        os.umask(before)
    modes = {name: stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) for name in ("folder", "folder/a", "run")}
    assert modes == {"folder": 0o755, "folder/a": 0o644, "run": 0o755}


def test_a_remote_repository_is_fetched_and_its_new_head_seen_the_next_time(tmp_path: Path, served: str) -> None:
    origin = GitOrigin(served, "main")
    first = resolve(origin, tmp_path / "mirrors", ignore, NEVER)
    assert exported(origin, first.commit_id, tmp_path) == {"a.txt": "from afar"}
    new = commit(tmp_path / "served/work", {"a.txt": "changed"}, "Change")
    git(tmp_path / "served/work", "push", "-q", str(tmp_path / "served/app.git"), "main")
    assert resolve(origin, tmp_path / "mirrors", ignore, NEVER).commit_id == new


def test_a_missing_branch_is_refused_with_those_that_exist(tmp_path: Path, served: str) -> None:
    make_repository(tmp_path / "work", {"a": ""})
    for origin in (GitOrigin(str(tmp_path / "work"), "mian"), GitOrigin(served, "mian")):
        with pytest.raises(InputError, match="no branch, tag or commit 'mian'") as caught:
            resolve(origin, tmp_path / "mirrors", ignore, NEVER)
        assert "main" in caught.value.hint


def test_what_is_no_repository_is_refused_with_the_next_move(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        resolve(GitOrigin(str(tmp_path / "none")), tmp_path, ignore, NEVER)
    (tmp_path / "plain").mkdir()
    with pytest.raises(InputError, match="is no git repository") as caught:
        resolve(GitOrigin(str(tmp_path / "plain")), tmp_path, ignore, NEVER)
    assert "git init" in caught.value.hint


def test_symbolic_links_are_written_as_links(tmp_path: Path) -> None:
    work = tmp_path / "work"
    make_repository(work, {"a": "x"})
    (work / "link").symlink_to("../../etc/passwd")
    commit_id = commit(work, {}, "Link")
    exported(GitOrigin(str(work)), commit_id, tmp_path)
    assert os.readlink(tmp_path / "out/link") == "../../etc/passwd"


@pytest.mark.parametrize("name", [b"..", b".git", b".", b"a/b"])
def test_a_tree_with_a_name_that_leads_elsewhere_writes_nothing(tmp_path: Path, name: bytes) -> None:
    work = tmp_path / "work"
    make_repository(work, {"a": "x"})
    blob = bytes.fromhex(git(work, "rev-parse", "HEAD:a"))
    tree = _store(work, "tree", b"100644 " + name + b"\0" + blob)
    commit_id = git(work, "commit-tree", tree, "-m", "hostile")
    git(work, "update-ref", "refs/heads/bad", commit_id)
    with pytest.raises(InputError):
        exported(GitOrigin(str(work)), commit_id, tmp_path)
    assert not (tmp_path / "a").exists()
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_cannot_be_written_through_a_link_of_the_same_name(tmp_path: Path) -> None:
    work = tmp_path / "work"
    make_repository(work, {"a": str(tmp_path / "elsewhere")})
    (tmp_path / "elsewhere").mkdir()
    blob = bytes.fromhex(git(work, "rev-parse", "HEAD:a"))
    inner = bytes.fromhex(git(work, "rev-parse", "HEAD^{tree}"))
    tree = _store(work, "tree", b"120000 x\0" + blob + b"40000 x\0" + inner)
    commit_id = git(work, "commit-tree", tree, "-m", "hostile")
    git(work, "update-ref", "refs/heads/bad", commit_id)
    with pytest.raises(InputError, match="twice"):
        exported(GitOrigin(str(work)), commit_id, tmp_path)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_passwords_in_urls_are_not_shown() -> None:
    assert GitOrigin("https://ann:secret@example.com/a.git").shown == "https://example.com/a.git"


def test_the_checkout_around_a_file_and_its_changes_are_found(tmp_path: Path) -> None:
    work = tmp_path / "work"
    make_repository(work, {"deep/a": "x"})
    git(work, "remote", "add", "origin", "https://example.com/team/app.git")
    found = enclosing_checkout(work / "deep")
    assert found == (work, ("https://example.com/team/app.git",)) or (
        found is not None and found[0].samefile(work) and found[1] == ("https://example.com/team/app.git",)
    )
    assert uncommitted_changes(GitOrigin(str(work))) == 0
    (work / "deep/a").write_text("y")
    assert uncommitted_changes(GitOrigin(str(work))) == 1
    assert enclosing_checkout(tmp_path) is None


def _store(folder: Path, kind: str, content: bytes) -> str:
    done = subprocess.run(
        ["git", "hash-object", "-t", kind, "-w", "--stdin", "--literally"],
        cwd=folder, input=content, capture_output=True, check=True,
    )  # fmt: skip
    return done.stdout.decode().strip()
