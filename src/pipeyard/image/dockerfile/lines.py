"""Physical lines into logical ones: continuations joined, comments left out, and every character keeps its place.

The work that grows with the size of the file is done by a few patterns that run in C and look at each character once:
ten megabytes of line breaks cost no more than their reading. Source: BuildKit, frontend/dockerfile/parser.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache

from msgspec import Struct

from pipeyard.errors import DockerfileError, Place
from pipeyard.patterns import later

LINE_LIMIT = 65_535
"""Bytes of one physical line. BuildKit's scanner reads no longer ones, so no working Dockerfile has any."""

PARTS_LIMIT = 1_000_000
"""Words, instructions and the like in one file. A hostile file is refused before it costs seconds."""

SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""What Go's unicode.IsSpace takes for white space, as the inside of a character class."""

SPACES = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
"""The same, for `str.strip`."""

_NOTHINGS = frozenset((*SPACES, "#"))
"""What a line that says nothing may begin with."""

_COMMENTS_KEPT = 500  # lines above an instruction; nobody describes one in more


def repeated(piece: str) -> str:
    """A pattern for any number of pieces that never gives one back, nor needs memory for each of them.

    Not a possessive group: Python before 3.11.5 matches those wrongly (gh-106052).
    """
    return rf"(?>(?>(?:{piece}){{1,1000}})*)"


_PAD = "[" + SPACE.replace("\n", "") + "]"
# At the start of a line: a comment with the empty lines before it, or empty lines.
_NOTHING = rf"[{SPACE}]*+#[^\n]*+\n?+|[{SPACE}]*\n|[{SPACE}]++\Z"
_says_nothing = later(repeated(_NOTHING))
_empty_line = later(rf"\n(?:{_PAD}*+\n|{_PAD}++\Z)")


class Line:
    """One logical line. `text` has no white space before it; the white space behind it is kept."""

    __slots__ = (
        "_joints",
        "_more_joints",
        "_pad",
        "_raw",
        "_source",
        "comments",
        "end_line",
        "has_empty_line",
        "start_line",
        "text",
    )

    def __init__(self, source: "Source", raw: str, joined: str, start_line: int, end_line: int) -> None:
        self.text = joined.lstrip(SPACES)
        self.start_line = start_line
        self.end_line = end_line
        self.comments: tuple[str, ...] = ()
        self.has_empty_line = False
        self._source = source
        self._raw = raw
        self._pad = len(joined) - len(self.text)
        self._joints = [(0, start_line)]
        self._more_joints = source.joints(raw, start_line)

    def place(self, offset: int) -> Place:
        """Where the character at this offset of `text` stands in the file."""
        offset += self._pad
        if self.start_line == self.end_line:
            return Place(self._source.file, self.start_line, offset + 1)
        # Only as far as asked for: most questions are about the beginning of a line.
        while self._joints[-1][0] <= offset and (joint := next(self._more_joints, None)) is not None:
            if joint[0] == self._joints[-1][0]:
                self._joints.pop()  # it was followed by a line that says nothing
            self._joints.append(joint)
        begins, line = self._joints[bisect_right(self._joints, offset, key=_offset) - 1]
        return Place(self._source.file, line, offset - begins + 1)


