"""What goes through the elements of something: `for`, its form in templates, and splats.

Source: HCL specification, "For Expressions" and "Splat Operators".
"""

from pipeyard.definition.terraform.access import fault
from pipeyard.definition.terraform.conditionals import condition
from pipeyard.definition.terraform.conversion import ConversionError, as_string
from pipeyard.definition.terraform.evaluation import evaluate
from pipeyard.definition.terraform.names import Locals, Scope
from pipeyard.definition.terraform.syntax import Element, Expression, For, GetAttribute, GetIndex, Splat, TemplateFor
from pipeyard.definition.terraform.values import (
    EMPTY_TUPLE,
    STRING,
    ListType,
    Primitive,
    SetType,
    Value,
    elements,
    friendly,
    is_mapping,
    is_sequence,
    list_of,
    marked,
    object_of,
    text,
    tuple_of,
    unknown,
)


def for_expression(node: For, scope: Scope, local: Locals) -> Value:
    collection = _iterable(node.collection, scope, local)
    if collection.is_unknown:
        return unknown(*collection.chain)
    results: list[Value] = []
    entries: dict[str, list[Value]] = {}
    for key, item in elements(collection):
        inner = local.naming(_names(node, key, item))
        if node.condition is not None:
            wanted = condition(node.condition, scope, inner)
            if wanted.is_unknown:
                return unknown(*wanted.chain)
            if not wanted.raw:
                continue
        value = evaluate(node.value_result, scope, inner)
        if node.key_result is None:
            results.append(value)
            continue
        name = evaluate(node.key_result, scope, inner)
        if name.is_null:
            raise fault("a key cannot be null", node.key_result.span)
        if name.is_unknown:
            return unknown(*name.chain)
        try:
            written = as_string(name)
        except ConversionError:
            raise fault(f"a key must be text, not a {friendly(name.type)}", node.key_result.span) from None
        if written in entries and not node.groups:
            raise fault(
                f"two items have the key {written!r}", node.key_result.span, "'...' after the value groups them by key"
            )
        entries.setdefault(written, []).append(value)
    if node.key_result is None:
        return marked(tuple_of(results), collection)
    grouped = {name: tuple_of(found) if node.groups else found[0] for name, found in entries.items()}
    return marked(object_of(grouped), collection)


def template_for(node: TemplateFor, scope: Scope, local: Locals) -> Value:
    collection = _iterable(node.collection, scope, local)
    if collection.is_unknown:
        return unknown(*collection.chain, of=STRING)
    pieces: list[str] = []
    for key, item in elements(collection):
        value = evaluate(node.body, scope, local.naming(_names(node, key, item)))
        if value.is_unknown:
            return value
        pieces.append(value.raw)
    return marked(text("".join(pieces)), collection)


def splat(node: Splat, scope: Scope, local: Locals) -> Value:
    value = evaluate(node.of, scope, local)
    if value.is_unknown:
        return unknown(*value.chain)
    if value.is_null:
        if is_sequence(value.type):
            raise fault("null has no elements", node.span)
        return EMPTY_TUPLE
    depth = _depth(node.each)
    outer = local.elements[:depth]

    def one(item: Value) -> Value:
        return evaluate(node.each, scope, Locals(local.names, (*outer, item)))

    if not is_sequence(value.type):
        return marked(tuple_of([one(value)]), value)
    results = [one(item) for item in value.items]
    if isinstance(value.type, ListType | SetType):
        # An empty list still has a type of elements, which an element that is not known tells.
        kinds = [result.type for result in results] or [one(unknown(of=value.type.element)).type]
        if all(kind == kinds[0] for kind in kinds):
            return marked(list_of(results, kinds[0]), value)
    return marked(tuple_of(results), value)


def _depth(each: Expression) -> int:
    """Which splat an inner expression belongs to."""
    at = each
    while not isinstance(at, Element):
        if not isinstance(at, GetAttribute | GetIndex | Splat):
            raise TypeError("the inside of a splat begins with its element")
        at = at.of
    return at.depth


def _iterable(node: Expression, scope: Scope, local: Locals) -> Value:
    value = evaluate(node, scope, local)
    if value.is_null:
        raise fault("null cannot be iterated over", node.span)
    if not value.is_unknown and not (is_sequence(value.type) or is_mapping(value.type)):
        raise fault(f"a {friendly(value.type)} cannot be iterated over", node.span)
    if value.is_unknown and isinstance(value.type, Primitive):
        raise fault(f"a {friendly(value.type)} cannot be iterated over", node.span)
    return value


def _names(node: For | TemplateFor, key: Value, item: Value) -> dict[str, Value]:
    return {**({node.key: key} if node.key else {}), node.value: item}
