"""A streaming reader of tar: ustar, pax and GNU, stricter than Python's own and several times as fast.

Sources: POSIX.1-2017, pax; GNU tar manual, "Basic Tar Format" and "Storing Sparse Files". Global pax headers are
skipped, as Docker does.
"""

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO

from pipeyard.image.layers.decompress import BadArchive, Unpacked
from pipeyard.image.layers.entry import Entry, Kind
from pipeyard.image.layers.fields import decimal, nanoseconds, number, parse_records
from pipeyard.image.layers.sparse import old_sparse, pax_sparse

_ZERO = bytes(512)
_MAX_EXTENDED = 1 << 20  # bytes of pax records of one entry; BuildKit and Go allow as much
_MAX_NAME = 1 << 16
_MAX_PATH = 4096  # the kernel's PATH_MAX: nothing longer can be extracted anywhere
_KINDS: dict[int, Kind] = {
    0x00: "file", 0x30: "file", 0x37: "file",  # NUL, 0, 7 (contiguous)
    0x31: "hardlink", 0x32: "symlink", 0x33: "char", 0x34: "block", 0x35: "dir", 0x36: "fifo",
}  # fmt: skip


class Member:
    """An entry and its content, which can be taken once and before the next member is asked for."""

    __slots__ = ("_holes", "_left", "_source", "entry")

    def __init__(self, entry: Entry, source: "_Source", left: int, holes: list[tuple[int, int]] | None) -> None:
        self.entry = entry
        self._source = source
        self._left = left
        self._holes = holes  # of a sparse file: where its data goes, as (offset, length)

    def pieces(self) -> Iterator[bytes | memoryview]:
        """The content; zeros of a sparse file are spelled out."""
        if self._holes is None:
            yield from self._stored(self._left)
            return
        at = 0
        for offset, length in self._holes:
            yield from _zeros(offset - at)
            yield from self._stored(length)
            at = offset + length
        yield from _zeros(self.entry.size - at)

    @property
    def is_sparse(self) -> bool:
        return self._holes is not None

    def located_pieces(self) -> Iterator[tuple[int, bytes | memoryview]]:
        """The content with its offsets; the holes of a sparse file are left out."""
        for start, length in ((0, self._left),) if self._holes is None else tuple(self._holes):
            at = start
            for piece in self._stored(length):
                yield at, piece
                at += len(piece)

    def _stored(self, size: int) -> Iterator[bytes | memoryview]:
        self._left -= size
        return self._source.pieces(size)

    def skip(self) -> None:
        if self._left:
            self._source.skip(self._left)
            self._left = 0


def _zeros(count: int) -> Iterator[bytes]:
    piece = bytes(1 << 16)
    while count > 0:
        yield piece[:count] if count < len(piece) else piece
        count -= len(piece)


class _Source:
    """Bytes by exact count out of pieces of any size."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._piece = b""
        self._at = 0

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes. Raises BadArchive when the stream ends before."""
        at = self._at
        end = at + size
        if end <= len(self._piece):
            self._at = end
            return self._piece[at:end]
        return b"".join(self.pieces(size))

    def at_end(self) -> bool:
        return self._at >= len(self._piece) and not self._next()

    def pieces(self, size: int) -> Iterator[bytes | memoryview]:
        while size:
            there = len(self._piece) - self._at
            if not there:
                if not self._next():
                    raise BadArchive("the archive ends in the middle of an entry")
                continue
            count = min(there, size)
            at = self._at
            self._at = at + count
            size -= count
            if at == 0 and count == len(self._piece):
                yield self._piece
            else:
                yield memoryview(self._piece)[at : at + count]

    def skip(self, size: int) -> None:
        for _ in self.pieces(size):
            pass

    def drain(self) -> None:
        """Reads to the end: what follows the last entry belongs to the stream, and to its digest."""
        self._at = len(self._piece)
        while self._next():
            self._at = len(self._piece)

    def _next(self) -> bool:
        for piece in self._pieces:
            if piece:
                self._piece = piece
                self._at = 0
                return True
        self._piece, self._at = b"", 0
        return False


def read_members(pieces: Iterable[bytes]) -> Iterator[Member]:
    """The members of an uncompressed tar stream, to its very end. Raises BadArchive for one that is damaged.

    Paths are normalised (no `./`, no doubled or trailing slash) but otherwise as they stand: absolute ones keep their
    slash and `..` stays, for the caller to judge.
    """
    source = _Source(pieces)
    records: dict[str, bytes] = {}
    extended = 0  # bytes of the headers that `records` come from
    long_name = long_link = None
    if source.at_end():
        return
    while True:
        if source.at_end():
            # POSIX ends an archive with two zero blocks; Go, and so Docker, accepts one that ends without them.
            if records or long_name is not None or long_link is not None:
                raise BadArchive("the archive ends after an extended header")
            return
        block = source.take(512)
        if block == _ZERO:
            source.drain()
            return
        _check(block)
        kind_code = block[156]
        size = number(block, 124, 136)
        if kind_code == 0x78 or kind_code == 0x67:  # x and g
            extended += size
            if extended > _MAX_EXTENDED:
                raise BadArchive(f"an extended header of {extended} bytes")
            data = source.take(size)
            source.skip(-size % 512)
            if kind_code == 0x78:
                records.update(parse_records(data))
            continue
        if kind_code == 0x4C or kind_code == 0x4B:  # L and K
            if size > _MAX_NAME:
                raise BadArchive(f"a name of {size} bytes")
            text = source.take(size).split(b"\0", 1)[0]
            source.skip(-size % 512)
            if kind_code == 0x4C:
                long_name = text
            else:
                long_link = text
            continue
        member = _member(block, kind_code, size, records, long_name, long_link, source)
        stored = member._left
        yield member
        member.skip()
        source.skip(-stored % 512)
        if records:
            records = {}
        extended = 0
        long_name = long_link = None


