"""Which parts of an instruction stand for something else: variables in words, options of mounts, heredoc files.

    expand(instruction, variables, escape=dockerfile.escape) -> the same instruction, words with values

RUN, CMD, ENTRYPOINT, HEALTHCHECK, SHELL and ONBUILD commands are left to the shell that runs them; FROM is expanded
with global arguments by whoever plans, ARG one definition after the other, both with `expand_word`.
Source: BuildKit, the Expand methods of frontend/dockerfile/instructions/commands.go.
"""

from collections.abc import Mapping
from typing import TypeVar

from msgspec import Struct, structs

from pipeyard.errors import located
from pipeyard.image.dockerfile.instructions import (
    Add,
    Copy,
    Env,
    Expose,
    InlineFile,
    Instruction,
    Label,
    Pair,
    Run,
    Stopsignal,
    User,
    Volume,
    Word,
    Workdir,
)
from pipeyard.image.dockerfile.lexer import Dialect, Lexed, lex
from pipeyard.image.dockerfile.mounts import read_mount

InstructionT = TypeVar("InstructionT", bound=Instruction)

_HEREDOC = Dialect(quotes=False)  # always a backslash, whatever the file's escape character is
_DIALECTS = {"\\": Dialect(), "`": Dialect(escape="`")}


class Expansion(Struct, frozen=True):
    """A word's value, with the names of the variables that were looked up for it."""

    value: str
    used: frozenset[str] = frozenset()
    undefined: frozenset[str] = frozenset()


def expand_word(word: Word, variables: Mapping[str, str], *, escape: str = "\\") -> Expansion:
    """One word. Raises DockerfileError, placed, for a substitution that is wrong or demands a value (`${x:?}`)."""
    with located(word.place):
        lexed = lex(word.raw, variables, _DIALECTS[escape])
    return Expansion(lexed.text, lexed.used, lexed.undefined)


def expand(instruction: InstructionT, variables: Mapping[str, str], *, escape: str = "\\") -> InstructionT:
    """A new node, its words valued and its mounts read; instructions without variables come back as they are.

    Raises DockerfileError, placed, as `expand_word` does and for a mount option that is wrong.
    """
    return _Expander(variables, escape).expand(instruction)


def undefined_variables(
    instruction: Instruction, variables: Mapping[str, str], *, escape: str = "\\"
) -> frozenset[str]:
    """The names that the instruction uses and nobody defined, for the linter. Raises as `expand` does."""
    expander = _Expander(variables, escape)
    expander.expand(instruction)
    return frozenset(expander.undefined)


class _Expander:
    def __init__(self, variables: Mapping[str, str], escape: str) -> None:
        self.variables = variables
        self.dialect = _DIALECTS[escape]
        self.undefined: set[str] = set()

    def expand(self, instruction: InstructionT) -> InstructionT:
        with located(instruction.place):
            change = self.changes(instruction)
        return structs.replace(instruction, **change) if change else instruction

    def changes(self, instruction: Instruction) -> dict[str, object]:
        match instruction:
            case Env() | Label():
                return {"pairs": tuple(map(self.pair, instruction.pairs))}
            case Copy() | Add():
                change: dict[str, object] = {
                    "sources": tuple(map(self.word, instruction.sources)),
                    "destination": self.word(instruction.destination),
                    "files": tuple(map(self.file, instruction.files)),
                    "chown": self.optional(instruction.chown),
                    "chmod": self.optional(instruction.chmod),
                }
                if isinstance(instruction, Add):
                    change["checksum"] = self.optional(instruction.checksum)
                return change
            case Run():
                return {"mounts": tuple(read_mount(wanted.word, self.text) for wanted in instruction.mount_requests)}
            case Workdir():
                return {"path": self.word(instruction.path)}
            case User():
                return {"user": self.word(instruction.user)}
            case Stopsignal():
                return {"signal": self.word(instruction.signal)}
            case Volume():
                return {"paths": tuple(map(self.word, instruction.paths))}
            case Expose():
                return {"ports": tuple(self.split(sorted(instruction.ports, key=_bytes)))}
        return {}

    def lex(self, text: str, dialect: Dialect, *, split: bool = False) -> Lexed:
        lexed = lex(text, self.variables, dialect, split=split)
        self.undefined |= lexed.undefined
        return lexed

    def text(self, text: str) -> str:
        return self.lex(text, self.dialect).text

    def word(self, word: Word) -> Word:
        with located(word.place):
            return Word(word.raw, word.place, self.text(word.raw))

    def optional(self, word: Word | None) -> Word | None:
        return None if word is None else self.word(word)

    def pair(self, pair: Pair) -> Pair:
        return Pair(self.word(pair.name), self.word(pair.value), pair.legacy)

    def file(self, file: InlineFile) -> InlineFile:
        if not file.expand:
            return file
        with located(file.place):
            return structs.replace(file, content=self.lex(file.content, _HEREDOC).text, expand=False)

    def split(self, words: list[Word]) -> list[Word]:
        split = []
        for word in words:
            with located(word.place):
                split += [
                    Word(word.raw, word.place, part) for part in self.lex(word.raw, self.dialect, split=True).words
                ]
        return split


def _bytes(word: Word) -> bytes:
    return word.raw.encode("utf-8", "surrogateescape")
