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

from pipeyard.image.layers.attributes import Attributes
from pipeyard.image.layers.decompress import BadArchive
from pipeyard.image.layers.entry import Entry, is_opaque, is_whiteout, removed_path
from pipeyard.image.layers.powers import Form, owner_of
from pipeyard.image.layers.read import Member
from pipeyard.image.layers.stack import FolderStack, is_overlay_whiteout, make_whiteout, resolve_links

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_OPEN = 64  # folders kept open


class FolderWriter:
    """Puts members into the folder; times of folders are set at the end, when nothing changes them any more."""

    def __init__(self, folder: Path, lowers: FolderStack, form: Form) -> None:
        self._root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._lowers = lowers
        self._form = form
        self._attributes = Attributes(form)
        self._open: OrderedDict[str, int] = OrderedDict()
        self._folder_times: dict[str, int] = {}
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
        for path in sorted(self._folder_times, reverse=True):
            try:
                parent, name = self._parent(path)
                time = self._folder_times[path]
                if name:
                    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        os.utime(name, ns=(time, time), dir_fd=parent, follow_symlinks=False)
                else:
                    os.utime(self._root, ns=(time, time))
            except (FileNotFoundError, BadArchive):
                continue  # a later entry took its place
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise

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
        if len(self._open) >= _MAX_OPEN:
            self._retired.append(self._open.popitem(last=False)[1])
        self._open[folder] = descriptor
        return descriptor, name

    def _enter(self, folder: str) -> int:
        try:
            return self._walk(folder)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
                raise
        real = resolve_links(folder, self._link)
        return self._walk(real, make=True)

    def _walk(self, path: str, *, make: bool = False) -> int:
        """Opens a folder component by component; a symlink on the way is an error of the kernel's."""
        here = os.dup(self._root)
        done = ""
        try:
            for part in path.split("/") if path else ():
                done = f"{done}/{part}" if done else part
                try:
                    inner = os.open(part, _FOLDER, dir_fd=here)
                except OSError as error:
                    if not make or error.errno not in (errno.ENOENT, errno.ENOTDIR):
                        raise
                    self._missing_folder(here, part, done)
                    inner = os.open(part, _FOLDER, dir_fd=here)
                os.close(here)
                here = inner
        except BaseException:
            os.close(here)
            raise
        return here

    def _missing_folder(self, parent: int, name: str, path: str) -> None:
        """A folder that the layer does not name: as it is in the layers below, or root's own."""
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
        below = None if hidden or self._hidden_below(path) else self._lowers.lookup(path)
        entry = Entry(path=path, kind="dir", mode=0o755)
        if below is not None and below.is_folder:
            uid, gid = owner_of(below.file, below.status, self._form)
            mode = stat.S_IMODE(below.status.st_mode)
            entry = Entry(path=path, kind="dir", mode=mode, uid=uid, gid=gid, mtime_ns=below.status.st_mtime_ns)
        os.mkdir(name, 0o700, dir_fd=parent)
        self._dress_folder(parent, name, entry, opaque=hidden)

    def _hidden_below(self, path: str) -> bool:
        """Whether a folder of this layer that holds `path` hides what the layers below have there."""
        parts = path.split("/")
        for count in range(1, len(parts)):
            try:
                descriptor = self._walk("/".join(parts[:count]))
            except OSError:
                return False
            try:
                if self._form.overlay_prefix + "opaque" in os.listxattr(descriptor):
                    return True
            finally:
                os.close(descriptor)
        return False

    def _link(self, path: str) -> str | None:
        """The text of the symlink at `path`, in this layer or below it."""
        parent, _, name = path.rpartition("/")
        try:
            descriptor = self._walk(parent)
        except OSError:
            pass
        else:
            try:
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                return os.readlink(name, dir_fd=descriptor) if stat.S_ISLNK(status.st_mode) else None
            except FileNotFoundError:
                pass
            finally:
                os.close(descriptor)
        if self._hidden_below(path):
            return None
        found = self._lowers.lookup(path)
        return os.readlink(found.file) if found and stat.S_ISLNK(found.status.st_mode) else None

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
        self._dress_folder(parent, name, entry, opaque=opaque)

    def _dress_folder(self, parent: int, name: str, entry: Entry, *, opaque: bool) -> None:
        descriptor = os.open(name, _FOLDER, dir_fd=parent)
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
        descriptor = os.open(name, _FOLDER, dir_fd=parent)
        try:
            self._attributes.make_opaque(descriptor)
        finally:
            os.close(descriptor)

    def _remove(self, parent: int, name: str) -> None:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode):
            # Open folders may have been reached through it. They stay open for whoever is using them now.
            self._retired.extend(self._open.values())
            self._open.clear()
        if stat.S_ISDIR(status.st_mode):
            _remove_tree(parent, name)
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


def _remove_tree(parent: int, name: str) -> None:
    folder = os.open(name, _FOLDER, dir_fd=parent)
    try:
        with os.scandir(folder) as entries:
            inner = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for child, is_folder in inner:
            if is_folder:
                _remove_tree(folder, child)
            else:
                os.unlink(child, dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=parent)
