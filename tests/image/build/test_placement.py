"""Layers are spread over the disk, and nothing breaks where the file system cannot."""

import os
from array import array
from fcntl import ioctl
from pathlib import Path

import pytest

from pipeyard.image.build.cache import BuildCache
from pipeyard.image.build.placement import scatter

_GET_FLAGS = 0x80086601
_TOP_OF_TREES = 0x00020000


def test_on_ext4_layers_begin_apart_from_each_other(tmp_path: Path) -> None:
    if _type_of(tmp_path) != "ext4":
        pytest.skip("not on ext4")
    with BuildCache(tmp_path / "cache").lease() as cache:
        _, path = cache.new_folder()
    assert _flags(path.parent.parent) & _TOP_OF_TREES
    assert not _flags(path) & _TOP_OF_TREES


def test_a_file_system_without_the_flag_is_left_as_it_is() -> None:
    scatter(Path("/proc/self"))
    scatter(Path("/nonexistent"))


def _flags(folder: Path) -> int:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        flags = array("l", [0])
        ioctl(descriptor, _GET_FLAGS, flags)
        return flags[0]
    finally:
        os.close(descriptor)


def _type_of(folder: Path) -> str:
    best = ("", "")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split()
        if folder.is_relative_to(point) and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]
