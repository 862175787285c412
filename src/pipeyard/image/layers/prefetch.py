"""Unpacking and hashing a layer in a thread of its own, a few pieces ahead of the one that uses it."""

import hashlib
import queue
import threading
from collections.abc import Iterator

from msgspec import Struct

from pipeyard.image.layers.decompress import BadArchive, Unpacked
from pipeyard.oci import Digest
from pipeyard.threads import Stop


class ExtractLimits(Struct, frozen=True):
    """What a layer may at most become. A ratio counts only beyond the first GiB: small things compress well."""

    total_bytes: int = 128 << 30
    ratio: int = 400
    entries: int = 10_000_000


DEFAULT_LIMITS = ExtractLimits()


class Prefetched:
    """Unpacks, counts and hashes in a thread of its own, a few pieces ahead of the reader."""

    def __init__(self, unpacked: Unpacked, limits: ExtractLimits, stop: Stop) -> None:
        self._unpacked = unpacked
        self._limits = limits
        self._stop = stop
        self._pieces: queue.Queue[bytes | BaseException | None] = queue.Queue(6)
        self._abandoned = threading.Event()
        self._hash = hashlib.sha256()
        self.size = 0
        self._thread = threading.Thread(target=self._work, name="layer-unpack", daemon=True)

    def __enter__(self) -> "Prefetched":
        self._thread.start()
        return self

    def __exit__(self, *about: object) -> None:
        self._abandoned.set()
        while self._thread.is_alive():
            try:
                self._pieces.get(timeout=0.05)
            except queue.Empty:
                continue
        self._thread.join()

    @property
    def diff_id(self) -> Digest:
        return Digest(f"sha256:{self._hash.hexdigest()}")

    def __iter__(self) -> Iterator[bytes]:
        while (piece := self._pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def _work(self) -> None:
        try:
            for piece in self._unpacked:
                self._stop.check()
                if self._abandoned.is_set():
                    return
                self.size += len(piece)
                if self.size > self._limits.total_bytes:
                    raise BadArchive(f"the layer is larger than {self._limits.total_bytes} bytes")
                if self.size > (1 << 30) and self.size > self._limits.ratio * self._unpacked.consumed:
                    raise BadArchive(f"the layer grows to more than {self._limits.ratio} times its size")
                self._hash.update(piece)
                self._pieces.put(piece)
        except BaseException as error:  # noqa: BLE001 -- a thread boundary: raised in the reader
            self._pieces.put(error)
        else:
            self._pieces.put(None)
