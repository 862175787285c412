"""The body of a block in its scope: arguments to evaluate, nested blocks with the dynamic ones unrolled."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeyard.definition.terraform.names import NO_LOCALS, Locals
from pipeyard.definition.terraform.repetition import Repetition
from pipeyard.definition.terraform.syntax import Block, Body, Expression, Literal, Name
from pipeyard.definition.terraform.values import (
    Value,
    elements,
    is_mapping,
    is_sequence,
    object_of,
    tuple_of,
    way_out,
)
from pipeyard.errors import InputError, Place

if TYPE_CHECKING:
    from pipeyard.definition.terraform.modules import Module


class UnknownNumber(InputError):
    """How often a dynamic block repeats is not known."""


class Contents(Struct, frozen=True):
    """A body in its scope, with dynamic blocks unrolled."""

    module: "Module"
    body: Body
    repetition: Repetition
    local: Locals = NO_LOCALS

    def value(self, name: str) -> Value | None:
        """An argument's value; None when it is not set. Raises InputError."""
        attribute = self.body.attributes.get(name)
        return None if attribute is None else self.evaluate(attribute.value)

    def evaluate(self, node: Expression) -> Value:
        return self.module.evaluate(node, self.repetition, self.local)

    def place(self, name: str = "") -> Place:
        attribute = self.body.attributes.get(name)
        return attribute.span.place if attribute else self.body.span.place

    def entries(self) -> dict[str, Value]:
        entries = {
            name: self.module.forgiving(self.evaluate, attribute.value)
            for name, attribute in self.body.attributes.items()
        }
        for kind in dict.fromkeys(block_types(self.body)):
            entries[kind] = self.module.forgiving(self.objects, kind)
        return entries

    def objects(self, kind: str) -> Value:
        """Nested blocks of a type as a tuple of objects."""
        return tuple_of([object_of(inner.entries()) for inner in self.blocks(kind)])

    def blocks(self, *kinds: str) -> Iterator["Contents"]:
        """Nested blocks of these types in order; those that `dynamic` makes stand at its place.

        Raises InputError, also when it cannot be known how many blocks a dynamic one makes.
        """
        for _, contents in self.typed_blocks(*kinds):
            yield contents

    def typed_blocks(self, *kinds: str) -> Iterator[tuple[str, "Contents"]]:
        for block in self.body.blocks:
            if block.type in kinds:
                yield block.type, Contents(self.module, block.body, self.repetition, self.local)
            elif block.type == "dynamic" and block.labels and block.labels[0] in kinds:
                for contents in self._dynamic(block):
                    yield block.labels[0], contents

    def _dynamic(self, block: Block) -> Iterator["Contents"]:
        each = block.body.attributes.get("for_each")
        content = next(block.body.of_type("content"), None)
        if each is None or content is None:
            raise InputError("a dynamic block has for_each and a content block", place=block.span.place)
        iterator = block.body.attributes.get("iterator")
        name = block.labels[0]
        if iterator is not None:
            if not isinstance(iterator.value, Name | Literal):
                raise InputError("iterator is a plain name", place=iterator.span.place)
            name = str(iterator.value.name if isinstance(iterator.value, Name) else iterator.value.value)
        collection = self.evaluate(each.value)
        if collection.is_unknown:
            raise UnknownNumber(
                f"how many {block.labels[0]} blocks there are cannot be known: {'; '.join(collection.chain)}",
                place=each.span.place,
                hint=way_out(collection.chain),
            )
        if collection.is_null:
            return
        if not is_sequence(collection.type) and not is_mapping(collection.type):
            raise InputError("for_each of a dynamic block needs a list, set or map", place=each.span.place)
        for key, value in elements(collection):
            local = self.local.naming({name: object_of({"key": key, "value": value})})
            yield Contents(self.module, content.body, self.repetition, local)


def block_types(body: Body) -> Iterator[str]:
    for block in body.blocks:
        yield block.labels[0] if block.type == "dynamic" and block.labels else block.type
