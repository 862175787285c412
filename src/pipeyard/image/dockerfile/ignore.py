"""Which paths of a build context `.dockerignore` leaves out.

    matcher = compile_ignore(text, ".dockerignore")
    matcher.ignores("a/b.txt")                                  one path by itself
    ignored, within = matcher.decide("a", matcher.top)          a walk: `within` is for what lies in that folder
    ignored and matcher.can_skip("a")                           nothing below it can come back

Patterns are read in order and the last one that matches decides; one that begins with `!` brings back. A pattern
matches a path when it matches the path or a folder above it. Where BuildKit's walk and a question about a single path
differ (an exception for a folder whose file an earlier pattern excludes), so do `decide` and `ignores`.
Source: moby/patternmatcher, patternmatcher.go and ignorefile/ignorefile.go; tonistiigi/fsutil, filter.go.
"""

import posixpath
import re
import warnings
from collections.abc import Callable

from msgspec import Struct

from pipeyard.errors import DockerfileError, Place, located
from pipeyard.image.dockerfile.lines import LINE_LIMIT, SPACES
from pipeyard.image.dockerfile.path_pattern import PathPattern, compile_automaton, translate
from pipeyard.image.dockerfile.wildcard import compile_wildcard

_SPECIAL = frozenset("*[]?^\\")
_FEW_QUANTIFIERS = 3


class Pattern(Struct, frozen=True):
    """One line that says something. `text` is cleaned and without `!`."""

    text: str
    exception: bool
    place: Place
    matches: Callable[[str], bool]


class IgnoreMatcher:
    """Compiled patterns. Has no state of its own: any number of threads may ask."""

    top = 0
    """What `decide` needs for the paths of the context's root."""

    def __init__(self, patterns: tuple[Pattern, ...]) -> None:
        self.patterns = patterns
        self._exceptions = [pattern for pattern in patterns if pattern.exception]
        below = [_without_trailing_glob(pattern.text) + "/" for pattern in self._exceptions]
        self._exception_prefixes = tuple(below) if not any(_SPECIAL & set(text) for text in below) else None

    @property
    def has_exceptions(self) -> bool:
        return bool(self._exceptions)

    def ignores(self, path: str) -> bool:
        """Whether this path, relative to the context and with slashes, stays out; what lies in it is not asked."""
        ignored = False
        parents: list[str] | None = None
        for pattern in self.patterns:
            if pattern.exception != ignored:
                continue
            if pattern.matches(path):
                ignored = not pattern.exception
                continue
            if parents is None:
                parents = _parents(path)
            if any(map(pattern.matches, parents)):
                ignored = not pattern.exception
        return ignored

    def decide(self, path: str, within: int) -> tuple[bool, int]:
        """Whether a path is ignored, and what to pass for the paths directly in it when it is a folder.

        `within` is what this method answered for the folder that holds it, `top` at the root.
        """
        ignored = False
        matched = 0
        bit = 1
        for pattern in self.patterns:
            if within & bit or (pattern.exception == ignored and pattern.matches(path)):
                matched |= bit
                ignored = not pattern.exception
            bit <<= 1
        return ignored, matched

    def can_skip(self, folder: str) -> bool:
        """Whether no exception can bring back anything below a folder that is ignored."""
        if not self._exceptions:
            return True
        if self._exception_prefixes is None:
            return False
        inside = folder + "/"
        return not any(prefix.startswith(inside) for prefix in self._exception_prefixes)


def compile_ignore(text: bytes, file: str) -> IgnoreMatcher:
    """Reads an ignore file. Raises DockerfileError, placed at its line, for a pattern that is none."""
    patterns = []
    for number, line in enumerate(text.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        place = Place(file, number)
        if len(line) > LINE_LIMIT:
            raise DockerfileError(f"line longer than {LINE_LIMIT} bytes", place=place)
        written = line.decode("utf-8", "surrogateescape").removesuffix("\r")
        if written.startswith("#") or not (written := written.strip(SPACES)):
            continue
        with located(place):
            patterns.append(_pattern(written, place))
    return IgnoreMatcher(tuple(patterns))


def compile_patterns(patterns: tuple[str, ...], place: Place) -> IgnoreMatcher:
    """The same language given as a list, as by `COPY --exclude`. Raises DockerfileError."""
    with located(place):
        return IgnoreMatcher(tuple(_compiled(text, place) for text in patterns if text.strip(SPACES)))


def _pattern(written: str, place: Place) -> Pattern:
    exception = written.startswith("!")
    body = written[1:].strip(SPACES) if exception else written
    if body:
        body = _clean(body)
        body = body[1:] if len(body) > 1 and body.startswith("/") else body
    return _compiled(("!" if exception else "") + body, place)


def _compiled(text: str, place: Place) -> Pattern:
    text = _clean(text.strip(SPACES))
    exception = text.startswith("!")
    if exception:
        text = text[1:]
        if not text:
            raise DockerfileError('illegal exclusion pattern: "!"', hint="say what is to be kept")
    compile_wildcard(text)  # only for its complaints
    return Pattern(text, exception, place, _matcher(text))


def _clean(path: str) -> str:
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _parents(path: str) -> list[str]:
    """Folders above, the outermost first."""
    return [path[:index] for index, character in enumerate(path) if character == "/" and index]


def _without_trailing_glob(text: str) -> str:
    return text.removesuffix("/**").removesuffix("/*")


def _matcher(text: str) -> Callable[[str], bool]:
    pattern = translate(text)
    if pattern.kind == "exact":
        return text.__eq__
    if pattern.kind == "prefix":
        start = text[:-2]
        return lambda path: path.startswith(start)
    if pattern.kind == "suffix":
        end = text[2:]
        if not end.startswith("/"):
            return lambda path: path.endswith(end)
        name = end[1:]
        return lambda path: path.endswith(end) or path == name
    return _expression(pattern, text)


def _expression(pattern: PathPattern, text: str) -> Callable[[str], bool]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of set operations that Python may have one day
            compiled = re.compile(pattern.expression, re.ASCII)
            if pattern.quantifiers > _FEW_QUANTIFIERS:
                return compile_automaton(pattern)
    except re.error as error:
        raise DockerfileError(f"syntax error in pattern {text!r}: {error.msg}") from error
    match = compiled.match
    return lambda path: match(path) is not None
