"""The other end of the `docker` client: takes requests from the shared folder, each in a thread of its own.

What the build writes is not trusted: files are read without following links and up to a size.
"""

import errno
import os
import re
import select
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from pipeyard.threads import StopSignal

_MAX_INPUT = 10_000_000
_NAME = re.compile(r"r\.[0-9]{1,10}")


class Call(Struct, frozen=True, kw_only=True):
    """One start of the client, as the build made it."""

    arguments: tuple[str, ...]
    folder: str
    environment: dict[str, str]
    stdin: bytes  # its beginning, when it is larger than what any command but `load` reads
    stdin_file: Path | None = None  # all of it


class Channel:
    """Where a call's output goes; writing to a client that is gone raises BrokenPipeError."""

    def __init__(self, out: int, err: int) -> None:
        self._out, self._err = out, err

    def out(self, text: str) -> None:
        _write(self._out, text.encode("utf-8", "surrogateescape"))

    def err(self, text: str) -> None:
        _write(self._err, text.encode("utf-8", "surrogateescape"))

    def out_bytes(self, data: bytes) -> None:
        _write(self._out, data)

    def err_bytes(self, data: bytes) -> None:
        _write(self._err, data)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


Answer = Callable[[Call, Channel], int]
"""Carries a call out and gives its exit status."""


@contextmanager
def serving(folder: Path, answer: Answer, stop: StopSignal) -> Iterator[None]:
    """Answers calls for the block. `folder` is the request folder as this process reaches it; made here.

    At the block's end `stop` is asked for, clients that still wait are let go, and all threads are joined.
    """
    folder.mkdir(mode=0o777)
    os.chmod(folder, 0o777)  # noqa: S103 -- every user of the build may call
    os.mkfifo(folder / "requests", 0o666)
    os.chmod(folder / "requests", 0o666)  # noqa: S103
    requests = os.open(folder / "requests", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    wake, waker = os.pipe2(os.O_CLOEXEC)
    calls: list[tuple[threading.Thread, Path]] = []

    def serve() -> None:
        poll = select.poll()
        poll.register(requests, select.POLLIN)
        poll.register(wake, select.POLLIN)
        held = b""
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == wake:
                    return
                held += os.read(requests, 1 << 16)
            *lines, held = held.split(b"\n")
            for line in lines:
                name = line.decode(errors="replace")
                if _NAME.fullmatch(name):
                    thread = threading.Thread(target=_answer, args=(folder / name, answer), daemon=True)
                    calls.append((thread, folder / name))
                    thread.start()

    server = threading.Thread(target=serve, name="docker", daemon=True)
    server.start()
    try:
        yield
    finally:
        stop.stop("the build is over")
        os.close(waker)
        server.join()
        for thread, place in calls:
            opened = _let_go(place) if thread.is_alive() else []
            thread.join()
            for descriptor in opened:
                os.close(descriptor)
        os.close(wake)
        os.close(requests)


def _let_go(place: Path) -> list[int]:
    """Opens a call's pipes, so that nobody waits for a client that was killed before it opened them."""
    opened = []
    for name in ("out", "err", "end"):
        try:
            opened.append(os.open(place / name, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW))
        except OSError:
            continue
    return opened


def _answer(place: Path, answer: Answer) -> None:
    """Thread boundary: a client that is gone is no fault."""
    out = err = -1
    try:
        call = Call(
            arguments=tuple(
                part.decode("utf-8", "surrogateescape") for part in _read(place / "args").split(b"\0")[:-1]
            ),
            folder=_read(place / "cwd").decode("utf-8", "surrogateescape").rstrip("\n"),
            environment=dict(
                part.decode("utf-8", "surrogateescape").partition("=")[::2]
                for part in _read(place / "env").split(b"\0")
            ),
            stdin=_read(place / "stdin"),
            stdin_file=place / "stdin",
        )
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        err = os.open(place / "err", flags)
        out = os.open(place / "out", flags)
        status = _answered(call, Channel(out, err), answer)
        os.close(out)
        os.close(err)
        out = err = -1
        end = os.open(place / "end", flags)
        _write(end, f"{status}\n".encode())
        os.close(end)
    except OSError:
        return
    finally:
        for descriptor in (out, err):
            if descriptor >= 0:
                os.close(descriptor)


def _answered(call: Call, channel: Channel, answer: Answer) -> int:
    try:
        return answer(call, channel)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 -- a thread boundary: the client waits for a status
        channel.err(f"docker: fault in pipeyard: {type(error).__name__}: {error}\n")
        return 125


def open_untrusted(file: Path) -> BinaryIO:
    """A regular file of the build's, never through a link. Raises OSError."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(file))
    return open(descriptor, "rb")


def _read(file: Path) -> bytes:
    try:
        stream = open_untrusted(file)
    except OSError:
        return b""
    with stream:
        return stream.read(_MAX_INPUT)
