"""How layers are compressed: blocks that are compressed independently, so that the result is the same on any number
of threads.

gzip: one member, whose blocks each end with a full flush (RFC 1951 allows a reader to know nothing of it), so every
reader of gzip takes it. At ISA-L's speed and 1 MiB blocks it costs a thousandth of the size. zstd: one frame by zstd's
own threads, whose output depends on the level alone.
"""

import os
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec import Struct

from pipeyard.errors import InputError
from pipeyard.oci import media_types

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

CompressionKind = Literal["gzip", "zstd", "uncompressed"]


class Compression(Struct, frozen=True):
    """`level` None is the kind's default. gzip: 0 to 9; zstd: 1 to 22."""

    kind: CompressionKind = "gzip"
    level: int | None = None

    @property
    def media_type(self) -> str:
        return _MEDIA_TYPES[self.kind]


GZIP = Compression("gzip")
ZSTD = Compression("zstd")
UNCOMPRESSED = Compression("uncompressed")

_MEDIA_TYPES = {
    "gzip": media_types.OCI_LAYER_GZIP,
    "zstd": media_types.OCI_LAYER_ZSTD,
    "uncompressed": media_types.OCI_LAYER,
}
_LEVELS = {"gzip": range(10), "zstd": range(1, 23)}


def parse_compression(kind: str, level: int | None = None) -> Compression:
    """From the words of `--output compression=...,compression-level=...`. Raises InputError."""
    if kind not in _MEDIA_TYPES:
        raise InputError(f"unknown compression {kind!r}", hint=f"known are {', '.join(_MEDIA_TYPES)}")
    allowed = _LEVELS.get(kind)
    if level is not None and allowed is not None and level not in allowed:
        raise InputError(f"{kind} has no level {level}", hint=f"its levels are {allowed[0]} to {allowed[-1]}")
    return Compression(kind, level)  # type: ignore[arg-type] # checked against the same words above


class Packer(Protocol):
    """Turns the blocks of one stream into compressed pieces; used by one thread, in order."""

    def pack(self, block: bytes) -> "Future[bytes] | bytes":
        """The piece of this block, or the promise of it; pieces are concatenated in the order of the calls."""

    def end(self) -> bytes:
        """What follows the last piece; called once, from any thread, after all pieces are done."""


def packer(compression: Compression, helpers: "Executor | None", threads: int) -> Packer:
    """`helpers` compress gzip blocks; without them each block is compressed within the call."""
    if compression.kind == "gzip":
        return _GzipPacker(compression.level, helpers)
    if compression.kind == "zstd":
        return _ZstdPacker(compression.level, threads)
    return _PlainPacker()


class _PlainPacker:
    def pack(self, block: bytes) -> bytes:
        return block

    def end(self) -> bytes:
        return b""


class _GzipPacker:
    # RFC 1952: no name, no time, "fastest" as extra flag, unknown system: nothing of the machine enters.
    HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
    LAST_BLOCK = b"\x03\x00"  # an empty final deflate block

    def __init__(self, level: int | None, helpers: "Executor | None") -> None:
        from isal import isal_zlib

        self._crc32: Callable[[bytes, int], int] = isal_zlib.crc32
        self._deflate = _deflater(level)
        self._helpers = helpers
        self._checksum = 0
        self._size = 0
        self._begun = False

    def pack(self, block: bytes) -> "Future[bytes] | bytes":
        self._checksum = self._crc32(block, self._checksum)
        self._size += len(block)
        prefix = b"" if self._begun else self.HEADER
        self._begun = True
        if self._helpers is None:
            return prefix + self._deflate(block)
        if prefix:
            return self._helpers.submit(lambda: prefix + self._deflate(block))
        return self._helpers.submit(self._deflate, block)

    def end(self) -> bytes:
        head = b"" if self._begun else self.HEADER
        return head + self.LAST_BLOCK + struct.pack("<II", self._checksum, self._size & 0xFFFFFFFF)


def _deflater(level: int | None) -> Callable[[bytes], bytes]:
    """One block, raw and fully flushed. ISA-L has levels 0 to 3, of which 0 still compresses; the rest is zlib's.

    A block whose sample does not shrink (media, archives, weights) is stored as it is, ten times as fast.
    """
    import zlib

    from isal import isal_zlib

    chosen = 1 if level is None else level
    if chosen == 0:
        return _stored
    make = isal_zlib.compressobj if chosen <= 3 else zlib.compressobj

    def deflate(block: bytes) -> bytes:
        if len(block) >= _WORTH_A_SAMPLE:
            step = len(block) // _SAMPLES
            sample = b"".join([block[at : at + _SAMPLE_SIZE] for at in range(0, _SAMPLES * step, step)])
            if len(isal_zlib.compress(sample, 1, -15)) > 0.99 * len(sample):
                return _stored(block)
        machine = make(chosen, zlib.DEFLATED, -15)
        body: bytes = machine.compress(block)
        tail: bytes = machine.flush(zlib.Z_FULL_FLUSH)
        return body + tail

    return deflate


_WORTH_A_SAMPLE = 256 << 10
_SAMPLES = 8
_SAMPLE_SIZE = 1 << 10
_MAX_STORED = 0xFFFF


def _stored(block: bytes) -> bytes:
    """Deflate's blocks without compression (RFC 1951, 3.2.4); they begin and end at whole bytes."""
    parts: list[bytes] = []
    for at in range(0, len(block), _MAX_STORED):
        piece = block[at : at + _MAX_STORED]
        parts.append(struct.pack("<BHH", 0, len(piece), len(piece) ^ _MAX_STORED))
        parts.append(piece)
    return b"".join(parts)


class _ZstdPacker:
    def __init__(self, level: int | None, threads: int) -> None:
        import zstandard

        # At least one worker: zstd's output is the same for any number of them, but not the same as for none.
        machine = zstandard.ZstdCompressor(level=3 if level is None else level, threads=max(1, threads))
        self._stream = machine.compressobj()

    def pack(self, block: bytes) -> bytes:
        return self._stream.compress(block)

    def end(self) -> bytes:
        return self._stream.flush()


def usable_cores() -> int:
    """Cores that this process may use."""
    return max(1, len(os.sched_getaffinity(0)))
