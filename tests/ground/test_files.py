"""Files are whole or absent; locks end with their holder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeyard.files import locked, read_regular, remove_tree, replace_file, sweep_temporaries


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError), replace_file(target, durable=False) as out:
        out.write(b"half")
        raise RuntimeError
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("durable", [True, False])
def test_a_finished_write_replaces_the_file(tmp_path: Path, durable: bool) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")
    with replace_file(target, durable=durable) as out:
        out.write(b"new")
    assert target.read_bytes() == b"new"


def test_a_killed_writer_leaves_only_what_the_sweep_removes(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, sys; from pipeyard.files import replace_file\n"
        "with replace_file(pathlib.Path(sys.argv[1]), durable=False) as out:\n"
        "    out.write(b'half'); out.flush(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "a")], check=False)
    assert not (tmp_path / "a").exists()
    (left,) = tmp_path.iterdir()
    written = left.stat().st_mtime
    assert sweep_temporaries(tmp_path, 60, written + 30) == 0
    assert sweep_temporaries(tmp_path, 60, written + 90) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_refused_while_another_process_holds_it_and_free_when_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    script = (
        "import pathlib, sys; from pipeyard.files import locked\n"
        "with locked(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with locked(path, wait=False) as taken:
        assert not taken
    holder.kill()
    holder.wait()
    with locked(path, wait=False) as taken:
        assert taken


def test_only_a_regular_file_of_a_bearable_size_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    assert read_regular(tmp_path / "file", 5) == b"12345"
    for name, limit in (("file", 4), ("pipe", 10), ("device", 10), (".", 10), ("missing", 10)):
        with pytest.raises(OSError, match=r"larger|regular|No such file|directory"):
            read_regular(tmp_path / name, limit)


def test_a_folder_nested_deeper_than_a_path_is_long_is_removed_and_not_what_its_links_lead_to(
    tmp_path: Path,
) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    top = tmp_path / "top"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("ab", dir_fd=here)
        inner = os.open("ab", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.symlink(tmp_path / "kept", "link", dir_fd=here)
    os.close(here)

    remove_tree(top)

    assert [entry.name for entry in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "file").exists()
    with pytest.raises(FileNotFoundError):
        remove_tree(top)
