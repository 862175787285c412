"""YAML and JSON text as a tree in which every value knows its place.

Readers walk this tree instead of plain dictionaries, so that an error can point at its line. The YAML is libyaml's
event stream (1.1, as CloudFormation reads it): over ten times as fast as a parser in Python. JSON has a scanner of its
own, since it is not quite YAML (tabs, surrogate pairs) and errors should speak of JSON.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeyard.definition.nodes import (
    KNOWN_LATER,
    Items,
    Leaf,
    Node,
    Table,
    Unknown,
    first_unknown,
    plain,
    shown,
    text_leaf,
    value_leaf,
)
from pipeyard.errors import InputError, Place
from pipeyard.files import read_regular

__all__ = [
    "KNOWN_LATER",
    "MAX_DEPTH",
    "MAX_NODES",
    "MAX_SIZE",
    "Items",
    "Leaf",
    "Node",
    "Repeat",
    "Table",
    "Tag",
    "Unknown",
    "first_unknown",
    "parse_document",
    "parse_json",
    "parse_yaml",
    "plain",
    "read_text",
    "refuse_repeat",
    "refuse_tag",
    "shown",
    "text_leaf",
    "value_leaf",
]

MAX_NODES = 1_000_000
"""More than this, aliases counted as what they stand for, is an attack ("billion laughs") and not a definition."""

MAX_DEPTH = 100


Repeat = Callable[[str, Place], None]
"""Is told of a key that a mapping holds a second time; what it raises refuses the document."""


def refuse_repeat(key: str, place: Place) -> None:
    raise InputError(f"key {key!r} is here a second time", place=place)


Tag = Callable[[str, Node], Node | None]
"""What an explicit tag (without its `!`) makes of a node; None refuses the tag."""


def refuse_tag(tag: str, node: Node) -> Node | None:
    """The Tag for documents that know no tags."""
    return None


MAX_SIZE = 20_000_000
"""Bytes. The service takes a template of 1 MB; the plan of a large Terraform folder may have more."""


def read_text(path: Path) -> str:
    """A document's text without a byte order mark. Raises InputError when it is no text, too large or not readable."""
    try:
        return read_regular(path, MAX_SIZE).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8", place=Place(str(path))) from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", place=Place(str(path))) from error


def parse_document(text: str, file: str, tag: Tag = refuse_tag, repeat: Repeat = refuse_repeat) -> Node:
    """The first document of a text: JSON when it begins like it and is, otherwise YAML. A file named .json is JSON.

    Raises InputError, placed, at a syntax error, an unknown tag, or a text that would expand to more than MAX_NODES
    values or MAX_DEPTH levels, and what `repeat` raises at a repeated key; if it raises nothing, the last one counts.
    """
    if text.startswith("\ufeff"):
        text = text[1:]
    if text.lstrip()[:1] in ("{", "["):
        try:
            return parse_json(text, file, repeat)
        except InputError as error:
            # A flow mapping of YAML ({Name: x}) begins like JSON; only when YAML refuses it too is it wrong JSON.
            if file.endswith(".json"):
                raise
            try:
                return parse_yaml(text, file, tag, repeat)
            except InputError:
                raise error from None
    return parse_yaml(text, file, tag, repeat)


_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"((?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*)"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORD = re.compile(r"true|false|null")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")
_PLAIN_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def parse_json(text: str, file: str, repeat: Repeat = refuse_repeat) -> Node:
    """RFC 8259; `repeat` decides about repeated keys. Raises InputError at the offending place."""
    return _Json(text, file, repeat).document()


