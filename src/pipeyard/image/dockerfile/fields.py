"""What all instructions have in common: where they stand, and how their arguments and flags are asked for."""

from typing import TypedDict

from pipeyard.errors import DockerfileError, Place
from pipeyard.image.dockerfile.instructions import Heredoc, Word
from pipeyard.image.dockerfile.lines import SPACES
from pipeyard.image.dockerfile.statements import Statement


class Common(TypedDict):
    place: Place
    source: str
    end_line: int
    keyword: str
    flags: tuple[str, ...]
    heredocs: tuple[Heredoc, ...]
    comments: tuple[str, ...]


def common_fields(statement: Statement) -> Common:
    return {
        "place": statement.place,
        "source": statement.source.rstrip(SPACES),
        "end_line": statement.end_line,
        "keyword": statement.keyword,
        "flags": statement.flags,
        "heredocs": statement.heredocs,
        "comments": statement.comments,
    }


def described(comments: tuple[str, ...], name: str) -> str:
    """What the comment that begins with a stage's or argument's name says of it; empty when there is none."""
    if not name:
        return ""
    return next((comment[len(name) + 1 :] for comment in comments if comment.startswith(name + " ")), "")


def need_arguments(statement: Statement) -> None:
    if not (statement.arguments or statement.pairs):
        raise DockerfileError(f"{statement.name} requires at least one argument")


def one_argument(statement: Statement) -> Word:
    if len(statement.arguments) != 1:
        raise DockerfileError(f"{statement.name} requires exactly one argument")
    return statement.arguments[0]


def flag_word(statement: Statement, text: str | None) -> Word | None:
    """A flag's value, placed where the statement is; an empty one counts as not given."""
    return Word(text, statement.place) if text else None
