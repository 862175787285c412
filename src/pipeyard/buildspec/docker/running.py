"""`docker run` of simple commands: flags to a container that runs to its end."""

import posixpath
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeyard.buildspec.docker.building import located
from pipeyard.buildspec.docker.engine import Container, LocalImage
from pipeyard.buildspec.docker.options import read_options
from pipeyard.buildspec.docker.serving import Call
from pipeyard.buildspec.paths import BoundView
from pipeyard.errors import InputError

_VALUED = (
    "env volume workdir entrypoint user network name platform env-file mount pull hostname label memory cpus publish"
)
_SWITCHES = "rm interactive tty detach init privileged read-only"
_SHORT = {
    "e": "env", "v": "volume", "w": "workdir", "u": "user", "i": "interactive", "t": "tty", "d": "detach",
    "h": "hostname", "l": "label", "m": "memory", "p": "publish",
}  # fmt: skip


def read_run(arguments: Sequence[str], call: Call, view: BoundView) -> tuple[str, Callable[[LocalImage], Container]]:
    """The image's name, and what makes the container once the image is there. Raises InputError."""
    found = read_options(arguments, valued=_VALUED, switches=_SWITCHES, short=_SHORT, interspersed=False)
    if not found.words:
        raise InputError('"docker run" requires at least 1 argument.')
    for flag in ("detach", "publish", "mount"):
        if found.all(flag):
            raise InputError(f"the flag --{flag} is more than pipeyard's docker knows: it runs commands to their end")
    environment: dict[str, str] = {}
    for file in found.all("env-file"):
        for line in located(posixpath.join(call.folder, file), view).read_text(errors="replace").splitlines():
            if line.strip() and not line.startswith("#"):
                name, _, value = line.partition("=")
                environment[name] = value
    for text in found.all("env"):
        name, equals, value = text.partition("=")
        if equals or name in call.environment:
            environment[name] = value if equals else call.environment[name]
    shared = tuple(_shared(text, call, view) for text in found.all("volume"))
    entrypoint = found.last("entrypoint") if found.all("entrypoint") else None
    name, *command = found.words

    def make(image: LocalImage) -> Container:
        return Container(
            image=image,
            command=tuple(command),
            entrypoint=tuple(shlex.split(entrypoint)) if entrypoint is not None else None,
            environment=environment,
            folder=found.last("workdir"),
            user=found.last("user"),
            stdin=call.stdin if found.on("interactive") else None,
            network=found.last("network", "host"),
            shared=shared,
        )

    return name, make


def _shared(text: str, call: Call, view: BoundView) -> tuple[Path, str, bool]:
    source, _, rest = text.partition(":")
    target, _, options = rest.partition(":")
    if not target or not source.startswith(("/", ".")):
        raise InputError(f"the volume {text!r} has no folder of the build", hint="write /FOLDER:/PLACE[:ro]")
    folder = located(posixpath.normpath(posixpath.join(call.folder, source)), view)
    if not folder.exists():
        folder.mkdir(parents=True)
    return folder, target, "ro" not in options.split(",")
