"""A path pattern with `**`, taken apart the way moby's patternmatcher does.

It is read character by character into a regular expression, whatever may come of that inside brackets. Most patterns
turn out to be a fixed text, or one with `**` at one end only, for which no expression is needed.
Patterns with many stars run on an automaton instead of a backtracking matcher, so that no pattern takes long.
Source: moby/patternmatcher, Pattern.compile.
"""

import re
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

Kind = Literal["exact", "prefix", "suffix", "expression"]

_TO_ESCAPE = frozenset(".+()|{}$")
_FOLDERS = "(?:.*/)?"
_REST = ".*"
_WITHIN = "[^/]*"


class PathPattern(Struct, frozen=True):
    """`parts` are the expression's pieces: one character each, or one of the three that repeat."""

    kind: Kind
    parts: tuple[str, ...]

    @property
    def expression(self) -> str:
        return "".join(self.parts) + r"\Z"

    @property
    def quantifiers(self) -> int:
        return sum(part in (_FOLDERS, _REST, _WITHIN) for part in self.parts)


def translate(text: str) -> PathPattern:
    kind: Kind = "exact"
    parts: list[str] = []
    position = 0
    while position < len(text):
        character = text[position]
        first = position == 0
        position += 1
        if character == "*" and text.startswith("*", position):
            position += 1
            position += text.startswith("/", position)
            if position < len(text):
                parts.append(_FOLDERS)
                kind = "expression"
            elif kind == "exact":
                kind = "prefix"
            else:
                parts.append(_REST)
                kind = "expression"
            if first:
                kind = "suffix"
        elif character == "*":
            parts.append(_WITHIN)
            kind = "expression"
        elif character == "?":
            parts.append("[^/]")
            kind = "expression"
        elif character in _TO_ESCAPE:
            parts.append("\\" + character)
        elif character == "\\" and position < len(text):
            parts.append(_escaped(text[position]))
            position += 1
            kind = "expression"
        else:
            if character in "[]":
                kind = "expression"
            parts.append(character)
    return PathPattern(kind, tuple(parts))


def _escaped(character: str) -> str:
    # A letter behind a backslash is no letter any more: it means to the expression what it means to RE2, or nothing.
    return "\\" + character if character.isalnum() and character.isascii() else re.escape(character)


def compile_automaton(pattern: PathPattern) -> Callable[[str], bool]:
    """A matcher whose time is the path's length times the pattern's, at worst."""
    steps = _steps(pattern.parts)
    last = len(steps)

    def settled(states: set[int]) -> set[int]:
        # What repeats may also not occur at all.
        out = set()
        for state in states:
            out.add(state)
            while 0 <= state < last and steps[state] in (_FOLDERS, _REST, _WITHIN):
                state += 1
                out.add(state)
        return out

    # A state inside `(.*/)?` that has not seen its slash is the step's number made negative, less one.
    def match(path: str) -> bool:
        states = settled({0})
        for character in path:
            following = set()
            for state in states:
                if state < 0:
                    if character != "\n":
                        following.add(state)
                    if character == "/":
                        following.add(-state)
                elif state < last:
                    step = steps[state]
                    if step == _FOLDERS:
                        if character != "\n":
                            following.add(-(state + 1))
                        if character == "/":
                            following.add(state + 1)
                    elif step == _REST:
                        if character != "\n":
                            following.add(state)
                    elif step == _WITHIN:
                        if character != "/":
                            following.add(state)
                    elif callable(step) and step(character):
                        following.add(state + 1)
            if not following:
                return False
            states = settled(following)
        return last in states

    return match


def _steps(parts: tuple[str, ...]) -> list[str | Callable[[str], bool]]:
    steps: list[str | Callable[[str], bool]] = []
    pending = ""
    for part in parts:
        if pending or part == "[":
            # What looks like a star within brackets belongs to the set.
            pending += part
            if part == "]":
                steps.append(_one(pending))
                pending = ""
        elif part in (_FOLDERS, _REST, _WITHIN):
            steps.append(part)
        else:
            steps.append(_one(part))
    return steps


def _one(expression: str) -> Callable[[str], bool]:
    fullmatch = re.compile(expression, re.ASCII).fullmatch
    return lambda character: fullmatch(character) is not None
