"""Every error that pipeyard raises on purpose, and the place in the user's files that it points at.

    PipeyardError                 exit code 1: it failed
    ├── InputError                exit code 2: what the user gave is wrong, and fails again unchanged
    │   ├── DockerfileError       a Dockerfile that cannot be read or planned
    │   └── InvalidDefinition     a pipeline definition with one or more Problems
    ├── BuildFailed               an instruction of a Dockerfile failed while it was carried out
    ├── ActionFailed              an action of a pipeline failed
    ├── RegistryError             a registry refused, or answered against its protocol
    │   └── DigestMismatch        bytes that are not those of their name
    └── Stopped                   somebody asked for a stop, and the work obeyed

Raise where the fault is found, without context; whoever knows the place completes the error with `located`.
Only a front door renders.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal

from msgspec import Struct


class Place(Struct, frozen=True, gc=False):
    """A spot that the user can open. Lines and columns count from 1; 0 is unknown."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        text = self.file
        if self.line:
            text += f":{self.line}"
            if self.column:
                text += f":{self.column}"
        return text


class Problem(Struct, frozen=True):
    """One finding about an input. `rule` is its stable name (kebab-case), for people who search or silence it."""

    severity: Literal["error", "warning"]
    message: str
    place: Place
    hint: str = ""
    rule: str = ""


class PipeyardError(Exception):
    """Root of every error raised on purpose: a message without full stop, a place when known, and the next move."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, place: Place | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class InputError(PipeyardError):
    """What the user gave us is wrong; the same input fails again."""

    exit_code = 2


class DockerfileError(InputError):
    """The Dockerfile, or a flag that steers it, is wrong."""


class InvalidDefinition(InputError):
    """A definition that cannot run; carries every problem found, errors first."""

    def __init__(self, message: str, problems: tuple[Problem, ...], *, hint: str = "") -> None:
        first = next((problem for problem in problems if problem.severity == "error"), None)
        super().__init__(message, place=first.place if first else None, hint=hint)
        self.problems = problems


class BuildFailed(PipeyardError):
    """An instruction was understood and failed: `output` is the tail of what its command printed."""

    def __init__(
        self,
        message: str,
        *,
        place: Place | None = None,
        hint: str = "",
        exit_status: int | None = None,
        output: str = "",
    ) -> None:
        super().__init__(message, place=place, hint=hint)
        self.exit_status = exit_status
        self.output = output


class ActionFailed(PipeyardError):
    """An action of a pipeline failed; the pipeline's execution fails with it."""


class RegistryError(PipeyardError):
    """A registry refused a request or broke its protocol. `status` is HTTP's, 0 when no answer came."""

    def __init__(
        self, message: str, *, status: int = 0, code: str = "", place: Place | None = None, hint: str = ""
    ) -> None:
        super().__init__(message, place=place, hint=hint)
        self.status = status
        self.code = code


class DigestMismatch(RegistryError):
    """The bytes are not those that their digest names; nothing of them was kept."""


class Stopped(PipeyardError):
    """A stop was asked for; `message` is its reason."""


def counted(number: int, noun: str) -> str:
    """`1 error`, `3 errors`: for messages that count."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@contextmanager
def located(place: Place) -> Iterator[None]:
    """Completes an error that passes through and has no place yet."""
    try:
        yield
    except PipeyardError as error:
        if error.place is None:
            error.place = place
        raise