class Source:
    """The text of a file, and a position in it that moves from logical line to logical line."""

    def __init__(self, text: bytes, file: str) -> None:
        """Raises DockerfileError for a physical line that is too long."""
        _refuse_long_lines(text, file)
        self.file = file
        self.line_number = 1  # of the line at the position
        # Bytes that are not UTF-8 travel as lone surrogates, so that they leave as they came.
        self._text = text.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
        self._continues = "\\" in self._text
        self._position = 0
        self._comments_from = 0
        self._patterns = _patterns("\\")
        self._parts_left = PARTS_LIMIT
        self._lines: list[str] = []  # as they are; filled by the first heredoc, like the next two
        self._ends: list[str] = []  # without carriage returns
        self._chomped_ends: list[str] = []  # nor the tabs in front

    @property
    def escape(self) -> str:
        return self._patterns.escape

    def use_escape(self, escape: str) -> None:
        """Sets the character that escapes and continues lines, for all that follows."""
        self._patterns = _patterns(escape)
        self._continues = escape in self._text

    def spend(self, parts: int) -> None:
        """Counts parts read. Raises DockerfileError when the file has more of them than any real one."""
        self._parts_left -= parts
        if self._parts_left < 0:
            raise DockerfileError(
                f"more than {PARTS_LIMIT} words and instructions in one Dockerfile",
                place=Place(self.file, self.line_number),
                hint="put generated content into a file of its own and COPY it",
            )

    def joints(self, raw: str, line: int) -> Iterator[tuple[int, int]]:
        """For each further physical line of `raw` that says something: its offset when joined, and its number."""
        removed = 0
        for match in self._patterns.joint.finditer(raw):
            removed += match.end() - match.start()
            line += raw.count("\n", match.start(), match.end())
            yield match.end() - removed, line

    def peek_line(self) -> str:
        """The physical line at the position, without white space in front."""
        end = self._text.find("\n", self._position)
        return self._text[self._position : end if end >= 0 else None].rstrip("\r").lstrip(SPACES)

    def skip_line(self) -> None:
        """Passes the physical line at the position; it counts as comment of nothing."""
        end = self._text.find("\n", self._position)
        self._position = end + 1 if end >= 0 else len(self._text)
        self._comments_from = self._position
        self.line_number += 1

    def next_line(self) -> Line | None:
        """The next logical line with the comments above it; None at the end of the file."""
        text = self._text
        start = self._position
        if text[start : start + 1] in _NOTHINGS and (skipped := _says_nothing.match(text, start)):
            start = skipped.end()
        self.line_number += text.count("\n", self._position, start)
        if start >= len(text):
            self._position = start
            return None
        continued = self._patterns.continued.match(text, start) if self._continues else None
        last = continued.end() if continued else start
        end = text.find("\n", last)
        if end < 0:
            end = len(text)
        raw = text[start:end].rstrip("\r")
        joined = self._patterns.joint.sub("", raw) if last > start else raw
        after = min(end + 1, len(text))
        count = text.count("\n", start, after) + (text[after - 1] != "\n")
        line = Line(self, raw, joined, self.line_number, self.line_number + count - 1)
        if start > self._comments_from:
            line.comments = _comments(text[self._comments_from : start])
        if last > start:
            line.has_empty_line = _empty_line.search(text, start, after) is not None
        self.line_number += count
        self._position = self._comments_from = after
        return line

    def heredoc(self, name: str, chomp: bool) -> str | None:
        """The lines up to one that consists of `name`, and moves behind that; None when there is none."""
        if not self._lines:
            self._lines = self._text.split("\n")
            self._ends = [line.rstrip("\r") for line in self._lines] if "\r" in self._text else self._lines
        if chomp and not self._chomped_ends:
            self._chomped_ends = [line.lstrip("\t") for line in self._ends]
        first = self.line_number - 1
        try:
            last = (self._chomped_ends if chomp else self._ends).index(name, first)
        except ValueError:
            return None
        content = "\n".join(self._lines[first:last]) + "\n" if last > first else ""
        self._position = min(self._position + len(content) + len(self._lines[last]) + 1, len(self._text))
        self._comments_from = self._position
        self.line_number = last + 2
        return content


def _offset(joint: tuple[int, int]) -> int:
    return joint[0]


class _Patterns(Struct, frozen=True):
    escape: str
    continued: re.Pattern[str]
    joint: re.Pattern[str]


@lru_cache(maxsize=2)
def _patterns(escape: str) -> _Patterns:
    # The escape character continues a line as its last one, blanks aside, unless another one stands before it.
    joint = rf"(?<!{re.escape(escape)}){re.escape(escape)}[ \t]*\r*(?:\n|\Z)"
    continued = rf"[^\n]*{joint}"
    return _Patterns(
        escape,
        later(rf"{continued}{repeated(f'{_NOTHING}|{continued}')}"),
        later(rf"{joint}|(?<=\n)(?:{_NOTHING})"),
    )


def _comments(block: str) -> tuple[str, ...]:
    """The comments of a run of comments and empty lines. Only an empty comment separates what stands above it."""
    comments: list[str] = []
    for line in block.rsplit("\n", _COMMENTS_KEPT):
        if not line.lstrip(SPACES).startswith("#"):
            continue
        comment = line[1:].strip(SPACES)
        if comment:
            comments.append(comment)
        else:
            comments.clear()
    return tuple(comments)


def _refuse_long_lines(text: bytes, file: str) -> None:
    start = 0
    while len(text) - start > LINE_LIMIT:
        end = text.rfind(b"\n", start, start + LINE_LIMIT + 1)
        if end < 0:
            place = Place(file, text.count(b"\n", 0, start) + 1)
            raise DockerfileError(f"line longer than {LINE_LIMIT} bytes", place=place, hint="COPY it as a file")
        start = end + 1
