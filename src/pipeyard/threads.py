"""Crews of threads that end together, and the signal that asks work to stop."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, ParamSpec, Protocol, TypeVar

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


class Future(Generic[Result]):
    """What work will give, once; waited for by any number of threads.

    concurrent.futures has the same, and brings `logging`: 5 ms of a process that may take 60.
    """

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._value: Result | None = None
        self._error: BaseException | None = None
        self._lock = threading.Lock()  # guards _callbacks, which are None once it has ended
        self._callbacks: list[Callable[[Future[Result]], object]] | None = []

    def set_result(self, value: Result) -> None:
        self._value = value
        self._end()

    def set_exception(self, error: BaseException) -> None:
        self._error = error
        self._end()

    def done(self) -> bool:
        return self._ended.is_set()

    def result(self) -> Result:
        """Waits; raises what the work raised."""
        if (error := self.exception()) is not None:
            raise error
        return self._value  # type: ignore[return-value] # None only where the work gives None

    def exception(self) -> BaseException | None:
        """Waits; what the work raised."""
        self._ended.wait()
        return self._error

    def add_done_callback(self, callback: "Callable[[Future[Result]], object]") -> None:
        """Called by the thread that ends the work, or at once when it has ended; must not raise."""
        with self._lock:
            if self._callbacks is not None:
                self._callbacks.append(callback)
                return
        callback(self)

    def _end(self) -> None:
        self._ended.set()
        with self._lock:
            callbacks, self._callbacks = self._callbacks or [], None
        for callback in callbacks:
            callback(self)


class Crew:
    """Threads of one `crew` block, each started when there is work and no other that rests."""

    def __init__(self, name: str, size: int, stop: StopSignal) -> None:
        self._name = name
        self._size = size
        self.stop = stop
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._changed = threading.Condition()  # guards all below
        self._threads: list[threading.Thread] = []
        self._open = 0  # works that have not ended
        self._failures: list[BaseException] = []
        self._closed = False

    def start(
        self, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """Queues work; its failure stops the crew, and is raised where the block ends."""
        future: Future[Result] = Future()

        def carry_out() -> None:
            try:
                self.stop.check()
                result = work(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 -- a thread boundary
                self.stop.stop(f"{type(error).__name__}: {error}")
                future.set_exception(error)
                self._ended(error)
            else:
                future.set_result(result)
                self._ended(None)

        with self._changed:
            if self._closed:
                raise RuntimeError(f"the crew {self._name} has ended")
            self._open += 1
            self._work.put(carry_out)
            if len(self._threads) < min(self._size, self._open):
                thread = threading.Thread(target=self._serve, name=f"{self._name}_{len(self._threads)}")
                thread.start()
                self._threads.append(thread)
        return future

    def join(self) -> None:
        """Waits for everything started so far; raises the first failure."""
        with self._changed:
            while self._open:
                self._changed.wait()
            failures = tuple(self._failures)
        for error in [error for error in failures if not isinstance(error, Stopped)] or failures:
            raise error

    def close(self) -> None:
        """Ends the threads when the work is done."""
        with self._changed:
            self._closed = True
            threads = tuple(self._threads)
        for _ in threads:
            self._work.put(None)
        for thread in threads:
            thread.join()

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            work()
            del work  # what it holds is not for a thread that waits

    def _ended(self, error: BaseException | None) -> None:
        with self._changed:
            self._open -= 1
            if error is not None:
                self._failures.append(error)
            self._changed.notify_all()


@contextmanager
def crew(name: str, size: int, stop: StopSignal | None = None) -> Iterator[Crew]:
    """Up to `size` threads; none outlives the block.

    The first failure, of a thread or of the block itself, asks the others to stop; it is raised when all have ended.
    """
    own = StopSignal(stop)
    members = Crew(name, size, own)
    try:
        yield members
        members.join()
    except BaseException as error:
        own.stop(f"{type(error).__name__}: {error}")
        raise
    finally:
        members.close()
        own.detach()
