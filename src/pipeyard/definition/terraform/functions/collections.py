"""Functions that take collections apart and put them together."""

from collections.abc import Sequence
from typing import Any

from pipeyard.definition.terraform.conversion import ConversionError, as_string, convert, equal, unified, unify
from pipeyard.definition.terraform.functions.signature import (
    Function,
    FunctionFault,
    Parameter,
    Table,
    anything,
    numeral,
    string,
    strings,
)
from pipeyard.definition.terraform.graphemes import graphemes
from pipeyard.definition.terraform.numbers import Number
from pipeyard.definition.terraform.values import (
    ANY,
    BOOL,
    NUMBER,
    STRING,
    ListType,
    MapType,
    SetType,
    TupleType,
    Type,
    Value,
    boolean,
    friendly,
    is_mapping,
    is_sequence,
    list_of,
    map_of,
    null,
    number,
    object_of,
    text,
    tuple_of,
    unknown,
)

MAX_ELEMENTS = 100_000
"""No configuration that people write makes a longer list; a product of sets might by mistake."""


def need_sequence(value: Value, name: str) -> tuple[Value, ...]:
    if value.is_null or not is_sequence(value.type):
        raise FunctionFault(f"{name} needs a list, set or tuple, not a {friendly(value.type)}")
    return value.items


def need_list(value: Value, name: str) -> tuple[Value, ...]:
    if value.is_null or not isinstance(value.type, ListType | TupleType):
        raise FunctionFault(f"{name} needs a list or tuple, not a {friendly(value.type)}")
    return value.items


def need_mapping(value: Value, name: str) -> dict[str, Value]:
    if value.is_null or not is_mapping(value.type):
        raise FunctionFault(f"{name} needs a map or object, not a {friendly(value.type)}")
    return value.entries


def whole(value: Value, name: str, least: int = -(10**18)) -> int:
    raw: Number = value.raw
    if not isinstance(raw, int) or raw < least:
        raise FunctionFault(f"{name} must be a whole number" + (f" from {least}" if least > -(10**18) else ""))
    return raw


def like(value: Value, items: Sequence[Value]) -> Value:
    """A list as the type of `value` has its elements, or a tuple."""
    return list_of(items, value.type.element) if isinstance(value.type, ListType | SetType) else tuple_of(items)


def _all_true(given: Value) -> Value:
    return boolean(all(item.raw is True for item in given.items))


def _any_true(given: Value) -> Value:
    return boolean(any(item.raw is True for item in given.items))


def _chunk_list(given: Value, size: Value) -> Value:
    items = given.items
    step = whole(size, "the size", 0)
    if not items:
        return list_of((), given.type)
    if step == 0:
        return list_of([given], given.type)
    chunks = [list_of(items[at : at + step], given.type.element) for at in range(0, len(items), step)]  # type: ignore[union-attr]
    return list_of(chunks, given.type)


def _coalesce(*values: Value) -> Value:
    if not values:
        raise FunctionFault("coalesce needs at least one argument")
    known = [value for value in values if not (value.is_null and value.type == ANY)]
    kind = unify(value.type for value in known)
    if kind is None:
        raise FunctionFault("all arguments of coalesce must have one type")
    for value in values:
        if value.is_unknown:
            return unknown(*value.chain, of=kind)
        if value.is_null:
            continue
        found = convert(value, kind)
        if kind == STRING and found.raw == "":
            continue
        return found
    raise FunctionFault("every argument of coalesce is null or an empty text")


def _coalesce_list(*values: Value) -> Value:
    for value in values:
        if value.is_unknown:
            return unknown(*value.chain)
        need_list(value, "coalescelist")
    for value in values:
        if value.items:
            return value
    raise FunctionFault("every argument of coalescelist is empty")


def _compact(given: Value) -> Value:
    return list_of([item for item in given.items if not item.is_null and item.raw != ""], STRING)


def _concat(*values: Value) -> Value:
    if not values:
        raise FunctionFault("concat needs at least one list")
    for value in values:
        need_list(value, "concat")
    items = [item for value in values for item in value.items]
    if all(isinstance(value.type, ListType) for value in values):
        kind = unify(value.type for value in values)
        if isinstance(kind, ListType):
            return list_of([convert(item, kind.element) for item in items], kind.element)
    return tuple_of(items)


def _contains(given: Value, wanted: Value) -> Value:
    missing = None
    for item in need_sequence(given, "contains"):
        same = equal(item, wanted)
        if same:
            return boolean(True)
        if same is None:
            missing = item if item.is_unknown else wanted
    return unknown(*missing.chain, of=BOOL) if missing is not None else boolean(False)


