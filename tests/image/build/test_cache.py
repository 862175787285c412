"""The build cache's records, folders and leases, across processes that live, die and prune."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeyard.image.build.cache import BuildCache, Record

KEY, OTHER = "a" * 64, "b" * 64


def keep(cache: BuildCache, key: str, size: int, at_s: int) -> Path:
    """A record with a folder, last used at a time."""
    name, folder = cache.new_folder()
    cache.keep(key, Record(folder=name, size=size))
    os.utime(cache.root / "records" / key[:2] / key[2:], (at_s, at_s))
    return folder


def test_a_record_is_found_with_its_folder_and_by_its_alias(tmp_path: Path) -> None:
    cache = BuildCache(tmp_path)
    with cache.lease():
        folder = keep(cache, KEY, 10, 1000)
        cache.keep_alias(OTHER, KEY)
        found = cache.find(cache.alias(OTHER))
        assert found is not None
        assert cache.folder(found.folder) == folder
        assert cache.find(OTHER) is None


def test_after_a_restart_only_folders_count_that_were_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, boot = [10_000.0], ["first"]
    monkeypatch.setattr("pipeyard.image.build.cache.boot_id", lambda: boot[0])
    monkeypatch.setattr("time.time", lambda: now[0])

    def build(key: str, made_s: float) -> None:
        cache = BuildCache(tmp_path)
        with cache.lease():
            folder = keep(cache, key, 10, int(made_s))
        os.utime(folder.parent, (made_s, made_s))

    def known() -> list[bool]:
        cache = BuildCache(tmp_path)
        with cache.lease():
            return [bool(record is not None and record.folder) for record in map(cache.find, (KEY, OTHER))]

    build(KEY, 10_000)
    now[0] += 300
    build(OTHER, 10_300)
    now[0] += 10
    assert known() == [True, True]
    boot[0] = "second"
    now[0] += 60
    assert known() == [True, False]
    now[0] += 10
    assert known() == [True, False]
    boot[0] = "third"
    assert known() == [True, False]  # what survived one restart survives the next


def test_a_note_that_a_restart_damaged_vouches_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with BuildCache(tmp_path).lease() as making:
        keep(making, KEY, 10, 1000)
    (tmp_path / "settled").write_bytes(b"")
    cache = BuildCache(tmp_path)
    with cache.lease():
        record = cache.find(KEY)
        assert record is not None
        assert record.folder == ""


def test_folders_of_a_running_build_are_not_forgotten(tmp_path: Path) -> None:
    running = BuildCache(tmp_path)
    with running.lease():
        _, folder = running.new_folder()
        (tmp_path / "settled").unlink()
        with BuildCache(tmp_path).lease():
            assert folder.is_dir()


def test_a_damaged_record_is_none(tmp_path: Path) -> None:
    cache = BuildCache(tmp_path)
    with cache.lease():
        keep(cache, KEY, 10, 1000)
        (tmp_path / "records" / KEY[:2] / KEY[2:]).write_bytes(b"half")
        assert cache.find(KEY) is None


def test_pruning_takes_what_was_used_longest_ago(tmp_path: Path) -> None:
    with BuildCache(tmp_path).lease() as making:
        old, young = keep(making, KEY, 60, 1000), keep(making, OTHER, 60, 2000)
    cache = BuildCache(tmp_path)
    with cache.lease():
        assert cache.prune(100) == 60
        assert not old.exists()
        assert young.exists()
        assert cache.find(KEY) is None
        assert cache.find(OTHER) is not None


def test_pruning_spares_what_a_running_build_found(tmp_path: Path) -> None:
    with BuildCache(tmp_path).lease() as making:
        old, young = keep(making, KEY, 60, 1000), keep(making, OTHER, 60, 2000)
    running, pruning = BuildCache(tmp_path), BuildCache(tmp_path)
    with running.lease(), pruning.lease():
        assert running.find(KEY) is not None
        pruning.prune(0)
        assert old.exists()
        assert not young.exists()


def test_folders_that_no_record_names_go_when_their_build_is_dead(tmp_path: Path) -> None:
    cache = BuildCache(tmp_path)
    with cache.lease():
        _, folder = cache.new_folder()
        orphan = tmp_path / "folders" / "orphan"
        (orphan / "fs").mkdir(parents=True)
        for path in (orphan, folder.parent):
            os.utime(path, (1000, 1000))
        cache.prune(1 << 40)
        assert not orphan.exists()
        assert folder.exists()


@pytest.mark.parametrize("point", ["new_folder", "keep", "find"])
def test_a_killed_build_leaves_nothing_that_keeps_anything(tmp_path: Path, point: str) -> None:
    program = f"""
import os, signal, sys
from pathlib import Path
from pipeyard.image.build.cache import BuildCache, Record
cache = BuildCache(Path({os.fspath(tmp_path)!r}))
with cache.lease():
    name, folder = cache.new_folder()
    if {point!r} != "new_folder":
        cache.keep({KEY!r}, Record(folder=name, size=10))
    if {point!r} == "find":
        cache.find({KEY!r})
    os.kill(os.getpid(), signal.SIGKILL)
"""
    died = subprocess.run([sys.executable, "-c", program], check=False)
    assert died.returncode == -signal.SIGKILL
    for folder in (tmp_path / "folders").iterdir():
        os.utime(folder, (1000, 1000))
    cache = BuildCache(tmp_path)
    with cache.lease():
        assert (cache.find(KEY) is not None) == (point != "new_folder")
    with BuildCache(tmp_path).lease() as pruning:
        pruning.prune(0)
        assert list((tmp_path / "folders").iterdir()) == []
        assert len(list((tmp_path / "leases").iterdir())) == 1  # our own