class _Json:
    def __init__(self, text: str, file: str, repeat: Repeat) -> None:
        self.text = text
        self.file = file
        self.repeat = repeat
        self.lines = [0, *(found.end() for found in re.finditer("\n", text))]

    def place(self, offset: int) -> Place:
        line = bisect_right(self.lines, offset)
        return Place(self.file, line, offset - self.lines[line - 1] + 1)

    def fault(self, message: str, offset: int) -> InputError:
        return InputError(message, place=self.place(min(offset, len(self.text))))

    def space(self, at: int) -> int:
        found = _SPACE.match(self.text, at)
        return found.end() if found else at

    def document(self) -> Node:
        node, at = self.value(self.space(0), 0)
        at = self.space(at)
        if at != len(self.text):
            raise self.fault("not valid JSON: text after the end of the document", at)
        return node

    def value(self, at: int, depth: int) -> tuple[Node, int]:
        if depth > MAX_DEPTH:
            raise self.fault("nested too deeply", at)
        first = self.text[at : at + 1]
        if first == '"':
            text, end = self.string(at)
            return Leaf(text, text, self.place(at)), end
        if first == "{":
            return self.table(at, depth)
        if first == "[":
            return self.items(at, depth)
        if word := _WORD.match(self.text, at):
            spelled = word[0]
            value = {"true": True, "false": False, "null": None}[spelled]
            return Leaf(value, "" if value is None else spelled, self.place(at)), word.end()
        if number := _NUMBER.match(self.text, at):
            return _number(number[0], self.place(at)), number.end()
        raise self.fault("not valid JSON: a value is expected here", at)

    def string(self, at: int) -> tuple[str, int]:
        found = _STRING.match(self.text, at)
        if found is None:
            raise self.fault("not valid JSON: a string with a wrong escape, a line break or without its end", at)
        body = found[1]
        return (_unescape(body) if "\\" in body else body), found.end()

    def items(self, at: int, depth: int) -> tuple[Node, int]:
        place = self.place(at)
        nodes: list[Node] = []
        at = self.space(at + 1)
        if self.text[at : at + 1] == "]":
            return Items((), place), at + 1
        while True:
            node, at = self.value(at, depth + 1)
            nodes.append(node)
            at = self.space(at)
            mark = self.text[at : at + 1]
            if mark == "]":
                return Items(tuple(nodes), place), at + 1
            if mark != ",":
                raise self.fault("not valid JSON: ',' or ']' is expected here", at)
            at = self.space(at + 1)

    def table(self, at: int, depth: int) -> tuple[Node, int]:
        place = self.place(at)
        entries: dict[str, Node] = {}
        key_places: dict[str, Place] = {}
        at = self.space(at + 1)
        if self.text[at : at + 1] == "}":
            return Table(entries, key_places, place), at + 1
        while True:
            if self.text[at : at + 1] != '"':
                raise self.fault("not valid JSON: a key in double quotes is expected here", at)
            key, end = self.string(at)
            if key in entries:
                self.repeat(key, self.place(at))
            key_places[key] = self.place(at)
            at = self.space(end)
            if self.text[at : at + 1] != ":":
                raise self.fault("not valid JSON: ':' is expected here", at)
            entries[key], at = self.value(self.space(at + 1), depth + 1)
            at = self.space(at)
            mark = self.text[at : at + 1]
            if mark == "}":
                return Table(entries, key_places, place), at + 1
            if mark != ",":
                raise self.fault("not valid JSON: ',' or '}' is expected here", at)
            at = self.space(at + 1)


def _unescape(body: str) -> str:
    text = _ESCAPE.sub(
        lambda found: chr(int(found[1], 16)) if found[1] else _PLAIN_ESCAPES.get(found[2], found[2]), body
    )
    # Two \u escapes of a surrogate pair are one character.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _number(text: str, place: Place) -> Leaf:
    if re.fullmatch(r"[-+]?[0-9]{1,4000}", text):
        return Leaf(int(text), text, place)
    return Leaf(float(text), text, place)


_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})
_FALSE = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})
_YAML_NUMBER = re.compile(r"[-+]?(?:[0-9]+|[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+)")
_STANDARD = "tag:yaml.org,2002:"


def parse_yaml(text: str, file: str, tag: Tag = refuse_tag, repeat: Repeat = refuse_repeat) -> Node:
    """The first document of a YAML text; aliases and merge keys are expanded, `repeat` decides about repeated keys."""
    import yaml

    loader = yaml.CLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    try:
        return _Yaml(yaml.parse(text, Loader=loader), file, tag, repeat, yaml).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        what = ", ".join(part for part in (error.context, error.problem) if part)
        raise InputError(f"not valid YAML: {what}", place=place) from error
    except yaml.YAMLError as error:
        raise InputError(f"not valid YAML: {error}".splitlines()[0], place=Place(file)) from error
    except UnicodeEncodeError as error:
        raise InputError("not valid YAML: a lone surrogate", place=Place(file)) from error