def _equal_converted(item: Value, wanted: Value) -> bool | None:
    if item.is_unknown or wanted.is_unknown:
        return None
    kind = unify((item.type, wanted.type))
    if kind is None:
        return False
    try:
        return equal(convert(item, kind), convert(wanted, kind))
    except ConversionError:
        return False


def _element(given: Value, index: Value) -> Value:
    items = need_list(given, "element")
    at = whole(index, "the index")
    if not items:
        raise FunctionFault("element has nothing to take from an empty list")
    if at < 0 and isinstance(given.type, TupleType) and at % len(items):  # a whole turn back is what it accepts
        raise FunctionFault("the index of element must not be negative for a tuple", hint="tolist makes a list of it")
    return items[at % len(items)]


def _flatten(given: Value) -> Value:
    need_sequence(given, "flatten")
    out: list[Value] = []
    missing = _flatten_into(given, out, 0)
    return unknown(*missing.chain) if missing is not None else tuple_of(out)


def _flatten_into(value: Value, out: list[Value], depth: int) -> Value | None:
    for item in value.items:
        if item.is_unknown and (item.type == ANY or is_sequence(item.type)):
            return item  # how many elements it has is not known either
        if not item.is_null and not item.is_unknown and is_sequence(item.type) and depth < 100:
            missing = _flatten_into(item, out, depth + 1)
            if missing is not None:
                return missing
        else:
            out.append(item)
    return None


def _index(given: Value, wanted: Value) -> Value:
    items = need_list(given, "index")
    if not items:
        raise FunctionFault("index cannot search an empty list")
    for at, item in enumerate(items):
        if equal(item, wanted):
            return number(at)
    raise FunctionFault("the list does not have that value")


def _keys(given: Value) -> Value:
    names = [text(name) for name in sorted(need_mapping(given, "keys"))]
    return list_of(names, STRING) if isinstance(given.type, MapType) else tuple_of(names)


def _values(given: Value) -> Value:
    entries = need_mapping(given, "values")
    items = [entries[name] for name in sorted(entries)]
    return list_of(items, given.type.element) if isinstance(given.type, MapType) else tuple_of(items)


def _length(given: Value) -> Value:
    if given.type == STRING:
        return number(len(graphemes(given.raw)))
    if is_sequence(given.type):
        return number(len(given.items))
    if is_mapping(given.type):
        return number(len(given.entries))
    raise FunctionFault(f"length needs a collection or text, not a {friendly(given.type)}")


def _lookup(given: Value, key: Value, *default: Value) -> Value:
    entries = need_mapping(given, "lookup")
    if len(default) > 1:
        raise FunctionFault("lookup takes a map, a key and one default")
    otherwise = default[0] if default else None
    if otherwise is not None and isinstance(given.type, MapType):
        try:
            otherwise = convert(otherwise, given.type.element)
        except ConversionError as error:
            raise FunctionFault(f"the default of lookup is unsuitable: {error.message}") from None
    found = entries.get(key.raw)
    if found is not None:
        return found
    if otherwise is not None:
        return otherwise
    raise FunctionFault(f"the map has no key {key.raw!r}, and lookup no default")


def _match_keys(given: Value, keys: Value, wanted: Value) -> Value:
    values, names = need_sequence(given, "matchkeys"), need_sequence(keys, "matchkeys")
    if len(values) != len(names):
        raise FunctionFault("the lists of values and of keys must have the same length")
    searched = need_sequence(wanted, "matchkeys")
    if unify([*_element_kinds(keys), *_element_kinds(wanted)]) is None:
        raise FunctionFault("the keys and what is searched in them must have one type")
    found = [
        value for value, name in zip(values, names, strict=True) if any(_equal_converted(name, one) for one in searched)
    ]
    try:
        items, kind = unified(found) if found else ([], _element_kind(given))
    except ConversionError as error:
        raise FunctionFault(error.message) from None
    return list_of(items, kind)


def _element_kinds(given: Value) -> Sequence[Type]:
    return given.type.elements if isinstance(given.type, TupleType) else (_element_kind(given),)


def _element_kind(given: Value) -> Any:
    return given.type.element if isinstance(given.type, ListType | SetType) else ANY


def _merge(*values: Value) -> Value:
    entries: dict[str, Value] = {}
    for value in values:
        if value.is_unknown:
            return unknown(*value.chain)
        if not value.is_null:
            entries.update(need_mapping(value, "merge"))
    kinds = {value.type for value in values if not value.is_null}
    if len(kinds) == 1:
        only = kinds.pop()
        if isinstance(only, MapType):
            return map_of(entries, only.element)
    return object_of(dict(entries))


