"""Conversion of a value to a type, and the one type that several can be converted to.

Source: Terraform language, "Type Conversion"; cty, "Conversion" and "Unification".
"""

import unicodedata
from collections.abc import Iterable, Sequence

from msgspec import structs

from pipeyard.definition.terraform.numbers import number_text, parse_number
from pipeyard.definition.terraform.values import (
    ANY,
    BOOL,
    NUMBER,
    STRING,
    Attributes,
    Dynamic,
    ListType,
    MapType,
    ObjectType,
    Primitive,
    SetType,
    TupleType,
    Type,
    Unknown,
    Value,
    boolean,
    friendly,
    identity,
    is_mapping,
    is_sequence,
    list_of,
    map_of,
    marked,
    null,
    number,
    set_of,
    text,
)
from pipeyard.errors import InputError


class ConversionError(InputError):
    """The value cannot be of that type."""


def convert(value: Value, want: Type) -> Value:
    """The value as the type. Raises ConversionError, telling at which part it fails."""
    if value.type == want or isinstance(want, Dynamic):
        return value
    if isinstance(value.raw, Unknown):
        if not isinstance(value.type, Dynamic) and not convertible(value.type, want):
            raise ConversionError(_mismatch(value.type, want))
        return Value(_known_type(want), value.raw, value.sensitive)
    if value.raw is None:
        if not isinstance(value.type, Dynamic) and not convertible(value.type, want):
            raise ConversionError(_mismatch(value.type, want))
        return Value(_known_type(want), None, value.sensitive)
    return marked(_converted(value, want), value)


def _known_type(want: Type) -> Type:
    return structs.replace(want, optional=frozenset()) if isinstance(want, ObjectType) and want.optional else want


def _converted(value: Value, want: Type) -> Value:
    match want:
        case Primitive():
            return _to_primitive(value, want)
        case ListType() if is_sequence(value.type):
            items, element = _same(value, value.items, want.element)
            return list_of(items, element)
        case SetType() if is_sequence(value.type):
            items, element = _same(value, value.items, want.element)
            return set_of(items, element)
        case MapType() if is_mapping(value.type):
            names = list(value.entries)
            items, element = _same(value, [value.entries[name] for name in names], want.element, names)
            return map_of(dict(zip(names, items, strict=True)), element)
        case ObjectType() if is_mapping(value.type):
            return _to_object(value, want)
        case TupleType() if is_sequence(value.type) and not isinstance(value.type, SetType):
            if len(value.items) != len(want.elements):
                raise ConversionError(f"a tuple of {len(want.elements)} elements is required, not {len(value.items)}")
            parts = tuple(
                _part(item, kind, f"element {index}")
                for index, (item, kind) in enumerate(zip(value.items, want.elements, strict=True))
            )
            return Value(TupleType(tuple(item.type for item in parts)), parts)
    raise ConversionError(_mismatch(value.type, want))


def _mismatch(given: Type, want: Type) -> str:
    return f"{_article(friendly(want))} is required, not {_article(friendly(given))}"


def _article(name: str) -> str:
    return f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"


def _to_primitive(value: Value, want: Primitive) -> Value:
    raw = value.raw
    if want == STRING and value.type in (NUMBER, BOOL):
        return text(("true" if raw else "false") if value.type == BOOL else number_text(raw))
    if want == NUMBER and value.type == STRING:
        try:
            return number(parse_number(raw))
        except ValueError:
            raise ConversionError("a number is required, and this text is none") from None
    if want == BOOL and value.type == STRING:
        if raw in ("true", "1"):
            return boolean(True)
        if raw in ("false", "0"):
            return boolean(False)
        hint = "only true and false, in lower case, are booleans" if str(raw).lower() in ("true", "false") else ""
        raise ConversionError("a bool is required, and this text is none", hint=hint)
    raise ConversionError(_mismatch(value.type, want))