class _Yaml:
    """A composer over the event stream that keeps the start of every value and counts what aliases expand to."""

    def __init__(self, events: Iterator[Any], file: str, tag: Tag, repeat: Repeat, yaml: Any) -> None:
        self.events = events
        self.file = file
        self.tag = tag
        self.repeat = repeat
        self.yaml = yaml
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.count = 0

    def document(self) -> Node:
        for event in self.events:
            if isinstance(event, self.yaml.DocumentStartEvent):
                return self.node(next(self.events), 0)
        return Leaf(None, "", Place(self.file, 1, 1))

    def node(self, event: Any, depth: int) -> Node:
        yaml = self.yaml
        place = Place(self.file, event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                raise InputError(f"alias *{event.anchor} names no anchor above it", place=place)
            node, size = self.anchors[event.anchor]
            self.grow(size, place)
            return node
        if depth > MAX_DEPTH:
            raise InputError("nested too deeply", place=place)
        before = self.count
        self.grow(1, place)
        node = self.content(event, place, depth)
        if event.tag and not event.tag.startswith(_STANDARD) and event.tag != "!":
            made = self.tag(event.tag.lstrip("!"), node)
            if made is None:
                raise InputError(f"unknown tag {event.tag}", place=place)
            node = made
        if event.anchor:
            self.anchors[event.anchor] = (node, self.count - before)
        return node

    def grow(self, size: int, place: Place) -> None:
        self.count += size
        if self.count > MAX_NODES:
            raise InputError(f"expands to more than {MAX_NODES} values", place=place)

    def content(self, event: Any, place: Place, depth: int) -> Node:
        yaml = self.yaml
        if isinstance(event, yaml.ScalarEvent):
            # An untagged or short-tagged plain scalar (!If, !Ref ...) still has its plain type: !Select 0 counts.
            plain_style = event.style is None or event.style == ""
            if event.tag == f"{_STANDARD}str" or not plain_style:
                return text_leaf(event.value, place)
            return _resolve(event.value, place)
        if isinstance(event, yaml.SequenceStartEvent):
            nodes = []
            for following in self.events:
                if isinstance(following, yaml.SequenceEndEvent):
                    break
                nodes.append(self.node(following, depth + 1))
            return Items(tuple(nodes), place)
        return self.table(place, depth)

    def table(self, place: Place, depth: int) -> Table:
        entries: dict[str, Node] = {}
        key_places: dict[str, Place] = {}
        merged: list[Node] = []
        for event in self.events:
            if isinstance(event, self.yaml.MappingEndEvent):
                break
            key_place = Place(self.file, event.start_mark.line + 1, event.start_mark.column + 1)
            key_node = self.node(event, depth + 1)
            if not isinstance(key_node, Leaf):
                raise InputError("a key must be plain text", place=key_place)
            # The name of a key is its text: `No:` in Mappings is the key "No".
            key = str(event.value) if isinstance(event, self.yaml.ScalarEvent) else key_node.text
            value = self.node(next(self.events), depth + 1)
            if key == "<<" and not event.style:
                merged += value.nodes if isinstance(value, Items) else (value,)
                continue
            if key in entries:
                self.repeat(key, key_place)
            entries[key] = value
            key_places[key] = key_place
        for other in merged:
            if not isinstance(other, Table):
                raise InputError("a merge key (<<) needs a mapping", place=place)
            for key, value in other.entries.items():
                if key not in entries:
                    entries[key] = value
                    key_places[key] = other.key_place(key)
        return Table(entries, key_places, place)


def _resolve(text: str, place: Place) -> Leaf:
    if text in _NULL:
        return Leaf(None, "", place)
    if text in _TRUE:
        return Leaf(True, "true", place)
    if text in _FALSE:
        return Leaf(False, "false", place)
    # Dates, times and base-60 numbers stay text: CloudFormation leaves 2010-09-09 alone, and so does the API.
    if _YAML_NUMBER.fullmatch(text):
        return _number(text, place)
    return Leaf(text, text, place)
