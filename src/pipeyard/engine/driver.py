"""What carries work out: the seam between the engine and a durable executor, and the one without durability.

A driver is given the id of a command. It has to do two things in this order, each again from its beginning when the
process died in the middle: `bench.perform(id)`, and with the text that came of it `bench.report(text)`. A driver that
is durable remembers the text, so that a death between the two does not perform twice.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from pipeyard.engine.debug_points import debug_point

THREADS = 64  # an action mostly waits for processes and networks


class Relinquished(BaseException):
    """The process ends and leaves the work to another one. No Exception: nobody may take it for the work's failure."""


class Bench(Protocol):
    """Where work is done, in any thread."""

    def perform(self, command_id: str) -> str:
        """Does a command's work and gives its outcome as text; empty when there is nothing to do any more.

        Raises Relinquished when the process ends first.
        """

    def report(self, outcome: str) -> None:
        """Makes the outcome known; a second time it changes nothing."""


class Driver(Protocol):
    """`submit` and `recover` are called from one thread, never from within work."""

    def open(self, bench: Bench, executor: str, *, listens: bool) -> None:
        """`listens`: also takes queued work that is nobody's."""

    def submit(self, command_id: str, *, queued: bool) -> None:
        """Begins work, once for each id whatever happens. `queued`: any process that listens may do it."""

    def recover(self, executor: str) -> None:
        """Puts back into the queue what a dead executor had in hand."""

    def close(self) -> None:
        """Returns when no work is in hand here; the bench has told it all to end."""


class ThreadDriver:
    """Work in threads of this process, forgotten when it dies: for tests of everything around it."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="action")
        self._lock = threading.Lock()  # guards _seen
        self._seen: dict[str, Future[None]] = {}
        self._bench: Bench | None = None

    def open(self, bench: Bench, executor: str, *, listens: bool) -> None:
        self._bench = bench

    def submit(self, command_id: str, *, queued: bool) -> None:
        with self._lock:
            if command_id not in self._seen:
                self._seen[command_id] = self._pool.submit(_in_order, self._bench_now, command_id)

    def _bench_now(self) -> Bench:
        assert self._bench is not None
        return self._bench

    def recover(self, executor: str) -> None:
        return

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


def _in_order(bench: Callable[[], Bench], command_id: str) -> None:
    try:
        text = bench().perform(command_id)
        debug_point("work:before-report")
        if text:
            bench().report(text)
        debug_point("work:after-report")
    except Relinquished:
        return
