"""The file system of one RUN, mounted where nobody else sees it.

A mount namespace belongs to a thread, not to a process: a thread of ours that unshares it can mount what it likes, the
program that it starts inherits the mounts, and when both are gone the kernel removes them, however they ended. Nothing
is ever mounted where the rest of the machine, or the rest of this process, could see it.

mount(2) takes a page of options, in which 127 paths do not fit: the layers get numbers as names, symlinks in a tmpfs
that is the working folder of the mounting thread.
"""

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct

from pipeyard.image.layers import FolderStack
from pipeyard.image.sandbox.contract import Bind, FileMount, HostBind, Mount, Root, SandboxError, Tmpfs
from pipeyard.image.sandbox.kernel import (
    CLONE_NEWNS,
    MS_BIND,
    MS_NODEV,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    mount,
    open_within,
    unshare,
)
from pipeyard.image.sandbox.mountpoints import MountPoints

MAX_LOWERS = 500  # overlayfs' own
_LINKS_OF_DEV = frozenset(("fd", "stdin", "stdout", "stderr", "core", "ptmx"))  # they lead to /proc
_MS_RELATIME = 1 << 21


class _Prepared(Struct, frozen=True):
    """A mount whose source is a path of this machine ("": a tmpfs), and whose place is in the root of the command."""

    asked: Mount
    place: str
    source: str
    writable: bool


class PrivateMounts:
    """To be used within one thread that ends with the run. `scratch` is an existing folder, used as a mount point."""

    def __init__(self, scratch: Path, *, user_xattrs: bool) -> None:
        self._scratch = os.fspath(scratch)
        self._user_xattrs = user_xattrs
        self._count = 0
        unshare(CLONE_NEWNS)
        mount("none", "/", "", MS_REC | MS_PRIVATE)
        mount("tmpfs", self._scratch, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700")
        self.root = f"{self._scratch}/root"
        os.mkdir(self.root)
        self.points = MountPoints(self.root)

    def mount_root(self, root: Root) -> None:
        self._overlay(self.root, root.lowers, root.upper, root.work)

    def _overlay(self, target: str, lowers: Iterable[Path], upper: Path | str = "", work: Path | str = "") -> None:
        number = self._count
        self._count += 1
        names = f"{self._scratch}/o{number}"
        os.mkdir(names)
        # Overlayfs refuses a folder that comes twice; what the upper one of the two has hides the lower one.
        folders = list(dict.fromkeys(os.fspath(folder) for folder in reversed(tuple(lowers))))
        if len(folders) > MAX_LOWERS:
            raise SandboxError(f"{len(folders)} layers are more than the {MAX_LOWERS} that overlayfs can stack")
        if not folders or (not upper and len(folders) < 2):
            os.mkdir(f"{names}/empty")
            folders.append(f"{names}/empty")
        for index, folder in enumerate(folders):
            os.symlink(folder, f"{names}/{index}")
        options = "lowerdir=" + ":".join(str(index) for index in range(len(folders)))
        if upper:
            os.symlink(upper, f"{names}/u")
            os.symlink(work, f"{names}/w")
            options += ",upperdir=u,workdir=w"
        if self._user_xattrs:
            options += ",userxattr"
        os.chdir(names)
        try:
            _mount_overlay(target, options, writable=bool(upper))
        except OSError as error:
            raise SandboxError(
                f"overlayfs cannot be mounted: {error.strerror}",
                hint="pipeyard's home must lie on ext4, xfs, btrfs or tmpfs, not on overlayfs or a network",
            ) from error
        finally:
            os.chdir("/")

    def arguments(self, asked: Iterable[Mount]) -> list[str]:
        """bubblewrap's arguments for mounts, their sources prepared; the later go on top of the earlier.

        A mount within another is ours to make: what the other holds is not trusted, bubblewrap would follow its
        symlinks, and make the mount point wherever on this machine they lead.
        """
        outer: list[_Prepared] = []
        inner: list[tuple[_Prepared, _Prepared]] = []
        for one in asked:
            prepared = self._prepared(one)
            above = next((top for top in outer if prepared.place.startswith(f"{top.place}/")), None)
            if above is None:
                outer.append(prepared)
            else:
                inner.append((above, prepared))
        ours = {above.place: self._mounted(above) for above, _ in inner}
        for above, prepared in inner:
            self._attach(prepared, ours[above.place], prepared.place[len(above.place) + 1 :])
        arguments = []
        for top in outer:
            if top.place in ours:
                arguments += ["--bind", ours[top.place], top.place]  # it is read-only already when it has to be
            elif isinstance(top.asked, Tmpfs):
                size = ["--size", str(top.asked.size)] if top.asked.size else []
                arguments += ["--perms", f"{top.asked.mode:04o}", *size, "--tmpfs", top.place]
                arguments += [] if top.writable else ["--remount-ro", top.place]
            else:
                arguments += ["--bind" if top.writable else "--ro-bind", top.source, top.place]
        return arguments

    def _prepared(self, asked: Mount) -> "_Prepared":
        match asked:
            case Tmpfs():
                return _Prepared(asked, self._place(asked.target, folder=True), "", asked.writable)
            case HostBind():
                source, writable = os.path.realpath(asked.source), asked.writable
            case FileMount():
                source, writable = self._file(asked), asked.writable
            case Bind():
                source, writable = self._bind_source(asked), asked.access != "read"
        return _Prepared(asked, self._place(asked.target, folder=os.path.isdir(source)), source, writable)

    def _place(self, target: str, *, folder: bool) -> str:
        place = self.points.place(target, folder=folder)
        parts = place.split("/")
        if parts[1] == "proc" or (parts[1] == "dev" and len(parts) > 2 and parts[2] in _LINKS_OF_DEV):
            raise SandboxError(f"nothing can be mounted at {place}: it is inside of the kernel's files")
        return place

    def _mounted(self, prepared: "_Prepared") -> str:
        """Mounts it on the side; gives where."""
        self._count += 1
        path = f"{self._scratch}/n{self._count}"
        if not prepared.source:
            assert isinstance(prepared.asked, Tmpfs)
            os.mkdir(path)
            size = f",size={prepared.asked.size}" if prepared.asked.size else ""
            mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, f"mode={prepared.asked.mode:04o}{size}")
            return path
        if os.path.isdir(prepared.source):
            os.mkdir(path)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        mount(prepared.source, path, "", MS_BIND | MS_REC)
        if not prepared.writable:
            mount("none", path, "", MS_REMOUNT | MS_BIND | MS_RDONLY | _flags_of(path))
        return path

    def _attach(self, prepared: "_Prepared", root: str, path: str) -> None:
        """Mounts it at a path below the mounted folder `root`, wherever within it its symlinks lead."""
        source = self._mounted(prepared)
        try:
            point = _mount_point(root, path, folder=os.path.isdir(source))
        except OSError as error:
            raise SandboxError(f"nothing can be mounted at {prepared.place}: {error.strerror}") from error
        try:
            mount(source, f"/proc/thread-self/fd/{point}", "", MS_BIND | MS_REC)
        except OSError as error:
            raise SandboxError(f"nothing can be mounted at {prepared.place}: {error.strerror}") from error
        finally:
            os.close(point)

    def _file(self, asked: FileMount) -> str:
        self._count += 1
        path = f"{self._scratch}/f{self._count}"
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            with open(file, "wb", closefd=False) as out:
                out.write(asked.data)
            try:
                os.fchown(file, asked.uid, asked.gid)
            except OSError as error:
                if error.errno != errno.EINVAL:  # the one id of a namespace is everybody's
                    raise
            os.fchmod(file, asked.mode)
        finally:
            os.close(file)
        return path

    def _bind_source(self, asked: Bind) -> str:
        stack = FolderStack(asked.lowers)
        try:
            source = stack.resolve(asked.source)
            found = stack.lookup(source)
        except OSError as error:
            raise SandboxError(f"the mount's source {asked.source!r} cannot be used: {error.strerror}") from error
        if found is None:
            raise SandboxError(f"the mount's source {asked.source!r} does not exist")
        if not found.is_folder:
            if asked.access == "read":
                return found.file
            copy = f"{self._scratch}/c{self._count}"
            self._count += 1
            import shutil

            shutil.copy2(found.file, copy, follow_symlinks=False)
            os.chown(copy, found.status.st_uid, found.status.st_gid)
            return copy
        if asked.access == "read" and len(found.folders) == 1:
            return found.file
        number = self._count
        self._count += 1
        merged = f"{self._scratch}/m{number}"
        os.mkdir(merged)
        upper = work = ""
        if asked.access == "discard":
            upper, work = f"{self._scratch}/du{number}", f"{self._scratch}/dw{number}"
            os.mkdir(upper)
            os.mkdir(work)
            top = found.status
            os.chown(upper, top.st_uid, top.st_gid)
            os.chmod(upper, stat.S_IMODE(top.st_mode))
        self._overlay(merged, [Path(folder) for folder in reversed(found.folders)], upper, work)
        return merged


