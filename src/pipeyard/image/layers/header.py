"""Tar headers, written fast: ustar where an entry fits into it, pax records where it does not.

Sources: POSIX.1-2017, pax ("ustar Interchange Format", "pax Extended Header"); the `SCHILY.xattr.` records are those
of star, which every image tool reads.
"""

from pipeyard.image.layers.entry import Entry

BLOCK = 512
END = bytes(2 * BLOCK)

_TYPES = {"file": b"0", "hardlink": b"1", "symlink": b"2", "char": b"3", "block": b"4", "dir": b"5", "fifo": b"6"}
_ZEROS = tuple(bytes(size) for size in range(BLOCK))
_MAGIC = b"ustar\x0000"
_NO_DEVICE = b"0000000\x000000000\x00"
_MAX_ID = 0o7777777
_MAX_SIZE = 0o77777777777
_BLANK_CHECKSUM = 8 * 0x20


def padding(size: int) -> bytes:
    """What follows `size` bytes of content up to the next block."""
    return _ZEROS[-size % BLOCK]


class Headers:
    """Makes the header blocks of one tar stream; times clamp to `epoch_s`.

    What repeats from entry to entry (owners with modes, times) is formatted and summed once. Owner and group names
    are always empty: they are a property of the machine and not of the image.
    """

    def __init__(self, epoch_s: int | None) -> None:
        self._epoch_s = epoch_s
        self._owners: dict[tuple[int, int, int], tuple[bytes, int]] = {}
        self._times: dict[int, tuple[bytes, int]] = {}
        self._sizes: dict[int, tuple[bytes, int]] = {}

    def header(self, entry: Entry) -> bytes:
        """All blocks before the entry's content."""
        seconds = entry.mtime_ns // 1_000_000_000
        if self._epoch_s is not None and seconds > self._epoch_s:
            seconds = self._epoch_s
        path = entry.path or "."
        if entry.kind == "dir":
            path += "/"
        if (
            entry.kind == "file"
            and len(path) <= 100
            and path.isascii()
            and not entry.xattrs
            and entry.uid <= _MAX_ID
            and entry.gid <= _MAX_ID
            and 0 <= seconds <= _MAX_SIZE
            and entry.size <= _MAX_SIZE
            and "\0" not in path
        ):
            return self._plain_file(path.encode(), entry, seconds)
        return self._general(path, entry, seconds)

    def _general(self, path: str, entry: Entry, seconds: int) -> bytes:
        records: list[tuple[bytes, bytes]] = []
        name = path.encode("utf-8", "surrogateescape")
        link = entry.link.encode("utf-8", "surrogateescape")
        if b"\0" in name or b"\0" in link:
            raise ValueError(f"a name with a NUL byte: {entry.path!r}")
        prefix, base = _split(name)
        if base is None or not name.isascii():
            records.append((b"path", name))
            prefix, base = b"", name[:100]
        if len(link) > 100 or not link.isascii():
            records.append((b"linkpath", link))
            link = link[:100]
        uid, gid, size = entry.uid, entry.gid, entry.size if entry.kind == "file" else 0
        if uid > _MAX_ID:
            records.append((b"uid", b"%d" % uid))
            uid = 0
        if gid > _MAX_ID:
            records.append((b"gid", b"%d" % gid))
            gid = 0
        if size > _MAX_SIZE:
            records.append((b"size", b"%d" % size))
            size = 0
        if not 0 <= seconds <= _MAX_SIZE:
            records.append((b"mtime", b"%d" % seconds))
            seconds = 0
        for key, value in entry.xattrs.items():
            records.append((b"SCHILY.xattr." + key.encode("utf-8", "surrogateescape"), value))
        owned = entry if (uid, gid) == (entry.uid, entry.gid) else _with_owner(entry, uid, gid)
        device = _NO_DEVICE
        if entry.kind in ("char", "block"):
            device = b"%07o\0%07o\0" % entry.device
        block = self._ustar(base, prefix, owned, _TYPES[entry.kind], size, seconds, link, device)
        if not records:
            return block
        data = b"".join(sorted(_record(key, value) for key, value in records))
        return self._extended(data) + block

    def _extended(self, data: bytes) -> bytes:
        """A pax header block with its records. Its own name and time are constants: nothing reads them."""
        about = Entry(path="PaxHeaders/0", kind="file", mode=0o644)
        block = self._ustar(b"PaxHeaders/0", b"", about, b"x", len(data), 0, b"", _NO_DEVICE)
        return block + data + padding(len(data))

    def _plain_file(self, name: bytes, entry: Entry, seconds: int) -> bytes:
        """As `_ustar` makes it, in half the time: nearly every entry of a large layer is one."""
        owner, owner_sum = self._owners.get((entry.mode, entry.uid, entry.gid)) or self._owner(entry)
        time, time_sum = self._times.get(seconds) or self._time(seconds)
        length, length_sum = self._sizes.get(entry.size) or self._length(entry.size)
        total = sum(name) + owner_sum + time_sum + length_sum + _SUM_FILE
        return b"".join((name, _ZEROS[100 - len(name)], owner, length, time, b"%06o\0 " % total, _FILE_AFTER_CHECKSUM))

    def _owner(self, entry: Entry) -> tuple[bytes, int]:
        key = (entry.mode, entry.uid, entry.gid)
        known = self._owners.get(key)
        if known is None:
            known = self._owners[key] = _summed(b"%07o\0%07o\0%07o\0" % (entry.mode & 0o7777, entry.uid, entry.gid))
        return known

    def _time(self, seconds: int) -> tuple[bytes, int]:
        known = self._times.get(seconds)
        if known is None:
            known = self._times[seconds] = _summed(b"%011o\0" % seconds)
        return known

    def _length(self, size: int) -> tuple[bytes, int]:
        known = self._sizes.get(size)
        if known is None:
            known = _summed(b"%011o\0" % size)
            if len(self._sizes) < 4096:
                self._sizes[size] = known
        return known

    def _ustar(
        self, name: bytes, prefix: bytes, entry: Entry, kind: bytes, size: int, seconds: int, link: bytes, device: bytes
    ) -> bytes:
        owner, time, length = self._owner(entry), self._time(seconds), self._length(size)
        total = (
            sum(name) + sum(prefix) + sum(link) + owner[1] + time[1] + length[1] + kind[0] + _BLANK_CHECKSUM
            + _SUM_MAGIC + (_SUM_NO_DEVICE if device is _NO_DEVICE else sum(device))
        )  # fmt: skip
        return b"%b%b%b%b%b%06o\0 %b%b%b%b%b%b%b%b" % (
            name, _ZEROS[100 - len(name)], owner[0], length[0], time[0], total, kind, link, _ZEROS[100 - len(link)],
            _MAGIC, _ZEROS[64], device, prefix, _ZEROS[167 - len(prefix)],
        )  # fmt: skip


_SUM_MAGIC = sum(_MAGIC)
_SUM_NO_DEVICE = sum(_NO_DEVICE)
_FILE_AFTER_CHECKSUM = b"0" + _ZEROS[100] + _MAGIC + _ZEROS[64] + _NO_DEVICE + _ZEROS[167]
_SUM_FILE = sum(_FILE_AFTER_CHECKSUM) + _BLANK_CHECKSUM


def _summed(field: bytes) -> tuple[bytes, int]:
    return field, sum(field)


def _split(name: bytes) -> tuple[bytes, bytes | None]:
    """The ustar prefix and name; no name when it fits nowhere. A folder's own slash stays with its name."""
    if len(name) <= 100:
        return b"", name
    at = name.find(b"/", len(name) - 101)
    if at < 0 or at > 155 or at == 0 or at >= len(name) - 1:
        return b"", None
    return name[:at], name[at + 1 :]


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE\\n`, where the length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) != len(str(rest)):
        length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)


def _with_owner(entry: Entry, uid: int, gid: int) -> Entry:
    return Entry(path=entry.path, kind=entry.kind, mode=entry.mode, uid=uid, gid=gid)
