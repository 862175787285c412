"""The sandbox for an ordinary user's process that has threads already, such as a server or a test.

Such a process cannot enter a user namespace. Each run gets a small process that can: it enters one with a single id,
runs the command there with the same code as everybody, and hands on its output and its end.
"""

import os
import pickle
import select
import subprocess
import sys
from pathlib import Path

from pipeyard.errors import PipeyardError
from pipeyard.image.sandbox.contract import Command, Exit, Limits, Mount, Output, Root, SandboxError
from pipeyard.threads import NEVER, Stop

_POLL_MS = 100


class SpawnedSandbox:
    """As BubblewrapSandbox, some 80 ms slower for each run."""

    name = "bubblewrap"
    limitation = ""

    def __init__(self, scratch: Path, *, program: Path) -> None:
        self._scratch = scratch
        self._program = program

    def run(
        self, command: Command, root: Root, *, mounts: tuple[Mount, ...], limits: Limits, output: Output, stop: Stop
    ) -> Exit:
        request = pickle.dumps((self._scratch, self._program, command, root, mounts, limits))
        answer, answer_child = os.pipe2(os.O_CLOEXEC)
        alive, alive_child = os.pipe2(os.O_CLOEXEC)  # its end tells the child that we are gone
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-c", _MAIN, str(answer_child), str(alive), *sys.path],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(answer_child, alive), close_fds=True,
            )  # fmt: skip
        finally:
            os.close(answer_child)
            os.close(alive)
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(request)
            process.stdin.close()
            stream_output(process.stdout.fileno(), output, stop)
        finally:
            os.close(alive_child)
            if process.stdout is not None:
                process.stdout.close()
            process.wait()
            with open(answer, "rb") as file:
                data = file.read()
        if not data:
            raise SandboxError(f"the sandbox's process ended with status {process.returncode}")
        result = pickle.loads(data)  # noqa: S301 -- written by our own child
        if isinstance(result, PipeyardError):
            raise result
        assert isinstance(result, Exit)
        return result


def stream_output(descriptor: int, output: Output, stop: Stop) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while True:
        if poll.poll(_POLL_MS):
            data = os.read(descriptor, 1 << 16)
            if not data:
                return
            output(data)
        stop.check()


_MAIN = "import sys; sys.path[:] = sys.argv[3:]; from pipeyard.image.sandbox.spawned import child; child()"


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


def child() -> None:
    """The other end: request on standard input, output on standard output, the result on the descriptor argv[1]."""
    from pipeyard.image.sandbox.bubblewrap import BubblewrapSandbox
    from pipeyard.image.sandbox.namespace import become_root

    answer, alive = int(sys.argv[1]), int(sys.argv[2])
    request = sys.stdin.buffer.read()
    scratch, program, command, root, mounts, limits = pickle.loads(request)  # noqa: S301 -- from our own parent
    result: Exit | PipeyardError

    def output(data: bytes) -> None:
        while data:
            data = data[os.write(1, data) :]

    try:
        become_root(ranges=False)
        sandbox = BubblewrapSandbox(scratch, program=program)
        result = sandbox.run(command, root, mounts=mounts, limits=limits, output=output, stop=_ParentIsThere(alive))
    except PipeyardError as error:
        result = SandboxError(error.message, hint=error.hint)
    with open(answer, "wb") as file:
        file.write(pickle.dumps(result))
