"""Crews of threads that end together, and the signal that asks work to stop."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import ParamSpec, Protocol, TypeVar

from pipeyard.errors import Stopped

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Stop(Protocol):
    """Asked at least each second, or each MiB, by everything that may take long."""

    def check(self) -> None:
        """Raises Stopped once a stop was asked for."""

    def wait(self, seconds: float) -> bool:
        """Sleeps, but no longer than until a stop; True when there is one."""


class StopSignal:
    """A Stop that somebody can ask for, from any thread or a signal handler; the first reason counts.

    A signal made with `parent` stops with it, but not the other way round.
    """

    def __init__(self, parent: "StopSignal | None" = None) -> None:
        self._event = threading.Event()
        self._reason = ""
        self._children: list[StopSignal] = []
        self._parent = parent
        if parent is not None:
            parent._children.append(self)
            if parent.is_set():
                self.stop(parent.reason)

    def detach(self) -> None:
        """Ends the tie to the parent, so that a long-lived parent does not collect finished children."""
        if self._parent is not None and self in self._parent._children:
            self._parent._children.remove(self)

    @property
    def reason(self) -> str:
        return self._reason

    def is_set(self) -> bool:
        return self._event.is_set()

    def stop(self, reason: str) -> None:
        if not self._event.is_set():
            self._reason = reason
            self._event.set()
        for child in tuple(self._children):
            child.stop(reason)

    def check(self) -> None:
        if self._event.is_set():
            raise Stopped(self._reason)

    def wait(self, seconds: float) -> bool:
        return self._event.wait(seconds)


class _Never:
    def check(self) -> None:
        return

    def wait(self, seconds: float) -> bool:
        return threading.Event().wait(seconds)


NEVER: Stop = _Never()
"""A Stop that nobody asks for."""


class Crew:
    """Threads of one `crew` block."""

    def __init__(self, pool: ThreadPoolExecutor, stop: StopSignal) -> None:
        self._pool = pool
        self._futures: list[Future[object]] = []
        self.stop = stop

    def start(
        self, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> "Future[Result]":
        """Queues work; its failure stops the crew, and is raised where the block ends."""

        def guarded() -> Result:
            self.stop.check()
            try:
                return work(*args, **kwargs)
            except BaseException as error:
                self.stop.stop(f"{type(error).__name__}: {error}")
                raise

        future = self._pool.submit(guarded)
        self._futures.append(future)  # type: ignore[arg-type]
        return future

    def join(self) -> None:
        """Waits for everything started so far; raises the first failure."""
        pending = list(self._futures)
        done, _ = wait(pending, return_when=FIRST_EXCEPTION)
        failures = [error for future in done if not future.cancelled() and (error := future.exception()) is not None]
        real = [error for error in failures if not isinstance(error, Stopped)]
        for error in real or failures:
            raise error
        wait(pending)


@contextmanager
def crew(name: str, size: int, stop: StopSignal | None = None) -> Iterator[Crew]:
    """Up to `size` threads; none outlives the block.

    The first failure, of a thread or of the block itself, asks the others to stop; it is raised when all have ended.
    """
    own = StopSignal(stop)
    pool = ThreadPoolExecutor(size, thread_name_prefix=name)
    members = Crew(pool, own)
    try:
        yield members
        members.join()
    except BaseException as error:
        own.stop(f"{type(error).__name__}: {error}")
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        own.detach()
