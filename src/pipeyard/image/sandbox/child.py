"""A small process of our own that runs a command for us: a request goes in, output and at last a result come out.

Both ends are here. The request is on its standard input, the output on its standard output, the result on a pipe; the
end of another pipe tells it that we are gone, by whatever signal.
"""

import os
import pickle
import select
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from pipeyard.errors import PipeyardError
from pipeyard.image.sandbox.contract import Exit, Output, SandboxError
from pipeyard.threads import Stop

_POLL_MS = 100
_MAIN = (
    "import sys; sys.path[:] = sys.argv[4:]; from importlib import import_module; "
    "from pipeyard.image.sandbox.child import answer_request; answer_request(import_module(sys.argv[3]).work)"
)


def run_in_child(module: str, request: object, output: Output, stop: Stop) -> Exit:
    """What the function `work` of `module` makes of the request (anything that pickles), in a new interpreter.

    `output` gets what the process writes. Raises what `work` returned as an error, SandboxError when it died, Stopped.
    """
    answer, answer_child = os.pipe2(os.O_CLOEXEC)
    alive, alive_child = os.pipe2(os.O_CLOEXEC)
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", _MAIN, str(answer_child), str(alive), module, *sys.path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(answer_child, alive),
        )  # fmt: skip
    finally:
        os.close(answer_child)
        os.close(alive)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(pickle.dumps(request))
        process.stdin.close()
        _hand_on(process.stdout.fileno(), output, stop)
    finally:
        os.close(alive_child)
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


def _hand_on(descriptor: int, output: Output, stop: Stop) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while True:
        if poll.poll(_POLL_MS):
            data = os.read(descriptor, 1 << 16)
            if not data:
                return
            output(data)
        stop.check()


def answer_request(work: Callable[[Any, int], Exit | PipeyardError]) -> None:
    """The child's end. `work` gets the request and the pipe that hangs up when the parent is gone."""
    answer, alive = int(sys.argv[1]), int(sys.argv[2])
    result = work(pickle.loads(sys.stdin.buffer.read()), alive)  # noqa: S301 -- from our own parent
    with open(answer, "wb") as file:
        file.write(pickle.dumps(result))
