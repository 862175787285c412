"""Attributes and elements of values. Source: HCL specification, "Index" and "Attribute Access" operators."""

from pipeyard.definition.terraform.conversion import ConversionError, as_string, convert
from pipeyard.definition.terraform.syntax import GetAttribute, Span
from pipeyard.definition.terraform.values import (
    ANY,
    NUMBER,
    Attributes,
    Dynamic,
    ListType,
    MapType,
    ObjectType,
    SetType,
    Type,
    Value,
    friendly,
    is_mapping,
    is_sequence,
    marked,
    unknown,
)
from pipeyard.errors import InputError, counted


def fault(message: str, span: Span, hint: str = "") -> InputError:
    return InputError(message, place=span.place, hint=hint)


def attribute_of(value: Value, step: GetAttribute) -> Value:
    name, span = step.name, step.span
    if value.is_unknown:
        return marked(unknown(*value.chain, of=_type_of_attribute(value.type, step)), value)
    if value.is_null:
        raise fault(f"null has no attribute {name!r}", span)
    if is_mapping(value.type):
        found = value.entries.get(name)
        if found is not None:
            return marked(found, value)
        if isinstance(value.raw, Attributes):
            return value.raw.missing(name)
        known = ", ".join(value.entries)
        raise fault(
            f"there is no attribute {name!r} in {span.source.text[span.start : step.of.span.end]}",
            span,
            f"it has {known}" if known and len(known) < 200 else "",
        )
    if is_sequence(value.type):
        raise fault(
            f"a {friendly(value.type)} has no attribute {name!r}", span, f"for each element's, write [*].{name}"
        )
    raise fault(f"a {friendly(value.type)} has no attributes", span)


def _type_of_attribute(kind: Type, step: GetAttribute) -> Type:
    if isinstance(kind, MapType):
        return kind.element
    if isinstance(kind, Dynamic):
        return ANY
    if not isinstance(kind, ObjectType):
        raise fault(f"a {friendly(kind)} has no attribute {step.name!r}", step.span)
    found = kind.get(step.name)
    if found is None:
        known = ", ".join(name for name, _ in kind.attributes)
        raise fault(f"there is no attribute {step.name!r} here", step.span, f"it has {known}" if known else "")
    return found


def element_of(value: Value, key: Value, span: Span) -> Value:
    if key.is_null:
        raise fault("an index cannot be null", span)
    if value.is_null:
        raise fault("null has no elements", span)
    if value.is_unknown:
        of = value.type.element if isinstance(value.type, ListType | MapType) else ANY
        return marked(unknown(*value.chain, of=of), value)
    if isinstance(value.type, SetType):
        raise fault("a set has no indices", span, "tolist makes a list of it")
    if key.is_unknown:
        return unknown(*key.chain)
    if is_sequence(value.type):
        try:
            position = convert(key, NUMBER).raw
        except ConversionError:
            raise fault(f"an index must be a number, not a {friendly(key.type)}", span) from None
        if not isinstance(position, int):
            raise fault("an index must be a whole number", span)
        if not 0 <= position < len(value.items):
            size = len(value.items)
            message = f"there is no element {position} in a {friendly(value.type)} of {counted(size, 'element')}"
            raise fault(message, span, "the first one is element 0" if position == size else "")
        return marked(value.items[position], value, key)
    if is_mapping(value.type):
        try:
            name = as_string(key)
        except ConversionError:
            raise fault(f"a key must be text, not a {friendly(key.type)}", span) from None
        found = value.entries.get(name)
        if found is None:
            if isinstance(value.raw, Attributes) and key.type == NUMBER:
                raise fault(f"{value.raw.address} is one and has no indices: its block has no count", span)
            if isinstance(value.raw, Attributes):
                return value.raw.missing(name)
            known = ", ".join(value.entries)
            raise fault(
                f"there is no key {name!r} here", span, f"the keys are {known}" if known and len(known) < 200 else ""
            )
        return marked(found, value, key)
    raise fault(f"a {friendly(value.type)} has no indices", span)
