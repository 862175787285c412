r"""Regular expressions of RE2, as Terraform has them, in terms of Python's.

What RE2 does not have (look-around, back references) is refused; what means another thing there is rewritten:
`\d \w \s \b` are ASCII, `$` and `\z` are the very end, flags may begin anywhere. Source: RE2, "Syntax".
"""

import re
import sys
import unicodedata
from functools import cache
from typing import NoReturn

_MAX_REPEAT = 1000
_CLASSES = {
    "d": "0-9",
    "w": "0-9A-Za-z_",
    "s": r"\t\n\f\r ",
}
_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_WORD = "[0-9A-Za-z_]"
_BOUNDARY = rf"(?:(?<!{_WORD})(?={_WORD})|(?<={_WORD})(?!{_WORD}))"
_NO_BOUNDARY = rf"(?:(?<!{_WORD})(?!{_WORD})|(?<={_WORD})(?={_WORD}))"


class PatternError(ValueError):
    """The pattern is none of RE2's."""


@cache
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Raises PatternError, telling at which character."""
    if len(pattern) > 10_000:
        raise PatternError("the pattern is longer than 10000 characters")
    translated = _Translation(pattern).all()
    try:
        return re.compile(translated)
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternError(f"{pattern!r} is no regular expression: {error}") from error


class _Translation:
    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.out: list[str] = []
        self.open: list[tuple[int, str]] = []  # groups to close at the next ")", and the flags outside of it
        self.flags = ""
        self.scopes: list[list[str]] = [[]]  # openings of flag groups inside each open group

    def fail(self, message: str) -> NoReturn:
        raise PatternError(f"{message} at character {self.at + 1} of {self.pattern!r}")

    def all(self) -> str:
        while self.at < len(self.pattern):
            self.step()
        if self.open:
            self.fail("a parenthesis is not closed")
        return "".join(self.out) + ")" * len(self.scopes[0])

    def step(self) -> None:
        character = self.pattern[self.at]
        if character == "\\":
            self.escape()
        elif character == "[":
            self.character_class()
        elif character == "(":
            self.group()
        elif character == ")":
            if not self.open:
                self.fail("a parenthesis is closed that was not opened")
            _, self.flags = self.open.pop()
            self.out.append(")" * (len(self.scopes.pop()) + 1))
            self.at += 1
        elif character == "$":
            self.out.append(r"(?=\n|\Z)" if "m" in self.flags else r"\Z")
            self.at += 1
        elif character == "|" and self.scopes[-1]:
            # `x(?i)a|b` has two alternatives, and the flags reach over the second one.
            openings = self.scopes[-1]
            self.out.append(")" * len(openings) + "|" + "".join(openings))
            self.at += 1
        elif character in "*+?" or (character == "{" and re.match(r"\{\d+(?:,\d*)?\}", self.pattern[self.at :])):
            self.repetition()
        elif character == "{":
            self.out.append(r"\{")
            self.at += 1
        else:
            self.out.append(character if character in ".^|" else re.escape(character))
            self.at += 1

    def repetition(self) -> None:
        found = re.match(r"[*+?]|\{\d+(?:,\d*)?\}", self.pattern[self.at :])
        assert found is not None
        if any(int(size) > _MAX_REPEAT for size in re.findall(r"\d{1,9}", found[0])):
            self.fail(f"more than {_MAX_REPEAT} repetitions")
        self.at += found.end()
        lazy = self.pattern[self.at : self.at + 1] == "?"
        self.at += lazy
        following = self.pattern[self.at : self.at + 1]
        if following in ("*", "+"):
            self.fail("a repetition of a repetition")
        self.out.append(found[0] + ("?" if lazy != ("U" in self.flags) else ""))

    def group(self) -> None:
        rest = self.pattern[self.at :]
        if named := re.match(r"\(\?P?<([A-Za-z0-9_]+)>", rest):
            self.begin(f"(?P<{named[1]}>", named.end())
        elif flags := re.match(r"\(\?([imsU]*)(?:-([imsU]+))?([:)])", rest):
            self.flag_group(flags)
        elif rest.startswith("(?"):
            self.fail("look-around and other extensions do not exist in RE2")
        else:
            self.begin("(", 1)

    def begin(self, opening: str, size: int) -> None:
        self.open.append((1, self.flags))
        self.scopes.append([])
        self.out.append(opening)
        self.at += size

    def flag_group(self, found: re.Match[str]) -> None:
        on, off, ending = found[1], found[2] or "", found[3]
        before = self.flags
        flags = "".join(sorted((set(self.flags) | set(on)) - set(off)))
        python_on = "".join(flag for flag in on if flag in "ims")
        python_off = "".join(flag for flag in off if flag in "ims")
        opening = f"(?{python_on}{'-' + python_off if python_off else ''}:" if python_on or python_off else "(?:"
        self.at += found.end()
        if ending == ":":
            self.open.append((1, before))
            self.scopes.append([])
        else:
            self.scopes[-1].append(opening)
        self.flags = flags
        self.out.append(opening)

    def escape(self) -> None:
        following = self.pattern[self.at + 1 : self.at + 2]
        if not following:
            self.fail("a backslash at the end")
        if following in "dws":
            self.out.append(f"[{_CLASSES[following]}]")
        elif following in "DWS":
            self.out.append(f"[^{_CLASSES[following.lower()]}]")
        elif following == "b":
            self.out.append(_BOUNDARY)
        elif following == "B":
            self.out.append(_NO_BOUNDARY)
        elif following == "A":
            self.out.append(r"\A")
        elif following == "z":
            self.out.append(r"\Z")
        elif following == "Q":
            end = self.pattern.find("\\E", self.at + 2)
            end = len(self.pattern) if end < 0 else end
            self.out.append(re.escape(self.pattern[self.at + 2 : end]))
            self.at = min(end + 2, len(self.pattern))
            return
        elif following in "pP":
            self.out.append(f"[{self.property()}]")
            return
        else:
            self.out.append(self.literal())
            return
        self.at += 2

    def literal(self) -> str:
        """An escape that stands for one character, in Python's spelling."""
        rest = self.pattern[self.at :]
        if found := re.match(r"\\x([0-9A-Fa-f]{2})|\\x\{([0-9A-Fa-f]{1,6})\}|\\(0[0-7]{0,2}|[1-7][0-7]{2})", rest):
            code = int(found[1] or found[2], 16) if found[1] or found[2] else int(found[3], 8)
            if code > sys.maxunicode:
                self.fail("no such character")
            self.at += found.end()
            return re.escape(chr(code))
        character = rest[1]
        if character in "afnrtv":
            self.at += 2
            return f"\\{character}"
        if not character.isascii() or character.isalnum():
            self.fail("no such escape")
        self.at += 2
        return re.escape(character)

    def property(self) -> str:
        found = re.match(r"\\([pP])(?:\{(\^?)([A-Za-z_]+)\}|([A-Z]))", self.pattern[self.at :])
        if found is None:
            self.fail("no such class of characters")
        name = found[3] or found[4]
        negated = (found[1] == "P") != bool(found[2])
        ranges = _unicode_class(name, negated)
        if not ranges:
            self.fail("no such class of characters")
        self.at += found.end()
        return ranges

    def character_class(self) -> None:
        self.at += 1
        out = ["["]
        if self.pattern[self.at : self.at + 1] == "^":
            out.append("^")
            self.at += 1
        first = True
        while True:
            if self.at >= len(self.pattern):
                self.fail("a class of characters is not closed")
            rest = self.pattern[self.at :]
            if rest[0] == "]" and not first:
                self.at += 1
                break
            first = False
            if posix := re.match(r"\[:(\^?)([a-z]+):\]", rest):
                out.append(self.posix(posix[2], bool(posix[1])))
                self.at += posix.end()
            elif rest[0] == "\\" and rest[1:2] in tuple("dws"):
                out.append(_CLASSES[rest[1]])
                self.at += 2
            elif rest[0] == "\\" and rest[1:2] in tuple("DWS"):
                out.append(_complement(_CLASSES[rest[1].lower()]))
                self.at += 2
            elif rest[0] == "\\" and rest[1:2] in ("p", "P"):
                out.append(self.property())
            elif rest[0] == "\\":
                out.append(self.literal())
            elif rest[0] == "-":
                follows_range = len(out) > 1 and rest[1:2] not in ("]", "")
                out.append("-" if follows_range else r"\-")
                self.at += 1
            else:
                out.append(re.escape(rest[0]))
                self.at += 1
        self.out.append("".join(out) + "]")

    def posix(self, name: str, negated: bool) -> str:
        if name not in _POSIX:
            self.fail("no such class of characters")
        return _complement(_POSIX[name]) if negated else _POSIX[name]


