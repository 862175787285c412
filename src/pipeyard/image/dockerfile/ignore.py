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

from pipeyard.errors import DockerfileError, Place, located
from pipeyard.image.dockerfile.ignored_names import SPECIAL, Pattern, Run, ignored_names, runs_of
from pipeyard.image.dockerfile.lines import LINE_LIMIT, SPACES
from pipeyard.image.dockerfile.path_pattern import PathPattern, compile_automaton, translate
from pipeyard.image.dockerfile.wildcard import check_wildcard

_FEW_QUANTIFIERS = 3

PATTERNS_LIMIT = 200_000
"""Patterns in one file."""

WILDCARDS_LIMIT = 400_000
"""Characters of all different patterns of a file that are more than a path. Beyond, reading them takes seconds."""


class IgnoreMatcher:
    """Compiled patterns. Has no state of its own: any number of threads may ask."""

    top = 0
    """What `decide` needs for the paths of the context's root."""

    def __init__(self, patterns: tuple[Pattern, ...]) -> None:
        self.patterns = patterns
        self._runs: list[Run] | None = None
        self._exceptions = [pattern for pattern in patterns if pattern.exception]
        below = [_without_trailing_glob(pattern.text) + "/" for pattern in self._exceptions]
        self._exception_prefixes = tuple(below) if not any(SPECIAL & set(text) for text in below) else None

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

    def files_of(self, folder: str, within: int) -> Callable[[str], bool]:
        """What `decide` answers first for the files directly in a folder, asked by their names alone.

        Most paths of a large context are files: what can be known of their folder is looked at once, and of the
        patterns that follow each other and say the same only whether one matches. The last one that does decides.
        """
        if self._runs is None:
            self._runs = runs_of(self.patterns)
        return ignored_names(self._runs, folder, within)

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
    patterns: list[Pattern] = []
    matchers = _Matchers()
    for number, line in enumerate(text.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        place = Place(file, number)
        if len(line) > LINE_LIMIT:
            raise DockerfileError(f"line longer than {LINE_LIMIT} bytes", place=place)
        written = line.decode("utf-8", "surrogateescape").removesuffix("\r")
        if written.startswith("#") or not (written := written.strip(SPACES)):
            continue
        with located(place):
            patterns.append(_pattern(written, place, matchers))
            if len(patterns) > PATTERNS_LIMIT:
                raise DockerfileError(f"more than {PATTERNS_LIMIT} patterns", hint="exclude whole folders")
    return IgnoreMatcher(tuple(patterns))


def compile_patterns(patterns: tuple[str, ...], place: Place) -> IgnoreMatcher:
    """The same language given as a list, as by `COPY --exclude`. Raises DockerfileError."""
    with located(place):
        matchers = _Matchers()
        return IgnoreMatcher(tuple(_compiled(text, place, matchers) for text in patterns if text.strip(SPACES)))


class _Matchers:
    """The matchers of one file: equal patterns share one, and what they may cost is limited."""

    def __init__(self) -> None:
        self._known: dict[str, Callable[[str], bool]] = {}
        self._characters = 0

    def of(self, text: str) -> Callable[[str], bool]:
        """Raises DockerfileError for a pattern that is none, or one too many."""
        known = self._known.get(text)
        if known is None:
            if not SPECIAL.isdisjoint(text):
                self._characters += len(text)
                if self._characters > WILDCARDS_LIMIT:
                    raise DockerfileError(
                        f"more than {WILDCARDS_LIMIT} characters of patterns with wildcards",
                        hint="exclude whole folders",
                    )
            check_wildcard(text)
            known = self._known[text] = _matcher(text)
        return known


def _pattern(written: str, place: Place, matchers: _Matchers) -> Pattern:
    exception = written.startswith("!")
    body = written[1:].strip(SPACES) if exception else written
    if body:
        body = _clean(body)
        body = body[1:] if len(body) > 1 and body.startswith("/") else body
    return _compiled(("!" if exception else "") + body, place, matchers)


def _compiled(text: str, place: Place, matchers: _Matchers) -> Pattern:
    text = _clean(text.strip(SPACES))
    exception = text.startswith("!")
    if exception:
        text = text[1:]
        if not text:
            raise DockerfileError('illegal exclusion pattern: "!"', hint="say what is to be kept")
    return Pattern(text, exception, place, matchers.of(text))


def _clean(path: str) -> str:
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _parents(path: str) -> list[str]:
    """Folders above, the outermost first."""
    return [path[:index] for index, character in enumerate(path) if character == "/" and index]


def _without_trailing_glob(text: str) -> str:
    return text.removesuffix("/**").removesuffix("/*")


def _matcher(text: str) -> Callable[[str], bool]:
    if SPECIAL.isdisjoint(text):
        return text.__eq__
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
    if "[" in text or "\\" in text:  # nothing else can be wrong, or need what follows
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # of set operations that Python may have one day
                re.compile(pattern.expression, re.ASCII)
                if pattern.quantifiers > _FEW_QUANTIFIERS:
                    return compile_automaton(pattern)
        except re.error as error:
            raise DockerfileError(f"syntax error in pattern {text!r}: {error.msg}") from error
    return _Expression(pattern)


class _Expression:
    """A matcher that is compiled when it is asked for the first time."""

    __slots__ = ("_match", "_pattern")

    def __init__(self, pattern: PathPattern) -> None:
        self._pattern = pattern
        self._match: Callable[[str], object] | None = None

    def __call__(self, path: str) -> bool:
        if self._match is None:
            self._match = _compile(self._pattern)
        return bool(self._match(path))


def _compile(pattern: PathPattern) -> Callable[[str], object]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        if pattern.quantifiers > _FEW_QUANTIFIERS:
            return compile_automaton(pattern)
        return re.compile(pattern.expression, re.ASCII).match