def _same(whole: Value, values: Sequence[Value], want: Type, names: Sequence[str] = ()) -> tuple[list[Value], Type]:
    """The values as one type: the given one, with what is open in it decided by unification."""
    converted = [
        _part(item, want, f"element {names[index]!r}" if names else f"element {index}")
        for index, item in enumerate(values)
    ]
    if not has_dynamic(want):
        return converted, _known_type(want)
    if converted:
        element = unify([item.type for item in converted])
    elif isinstance(whole.type, ListType | SetType | MapType) and isinstance(want, Dynamic):
        element = whole.type.element  # an empty collection keeps its type of elements where any will do
    else:
        element = want
    if element is None:
        raise ConversionError("all elements must have the same type")
    return [convert(item, element) for item in converted], element


def _part(value: Value, want: Type, name: str) -> Value:
    try:
        return convert(value, want)
    except ConversionError as error:
        raise ConversionError(f"{name}: {error.message}", hint=error.hint) from error


def _to_object(value: Value, want: ObjectType) -> Value:
    entries: dict[str, Value] = {}
    for name, kind in want.attributes:
        given = value.entries.get(name)
        if given is not None:
            entries[name] = _part(given, kind, f"attribute {name!r}")
        elif isinstance(value.raw, Attributes):
            entries[name] = convert(value.raw.missing(name), kind)
        elif name in want.optional:
            entries[name] = null(_known_type(kind))
        else:
            raise ConversionError(f"attribute {name!r} is required")
    return Value(ObjectType(tuple((name, item.type) for name, item in entries.items())), entries)


def has_dynamic(kind: Type) -> bool:
    match kind:
        case Dynamic():
            return True
        case ListType() | SetType() | MapType():
            return has_dynamic(kind.element)
        case TupleType():
            return any(map(has_dynamic, kind.elements))
        case ObjectType():
            return any(has_dynamic(inner) for _, inner in kind.attributes)
        case Primitive():
            return False


def convertible(given: Type, want: Type, *, safe: bool = False) -> bool:
    """Whether values of a type can be converted at all; `safe`: whether every one can."""
    if given == want or isinstance(want, Dynamic):
        return True
    if isinstance(given, Dynamic):
        return not safe
    match want:
        case Primitive():
            return isinstance(given, Primitive) and (want == STRING or (given == STRING and not safe))
        case ListType() | SetType():
            if isinstance(given, TupleType):
                return all(convertible(inner, want.element, safe=safe) for inner in given.elements)
            return isinstance(given, ListType | SetType) and convertible(given.element, want.element, safe=safe)
        case MapType():
            if isinstance(given, ObjectType):
                return all(convertible(inner, want.element, safe=safe) for _, inner in given.attributes)
            return isinstance(given, MapType) and convertible(given.element, want.element, safe=safe)
        case ObjectType():
            if isinstance(given, MapType):
                return not safe and all(convertible(given.element, inner) for _, inner in want.attributes)
            return isinstance(given, ObjectType) and all(
                ((found := given.get(name)) is not None and convertible(found, inner, safe=safe))
                or (found is None and name in want.optional)
                for name, inner in want.attributes
            )
        case TupleType():
            if isinstance(given, ListType):
                return not safe
            return (
                isinstance(given, TupleType)
                and len(given.elements) == len(want.elements)
                and all(convertible(a, b, safe=safe) for a, b in zip(given.elements, want.elements, strict=True))
            )


def unify(types: Iterable[Type]) -> Type | None:
    """The type that values of all these types can be converted to; None when there is none."""
    given = list(types)
    if not given:
        return ANY
    if all(kind == given[0] for kind in given):
        return given[0]
    known = [kind for kind in given if not isinstance(kind, Dynamic)]
    if len(known) < len(given):
        return unify(known)  # nulls, mostly: they take any type
    if all(isinstance(kind, MapType | ObjectType) for kind in given):
        return _unify_mappings([kind for kind in given if isinstance(kind, MapType | ObjectType)])
    if all(isinstance(kind, ListType | TupleType) for kind in given):
        return _unify_sequences([kind for kind in given if isinstance(kind, ListType | TupleType)])
    if all(isinstance(kind, SetType) for kind in given):
        element = unify(kind.element for kind in given if isinstance(kind, SetType))
        return None if element is None else SetType(element)
    return _preferred(given)


