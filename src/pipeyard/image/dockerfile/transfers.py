"""COPY and ADD: what they bring, from where, and as whose."""

from typing import TypedDict

from pipeyard.errors import DockerfileError
from pipeyard.image.dockerfile.fields import common_fields, flag_word
from pipeyard.image.dockerfile.flags import Flags, read_flags
from pipeyard.image.dockerfile.heredoc import Opening, read_opening
from pipeyard.image.dockerfile.instructions import Add, Copy, InlineFile, Word
from pipeyard.image.dockerfile.statements import Statement


class _Transfer(TypedDict):
    sources: tuple[Word, ...]
    destination: Word
    files: tuple[InlineFile, ...]
    chown: Word | None
    chmod: Word | None
    link: bool
    exclude: tuple[str, ...]
    exec_form: bool


def _transfer(statement: Statement, flags: Flags) -> _Transfer:
    """What COPY and ADD have in common."""
    if len(statement.arguments) < 2:
        raise DockerfileError(
            f"{statement.name} requires at least two arguments, but only one was provided. "
            "Destination could not be determined",
            hint=f"write {statement.name} source destination",
        )
    *sources, destination = statement.arguments
    if _heredoc(destination) is not None:
        raise DockerfileError(f"{statement.name} cannot accept a heredoc as a destination", place=destination.place)
    bodies = {heredoc.name: heredoc.text for heredoc in statement.heredocs}
    paths = []
    files = []
    for source in sources:
        opening = _heredoc(source)
        if opening is None:
            paths.append(source)
        else:
            files.append(
                InlineFile(
                    name=opening.name,
                    content=bodies.get(opening.name, ""),
                    expand=opening.expand,
                    place=source.place,
                )
            )
    return {
        "sources": tuple(paths),
        "destination": destination,
        "files": tuple(files),
        "chown": flag_word(statement, flags.texts.get("chown")),
        "chmod": flag_word(statement, flags.texts.get("chmod")),
        "link": flags.booleans.get("link", False),
        "exclude": flags.lists.get("exclude", ()),
        "exec_form": statement.exec_form,
    }


def _heredoc(word: Word) -> Opening | None:
    """A word that cannot be read opens nothing; what is wrong with it is said when it is expanded."""
    if "<<" not in word.raw:
        return None
    try:
        return read_opening(word.raw)
    except DockerfileError:
        return None


def read_copy(statement: Statement) -> Copy:
    flags = read_flags(
        statement.flags,
        {"from": "text", "chown": "text", "chmod": "text", "link": "boolean", "parents": "boolean", "exclude": "texts"},
    )
    return Copy(
        **common_fields(statement),
        **_transfer(statement, flags),
        from_=flags.texts.get("from") or None,
        parents=flags.booleans.get("parents", False),
    )


def read_add(statement: Statement) -> Add:
    flags = read_flags(
        statement.flags,
        {
            "chown": "text",
            "chmod": "text",
            "checksum": "text",
            "link": "boolean",
            "keep-git-dir": "boolean",
            "unpack": "boolean",
            "exclude": "texts",
        },
    )
    return Add(
        **common_fields(statement),
        **_transfer(statement, flags),
        checksum=flag_word(statement, flags.texts.get("checksum")),
        keep_git_dir=flags.booleans.get("keep-git-dir"),
        unpack=flags.booleans.get("unpack"),
    )