def _member(
    block: bytes,
    kind_code: int,
    size: int,
    records: dict[str, bytes],
    long_name: bytes | None,
    long_link: bytes | None,
    source: _Source,
) -> Member:
    sparse = kind_code == 0x53  # S
    kind: Kind | None = "file" if sparse else _KINDS.get(kind_code)
    name = block[:100].split(b"\0", 1)[0]
    if kind is None:
        raise BadArchive(f"{_text(name)!r} has the unknown type {chr(kind_code)!r}")
    ustar = block[257:265] == b"ustar\x0000"
    if ustar and block[345]:
        name = block[345:500].split(b"\0", 1)[0] + b"/" + name
    if long_name is not None:
        name = long_name
    link = long_link
    if link is None:
        link = block[157:257].split(b"\0", 1)[0] if block[157] else b""
    mode, uid, gid = number(block, 100, 108), number(block, 108, 116), number(block, 116, 124)
    mtime_ns = number(block, 136, 148) * 1_000_000_000
    xattrs: dict[str, bytes] = {}
    holes = None
    length = size
    if records:
        name = records.get("path", name)
        link = records.get("linkpath", link)
        uid = decimal(records, "uid", uid)
        gid = decimal(records, "gid", gid)
        size = length = decimal(records, "size", size)
        if "mtime" in records:
            mtime_ns = nanoseconds(records["mtime"])
        for key, value in records.items():
            if key.startswith("SCHILY.xattr."):
                xattrs[key[13:]] = value
    if kind == "file" and name.endswith(b"/"):
        kind = "dir"  # how tar wrote folders before there was a type for them
    if kind != "file":
        size = length = 0
    if b"\0" in name or b"\0" in link:
        raise BadArchive(f"a name with a NUL byte: {_text(name)!r}")
    if sparse:
        holes, size = old_sparse(block, source.take)
    elif any(key.startswith("GNU.sparse.") for key in records):
        name, holes, size, length = pax_sparse(records, name, length, source.take)
    if holes is not None and sum(part for _, part in holes) != length:
        raise BadArchive(f"the sparse file {_text(name)!r} contradicts its own size")
    device = (0, 0)
    if kind in ("char", "block"):
        device = (number(block, 329, 337), number(block, 337, 345))
    if size < 0 or uid < 0 or gid < 0:
        raise BadArchive(f"{_text(name)!r} has a negative size or owner")
    if len(name) > _MAX_PATH or len(link) > _MAX_PATH:
        raise BadArchive(f"a path of {max(len(name), len(link))} bytes, which is more than {_MAX_PATH}")
    path = _normal(name)
    link_text = _text(link)
    if kind == "hardlink":
        link_text = _normal(link)
    if kind in ("hardlink", "symlink") and not link:
        raise BadArchive(f"the link {path!r} names nothing")
    entry = Entry(
        path=path, kind=kind, mode=mode & 0o7777, uid=uid, gid=gid, mtime_ns=mtime_ns, size=size,
        link=link_text if kind in ("hardlink", "symlink") else "", device=device, xattrs=xattrs,
    )  # fmt: skip
    return Member(entry, source, length, holes)


def _check(block: bytes) -> None:
    stored = number(block, 148, 156)
    total = sum(block) - sum(block[148:156]) + 256
    if stored != total:
        signed = total - 256 * sum(byte > 127 for byte in block[:148] + block[156:])  # as some old tars summed
        if stored != signed:
            raise BadArchive("wrong checksum: not a tar archive, or a damaged one")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _normal(name: bytes) -> str:
    text = name.decode("utf-8", "surrogateescape")
    if text.startswith("./") or "//" in text or "/./" in text or text.endswith(("/", "/.")) or text == ".":
        absolute = text.startswith("/")
        text = "/".join(part for part in text.split("/") if part not in ("", "."))
        return f"/{text}" if absolute else text
    return text


class _Content(io.RawIOBase):
    """A member's content as a file."""

    def __init__(self, member: Member) -> None:
        self._pieces = member.pieces()
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview | bytearray", /) -> int:  # type: ignore[override] # any writable buffer
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        memoryview(buffer)[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def read_entries(read: Callable[[int], bytes]) -> Iterator[Entry]:
    """The entries of an archive in any of the packings that decompress knows, from a stream's `read`.

    An entry's `content` can be opened once, and before the next entry is asked for: handed to tar_blocks or written out
    at once, an archive of any size passes through a few MiB of memory. Raises BadArchive.
    """
    from msgspec import structs

    for member in read_members(Unpacked(read)):
        if member.entry.size:
            yield structs.replace(member.entry, content=_opener(member))
        else:
            yield member.entry


def _opener(member: Member) -> Callable[[], AbstractContextManager[BinaryIO]]:
    def opened() -> AbstractContextManager[BinaryIO]:
        return io.BufferedReader(_Content(member), 1 << 16)

    return opened


def is_archive(read: Callable[[int], bytes]) -> bool:
    """Whether a file is one that ADD extracts: a tar, plain or packed in a known way.

    Docker's rule: what is in it begins like a tar that holds something; a truncated or damaged rest is found when it is
    extracted. Reads no more than it needs.
    """
    head = b""
    try:
        for piece in Unpacked(read):
            head += piece
            if len(head) >= 512:
                break
        if len(head) < 512 or head[:512] == _ZERO:
            return False
        _check(head[:512])
    except BadArchive:
        return False
    return True