def _unify_mappings(given: list[MapType | ObjectType]) -> Type | None:
    objects = [kind for kind in given if isinstance(kind, ObjectType)]
    if len(objects) == len(given) and len({tuple(name for name, _ in kind.attributes) for kind in objects}) == 1:
        attributes: list[tuple[str, Type]] = []
        for index, (name, _) in enumerate(objects[0].attributes):
            found = unify(kind.attributes[index][1] for kind in objects)
            if found is None:
                return None
            attributes.append((name, found))
        return ObjectType(tuple(attributes))
    parts: list[Type] = []
    for kind in given:
        parts += [kind.element] if isinstance(kind, MapType) else [inner for _, inner in kind.attributes]
    element = unify(parts)
    return None if element is None else MapType(element)


def _unify_sequences(given: list[ListType | TupleType]) -> Type | None:
    tuples = [kind for kind in given if isinstance(kind, TupleType)]
    if len(tuples) == len(given) and len({len(kind.elements) for kind in tuples}) == 1:
        found = [unify(kind.elements[index] for kind in tuples) for index in range(len(tuples[0].elements))]
        elements = tuple(kind for kind in found if kind is not None)
        return TupleType(elements) if len(elements) == len(found) else None
    parts: list[Type] = []
    for kind in given:
        parts += [kind.element] if isinstance(kind, ListType) else list(kind.elements)
    element = unify(parts)
    return None if element is None else ListType(element)


def _preferred(given: list[Type]) -> Type | None:
    order = sorted(given, key=lambda kind: 0 if kind == STRING else 1)
    return next((want for want in order if all(convertible(kind, want, safe=True) for kind in given)), None)


def unified(values: Sequence[Value]) -> tuple[list[Value], Type]:
    """The values converted to their common type. Raises ConversionError when there is none."""
    kind = unify(value.type for value in values)
    if kind is None:
        raise ConversionError("all of these must have one type: " + ", ".join(friendly(value.type) for value in values))
    return [convert(value, kind) for value in values], kind


def equal(left: Value, right: Value) -> bool | None:
    """Terraform's `==`: values of different types are never equal; None when it cannot be known."""
    if left.is_unknown or right.is_unknown:
        return None
    if left.is_null or right.is_null:
        return left.is_null and right.is_null
    if is_sequence(left.type) and is_sequence(right.type):
        if type(left.type) is not type(right.type) or len(left.items) != len(right.items):
            return False
        if isinstance(left.type, SetType):
            return {identity(item) for item in left.items} == {identity(item) for item in right.items}
        return _all(equal(a, b) for a, b in zip(left.items, right.items, strict=True))
    if is_mapping(left.type) and is_mapping(right.type):
        if type(left.type) is not type(right.type) or left.entries.keys() != right.entries.keys():
            return False
        return _all(equal(item, right.entries[name]) for name, item in left.entries.items())
    return bool(left.type == right.type and left.raw == right.raw)


def _all(results: Iterable[bool | None]) -> bool | None:
    outcome: bool | None = True
    for result in results:
        if result is False:
            return False
        if result is None:
            outcome = None
    return outcome


def as_string(value: Value) -> str:
    """The text of a known value that is no null. Raises ConversionError for anything that has none."""
    return str(convert(value, STRING).raw)


def normalised(value: str) -> Value:
    """Text as a value: composed characters, as everything that Terraform reads."""
    return text(value if value.isascii() else unicodedata.normalize("NFC", value))
