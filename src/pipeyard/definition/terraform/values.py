"""Values with Terraform's types. Source: cty, "Types"; Terraform language, "Types and Values".

`raw` of a value is None for null, an Unknown, or by type: str (NFC), Number, bool, a tuple of Values (list, set,
tuple) or a dict of Values (map, object).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from msgspec import Struct, structs

from pipeyard.definition.documents import KNOWN_LATER
from pipeyard.definition.terraform.numbers import Number, number_text


class Primitive(Struct, frozen=True):
    name: str  # string, number, bool


class Dynamic(Struct, frozen=True):
    """Any type; the type of what is not known well enough to have one."""


class ListType(Struct, frozen=True):
    element: "Type"


class SetType(Struct, frozen=True):
    element: "Type"


class MapType(Struct, frozen=True):
    element: "Type"


class TupleType(Struct, frozen=True):
    elements: tuple["Type", ...]


class ObjectType(Struct, frozen=True):
    """Attributes by name, sorted; `optional` names those that a conversion may leave out."""

    attributes: tuple[tuple[str, "Type"], ...]
    optional: frozenset[str] = frozenset()

    def get(self, name: str) -> "Type | None":
        return next((found for known, found in self.attributes if known == name), None)


Type = Primitive | Dynamic | ListType | SetType | MapType | TupleType | ObjectType

STRING = Primitive("string")
NUMBER = Primitive("number")
BOOL = Primitive("bool")
ANY = Dynamic()


class Cause(str):
    """The end of a chain: why something is not known, with what the user can do about it."""

    hint: str

    def __new__(cls, reason: str, hint: str = "") -> "Cause":
        made = super().__new__(cls, reason)
        made.hint = hint
        return made


class Unknown(Struct, frozen=True):
    """What only a deployment could tell; `chain` leads from the reference that was made to the cause.

    `text` is the value as people would write it down, with references where something is not known:
    `${var.name}-build`. It is empty when nothing short says it.
    """

    chain: tuple[str, ...]
    text: str = ""


class Value(Struct, frozen=True):
    type: Type
    raw: Any
    sensitive: bool = False

    @property
    def is_null(self) -> bool:
        return self.raw is None

    @property
    def is_unknown(self) -> bool:
        return isinstance(self.raw, Unknown)

    @property
    def items(self) -> tuple["Value", ...]:
        """Elements of a list, set or tuple."""
        return cast(tuple[Value, ...], self.raw)

    @property
    def entries(self) -> dict[str, "Value"]:
        """Entries of a map or object."""
        return cast(dict[str, Value], self.raw)

    @property
    def chain(self) -> tuple[str, ...]:
        return self.raw.chain if isinstance(self.raw, Unknown) else ()


class Parts(tuple[Value, ...]):
    """Elements that know how many parts they have, all theirs included and what is shared counted again."""

    weight: int

    def __new__(cls, items: Iterable[Value]) -> "Parts":
        made = super().__new__(cls, items)
        made.weight = 1 + sum(map(weight, made))
        return made


class Entries(dict[str, Value]):
    """Entries that know how many parts they have, as Parts do."""

    def __init__(self, entries: Mapping[str, Value]) -> None:
        super().__init__(entries)
        self.weight = 1 + sum(map(weight, entries.values()))


def weight(value: Value) -> int:
    """How many parts a value has; text counts by its length."""
    raw = value.raw
    if isinstance(raw, str):
        return 1 + len(raw) // 16
    if isinstance(raw, Parts | Entries):
        return raw.weight
    if isinstance(raw, tuple):
        return 1 + sum(map(weight, raw))
    return 1 + sum(map(weight, raw.values())) if isinstance(raw, dict) else 1


class Attributes(Entries):
    """Entries of an object of which more exist than are known here: a resource, whose schema nobody has told us."""

    def __init__(self, entries: Mapping[str, Value], address: str) -> None:
        super().__init__(entries)
        self.address = address

    def missing(self, name: str) -> Value:
        is_text = name in _TEXTS or name.endswith(("_arn", "_id", "_name", "_url"))
        return unknown(f"{self.address}.{name} is known only after a deployment", of=STRING if is_text else ANY)


_TEXTS = frozenset({"arn", "bucket", "endpoint", "id", "name", "url"})
"""Attributes that are text in every resource that has them, with those that end in one of these words."""


NULL = Value(ANY, None)
TRUE = Value(BOOL, True)
FALSE = Value(BOOL, False)
EMPTY_TUPLE = Value(TupleType(()), ())


def text(value: str) -> Value:
    return Value(STRING, value)


def number(value: Number) -> Value:
    return Value(NUMBER, value)


def boolean(value: bool) -> Value:
    return TRUE if value else FALSE


def null(of: Type) -> Value:
    return Value(of, None)


def unknown(*chain: str, of: Type = ANY, text: str = "") -> Value:
    return Value(of, Unknown(chain, text))


def way_out(chain: tuple[str, ...]) -> str:
    """What the user can do about something unknown, as a hint."""
    cause = chain[-1] if chain else ""
    if isinstance(cause, Cause) and cause.hint:
        return cause.hint
    return "give it a value that is known, or read the JSON of `terraform show -json`"


def tuple_of(items: Iterable[Value]) -> Value:
    given = Parts(items)
    return Value(TupleType(tuple(item.type for item in given)), given)


def object_of(entries: Mapping[str, Value]) -> Value:
    inner = {name: entries[name] for name in sorted(entries)}
    ordered = Attributes(inner, entries.address) if isinstance(entries, Attributes) else Entries(inner)
    return Value(ObjectType(tuple((name, value.type) for name, value in ordered.items())), ordered)


def list_of(items: Iterable[Value], element: Type) -> Value:
    return Value(ListType(element), Parts(items))


def map_of(entries: Mapping[str, Value], element: Type) -> Value:
    return Value(MapType(element), Entries({name: entries[name] for name in sorted(entries)}))


def set_of(items: Iterable[Value], element: Type) -> Value:
    """The distinct items in the order in which Terraform iterates over them."""
    distinct: dict[Any, Value] = {}
    for item in items:
        distinct.setdefault(identity(item), item)
    return Value(SetType(element), Parts(sorted(distinct.values(), key=_set_order)))


def marked(value: Value, *causes: Value) -> Value:
    """The value, sensitive when one of its causes is."""
    if not value.sensitive and any(cause.sensitive for cause in causes):
        return structs.replace(value, sensitive=True)
    return value


def is_sequence(kind: Type) -> bool:
    return isinstance(kind, ListType | SetType | TupleType)


def is_mapping(kind: Type) -> bool:
    return isinstance(kind, MapType | ObjectType)


def identity(value: Value) -> Any:
    """Something hashable that is equal for equal values of equal types."""
    if value.raw is None or isinstance(value.raw, Unknown):
        return (value.type, None if value.raw is None else value.raw)
    if is_sequence(value.type):
        return (value.type, tuple(identity(item) for item in value.items))
    if is_mapping(value.type):
        return (value.type, tuple((name, identity(item)) for name, item in sorted(value.entries.items())))
    return (value.type, value.raw)


def first_unknown(value: Value) -> Value | None:
    """The first part, however deep, that is not known."""
    if value.is_unknown:
        return value
    if value.is_null:
        return None
    parts: Iterable[Value] = ()
    if is_sequence(value.type):
        parts = value.items
    elif is_mapping(value.type):
        parts = value.entries.values()
    return next((found for part in parts if (found := first_unknown(part)) is not None), None)


def spelled(value: Value) -> Value:
    """The value with text in the place of each part that is not known."""
    if isinstance(value.raw, Unknown):
        return text(value.raw.text or KNOWN_LATER)
    if first_unknown(value) is None:
        return value
    if is_sequence(value.type):
        return tuple_of(spelled(item) for item in value.items)
    return object_of({name: spelled(item) for name, item in value.entries.items()})


def any_sensitive(value: Value) -> bool:
    if value.sensitive:
        return True
    if value.is_null or value.is_unknown:
        return False
    if is_sequence(value.type):
        return any(any_sensitive(item) for item in value.items)
    if is_mapping(value.type):
        return any(any_sensitive(item) for item in value.entries.values())
    return False


def unmarked(value: Value) -> Value:
    """The value without any mark of sensitivity, however deep."""
    if not any_sensitive(value):
        return value
    if value.is_null or value.is_unknown:
        return Value(value.type, value.raw)
    if is_sequence(value.type):
        return Value(value.type, tuple(unmarked(item) for item in value.items))
    if is_mapping(value.type):
        entries = {name: unmarked(item) for name, item in value.entries.items()}
        if isinstance(value.raw, Attributes):
            return Value(value.type, Attributes(entries, value.raw.address))
        return Value(value.type, entries)
    return Value(value.type, value.raw)


def elements(value: Value) -> Iterator[tuple[Value, Value]]:
    """Key and value of each element of something iterable, in Terraform's order; a set's keys are its values."""
    if is_mapping(value.type):
        for name in sorted(value.entries):
            yield text(name), value.entries[name]
    elif isinstance(value.type, SetType):
        for item in value.items:
            yield item, item
    else:
        for index, item in enumerate(value.items):
            yield number(index), item


def type_name(kind: Type) -> str:
    """As a type constraint would say it."""
    match kind:
        case Primitive():
            return kind.name
        case Dynamic():
            return "any"
        case ListType():
            return f"list({type_name(kind.element)})"
        case SetType():
            return f"set({type_name(kind.element)})"
        case MapType():
            return f"map({type_name(kind.element)})"
        case TupleType():
            return f"tuple([{', '.join(map(type_name, kind.elements))}])"
        case ObjectType():
            return f"object({{{', '.join(f'{name}={type_name(inner)}' for name, inner in kind.attributes)}}})"


def friendly(kind: Type) -> str:
    """The kind in one word, for messages."""
    match kind:
        case Primitive():
            return kind.name
        case Dynamic():
            return "value of any type"
        case TupleType():
            return "tuple"
        case ObjectType():
            return "object"
        case ListType() | SetType() | MapType():
            return type_name(kind)


def _set_order(value: Value) -> tuple[int, Any]:
    if value.is_null:
        return (2, "")
    if value.is_unknown:
        return (1, "")
    if isinstance(value.type, Primitive):
        return (0, value.raw)
    return (0, _order_text(value))


def _order_text(value: Value) -> str:
    """What cty hashes: the only order that sets of structures have."""
    if value.is_unknown:
        return "?"
    if value.is_null:
        return "~"
    match value.type:
        case Primitive("string"):
            return f'"{value.raw}"'
        case Primitive("number"):
            return number_text(value.raw)
        case Primitive():
            return "T" if value.raw else "F"
        case ListType() | SetType():
            return "[" + "".join(f"{_order_text(item)};" for item in value.items) + "]"
        case TupleType():
            return "<" + "".join(f"{_order_text(item)};" for item in value.items) + ">"
        case MapType():
            return "{" + "".join(f'"{name}"={_order_text(item)};' for name, item in sorted(value.entries.items())) + "}"
        case _:
            return "<" + "".join(f"{_order_text(item)};" for _, item in sorted(value.entries.items())) + ">"
