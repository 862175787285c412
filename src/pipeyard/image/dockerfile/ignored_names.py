"""Patterns of an ignore file, prepared for asking about many files of one folder."""

from collections.abc import Callable, Iterable

from msgspec import Struct

from pipeyard.errors import Place

SPECIAL = frozenset("*[]?^\\")


class Pattern(Struct, frozen=True):
    """One line that says something. `text` is cleaned and without `!`."""

    text: str
    exception: bool
    place: Place
    matches: Callable[[str], bool]


class Run:
    """Patterns that follow each other and say the same."""

    def __init__(self, exception: bool) -> None:
        self.exception = exception
        self.bits = 0  # of the patterns, as `IgnoreMatcher.decide` counts them
        self._in_folder: dict[str, set[str]] = {}  # folder -> names
        self._anywhere: set[str] = set()
        self._ends: tuple[str, ...] = ()
        self._others: list[_Other] = []

    def add(self, pattern: Pattern, bit: int) -> None:
        self.bits |= bit
        text = pattern.text
        name = text.removeprefix("**/")
        end = text.removeprefix("**/*")
        if SPECIAL.isdisjoint(text):
            folder, _, last = text.rpartition("/")
            self._in_folder.setdefault(folder, set()).add(last)
        elif "/" not in name and SPECIAL.isdisjoint(name):
            self._anywhere.add(name)
        elif "/" not in end and SPECIAL.isdisjoint(end):
            self._ends += (end,)
        else:
            last = text.rpartition("/")[2]
            self._others.append(_Other(_literal_start(text), last if SPECIAL.isdisjoint(last) else "", pattern.matches))

    def names_in(self, folder: str) -> set[str]:
        own = self._in_folder.get(folder)
        return self._anywhere | own if own else self._anywhere

    def others_in(self, prefix: str) -> "list[_Other]":
        """Those that can match something in a folder; `prefix` is what its paths begin with."""
        return [other for other in self._others if other.start.startswith(prefix) or prefix.startswith(other.start)]

    @property
    def ends(self) -> tuple[str, ...]:
        return self._ends


class _Other(Struct, frozen=True):
    start: str  # of every path that it matches
    name: str  # of every path that it matches; empty: any
    matches: Callable[[str], bool]


def runs_of(patterns: Iterable[Pattern]) -> list[Run]:
    """The last one first."""
    runs: list[Run] = []
    for number, pattern in enumerate(patterns):
        if not runs or runs[-1].exception != pattern.exception:
            runs.append(Run(pattern.exception))
        runs[-1].add(pattern, 1 << number)
    return runs[::-1]


def ignored_names(runs: Iterable[Run], folder: str, within: int) -> Callable[[str], bool]:
    """Whether a file of that name in the folder is ignored; `within` as in `IgnoreMatcher.decide`."""
    prefix = f"{folder}/" if folder else ""
    answer: Callable[[str], bool] = _never
    for run in reversed(list(runs)):
        if within & run.bits:
            answer = _never if run.exception else _always
            continue
        names, others = run.names_in(folder), run.others_in(prefix)
        if names or run.ends or others:
            answer = _after(answer, run, names, others, prefix)
    return answer


def _never(name: str) -> bool:
    return False


def _always(name: str) -> bool:
    return True


def _after(
    otherwise: Callable[[str], bool], run: Run, names: set[str], others: list[_Other], prefix: str
) -> Callable[[str], bool]:
    ends, said = run.ends, not run.exception

    def answer(name: str) -> bool:
        if name in names or name.endswith(ends):
            return said
        for other in others:
            if (not other.name or other.name == name) and other.matches(prefix + name):
                return said
        return otherwise(name)

    return answer


def _literal_start(text: str) -> str:
    return text[: next((at for at, character in enumerate(text) if character in SPECIAL), len(text))]