@cache
def _complement(ranges: str) -> str:
    inside = re.compile(f"[{ranges}]")
    return _ranges([code for code in range(0x80) if not inside.match(chr(code))]) + "\\x80-\U0010ffff"


_SCRIPTS = {"Latin": "LATIN", "Greek": "GREEK", "Cyrillic": "CYRILLIC", "Han": "CJK UNIFIED", "Hiragana": "HIRAGANA"}


@cache
def _unicode_class(name: str, negated: bool) -> str:
    if name == "Any":
        return "" if negated else "\\x00-\U0010ffff"
    if name in _SCRIPTS:
        word = _SCRIPTS[name]
        codes = [
            code for code in range(sys.maxunicode + 1) if unicodedata.name(chr(code), "").startswith(word) != negated
        ]
    else:
        categories = {unicodedata.category(chr(code)) for code in range(0x3000)} | {"Cs", "Co", "Cn"}
        if not any(category.startswith(name) for category in categories):
            return ""
        codes = [
            code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)).startswith(name) != negated
        ]
    return _ranges(codes)


def _ranges(codes: list[int]) -> str:
    out: list[str] = []
    start = previous = -2
    for code in [*codes, -1]:
        if code == previous + 1 and code >= 0:
            previous = code
            continue
        if start >= 0:
            out.append(f"\\U{start:08x}-\\U{previous:08x}")
        start = previous = code
    return "".join(out)