def _one(given: Value) -> Value:
    items = need_sequence(given, "one")
    if len(items) > 1:
        raise FunctionFault(f"one needs a list of no or one element, not of {len(items)}")
    return items[0] if items else null(_element_kind(given))


def _range(*numbers: Value) -> Value:
    if not 1 <= len(numbers) <= 3:
        raise FunctionFault("range takes a limit, a start and a limit, or those and a step")
    start: Number = 0 if len(numbers) == 1 else numbers[0].raw
    limit: Number = numbers[0].raw if len(numbers) == 1 else numbers[1].raw
    step: Number = numbers[2].raw if len(numbers) == 3 else (1 if start <= limit else -1)
    if step == 0 or (start != limit and (step > 0) != (limit > start)):
        raise FunctionFault("the step of range must lead from the start to the limit")
    items: list[Value] = []
    at = start
    while at < limit if step > 0 else at > limit:
        items.append(number(at))
        at += step
        if len(items) > 1024:
            raise FunctionFault("range makes no more than 1024 numbers")
    return list_of(items, NUMBER)


def _slice(given: Value, start: Value, end: Value) -> Value:
    items = need_list(given, "slice")
    first, last = whole(start, "the start", 0), whole(end, "the end", 0)
    if first > last or last > len(items):
        raise FunctionFault(f"slice from {first} to {last} does not lie in a list of {len(items)} elements")
    return like(given, items[first:last])


def _transpose(given: Value) -> Value:
    out: dict[str, list[Value]] = {}
    for name in sorted(given.entries):
        if given.entries[name].is_null:
            raise FunctionFault("transpose needs lists that are not null")
        for item in given.entries[name].items:
            if item.is_null:
                raise FunctionFault("transpose needs texts that are not null")
            out.setdefault(item.raw, []).append(text(name))
    return map_of({name: list_of(items, STRING) for name, items in out.items()}, ListType(STRING))


def _zip_map(keys: Value, values: Value) -> Value:
    items = need_list(values, "zipmap")
    names = keys.items
    if len(names) != len(items):
        raise FunctionFault(f"zipmap has {len(names)} keys for {len(items)} values")
    if any(name.is_null for name in names):
        raise FunctionFault("a key of zipmap is null")
    entries = {as_string(name): item for name, item in zip(names, items, strict=True)}
    if isinstance(values.type, ListType):
        return map_of(entries, values.type.element)
    return object_of(entries)


_TEXTS = MapType(ListType(STRING))

FUNCTIONS: Table = {
    "alltrue": Function(_all_true, (Parameter("list", ListType(BOOL)),), returns=BOOL),
    "anytrue": Function(_any_true, (Parameter("list", ListType(BOOL)),), returns=BOOL),
    "chunklist": Function(_chunk_list, (Parameter("list", ListType(ANY)), numeral("size")), partial=True),
    "coalesce": Function(_coalesce, rest=anything("vals", null=True), raw=True),
    "coalescelist": Function(_coalesce_list, rest=anything("vals", null=True), raw=True),
    "compact": Function(_compact, (strings("list"),), returns=ListType(STRING)),
    "concat": Function(_concat, rest=anything("seqs"), partial=True),
    "contains": Function(_contains, (anything("list"), anything("value")), returns=BOOL, partial=True),
    "element": Function(_element, (anything("list"), numeral("index")), partial=True),
    "flatten": Function(_flatten, (anything("list"),), partial=True),
    "index": Function(_index, (anything("list"), anything("value")), returns=NUMBER),
    "keys": Function(_keys, (anything("inputMap"),), partial=True),
    "length": Function(_length, (anything("value"),), returns=NUMBER, partial=True),
    "lookup": Function(
        _lookup, (anything("inputMap"), string("key")), rest=anything("default", null=True), partial=True
    ),
    "matchkeys": Function(_match_keys, (anything("values"), anything("keys"), anything("searchset")), partial=False),
    "merge": Function(_merge, rest=anything("maps", null=True), partial=True),
    "one": Function(_one, (anything("list"),), partial=True),
    "range": Function(_range, rest=numeral("params"), returns=ListType(NUMBER)),
    "slice": Function(_slice, (anything("list"), numeral("start_index"), numeral("end_index")), partial=True),
    "transpose": Function(_transpose, (Parameter("values", _TEXTS),), returns=_TEXTS),
    "values": Function(_values, (anything("mapping"),), partial=True),
    "zipmap": Function(_zip_map, (strings("keys"), anything("values")), partial=True),
}
