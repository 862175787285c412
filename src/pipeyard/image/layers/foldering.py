"""Members of a layer into a folder, none of them trusted.

Nothing of what the layer says is resolved by a path string. Every name is used relative to an open folder, and each
folder is opened component by component without following symlinks (O_NOFOLLOW), so a link that the layer made can lead
nowhere. Where a layer writes through a symlink of its own or of a lower layer (`lib/x` where `lib` is `usr/lib`), the
link is followed within the image's root, as containerd does.
"""

import errno
import os
import stat
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from pipeyard.files import remove_tree
from pipeyard.image.layers.attributes import Attributes
from pipeyard.image.layers.decompress import BadArchive
from pipeyard.image.layers.entry import Entry, is_opaque, is_whiteout, removed_path
from pipeyard.image.layers.links import OPEN_FOLDER, Links
from pipeyard.image.layers.powers import Form, owner_of
from pipeyard.image.layers.read import Member
from pipeyard.image.layers.stack import FolderStack, is_overlay_whiteout, make_whiteout, resolve_links

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_OPEN = 64  # folders kept open
_STRIDE = 64  # of so many folders walked through, one is kept open


class FolderWriter:
    """Puts members into the folder; times of folders are set at the end, when nothing changes them any more."""

    def __init__(self, folder: Path, lowers: FolderStack, form: Form, *, most_folders: int = 10_000_000) -> None:
        self._root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._lowers = lowers
        self._form = form
        self._attributes = Attributes(form)
        self._open: OrderedDict[str, int] = OrderedDict()
        self._folder_times: dict[str, int] = {}
        self._most_folders = most_folders
        self._made = 0  # folders that the layer does not name
        self._retired: list[int] = []  # closed when the current member is done
        self.skipped: list[str] = []

    def close(self) -> None:
        self._retired.extend(self._open.values())
        self._open.clear()
        self._close_retired()
        os.close(self._root)

    def _close_retired(self) -> None:
        for descriptor in self._retired:
            os.close(descriptor)
        self._retired.clear()

    def finish(self) -> None:
        # The uppermost first, so that each is found in one that is open; its own time is no change of the folder's.
        gone = ""
        for path in sorted(self._folder_times):
            self._close_retired()
            if gone and path.startswith(f"{gone}/"):
                continue
            try:
                parent, name = self._parent(path)
                time = self._folder_times[path]
                if name:
                    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        os.utime(name, ns=(time, time), dir_fd=parent, follow_symlinks=False)
                    else:
                        gone = path
                else:
                    os.utime(self._root, ns=(time, time))
            except (FileNotFoundError, BadArchive):
                gone = path  # a later entry took its place
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise
                gone = path

    def write(self, member: Member) -> None:
        entry = member.entry
        check_path(entry.path)
        if self._retired:
            self._close_retired()
        try:
            if is_whiteout(entry):
                self._whiteout(entry)
                return
            if not entry.path:
                if entry.kind == "dir":
                    self._attributes.of_open(self._root, entry)
                    self._folder_times[entry.path] = entry.mtime_ns
                return
            parent, name = self._parent(entry.path)
            match entry.kind:
                case "file":
                    self._file(parent, name, member)
                case "dir":
                    self._folder(parent, name, entry)
                case "symlink":
                    self._place(parent, name, lambda: os.symlink(entry.link, name, dir_fd=parent))
                    self._attributes.of_name(parent, name, entry)
                case "hardlink":
                    self._hardlink(parent, name, entry)
                case "fifo":
                    self._place(parent, name, lambda: os.mkfifo(name, 0o600, dir_fd=parent))
                    self._attributes.of_name(parent, name, entry)
                case _:
                    self._device(parent, name, entry)
        except OSError as error:
            if error.errno in (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EINVAL, errno.EISDIR):
                raise BadArchive(f"{entry.path!r} cannot be unpacked: {error.strerror}") from error
            raise

    # -- where a name lies ----------------------------------------------------------------------------------------

    def _parent(self, path: str) -> tuple[int, str]:
        """The open folder that holds `path`, made when missing, and the last component."""
        folder, _, name = path.rpartition("/")
        if not folder:
            return self._root, name
        known = self._open.get(folder)
        if known is not None:
            self._open.move_to_end(folder)
            return known, name
        descriptor = self._enter(folder)
        self._keep_open(folder, descriptor)
        return descriptor, name

    def _enter(self, folder: str) -> int:
        try:
            return self._walk(folder)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
                raise
        links = Links(self._root, self._lowers, self._form.overlay_prefix + "opaque")
        try:
            real = resolve_links(folder, links.at)
        finally:
            links.close()
        return self._walk(real, make=True)

    def _walk(self, path: str, *, make: bool = False) -> int:
        """Opens a folder component by component; a symlink on the way is an error of the kernel's.

        Begins at the nearest folder above it that is open. Some on the way stay open, so that a path of thousands of
        folders is not walked again and again from its root.
        """
        at, here = self._nearest(path)
        steps = 0
        hidden: bool | None = None
        try:
            for part in path[at:].split("/") if path else ():
                at += len(part) + 1
                steps += 1
                try:
                    inner = os.open(part, OPEN_FOLDER, dir_fd=here)
                except OSError as error:
                    if not make or error.errno not in (errno.ENOENT, errno.ENOTDIR):
                        raise
                    done = path[: at - 1]
                    if hidden is None:
                        hidden = self._hidden_below(done)
                    # What is in a folder that was just made is missing as well, and as hidden as that is.
                    hidden = self._missing_folder(here, part, done, hidden_above=hidden)
                    inner = os.open(part, OPEN_FOLDER, dir_fd=here)
                os.close(here)
                here = inner
                if steps % _STRIDE == 0 and path[: at - 1] not in self._open:
                    self._keep_open(path[: at - 1], os.dup(here))
        except BaseException:
            os.close(here)
            raise
        return here

    def _nearest(self, path: str) -> tuple[int, int]:
        """Where in `path` to go on, and from which folder, opened once more."""
        at = path.rfind("/")
        while at > 0:
            above = path[:at]
            known = self._open.get(above)
            if known is not None:
                self._open.move_to_end(above)
                return at + 1, os.dup(known)
            at = path.rfind("/", 0, at)
        return 0, os.dup(self._root)

    def _keep_open(self, path: str, descriptor: int) -> None:
        if len(self._open) >= _MAX_OPEN:
            self._retired.append(self._open.popitem(last=False)[1])
        self._open[path] = descriptor

    def _forget_open(self) -> None:
        """Open folders stay open for whoever is using them now, and are found anew by the next."""
        self._retired.extend(self._open.values())
        self._open.clear()

    def _missing_folder(self, parent: int, name: str, path: str, *, hidden_above: bool) -> bool:
        """Makes a folder that the layer does not name: as it is in the layers below, or root's own.

        True when nothing of the layers below shows in it.
        """
        self._made += 1
        if self._made > self._most_folders:
            raise BadArchive(f"the layer's names imply more than {self._most_folders} folders")
        hidden = False
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            pass
        else:
            if not is_overlay_whiteout(_reached(parent, name), status):
                raise BadArchive(f"{path!r} is a file and a folder at once")
            os.unlink(name, dir_fd=parent)
            hidden = True
        hidden_here = hidden or hidden_above
        below = None if hidden_here else self._lowers.lookup(path)
        entry = Entry(path=path, kind="dir", mode=0o755)
        if below is not None and below.is_folder:
            uid, gid = owner_of(below.file, below.status, self._form)
            mode = stat.S_IMODE(below.status.st_mode)
            entry = Entry(path=path, kind="dir", mode=mode, uid=uid, gid=gid, mtime_ns=below.status.st_mtime_ns)
        os.mkdir(name, 0o700, dir_fd=parent)
        self._dress_folder(parent, name, entry, opaque=hidden)
        return hidden_here

    def _hidden_below(self, path: str) -> bool:
        """Whether a folder of this layer that holds `path` hides what the layers below have there."""
        if self._lowers.is_empty:
            return False
        here = os.dup(self._root)
        try:
            for part in path.split("/")[:-1]:
                try:
                    inner = os.open(part, OPEN_FOLDER, dir_fd=here)
                except OSError:
                    return False
                os.close(here)
                here = inner
                if self._form.overlay_prefix + "opaque" in os.listxattr(here):
                    return True
            return False
        finally:
            os.close(here)

    # -- one member of each kind ----------------------------------------------------------------------------------

    def _place(self, parent: int, name: str, make: Callable[[], object]) -> None:
        """Makes something; what an earlier entry of the layer put there goes first."""
        try:
            make()
        except FileExistsError:
            self._remove(parent, name)
            make()

    def _file(self, parent: int, name: str, member: Member) -> None:
        entry = member.entry
        try:
            file = os.open(name, _NEW, 0o600, dir_fd=parent)
        except FileExistsError:
            self._remove(parent, name)
            file = os.open(name, _NEW, 0o600, dir_fd=parent)
        try:
            if entry.size:
                for offset, piece in member.located_pieces():
                    _write_all(file, piece, offset)
                if member.is_sparse:
                    os.ftruncate(file, entry.size)
            self._attributes.of_open(file, entry)
            os.utime(file, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(file)

    def _folder(self, parent: int, name: str, entry: Entry) -> None:
        opaque = False
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                opaque = is_overlay_whiteout(_reached(parent, name), status)
                self._remove(parent, name)
                os.mkdir(name, 0o700, dir_fd=parent)
        else:
            if entry.path in self._open:  # until now a link of a layer below led somewhere else
                self._forget_open()
        self._dress_folder(parent, name, entry, opaque=opaque)

    def _dress_folder(self, parent: int, name: str, entry: Entry, *, opaque: bool) -> None:
        descriptor = os.open(name, OPEN_FOLDER, dir_fd=parent)
        try:
            if opaque:
                self._attributes.make_opaque(descriptor)
            self._attributes.of_open(descriptor, entry)
        finally:
            os.close(descriptor)
        self._folder_times[entry.path] = entry.mtime_ns

    def _hardlink(self, parent: int, name: str, entry: Entry) -> None:
        check_path(entry.link)
        if entry.link == entry.path:
            raise BadArchive(f"{entry.path!r} is a hard link to itself")
        source, source_name = self._parent(entry.link)
        try:
            status = os.stat(source_name, dir_fd=source, follow_symlinks=False)
        except FileNotFoundError:
            status = self._copy_up(source, source_name, entry.link)
        if stat.S_ISDIR(status.st_mode) or is_overlay_whiteout(_reached(source, source_name), status):
            raise BadArchive(f"{entry.path!r} is a hard link to {entry.link!r}, which is no file")

        def make() -> None:
            os.link(source_name, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)

        try:
            self._place(parent, name, make)
        except FileNotFoundError:
            raise BadArchive(f"{entry.path!r} takes the place of a folder with {entry.link!r}, its own file") from None

    def _copy_up(self, parent: int, name: str, path: str) -> os.stat_result:
        """A hard link to a file of a lower layer: the file becomes one of this layer."""
        found = self._lowers.lookup(self._lowers.resolve(path, follow_last=False))
        if found is None or not stat.S_ISREG(found.status.st_mode):
            raise BadArchive(f"a hard link to {path!r}, which does not exist")
        uid, gid = owner_of(found.file, found.status, self._form)
        status = found.status
        entry = Entry(
            path=path, kind="file", mode=stat.S_IMODE(status.st_mode), uid=uid, gid=gid, mtime_ns=status.st_mtime_ns
        )
        file = os.open(name, _NEW, 0o600, dir_fd=parent)
        try:
            with open(found.file, "rb") as original:
                offset = 0
                while data := original.read(1 << 20):
                    _write_all(file, data, offset)
                    offset += len(data)
            self._attributes.of_open(file, entry)
            os.utime(file, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(file)
        return os.stat(name, dir_fd=parent, follow_symlinks=False)

    def _device(self, parent: int, name: str, entry: Entry) -> None:
        if entry.kind == "char" and entry.device == (0, 0):
            raise BadArchive(f"{entry.path!r} is device 0/0, which overlayfs takes for a whiteout")
        if not self._form.makes_devices:
            self.skipped.append(entry.path)
            return
        kind = stat.S_IFCHR if entry.kind == "char" else stat.S_IFBLK
        number = os.makedev(*entry.device)
        try:
            self._place(parent, name, lambda: os.mknod(name, kind | 0o600, number, dir_fd=parent))
        except PermissionError:
            self.skipped.append(entry.path)
            return
        self._attributes.of_name(parent, name, entry)

    def _whiteout(self, entry: Entry) -> None:
        path = removed_path(entry)
        if is_opaque(entry):
            if not path:
                return  # the root of a layer that hides all below: builders do not write it, and overlayfs has no word
            parent, name = self._parent(path)
            try:
                os.mkdir(name, 0o755, dir_fd=parent)
            except FileExistsError:
                pass
            self._hide_below(parent, name)
            return
        if path.rpartition("/")[2] in ("", ".", ".."):
            raise BadArchive(f"{entry.path!r} is a whiteout of nothing")
        parent, name = self._parent(path)
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            make_whiteout(_reached(parent, name), self._form.overlay_prefix)
            return
        # A whiteout is about the layers below. What this layer itself has under the name stays, alone.
        if stat.S_ISDIR(status.st_mode):
            self._hide_below(parent, name)

    def _hide_below(self, parent: int, name: str) -> None:
        descriptor = os.open(name, OPEN_FOLDER, dir_fd=parent)
        try:
            self._attributes.make_opaque(descriptor)
        finally:
            os.close(descriptor)

    def _remove(self, parent: int, name: str) -> None:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode):
            self._forget_open()  # some may have been reached through it
        if stat.S_ISDIR(status.st_mode):
            remove_tree(name, dir_fd=parent)
        else:
            os.unlink(name, dir_fd=parent)


def check_path(path: str) -> None:
    """Raises BadArchive for a name that points out of its root, whatever it would find there."""
    if path.startswith("/"):
        raise BadArchive(f"{path!r} is an absolute name")
    if ".." in path and ".." in path.split("/"):
        raise BadArchive(f"{path!r} leads out of its folder")


def _reached(folder: int, name: str) -> str:
    """A path for the calls that take no folder's descriptor; the kernel resolves it from the open folder."""
    return f"/proc/self/fd/{folder}/{name}"


def _write_all(file: int, data: bytes | memoryview, offset: int) -> None:
    while (count := os.pwrite(file, data, offset)) < len(data):
        data = memoryview(data)[count:]
        offset += count
