"""YAML as `yamldecode` reads it and `yamlencode` writes it. Source: Terraform's documentation of both; go-cty-yaml."""

import re
from collections.abc import Iterator
from typing import Any

from pipeyard.definition.terraform.conversion import as_string, normalised
from pipeyard.definition.terraform.json_text import encode_text
from pipeyard.definition.terraform.numbers import number_text, parse_number
from pipeyard.definition.terraform.values import (
    NULL,
    STRING,
    Value,
    boolean,
    is_mapping,
    is_sequence,
    number,
    object_of,
    text,
    tuple_of,
)
from pipeyard.errors import InputError

MAX_NODES = 200_000
MAX_DEPTH = 100

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON"})
_FALSE = frozenset({"false", "False", "FALSE", "n", "N", "no", "No", "NO", "off", "Off", "OFF"})
_DECIMAL = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_OTHER_BASES = {"0x": 16, "0o": 8}
_INFINITE = re.compile(r"([-+]?)\.(?:inf|Inf|INF)")
_DATE = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})"
    r"(?:(?:[Tt]|[ \t]+)(\d{1,2}):(\d{2}):(\d{2})(?:\.\d*)?[ \t]*(Z|[-+]\d{1,2}(?::?\d{2})?)?)?"
)
_STANDARD = "tag:yaml.org,2002:"


def decode_yaml(source: str) -> Value:
    """The first document. Raises InputError for what is no YAML, and for tags beyond the standard ones."""
    import yaml

    try:
        events = yaml.parse(source, Loader=yaml.CLoader if yaml.__with_libyaml__ else yaml.SafeLoader)
        return _Composer(events, yaml).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InputError(f"the text is not YAML{where}: {error.problem or error.context}") from None
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        raise InputError(f"the text is not YAML: {error}") from None


class _Composer:
    def __init__(self, events: Iterator[Any], yaml: Any) -> None:
        self.events = events
        self.yaml = yaml
        self.anchors: dict[str, tuple[Value, int]] = {}
        self.count = 0

    def document(self) -> Value:
        for event in self.events:
            if isinstance(event, self.yaml.DocumentStartEvent):
                value = self.node(next(self.events), 0)
                for later in self.events:
                    if isinstance(later, self.yaml.DocumentStartEvent):
                        raise InputError("the text has more than one document of YAML")
                return value
        raise InputError("the text has no document of YAML")

    def node(self, event: Any, depth: int) -> Value:
        yaml = self.yaml
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                raise InputError(f"alias *{event.anchor} names no anchor before it")
            value, size = self.anchors[event.anchor]
            self.grow(size)
            return value
        if depth > MAX_DEPTH:
            raise InputError("the YAML is nested too deeply")
        before = self.count
        self.grow(1)
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(event.value, event.tag, bool(event.style))
        elif isinstance(event, yaml.SequenceStartEvent):
            items: list[Value] = []
            for inner in self.events:
                if isinstance(inner, yaml.SequenceEndEvent):
                    break
                items.append(self.node(inner, depth + 1))
            value = tuple_of(items)
        else:
            value = self.mapping(depth)
        if event.anchor:
            self.anchors[event.anchor] = (value, self.count - before)
        return value

    def grow(self, size: int) -> None:
        self.count += size
        if self.count > MAX_NODES:
            raise InputError(f"the YAML expands to more than {MAX_NODES} values")

    def mapping(self, depth: int) -> Value:
        entries: dict[str, Value] = {}
        merged: dict[str, Value] = {}
        for event in self.events:
            if isinstance(event, self.yaml.MappingEndEvent):
                break
            merges = isinstance(event, self.yaml.ScalarEvent) and event.value == "<<" and not event.style
            key = self.node(event, depth + 1)
            value = self.node(next(self.events), depth + 1)
            if merges:
                for one in value.items if is_sequence(value.type) else (value,):
                    if one.is_null or not is_mapping(one.type):
                        raise InputError("a merge key of YAML needs a mapping")
                    merged = {**one.entries, **merged}
                continue
            if key.is_null or is_sequence(key.type) or is_mapping(key.type):
                raise InputError("a key of YAML must be text here")
            entries[as_string(key)] = value
        return object_of({**merged, **entries})


def _scalar(given: str, tag: str | None, quoted: bool) -> Value:
    if tag and tag.startswith(_STANDARD):
        return _tagged(given, tag.removeprefix(_STANDARD))
    if tag and tag != "!":
        raise InputError(f"the tag {tag} of YAML is not known here")
    return normalised(given) if quoted or tag == "!" else _plain(given)


