"""Builds that this process is carrying out, so that a later call can stop them."""

import threading
from collections.abc import Callable


class RunningBuilds:
    """Safe for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards _stops
        self._stops: dict[str, Callable[[], None]] = {}
        self._regions: dict[str, str] = {}

    def add(self, region: str, build_id: str, stop: Callable[[], None]) -> None:
        with self._lock:
            self._stops[build_id] = stop
            self._regions[build_id] = region

    def stop_those(self, over: Callable[[str, str], bool]) -> None:
        """Stops what is over, as `over` says of a region and an id: another server of the home was told to end it."""
        with self._lock:
            known = [(self._regions[build_id], build_id) for build_id in self._stops]
        for region, build_id in known:
            if over(region, build_id):
                self.stop(build_id)

    def forget(self, build_id: str) -> None:
        with self._lock:
            self._stops.pop(build_id, None)
            self._regions.pop(build_id, None)

    def stop(self, build_id: str) -> None:
        """Asks it to stop; nothing when it is not one of ours, or not any more."""
        with self._lock:
            stop = self._stops.pop(build_id, None)
            self._regions.pop(build_id, None)
        if stop is not None:
            stop()

    def stop_all(self) -> None:
        with self._lock:
            stops, self._stops = list(self._stops.values()), {}
        for stop in stops:
            stop()
