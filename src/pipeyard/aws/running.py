"""Builds that this process is carrying out, so that a later call can stop them."""

import threading
from collections.abc import Callable


class RunningBuilds:
    """Safe for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards _stops
        self._stops: dict[str, Callable[[], None]] = {}

    def add(self, build_id: str, stop: Callable[[], None]) -> None:
        with self._lock:
            self._stops[build_id] = stop

    def forget(self, build_id: str) -> None:
        with self._lock:
            self._stops.pop(build_id, None)

    def stop(self, build_id: str) -> None:
        """Asks it to stop; nothing when it is not one of ours, or not any more."""
        with self._lock:
            stop = self._stops.pop(build_id, None)
        if stop is not None:
            stop()

    def stop_all(self) -> None:
        with self._lock:
            stops, self._stops = list(self._stops.values()), {}
        for stop in stops:
            stop()
