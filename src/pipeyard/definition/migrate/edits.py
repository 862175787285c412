"""Edits of a text: pieces replaced by their offsets, everything between them untouched."""

from collections.abc import Iterable
from difflib import unified_diff

from msgspec import Struct

from pipeyard.errors import Place


class Edit(Struct, frozen=True, order=True):
    """The text from `start` to before `end` becomes `new`."""

    start: int
    end: int
    new: str = ""


def offset_of(text: str, place: Place) -> int:
    """Where a place (line and column from 1) lies in a text."""
    at = 0
    for _ in range(place.line - 1):
        at = text.index("\n", at) + 1
    return at + max(0, place.column - 1)


def line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def line_end(text: str, at: int) -> int:
    """Behind the line break that ends the line of `at`."""
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1


def applied(text: str, edits: Iterable[Edit]) -> str:
    """Edits within a piece that another one replaces are dropped."""
    out, at = [], 0
    for edit in sorted(edits, key=lambda one: (one.start, -one.end)):
        if edit.start < at:
            continue
        out += [text[at : edit.start], edit.new]
        at = edit.end
    return "".join([*out, text[at:]])


def diff(before: str, after: str, name: str) -> str:
    """A unified diff; empty when nothing changed."""
    lines = unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{name}", f"b/{name}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
