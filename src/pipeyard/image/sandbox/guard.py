"""Limits on memory and number of processes: by a control group where one can be made, else by looking.

Without control groups each process's memory is read from /proc ten times a second; a command that is over its limit is
killed, which is later than the kernel would do it, but never not.
"""

import os
from pathlib import Path
from typing import Literal, Protocol

from pipeyard.image.sandbox.contract import Limits

Exceeded = Literal["", "memory", "processes"]


class Guard(Protocol):
    """Watches one sandbox; all of its processes descend from the one that it takes."""

    def take(self, pid: int) -> None:
        """`pid` waits, and has no children yet."""

    def watch(self) -> Exceeded:
        """Called often while it runs: which limit it broke, when it has to be killed for it."""

    def exceeded(self) -> Exceeded:
        """Whether the kernel itself enforced a limit."""

    def close(self) -> None: ...


def guard_for(limits: Limits, groups: Path = Path("/sys/fs/cgroup")) -> Guard | None:
    if not limits.memory and not limits.processes:
        return None
    try:
        return _ControlGroup(limits, groups)
    except OSError:
        return _Watcher(limits)


class _ControlGroup:
    """A group of the unified hierarchy (version 2), beside our own."""

    def __init__(self, limits: Limits, groups: Path) -> None:
        own = next(
            line.split("::", 1)[1].strip()
            for line in Path("/proc/self/cgroup").read_text().splitlines()
            if line.startswith("0::")
        ) if (groups / "cgroup.controllers").exists() else None  # fmt: skip
        if own is None:
            raise FileNotFoundError("no control groups of version 2")
        parent = (groups / own.lstrip("/")).parent
        self._folder = parent / f"pipeyard-{os.getpid()}-{os.urandom(6).hex()}"
        self._folder.mkdir()
        try:
            if limits.memory:
                (self._folder / "memory.max").write_text(str(limits.memory))
                (self._folder / "memory.oom.group").write_text("1")
                swap = self._folder / "memory.swap.max"
                if swap.exists():
                    swap.write_text("0")
            if limits.processes:
                (self._folder / "pids.max").write_text(str(limits.processes))
        except OSError:
            self._folder.rmdir()
            raise

    def take(self, pid: int) -> None:
        (self._folder / "cgroup.procs").write_text(str(pid))

    def watch(self) -> Exceeded:
        return ""

    def exceeded(self) -> Exceeded:
        if _event(self._folder / "memory.events", "oom_kill"):
            return "memory"
        return "processes" if _event(self._folder / "pids.events", "max") else ""

    def close(self) -> None:
        try:
            self._folder.rmdir()
        except OSError:
            pass


def _event(file: Path, name: str) -> int:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0)


class _Watcher:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._namespace = ""

    def take(self, pid: int) -> None:
        try:
            self._namespace = os.readlink(f"/proc/{pid}/ns/pid")
        except OSError:
            self._namespace = ""

    def watch(self) -> Exceeded:
        if not self._namespace:
            return ""
        count = memory = 0
        page = os.sysconf("SC_PAGE_SIZE")
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                if os.readlink(f"/proc/{name}/ns/pid") != self._namespace:
                    continue
                with open(f"/proc/{name}/statm", encoding="ascii") as file:
                    _, resident, shared, *_ = file.read().split()
            except (OSError, ValueError):
                continue
            count += 1
            memory += (int(resident) - int(shared)) * page
        if self._limits.memory and memory > self._limits.memory:
            return "memory"
        return "processes" if self._limits.processes and count > self._limits.processes else ""

    def exceeded(self) -> Exceeded:
        return ""

    def close(self) -> None:
        return
