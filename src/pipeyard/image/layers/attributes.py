"""Owners, modes and extended attributes of unpacked members, as far as this process may set them."""

import errno
import os

from pipeyard.image.layers.decompress import BadArchive
from pipeyard.image.layers.entry import Entry
from pipeyard.image.layers.powers import OWNER_XATTR, Form

_OURS = ("trusted.overlay.", "user.overlay.", "user.pipeyard.")


class Attributes:
    """Gives what was just made the attributes of its entry; times are for the caller, who knows when nothing follows.

    An owner that cannot be set is noted in an attribute of our own. Raises OSError, BadArchive.
    """

    def __init__(self, form: Form) -> None:
        self._form = form
        self._us = (os.geteuid(), os.getegid())

    def of_open(self, descriptor: int, entry: Entry) -> None:
        """Of a file or folder that is open."""
        if (entry.uid, entry.gid) != self._us or not self._form.keeps_owners:
            self._own(descriptor, entry)
        os.fchmod(descriptor, entry.mode)
        if entry.xattrs:
            _set_xattrs(descriptor, entry)

    def of_name(self, parent: int, name: str, entry: Entry) -> None:
        """Of what must not be opened: links, pipes and devices; the time as well."""
        if self._form.keeps_owners and (entry.uid, entry.gid) != self._us:
            try:
                os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
        if entry.kind != "symlink":
            os.chmod(name, entry.mode, dir_fd=parent)  # just made, and not a link
        os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent, follow_symlinks=False)

    def make_opaque(self, folder: int) -> None:
        """The open folder hides what the layers below have in its place."""
        os.setxattr(folder, self._form.overlay_prefix + "opaque", b"y")

    def _own(self, descriptor: int, entry: Entry) -> None:
        if self._form.keeps_owners:
            try:
                os.fchown(descriptor, entry.uid, entry.gid)
            except OSError as error:
                if error.errno != errno.EINVAL:  # an id outside of the range of a user namespace
                    raise
            else:
                return
        os.setxattr(descriptor, OWNER_XATTR, b"%d:%d" % (entry.uid, entry.gid))


def _set_xattrs(descriptor: int, entry: Entry) -> None:
    for name, value in entry.xattrs.items():
        if name.startswith(_OURS):
            raise BadArchive(f"{entry.path!r} has the attribute {name}, which would forge the file system's own notes")
        try:
            os.setxattr(descriptor, name, value)
        except OSError as error:
            # As containerd: what this file system or this user cannot keep is left out.
            if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.EINVAL, errno.ENODATA):
                raise
