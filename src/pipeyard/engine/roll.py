"""The roll of executors: who lives, and whose work may be taken over because its process is dead.

On one machine an executor holds a lock on a file under the home, which the kernel frees however the process dies; so
the dead are known at once and a living one is never mistaken for dead, however busy it is. Executors on several
machines share only the database: there a missed heartbeat tells, after a time that forgives a long pause.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from pipeyard.engine.store import Store

HEARTBEAT_S = 5.0
MISSED_S = 60.0


class Roll(Protocol):
    """Executors of one store. `beat` is called every HEARTBEAT_S or more often."""

    def join(self, executor: str) -> None: ...

    def beat(self) -> None: ...

    def dead(self) -> Iterator[str]:
        """Executors that died and left work; the caller takes it over before it asks for the next.

        No other process gets the same executor at the same time. One that was dealt with is struck off.
        """

    def leave(self, *, work_remains: bool) -> None:
        """The executor ends; with `work_remains` the others may take it over from now on, as if it had died."""


class LockedRoll:
    """For executors on one machine: a locked file each, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mine: tuple[str, int] | None = None

    def join(self, executor: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        # Made under a name that nobody looks at: a file without its lock would be a dead executor's.
        forming = self._folder / f".{executor}"
        descriptor = os.open(forming, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        forming.rename(self._folder / executor)
        self._mine = (executor, descriptor)

    def beat(self) -> None:
        return

    def dead(self) -> Iterator[str]:
        for name in sorted(os.listdir(self._folder)):
            if name.startswith(".") or (self._mine and name == self._mine[0]):
                continue
            with self._taken_over(self._folder / name) as is_dead:
                if is_dead:
                    yield name

    @contextmanager
    def _taken_over(self, path: Path) -> Iterator[bool]:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:  # another process dealt with it
            yield False
            return
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            if not os.fstat(descriptor).st_nlink:  # dealt with between the opening and the lock
                yield False
                return
            yield True
            path.unlink()
        finally:
            os.close(descriptor)

    def leave(self, *, work_remains: bool) -> None:
        if self._mine is not None:
            name, descriptor = self._mine
            if not work_remains:
                (self._folder / name).unlink(missing_ok=True)
            os.close(descriptor)
            self._mine = None


class HeartbeatRoll:
    """For executors on several machines: a row each, with the time of its last heartbeat.

    `now_ms` should agree between the machines to a few seconds; `missed_s` is how long one may be silent.
    """

    def __init__(self, store: Store, now_ms: Callable[[], int], *, missed_s: float = MISSED_S) -> None:
        self._missed_ms = int(missed_s * 1000)
        self._store = store
        self._now_ms = now_ms
        self._mine = ""

    def join(self, executor: str) -> None:
        self._mine = executor
        self.beat()

    def beat(self) -> None:
        self._store.enlist(self._mine, self._now_ms())

    def dead(self) -> Iterator[str]:
        # Two may take over the same one: all that is done to it is harmless when done twice.
        deadline = self._now_ms() - self._missed_ms
        for executor, seen_ms in self._store.enlisted().items():
            if executor != self._mine and seen_ms < deadline:
                yield executor
                self._store.strike(executor)

    def leave(self, *, work_remains: bool) -> None:
        if work_remains:
            self._store.enlist(self._mine, 0)
        else:
            self._store.strike(self._mine)