def _tagged(given: str, tag: str) -> Value:
    if tag in ("str", "binary"):
        return normalised(given)
    value = _plain(given)
    fits = {
        "int": lambda: isinstance(value.raw, int) and not isinstance(value.raw, bool),
        "float": lambda: value.type != STRING and not isinstance(value.raw, bool) and value.raw is not None,
        "bool": lambda: isinstance(value.raw, bool),
        "null": lambda: value.raw is None,
        "timestamp": lambda: _DATE.fullmatch(given) is not None,
    }
    if tag not in fits or not fits[tag]():
        raise InputError(f"{given[:60]!r} cannot be read as !!{tag}")
    return value


def _plain(given: str) -> Value:
    if given in _NULLS:
        return NULL
    if given in _TRUE or given in _FALSE:
        return boolean(given in _TRUE)
    if _DECIMAL.fullmatch(given):
        try:
            return number(parse_number(given))
        except ValueError:
            return normalised(given)
    base = _OTHER_BASES.get(given[:2])
    if base:
        try:
            return number(int(given, base))
        except ValueError:
            return normalised(given)
    if found := _INFINITE.fullmatch(given):
        return number(float("-inf") if found[1] == "-" else float("inf"))
    if found := _DATE.fullmatch(given):
        return _timestamp(found)
    return normalised(given)


def _timestamp(found: re.Match[str]) -> Value:
    year, month, day = int(found[1]), int(found[2]), int(found[3])
    hour, minute, second = (int(found[index] or 0) for index in (4, 5, 6))
    zone = found[7] or "Z"
    return text(f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}{zone}")


def encode_yaml(value: Value) -> str:
    """Block style, keys and texts quoted, texts of several lines as literal blocks. Raises InputError at infinity."""
    if _is_block(value):
        return "\n".join(_lines(value)) + "\n"
    written = _leaf(value)
    if _is_literal(value):
        return "\n".join(_literal(value.raw)) + "\n"
    ends_open = not written.startswith(('"', "[", "{"))
    return written + ("\n...\n" if ends_open else "\n")


def _is_block(value: Value) -> bool:
    if value.is_null:
        return False
    return (is_sequence(value.type) and bool(value.items)) or (is_mapping(value.type) and bool(value.entries))


def _leaf(value: Value) -> str:
    if value.raw is None:
        return "null"
    if isinstance(value.raw, bool):
        return "true" if value.raw else "false"
    if isinstance(value.raw, str):
        return _quoted(value.raw)
    if is_sequence(value.type):
        return "[]"
    if is_mapping(value.type):
        return "{}"
    if isinstance(value.raw, float):
        raise InputError("an infinite number cannot be written as YAML")
    return number_text(value.raw)


def _quoted(given: str) -> str:
    # A backslash of the text itself is written as two, and what follows it is no escape.
    written = re.sub(r"\\(u003c|u003e|u0026|.)", lambda found: _PLAIN.get(found[1], found[0]), encode_text(given))
    return written.replace("\x7f", "\\x7F")


_PLAIN = {"u003c": "<", "u003e": ">", "u0026": "&"}


def _is_literal(value: Value) -> bool:
    """Whether a text is written as a literal block: several lines of characters that can stand for themselves."""
    given = value.raw
    if not isinstance(given, str) or "\n" not in given or given.endswith(" "):
        return False
    return all(letter in "\n\t" or (letter.isprintable() and letter != "\ufeff") for letter in given)


def _literal(given: str) -> list[str]:
    """The header of a literal block and its lines, indented by two."""
    body = given.rstrip("\n")
    ending = len(given) - len(body)
    keeps = "-" if ending == 0 else "" if ending == 1 and body else "+"
    indent = "2" if given[:1] in (" ", "\n") else ""
    lines = body.split("\n") + [""] * (ending - 1)
    return [f"|{indent}{keeps}", *(f"  {line}" if line else "" for line in lines)]


def _lines(value: Value) -> list[str]:
    if is_sequence(value.type):
        return [line for item in value.items for line in _item(item)]
    return [line for name, item in sorted(value.entries.items()) for line in _entry(name, item)]


def _item(item: Value) -> list[str]:
    if _is_block(item):
        first, *rest = _lines(item)
        return [f"- {first}", *(f"  {line}" if line else "" for line in rest)]
    if _is_literal(item):
        first, *rest = _literal(item.raw)
        return [f"- {first}", *rest]
    return [f"- {_leaf(item)}"]


def _entry(name: str, item: Value) -> list[str]:
    key = _quoted(name)
    if _is_block(item):
        indent = "" if is_sequence(item.type) else "  "
        return [f"{key}:", *(f"{indent}{line}" if line else "" for line in _lines(item))]
    if _is_literal(item):
        first, *rest = _literal(item.raw)
        return [f"{key}: {first}", *rest]
    return [f"{key}: {_leaf(item)}"]
