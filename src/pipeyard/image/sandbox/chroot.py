"""RUN by chroot, for root on machines without namespaces or overlayfs, such as a default container.

Slower (the layers are copied into one tree, once for a chain of RUNs) and weaker than bubblewrap: the command shares
the process ids and the network of this machine, has no /proc, and bind mounts are copies. Capabilities, the system call
filter, no new privileges and the certain end of all its processes are the same.
"""

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from pipeyard.image.layers import FolderStack
from pipeyard.image.sandbox import supervisor
from pipeyard.image.sandbox.child import run_in_child
from pipeyard.image.sandbox.contract import (
    Bind,
    Command,
    Exit,
    FileMount,
    HostBind,
    Limits,
    Mount,
    Output,
    Root,
    SandboxError,
    Tmpfs,
    nothing,
)
from pipeyard.image.sandbox.flat import copy_file, copy_stack, save_changes, signatures, wait_for_next_tick
from pipeyard.image.sandbox.mountpoints import MountPoints
from pipeyard.threads import Stop

_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
_KEPT = 2  # flat trees kept for the RUNs that follow


class ChrootSandbox:
    """`folder` is its own, on the file system of the layers. `limitation`: in one line, why it is not bubblewrap."""

    name = "chroot"

    def __init__(self, folder: Path, *, limitation: str) -> None:
        self._folder = folder
        self.limitation = f"RUN works by chroot, with less isolation and slower: {limitation}"
        self._kept: dict[tuple[Path, ...], Path] = {}
        self._lock = threading.Lock()  # guards _kept: a tree is used by one run at a time

    def close(self) -> None:
        """Removes the trees kept."""
        with self._lock:
            for tree in self._kept.values():
                shutil.rmtree(tree.parent, ignore_errors=True)
            self._kept.clear()

    def run(
        self, command: Command, root: Root, *, mounts: tuple[Mount, ...], limits: Limits, output: Output, stop: Stop,
        begun: Callable[[], None] = nothing,
    ) -> Exit:  # fmt: skip
        if command.network == "none":
            raise SandboxError("--network=none needs network namespaces, which this machine forbids")
        stop.check()
        stack = FolderStack(root.lowers)
        tree = self._tree(root.lowers, stack)
        try:
            before_mounts = signatures(tree)
            wait_for_next_tick(tree.parent)
            with_mounts = _CopiedMounts(tree)
            try:
                with_mounts.devices()
                for asked in mounts:
                    with_mounts.add(asked)
                begun()
                result = run_in_child(supervisor.__name__, (os.fspath(tree), command, limits), output, stop)
            finally:
                with_mounts.undo()
            save_changes(tree, before_mounts, signatures(tree), stack, root.upper)
        except BaseException:
            shutil.rmtree(tree.parent, ignore_errors=True)
            raise
        self._keep((*root.lowers, root.upper), tree)
        return result

    def _tree(self, lowers: tuple[Path, ...], stack: FolderStack) -> Path:
        with self._lock:
            kept = self._kept.pop(lowers, None)
        if kept is not None:
            return kept
        tree = self._folder / f"flat-{os.getpid()}-{os.urandom(6).hex()}" / "root"
        tree.mkdir(parents=True)
        copy_stack(stack, tree)
        return tree

    def _keep(self, lowers: tuple[Path, ...], tree: Path) -> None:
        with self._lock:
            self._kept[lowers] = tree
            while len(self._kept) > _KEPT:
                oldest = next(iter(self._kept))
                shutil.rmtree(self._kept.pop(oldest).parent, ignore_errors=True)


class _CopiedMounts:
    """What cannot be mounted is copied in; what it hides steps aside meanwhile."""

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._points = MountPoints(os.fspath(tree))
        self._aside = tree.parent / f"aside-{os.urandom(4).hex()}"
        self._aside.mkdir()
        self._undo: list[tuple[str, str, str]] = []  # place, what stood there, where it goes back to
        self._count = 0

    def devices(self) -> None:
        """A /dev of its own. What a program needs of /proc is not to be had."""
        self._points.place("/proc", folder=True)
        self._points.place("/sys", folder=True)
        dev = self._begin("/dev", folder=True)
        os.mkdir(dev)
        for name, number in _DEVICES.items():
            try:
                os.mknod(f"{dev}/{name}", 0o020666, os.makedev(*number))
                os.chmod(f"{dev}/{name}", 0o666)  # noqa: S103 -- as everywhere
            except PermissionError as error:
                raise SandboxError("no device can be made: CAP_MKNOD is missing") from error
        for name, mode in (("shm", 0o1777), ("pts", 0o755), ("mqueue", 0o1777)):
            os.mkdir(f"{dev}/{name}")
            os.chmod(f"{dev}/{name}", mode)

    def add(self, asked: Mount) -> None:
        match asked:
            case Tmpfs():
                place = self._begin(asked.target, folder=True)
                os.mkdir(place)
                os.chmod(place, asked.mode)
            case FileMount():
                place = self._begin(asked.target, folder=False)
                Path(place).write_bytes(asked.data)
                os.chown(place, asked.uid, asked.gid)
                os.chmod(place, asked.mode)
            case HostBind():
                source = os.path.realpath(asked.source)
                folder = os.path.isdir(source)
                if asked.writable:
                    # Moved there and back: what the command writes stays.
                    place = self._begin(asked.target, folder=folder, back_to=source)
                    try:
                        os.rename(source, place)
                    except OSError as error:
                        raise SandboxError(f"{source} cannot be lent to the command: {error.strerror}") from error
                else:
                    place = self._begin(asked.target, folder=folder)
                    _copy_in(FolderStack([os.path.dirname(source)]), os.path.basename(source), place)
            case Bind():
                stack = FolderStack(asked.lowers)
                path = stack.resolve(asked.source)
                found = stack.lookup(path)
                if found is None:
                    raise SandboxError(f"the mount's source {asked.source!r} does not exist")
                place = self._begin(asked.target, folder=found.is_folder)
                _copy_in(stack, path, place)

    def _begin(self, target: str, *, folder: bool, back_to: str = "") -> str:
        place = os.fspath(self._tree) + self._points.place(target, folder=folder)
        self._count += 1
        hidden = os.fspath(self._aside / str(self._count))
        parent = os.path.dirname(place)
        times = os.stat(parent)
        os.rename(place, hidden)
        os.utime(parent, ns=(times.st_atime_ns, times.st_mtime_ns))
        self._undo.append((place, hidden, back_to))
        return place

    def undo(self) -> None:
        for place, hidden, back_to in reversed(self._undo):
            parent = os.path.dirname(place)
            try:
                times = os.stat(parent)
            except OSError:
                continue
            if os.path.realpath(parent) != parent:
                continue
            if back_to:
                os.rename(place, back_to)
            elif os.path.isdir(place) and not os.path.islink(place):
                shutil.rmtree(place)
            elif os.path.lexists(place):
                os.unlink(place)
            os.rename(hidden, place)
            os.utime(parent, ns=(times.st_atime_ns, times.st_mtime_ns))
        self._points.remove_stubs()
        shutil.rmtree(self._aside, ignore_errors=True)


def _copy_in(stack: FolderStack, path: str, place: str) -> None:
    found = stack.lookup(path)
    if found is None:
        raise SandboxError(f"the mount's source {path!r} does not exist")
    if found.is_folder:
        os.mkdir(place)
        copy_stack(FolderStack(list(reversed(found.folders))), Path(place))
    else:
        copy_file(found.file, found.status, place, {})
