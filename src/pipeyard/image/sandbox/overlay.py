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
from pathlib import Path

from pipeyard.image.layers import FolderStack
from pipeyard.image.sandbox.contract import Bind, FileMount, HostBind, Mount, Root, SandboxError, Tmpfs
from pipeyard.image.sandbox.kernel import CLONE_NEWNS, MS_NODEV, MS_NOSUID, MS_PRIVATE, MS_REC, mount, unshare
from pipeyard.image.sandbox.mountpoints import MountPoints

MAX_LOWERS = 500  # overlayfs' own


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
            mount("overlay", target, "overlay", MS_NODEV, options)
        except OSError as error:
            raise SandboxError(
                f"overlayfs cannot be mounted: {error.strerror}",
                hint="pipeyard's home must lie on ext4, xfs, btrfs or tmpfs, not on overlayfs or a network",
            ) from error
        finally:
            os.chdir("/")

    def arguments(self, asked: Mount) -> list[str]:
        """bubblewrap's arguments for one mount, its source prepared."""
        match asked:
            case Tmpfs():
                place = self.points.place(asked.target, folder=True)
                size = ["--size", str(asked.size)] if asked.size else []
                return ["--perms", f"{asked.mode:04o}", *size, "--tmpfs", place]
            case HostBind():
                path = os.path.realpath(asked.source)
                place = self.points.place(asked.target, folder=os.path.isdir(path))
                return ["--bind" if asked.writable else "--ro-bind", path, place]
            case FileMount():
                path = self._file(asked)
                place = self.points.place(asked.target, folder=False)
                return ["--bind" if asked.writable else "--ro-bind", path, place]
            case Bind():
                path = self._bind_source(asked)
                place = self.points.place(asked.target, folder=os.path.isdir(path))
                return ["--ro-bind" if asked.access == "read" else "--bind", path, place]

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
