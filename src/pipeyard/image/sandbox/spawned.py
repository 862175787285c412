"""The sandbox for an ordinary user's process that has threads already, such as a server or a test.

Such a process cannot enter a user namespace. Each run gets a small process that can: it enters one with a single id,
runs the command there with the same code as everybody, and hands on its output and its end.
"""

import os
import select
from collections.abc import Callable
from pathlib import Path

from pipeyard.errors import PipeyardError
from pipeyard.image.sandbox.child import run_in_child
from pipeyard.image.sandbox.contract import Command, Exit, Limits, Mount, Output, Root, SandboxError, nothing
from pipeyard.threads import NEVER, Stop

_Request = tuple[Path, Path, Command, Root, tuple[Mount, ...], Limits]


class SpawnedSandbox:
    """As BubblewrapSandbox, some 80 ms slower for each run."""

    name = "bubblewrap"
    limitation = ""

    def __init__(self, scratch: Path, *, program: Path) -> None:
        self._scratch = scratch
        self._program = program

    def run(
        self, command: Command, root: Root, *, mounts: tuple[Mount, ...], limits: Limits, output: Output, stop: Stop,
        begun: Callable[[], None] = nothing,
    ) -> Exit:  # fmt: skip
        request = (self._scratch, self._program, command, root, mounts, limits)
        begun()
        return run_in_child(__name__, request, output, stop)


class _ParentIsThere:
    """A Stop: the parent closes its end of a pipe, or dies."""

    def __init__(self, pipe: int) -> None:
        self._poll = select.poll()
        self._poll.register(pipe, select.POLLHUP)

    def check(self) -> None:
        if self._poll.poll(0):
            raise SandboxError("the process that asked for the run is gone")

    def wait(self, seconds: float) -> bool:
        return NEVER.wait(seconds)


def work(request: _Request, alive: int) -> Exit | PipeyardError:
    """In the child: the run as everybody's, in a user namespace."""
    from pipeyard.image.sandbox.bubblewrap import BubblewrapSandbox
    from pipeyard.image.sandbox.namespace import become_root

    scratch, program, command, root, mounts, limits = request

    def output(data: bytes) -> None:
        while data:
            data = data[os.write(1, data) :]

    try:
        become_root(ranges=False)
        sandbox = BubblewrapSandbox(scratch, program=program)
        return sandbox.run(command, root, mounts=mounts, limits=limits, output=output, stop=_ParentIsThere(alive))
    except PipeyardError as error:
        return SandboxError(error.message, hint=error.hint)
