"""What the names in an expression stand for: those around it, and those that it brings into scope itself."""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from pipeyard.definition.terraform.effort import Effort, ReferenceFault
from pipeyard.definition.terraform.syntax import Span
from pipeyard.definition.terraform.values import Value


class Scope(Protocol):
    """What is around an expression. `effort` is what its evaluation may still take."""

    @property
    def effort(self) -> Effort: ...

    def reference(self, root: str, names: list[str], span: Span) -> tuple[Value, int]:
        """The value of a reference and how many of the names behind its root that took. Raises ReferenceFault."""

    def call(self, name: str, arguments: list[Value], span: Span) -> Value:
        """Raises InputError, with a place or without."""


class NoScope:
    """Around constants, as the default of a variable and files of values hold them: no references, no functions."""

    def __init__(self) -> None:
        self.effort = Effort()

    def reference(self, root: str, names: list[str], span: Span) -> tuple[Value, int]:
        raise ReferenceFault("variables and other references are not allowed here", place=span.place, hint=_COMPUTED)

    def call(self, name: str, arguments: list[Value], span: Span) -> Value:
        raise ReferenceFault("functions are not allowed here", place=span.place, hint=_COMPUTED)


class Locals(Struct, frozen=True):
    """What an expression itself brings into scope: variables of `for`, and elements of splats."""

    names: Mapping[str, Value] = {}
    elements: tuple[Value, ...] = ()

    def naming(self, names: Mapping[str, Value]) -> "Locals":
        """With further variables, which go before those of the same name."""
        return Locals({**self.names, **names}, self.elements)


NO_LOCALS = Locals()
_COMPUTED = "a constant is expected; a local value is where something is computed"
