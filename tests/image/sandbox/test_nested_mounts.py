"""Mounts within mounts: what a Dockerfile puts there leads neither a mount nor a mount point out of the sandbox."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from pipeyard.image.sandbox import Bind, FileMount, HostBind, Mount, SandboxError, Tmpfs
from tests.image.sandbox.conftest import Machine

LEADS = ["/oldroot{}", "../../../../../oldroot{}", "/proc/1/root/oldroot{}", "{}", "../../../../../..{}"]


def inner(kind: str, target: str) -> Mount:
    if kind == "file":
        return FileMount(target=target, data=b"inner")
    return Tmpfs(target=target)


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder of this machine that no RUN has anything to do with."""
    folder = tmp_path / "victim"
    (folder / "old").mkdir(parents=True)
    return folder


@pytest.mark.parametrize("kind", ["file", "tmpfs"])
@pytest.mark.parametrize("outer", ["cache", "bind"])
@pytest.mark.parametrize("lead", LEADS)
def test_a_link_in_a_mount_does_not_lead_mount_points_out(
    machine: Machine, tmp_path: Path, victim: Path, lead: str, outer: str, kind: str
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "link").symlink_to(lead.format(victim))
    over: Mount = HostBind(target="/c", source=shared, writable=True)
    if outer == "bind":
        over = Bind(target="/c", lowers=(shared,), access="discard")
    for name in ("made", "old"):
        with suppress(SandboxError):
            ran = machine.run("ls -R /c/", mounts=(over, inner(kind, f"/c/link/{name}")))
            assert "victim" not in ran.paths
    assert os.listdir(victim) == ["old"]
    assert os.listdir(victim / "old") == []


@pytest.mark.parametrize("kind", ["file", "tmpfs"])
@pytest.mark.parametrize(
    "target",
    [
        "/proc/1/root/oldroot{}/made", "/proc/self/root/oldroot{}/made", "/proc/self/cwd/oldroot{}/made",
        "/proc/sys/made", "/dev/fd/1{}/made", "/dev/core{}", "/dev/stdin", "/way/1/root/oldroot{}/made",
    ],
)  # fmt: skip
def test_nothing_is_mounted_where_the_kernel_keeps_its_links(
    isolated: Machine, tmp_path: Path, victim: Path, target: str, kind: str
) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "way").symlink_to("/proc")
    with pytest.raises(SandboxError, match="nothing can be mounted"):
        isolated.run("true", above=(layer,), mounts=(inner(kind, target.format(victim)),))
    assert os.listdir(victim) == ["old"]


@pytest.mark.parametrize("name", ["proc", "dev", "sys"])
def test_an_image_whose_proc_is_a_link_is_refused(isolated: Machine, tmp_path: Path, victim: Path, name: str) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / name).symlink_to(f"/oldroot{victim}")
    with pytest.raises(SandboxError, match="symbolic link"):
        isolated.run("true", above=(layer,))
    assert os.listdir(victim) == ["old"]


def test_a_secret_lies_in_a_cache_that_lies_in_a_tmpfs(machine: Machine, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    ran = machine.run(
        "cat /t/c/secret; echo kept > /t/c/f; echo gone > /t/g; ls /t /t/c",
        mounts=(
            Tmpfs(target="/t", mode=0o700),
            HostBind(target="/t/c", source=cache, writable=True),
            FileMount(target="/t/c/secret", data=b"s3cret\n"),
        ),
    )
    assert ran.text.split() == ["s3cret", "/t:", "c", "g", "/t/c:", "f", "secret"]
    assert (cache / "f").read_text() == "kept\n"
    assert not (cache / "secret").exists() or (cache / "secret").read_bytes() == b""
    assert not [path for path in ran.paths if path.startswith("t/")]


def test_what_lies_in_a_read_only_mount_is_as_it_says_itself(isolated: Machine, tmp_path: Path) -> None:
    shown, cache, lower = tmp_path / "shown", tmp_path / "cache", tmp_path / "lower"
    for folder in (shown / "a", shown / "b", cache, lower):
        folder.mkdir(parents=True)
    (lower / "f").write_text("f\n")
    ran = isolated.run(
        "echo x > /s/f; echo x > /s/b/f; echo x > /s/a/f && cat /s/a/f /s/b/f; touch /s/a/../g",
        mounts=(
            HostBind(target="/s", source=shown),
            HostBind(target="/s/a", source=cache, writable=True),
            Bind(target="/s/b", lowers=(lower,)),
        ),
    )
    assert ran.text.count("Read-only file system") == 3, ran.text
    assert "x\nf\n" in ran.text
    assert (sorted(os.listdir(shown)), os.listdir(shown / "b")) == (["a", "b"], [])
    assert (lower / "f").read_text() == "f\n"


def test_a_read_only_mount_gets_no_new_mount_points(isolated: Machine, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    shown.mkdir()
    with pytest.raises(SandboxError, match="/s/new: Read-only"):
        isolated.run("true", mounts=(HostBind(target="/s", source=shown), Tmpfs(target="/s/new")))
    assert os.listdir(shown) == []


def test_links_within_a_mount_lead_where_they_say(isolated: Machine, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (cache / "v1").mkdir(parents=True)
    (cache / "latest").symlink_to("v1")
    (cache / "absolute").symlink_to("/v1")
    mounts = (
        HostBind(target="/c", source=cache, writable=True),
        FileMount(target="/c/latest/one", data=b"1"),
        FileMount(target="/c/absolute/two", data=b"2"),
    )
    assert isolated.run("cat /c/v1/one /c/v1/two", mounts=mounts).text == "12"
