"""What an archive is compressed with, seen in its bytes, and its content in bounded pieces.

gzip with any number of members, bzip2, xz, zstandard with any number of frames, or nothing at all.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal, Protocol

from pipeyard.errors import InputError

if TYPE_CHECKING:
    from bz2 import BZ2Decompressor
    from lzma import LZMADecompressor

Packing = Literal["gzip", "bzip2", "xz", "zstd", "plain"]

PIECE = 1 << 20
_ZSTD_SKIPPABLE = tuple(bytes([low, 0x2A, 0x4D, 0x18]) for low in range(0x50, 0x60))
_TRUNCATED = "the archive ends in the middle of its compressed data"


class BadArchive(InputError):
    """An archive or layer that is damaged or hostile."""


def packing_of(start: bytes) -> Packing:
    """By the magic number of the first bytes (six are enough); `plain` when there is none."""
    if start.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    if start.startswith(b"BZh"):
        return "bzip2"
    if start.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    if start.startswith((b"\x28\xb5\x2f\xfd", *_ZSTD_SKIPPABLE)):
        return "zstd"
    return "plain"


class Unpacked:
    """The uncompressed bytes of a stream as an iterator of pieces of at most a few MiB; `consumed` counts its input.

    `read` gives up to the asked number of bytes, and nothing at the end. Raises BadArchive for damaged data.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self.consumed = 0
        start = b""
        while len(start) < 6 and (more := self._input(6 - len(start))):
            start += more
        self.packing = packing_of(start)
        self._start = start

    def _input(self, size: int = PIECE) -> bytes:
        data = self._read(size)
        self.consumed += len(data)
        return data

    def __iter__(self) -> Iterator[bytes]:
        if self.packing == "plain":
            if self._start:
                yield self._start
            while data := self._input():
                yield data
            return
        try:
            yield from self._members()
        except BadArchive:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno:
                raise
            raise BadArchive(f"damaged {self.packing} data: {error}") from error

    def _members(self) -> Iterator[bytes]:
        data = self._start
        while True:
            machine = _machine(self.packing)
            while not machine.eof:
                if not data and not machine.holds_output:
                    data = self._input()
                    if not data:
                        raise BadArchive(_TRUNCATED)
                out, data = machine.feed(data)
                if out:
                    yield out
            data = machine.rest + data
            # What follows the last member may be padding of zeros; GNU tar writes gzip streams to tapes this way.
            while True:
                data = data.lstrip(b"\0") if self.packing != "zstd" else data
                if len(data) >= 4:
                    break
                more = self._input()
                if not more:
                    if data:
                        raise BadArchive(f"{len(data)} bytes of something else follow the {self.packing} data")
                    return
                data += more
            if packing_of(data[:6]) != self.packing and len(data) >= 6:
                raise BadArchive(f"something else follows the {self.packing} data")


class _Machine(Protocol):
    """One member. `holds_output`: more comes without input. `rest`: at its `eof`, the input that is not its own."""

    eof: bool
    rest: bytes
    holds_output: bool

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Output of about PIECE bytes at most, and the input that is left over."""


def _machine(packing: Packing) -> _Machine:
    match packing:
        case "gzip":
            return _Gzip()
        case "zstd":
            return _Zstd()
        case "bzip2":
            import bz2

            return _Stdlib(bz2.BZ2Decompressor())
        case _:
            import lzma

            return _Stdlib(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=1 << 30))


class _Gzip:
    def __init__(self) -> None:
        from isal import isal_zlib

        self.eof, self.rest, self.holds_output = False, b"", False
        self._machine = isal_zlib.decompressobj(31)

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        out: bytes = self._machine.decompress(data, PIECE)
        self.eof = self._machine.eof
        self.holds_output = len(out) >= PIECE
        if self.eof:
            self.rest = self._machine.unused_data
            return out, b""
        return out, self._machine.unconsumed_tail


class _Stdlib:
    """bz2's and lzma's common shape."""

    def __init__(self, machine: "BZ2Decompressor | LZMADecompressor") -> None:
        self.eof, self.rest, self.holds_output = False, b"", False
        self._machine = machine

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        machine = self._machine
        out = machine.decompress(data, PIECE)
        self.eof = machine.eof
        self.holds_output = not machine.needs_input and not machine.eof
        if self.eof:
            self.rest = machine.unused_data
        return out, b""


class _Zstd:
    def __init__(self) -> None:
        import zstandard

        self.eof, self.rest, self.holds_output = False, b"", False
        # 128 MiB: what zstd --long makes at most; a larger window is only good for exhausting memory.
        self._machine = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        # The library has no limit on output; a little input at a time keeps a bomb's piece to a few MiB.
        step = data[:_ZSTD_STEP]
        out = self._machine.decompress(step)
        self.eof = self._machine.eof
        if self.eof:
            self.rest = self._machine.unused_data
        return out, data[_ZSTD_STEP:]


_ZSTD_STEP = 64 << 10
