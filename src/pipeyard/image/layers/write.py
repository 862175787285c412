"""From sorted entries to a committed blob in one pass: tar stream, diff id, compression, digest, store.

The caller's thread reads files and makes blocks; one thread hashes them for the diff id, others compress them, one
writes the compressed pieces in order into the store, which hashes them. Queues are bounded. A layer of one block needs
no thread at all.
"""

import hashlib
import queue
import threading
from collections.abc import Callable, Iterable
from itertools import chain, islice
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeyard.image.layers.compression import GZIP, Compression, Packer, packer, usable_cores
from pipeyard.image.layers.entry import Entry
from pipeyard.image.layers.stream import tar_blocks
from pipeyard.oci import Descriptor, Digest
from pipeyard.registry.blobs import BlobStore, BlobWriter
from pipeyard.threads import NEVER, Stop

if TYPE_CHECKING:
    from concurrent.futures import Future

_IN_FLIGHT = 8  # blocks of 1 MiB between the reader and the slowest of the others
_INLINE = 1  # a stream of so many blocks is handled without threads: starting them would cost more


class Layer(Struct, frozen=True):
    """`blob` is what a registry holds (compressed), `diff_id` names the tar stream, which is `size` bytes long."""

    blob: Descriptor
    diff_id: Digest
    size: int


def write_layer(
    entries: Iterable[Entry],
    store: BlobStore,
    *,
    compression: Compression = GZIP,
    epoch_s: int | None = None,
    stop: Stop = NEVER,
    threads: int | None = None,
) -> Layer:
    """One pass from sorted entries (see layer_order) to a committed blob.

    Times clamp to `epoch_s`; None keeps them. The bytes depend on the entries, the epoch and the compression only, not
    on `threads` (default: the cores that this process may use). Raises BuildFailed when a file changed while it was
    read; nothing is left in the store then.
    """
    return pack_layer(tar_blocks(entries, epoch_s), store, compression=compression, stop=stop, threads=threads)


def pack_layer(
    blocks: Iterable[bytes],
    store: BlobStore,
    *,
    compression: Compression = GZIP,
    stop: Stop = NEVER,
    threads: int | None = None,
) -> Layer:
    """The same for a tar stream that exists already, in blocks of any but always the same size."""
    cores = threads if threads is not None else usable_cores()
    stream = iter(blocks)
    first = list(islice(stream, _INLINE + 1))
    with store.writer() as writer:
        if len(first) <= _INLINE:
            return _inline(first, writer, compression)
        return _pipeline(chain(first, stream), writer, compression, stop, cores)


def _inline(blocks: list[bytes], writer: BlobWriter, compression: Compression) -> Layer:
    diff = hashlib.sha256()
    machine = packer(compression, None, 1)
    size = 0
    for block in blocks:
        diff.update(block)
        size += len(block)
        piece = machine.pack(block)
        assert isinstance(piece, bytes)
        writer.write(piece)
    writer.write(machine.end())
    return Layer(writer.commit(compression.media_type), Digest(f"sha256:{diff.hexdigest()}"), size)


class _Failure:
    """The first thing that went wrong in any thread of a pipeline."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self._lock = threading.Lock()  # guards error: the first one stays

    def note(self, error: BaseException) -> None:
        with self._lock:
            self.error = self.error or error

    def guard(self, work: Callable[[], None]) -> Callable[[], None]:
        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 -- a thread boundary
                self.note(error)

        return guarded


def _pipeline(blocks: Iterable[bytes], writer: BlobWriter, compression: Compression, stop: Stop, cores: int) -> Layer:
    from concurrent.futures import ThreadPoolExecutor  # for large layers alone: it costs 5 ms

    raw: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    packed: queue.SimpleQueue[Future[bytes] | bytes | None] = queue.SimpleQueue()
    room = threading.Semaphore(2 * (_IN_FLIGHT + cores))  # two slots a block: one for the hash, one for the store
    diff = hashlib.sha256()
    failure = _Failure()

    def hash_raw() -> None:
        while (block := raw.get()) is not None:
            if failure.error is None:
                diff.update(block)
            room.release()

    def store_packed() -> None:
        while (piece := packed.get()) is not None:
            try:
                if failure.error is None:
                    data = piece if isinstance(piece, bytes) else piece.result()
                    if data:
                        writer.write(data)
            except BaseException as error:  # noqa: BLE001 -- a thread boundary; the queue must go on being emptied
                failure.note(error)
            finally:
                room.release()

    threads = [
        threading.Thread(target=failure.guard(hash_raw), name="layer-diff-id", daemon=True),
        threading.Thread(target=store_packed, name="layer-store", daemon=True),
    ]
    size = 0
    with ThreadPoolExecutor(cores, thread_name_prefix="layer-compress") as helpers:
        machine: Packer = packer(compression, helpers, cores)
        for thread in threads:
            thread.start()
        try:
            for block in blocks:
                stop.check()
                if failure.error is not None:
                    break
                room.acquire()
                room.acquire()
                size += len(block)
                raw.put(block)
                packed.put(machine.pack(block))
        finally:
            raw.put(None)
            packed.put(None)
            for thread in threads:
                thread.join()
    if failure.error is not None:
        raise failure.error
    writer.write(machine.end())
    return Layer(writer.commit(compression.media_type), Digest(f"sha256:{diff.hexdigest()}"), size)


def write_tar(
    entries: Iterable[Entry], consume: Callable[[bytes], object], *, epoch_s: int | None = None, stop: Stop = NEVER
) -> int:
    """The same tar stream, uncompressed, handed to `consume` block by block, for outputs without a store."""
    size = 0
    for block in tar_blocks(entries, epoch_s):
        stop.check()
        consume(block)
        size += len(block)
    return size
