"""Work that waits for a good moment: packing a layer while the next RUN's command works, and not while it is prepared.

Two threads of one interpreter that both have something to do hinder each other; a command of another process leaves
the interpreter to whoever wants it.
"""

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from pipeyard.threads import Crew, Future

Result = TypeVar("Result")


class Postponed:
    """Work for a crew that begins at the next `release`, or when somebody asks for its result. Safe for threads."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._lock = threading.Lock()  # guards _waiting
        self._waiting: list[tuple[_Asked[Any], Callable[[], Any]]] = []

    def start(self, work: Callable[[], Result]) -> "Future[Result]":
        future = _Asked[Result](self)
        with self._lock:
            self._waiting.append((future, work))
        return future

    def release(self) -> None:
        with self._lock:
            begun, self._waiting = self._waiting, []
        for future, work in begun:
            self._crew.start(work).add_done_callback(future.follow)


class _Asked(Future[Result], Generic[Result]):
    def __init__(self, postponed: Postponed) -> None:
        super().__init__()
        self._postponed = postponed

    def exception(self) -> BaseException | None:
        self._postponed.release()
        return super().exception()

    def follow(self, done: "Future[Result]") -> None:
        if (error := done.exception()) is not None:
            self.set_exception(error)
        else:
            self.set_result(done.result())
