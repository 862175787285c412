"""What a text of Terraform's language consists of: expressions, attributes, blocks, each knowing where it stands.

Source: HCL Native Syntax Specification.
"""

from bisect import bisect_right
from collections.abc import Iterator
from fractions import Fraction

from msgspec import Struct

from pipeyard.errors import Place


class Source:
    """One text and its lines, so that an offset can be told as line and column."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self._lines: list[int] | None = None

    def place(self, offset: int) -> Place:
        if self._lines is None:
            starts = [0]
            at = self.text.find("\n")
            while at >= 0:
                starts.append(at + 1)
                at = self.text.find("\n", at + 1)
            self._lines = starts
        line = bisect_right(self._lines, offset)
        return Place(self.file, line, offset - self._lines[line - 1] + 1)


class Span(Struct, frozen=True):
    """A stretch of a source."""

    source: Source
    start: int
    end: int

    @property
    def place(self) -> Place:
        return self.source.place(self.start)

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]


class Literal(Struct, frozen=True):
    value: str | int | Fraction | bool | None
    span: Span


class Template(Struct, frozen=True):
    """Text with sequences in it; always a string."""

    parts: tuple["Expression", ...]
    span: Span


class TemplateIf(Struct, frozen=True):
    condition: "Expression"
    then: Template
    otherwise: Template
    span: Span


class TemplateFor(Struct, frozen=True):
    key: str
    value: str
    collection: "Expression"
    body: Template
    span: Span


class Wrap(Struct, frozen=True):
    """A quoted template that is nothing but one interpolation: its value, of whatever type."""

    inner: "Expression"
    span: Span


class Parentheses(Struct, frozen=True):
    inner: "Expression"
    span: Span


class Name(Struct, frozen=True):
    """The first word of a reference."""

    name: str
    span: Span


class GetAttribute(Struct, frozen=True):
    of: "Expression"
    name: str
    span: Span


class GetIndex(Struct, frozen=True):
    of: "Expression"
    key: "Expression"
    span: Span


class Splat(Struct, frozen=True):
    """`of[*]` or `of.*`: `each` is evaluated with Element standing for every element."""

    of: "Expression"
    each: "Expression"
    span: Span


class Element(Struct, frozen=True):
    """What a splat's inner expression starts from; `depth` tells nested splats apart."""

    depth: int
    span: Span


class Call(Struct, frozen=True):
    name: str
    arguments: tuple["Expression", ...]
    expands: bool  # the last argument is followed by `...`
    span: Span


class Conditional(Struct, frozen=True):
    condition: "Expression"
    then: "Expression"
    otherwise: "Expression"
    span: Span


class Binary(Struct, frozen=True):
    operator: str
    left: "Expression"
    right: "Expression"
    span: Span


class Unary(Struct, frozen=True):
    operator: str
    operand: "Expression"
    span: Span


class TupleOf(Struct, frozen=True):
    items: tuple["Expression", ...]
    span: Span


class ObjectOf(Struct, frozen=True):
    items: tuple[tuple["Expression", "Expression"], ...]
    span: Span


class For(Struct, frozen=True):
    """`key_result` is None for the form in brackets; `groups` is `...` after the value of the form in braces."""

    key: str
    value: str
    collection: "Expression"
    key_result: "Expression | None"
    value_result: "Expression"
    groups: bool
    condition: "Expression | None"
    span: Span


Expression = (
    Literal
    | Template
    | TemplateIf
    | TemplateFor
    | Wrap
    | Parentheses
    | Name
    | GetAttribute
    | GetIndex
    | Splat
    | Element
    | Call
    | Conditional
    | Binary
    | Unary
    | TupleOf
    | ObjectOf
    | For
)


class Attribute(Struct, frozen=True):
    name: str
    value: Expression
    span: Span


class Block(Struct, frozen=True):
    type: str
    labels: tuple[str, ...]
    body: "Body"
    span: Span


class Body(Struct, frozen=True):
    """`attributes` by name in the order of writing, and nested blocks.

    `json`: from the JSON syntax, where an object is an attribute and a block at once: only a schema could tell.
    """

    attributes: dict[str, Attribute]
    blocks: tuple[Block, ...]
    span: Span
    json: bool = False

    def of_type(self, *types: str) -> Iterator[Block]:
        return (block for block in self.blocks if block.type in types)


def keyword(expression: Expression) -> str:
    """The word that an expression consists of, as `string` in `type = string`; empty for anything else."""
    return expression.name if isinstance(expression, Name) else ""
