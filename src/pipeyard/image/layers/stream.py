"""The tar stream of a layer, as blocks of one fixed size, read from disk once.

Blocks of a fixed size let the compressor work on several of them at once with a result that depends on nothing but the
stream itself.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO

from pipeyard.errors import BuildFailed
from pipeyard.image.layers.entry import Content, Entry
from pipeyard.image.layers.header import END, Headers, padding

BLOCK_SIZE = 1 << 20
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a file that became a fifo must not hang us


def tar_blocks(entries: Iterable[Entry], epoch_s: int | None, block_size: int = BLOCK_SIZE) -> Iterator[bytes]:
    """The whole tar stream; each block but the last has exactly `block_size` bytes.

    `entries` come in the order in which they shall stand (see layer_order); times clamp to `epoch_s` unless it is
    None. Raises BuildFailed when a file changed its size while it was read.
    """
    header = Headers(epoch_s).header
    parts: list[bytes] = []
    filled = 0
    for entry in entries:
        part = header(entry)
        parts.append(part)
        filled += len(part)
        size = entry.size
        if size and entry.kind == "file":
            content = entry.content
            if size <= _SMALL and type(content) is str:
                data = _read_small(content, size)
                parts.append(data)
                filled += size
            else:
                for data in _pieces(entry, lambda: block_size - filled % block_size):  # noqa: B023 -- used at once
                    parts.append(data)
                    filled += len(data)
                    if filled >= block_size:
                        yield from _whole(parts, block_size)
                        filled = len(parts[0]) if parts else 0
            part = padding(size)
            parts.append(part)
            filled += len(part)
        if filled >= block_size:
            yield from _whole(parts, block_size)
            filled = len(parts[0]) if parts else 0
    parts.append(END)
    if filled + len(END) >= block_size:
        yield from _whole(parts, block_size)
    if parts and (last := b"".join(parts)):
        yield last


_SMALL = 128 << 10


def _whole(parts: list[bytes], block_size: int) -> Iterator[bytes]:
    """Gives the whole blocks that `parts` hold and leaves the rest, as one part, in it.

    What lies beyond the block is cut off before the parts are joined: a block is copied once.
    """
    over = sum(map(len, parts)) - block_size
    while over >= 0:
        beyond: list[bytes] = []
        while over:
            last = parts.pop()
            kept = len(last) - over
            if kept > 0:
                parts.append(last[:kept])
                last = last[kept:]
            over -= len(last)
            beyond.append(last)
        yield parts[0] if len(parts) == 1 else b"".join(parts)
        parts[:] = [beyond[0] if len(beyond) == 1 else b"".join(reversed(beyond))] if beyond else []
        over = (len(parts[0]) if parts else 0) - block_size


def _read_small(path: str, size: int) -> bytes:
    try:
        file = os.open(path, _OPEN)
    except OSError as error:
        raise BuildFailed(f"{path} could not be read: {error.strerror}") from error
    try:
        data = os.read(file, size + 1)
    finally:
        os.close(file)
    if len(data) != size:
        raise _changed(path)
    return data


def _pieces(entry: Entry, room: Callable[[], int]) -> Iterator[bytes]:
    """The content in pieces that fill the block begun, then whole ones: most of a large file is never copied again."""
    content = entry.content
    left = entry.size
    if type(content) is bytes:
        if len(content) != left:
            raise _changed(entry.path)
        yield content
        return
    with _opened(content) as file:
        descriptor = _descriptor(file)
        while left:
            want = min(left, room())
            data = os.read(descriptor, want) if descriptor is not None else file.read(want)
            if not data:
                raise _changed(content if isinstance(content, str) else entry.path)
            left -= len(data)
            yield data
        if os.read(descriptor, 1) if descriptor is not None else file.read(1):
            raise _changed(content if isinstance(content, str) else entry.path)


def _opened(content: Content) -> AbstractContextManager[BinaryIO]:
    if isinstance(content, str):
        try:
            return open(os.open(content, _OPEN), "rb", buffering=0)
        except OSError as error:
            raise BuildFailed(f"{content} could not be read: {error.strerror}") from error
    assert callable(content)
    return content()


def _descriptor(file: BinaryIO) -> int | None:
    """A raw file is read without Python's buffer; anything else (a socket's response, an archive) by its read()."""
    from io import FileIO

    return file.fileno() if isinstance(file, FileIO) else None


def _changed(name: str) -> BuildFailed:
    return BuildFailed(f"{name} changed while it was read", hint="build again when nothing writes to it")
