"""Where on the disk layers lie."""

import os
from array import array
from fcntl import ioctl
from pathlib import Path

_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS and FS_IOC_SETFLAGS of linux/fs.h, 64 bits
_TOP_OF_TREES = 0x00020000  # FS_TOPDIR_FL; chattr(1) calls it T


def scatter(folder: Path) -> None:
    """Tells the file system that the folders in `folder` have nothing to do with each other, where it cares.

    Ext4 puts a new file near its folder, and does not use the inode of a deleted one again for up to five minutes, but
    passes over it at every search: where thousands of files were just removed, each new one costs half a millisecond
    (measured: a base image of 11,000 files unpacks in 4 to 7 s instead of 0.8 s). With this flag each folder begins in
    a part of the disk of its own. Other file systems refuse it, and nothing is lost.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        flags = array("l", [0])
        ioctl(descriptor, _GET_FLAGS, flags)
        if not flags[0] & _TOP_OF_TREES:
            flags[0] |= _TOP_OF_TREES
            ioctl(descriptor, _SET_FLAGS, flags)
    except OSError:
        pass
    finally:
        os.close(descriptor)