def _mount_point(root: str, path: str, *, folder: bool) -> int:
    """A descriptor (O_PATH) of a path below `root`; what is missing is made. Raises OSError."""
    parts = path.split("/")
    with ExitStack() as held:
        top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        held.callback(os.close, top)
        parent = top
        for count, name in enumerate(parts, 1):
            here = "/".join(parts[:count])
            try:
                found = open_within(top, here)
            except FileNotFoundError:
                if folder or count < len(parts):
                    os.mkdir(name, 0o755, dir_fd=parent)
                else:
                    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
                    os.close(os.open(name, flags, 0o644, dir_fd=parent))
                found = open_within(top, here)
            held.callback(os.close, found)
            parent = found
        return os.dup(parent)


def _flags_of(path: str) -> int:
    """What a mount already forbids and a remount must repeat."""
    told = os.statvfs(path).f_flag
    same = os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC | os.ST_NOATIME | os.ST_NODIRATIME
    return told & same | (_MS_RELATIME if told & os.ST_RELATIME else 0)


def _mount_overlay(target: str, options: str, *, writable: bool) -> None:
    """Volatile where the kernel can (5.10): its end, and each fsync within, would otherwise write out everything that
    is dirty on the disk of the upper folder, whoever made it so. What a RUN left is on the disk a minute later like
    any other file; the build cache trusts no folder that might not have been (cache.py).
    """
    if writable:
        try:
            mount("overlay", target, "overlay", MS_NODEV, options + ",volatile")
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        else:
            return
    mount("overlay", target, "overlay", MS_NODEV, options)