def matches(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    """All matches in order; an empty one that touches the one before is none (Go's rule, not Python's)."""
    found: list[re.Match[str]] = []
    at = 0
    last_end = -1
    while at <= len(text):
        match = pattern.search(text, at)
        if match is None:
            break
        if match.end() > match.start() or match.start() != last_end:
            found.append(match)
            last_end = match.end()
        at = match.end() if match.end() > match.start() else match.end() + 1
    return found


_TEMPLATE = re.compile(r"\$(?:(\$)|([A-Za-z0-9_]+)|\{([A-Za-z0-9_]+)\})")


def replace_all(pattern: re.Pattern[str], text: str, replacement: str) -> str:
    """Every match replaced; `$1`, `${1}` and `${name}` stand for groups, `$$` for a dollar sign."""
    out: list[str] = []
    at = 0
    for match in matches(pattern, text):
        out.append(text[at : match.start()])
        out.append(_TEMPLATE.sub(lambda found, match=match: _group(match, found), replacement))  # type: ignore[misc]
        at = match.end()
    return "".join([*out, text[at:]])


def _group(match: re.Match[str], found: re.Match[str]) -> str:
    if found[1]:
        return "$"
    name = found[2] or found[3]
    if name.isdigit():
        return (match[int(name)] or "") if int(name) <= match.re.groups else ""
    return (match[name] or "") if name in match.re.groupindex else ""
