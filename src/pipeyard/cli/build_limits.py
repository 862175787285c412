"""--memory, --shm-size and --ulimit of `image build`. Source: docker/go-units, ulimit.go, for names and forms."""

from typing import TYPE_CHECKING

from pipeyard.errors import InputError

if TYPE_CHECKING:
    from pipeyard.image.build import Limits


def limits_of(memory: str, shared_memory: str, ulimits: tuple[str, ...]) -> "Limits":
    """Raises InputError."""
    from pipeyard.image.build import Limits

    return Limits(
        memory=_size("--memory", memory),
        shared_memory=_size("--shm-size", shared_memory),
        ulimits=dict(_ulimit(text) for text in ulimits),
    )


def _size(option: str, text: str) -> int:
    from pipeyard.image.dockerfile.quantities import parse_size

    found = parse_size(text) if text else 0
    if found is None:
        raise InputError(f"{option} {text!r} is no number of bytes", hint="such as 512m or 2g")
    return found


def _ulimit(text: str) -> tuple[str, tuple[int, int]]:
    from pipeyard.image.sandbox.ulimits import ULIMITS

    name, _, values = text.partition("=")
    soft, colon, hard = values.partition(":")
    if name not in ULIMITS:
        raise InputError(f"--ulimit {text!r} has no known name", hint=f"known are {', '.join(sorted(ULIMITS))}")
    try:
        first, second = int(soft), int(hard if colon else soft)
    except ValueError as error:
        raise InputError(f"--ulimit {text!r} is not of the form NAME=SOFT[:HARD]", hint="-1 is unlimited") from error
    if second != -1 and (first == -1 or first > second):
        raise InputError(f"--ulimit {text!r}: the soft limit is above the hard one")
    if min(first, second) < -1:
        raise InputError(f"--ulimit {text!r} is below zero", hint="-1 is unlimited")
    return name, (first, second)
