"""Text to instructions: the whole grammar of the Dockerfile language.

    parse(text, file) -> Dockerfile

Source: Dockerfile reference; BuildKit, frontend/dockerfile/instructions/parse.go.
"""

import re
from collections.abc import Callable

from msgspec import structs

from pipeyard.errors import DockerfileError, Place, located
from pipeyard.image.dockerfile.commands import (
    read_cmd,
    read_entrypoint,
    read_healthcheck,
    read_run,
    read_shell,
    read_stopsignal,
)
from pipeyard.image.dockerfile.fields import common_fields, described, flag_word, need_arguments, one_argument
from pipeyard.image.dockerfile.flags import NO_FLAGS, read_flags
from pipeyard.image.dockerfile.instructions import (
    Arg,
    ArgDefinition,
    Dockerfile,
    Env,
    Expose,
    From,
    Label,
    Maintainer,
    Onbuild,
    Pair,
    Stage,
    StageInstruction,
    User,
    Volume,
    Word,
    Workdir,
)
from pipeyard.image.dockerfile.lines import SPACES
from pipeyard.image.dockerfile.statements import Statement, read_statements
from pipeyard.image.dockerfile.suggestions import did_you_mean
from pipeyard.image.dockerfile.transfers import read_add, read_copy
from pipeyard.patterns import later

_stage_name = re.compile(r"[a-z][a-z0-9\-_.]*").fullmatch
_onbuild = later(r"ONBUILD[\t\n\f\r ]*", re.IGNORECASE)


def parse(text: bytes, file: str) -> Dockerfile:
    """Reads a Dockerfile; `file` is its name in places.

    Raises DockerfileError, placed, at the first thing that is wrong. A file with nothing but global ARGs has no stages
    and is no error here. Linear in the size of the text; more than a million words are refused.
    """
    syntax = read_statements(text, file)
    global_args: list[Arg] = []
    stages: list[tuple[From, list[StageInstruction]]] = []
    for statement in syntax.statements:
        instruction = read_instruction(statement)
        if isinstance(instruction, From):
            stages.append((instruction, []))
        elif stages:
            stages[-1][1].append(instruction)
        elif isinstance(instruction, Arg):
            global_args.append(instruction)
        else:
            raise DockerfileError(
                f"no build stage for {statement.name}: only ARG can stand before the first FROM",
                place=statement.place,
                hint="begin with FROM",
            )
    return Dockerfile(
        file=file,
        stages=tuple(
            Stage(from_=from_, instructions=tuple(within), description=described(from_.comments, from_.name or ""))
            for from_, within in stages
        ),
        global_args=tuple(global_args),
        escape=syntax.escape,
        syntax=syntax.syntax,
        check=syntax.check,
        empty_continuations=syntax.empty_continuations,
    )


def parse_trigger(trigger: str, place: Place) -> StageInstruction:
    """Reads back what an image's configuration records of an ONBUILD; `place` is the FROM that fires it.

    The escape character is a backslash, whatever it was where the trigger was written. Raises DockerfileError.
    """
    with located(place):
        statements = read_statements(trigger.encode("utf-8", "surrogateescape"), place.file).statements
        if len(statements) != 1:
            raise DockerfileError("onbuild trigger should be a single expression", place=place)
        instruction = read_instruction(structs.replace(statements[0], place=place))
        if isinstance(instruction, From):
            raise DockerfileError("FROM isn't allowed as an ONBUILD trigger", place=place)
        return instruction


def read_instruction(statement: Statement) -> From | StageInstruction:
    """What one statement means. Raises DockerfileError, placed."""
    reader = _READERS.get(statement.name)
    if reader is None:
        raise DockerfileError(
            f"unknown instruction: {statement.keyword}",
            place=statement.place,
            hint=did_you_mean(statement.name, _READERS),
        )
    try:
        return reader(statement)
    except DockerfileError as error:  # `located` would cost more than the reading
        error.place = error.place or statement.place
        raise


def _from(statement: Statement) -> From:
    words = statement.arguments
    named = len(words) == 3 and words[1].raw.lower() == "as"
    if not named and len(words) != 1:
        raise DockerfileError("FROM requires either one or three arguments", hint="write FROM image AS name")
    name = words[2].raw.lower() if named else None
    if name is not None and not _stage_name(name):
        raise DockerfileError(
            f"invalid name for build stage: {words[2].raw!r}",
            place=words[2].place,
            hint="a name begins with a letter and holds letters, digits, and - _ .",
        )
    flags = read_flags(statement.flags, {"platform": "text"})
    return From(
        **common_fields(statement),
        image=words[0],
        name=name,
        name_as_written=words[2].raw if named else "",
        as_keyword=words[1].raw if named else "",
        platform=flag_word(statement, flags.texts.get("platform")),
    )


def _pairs(statement: Statement) -> tuple[Pair, ...]:
    read_flags(statement.flags, NO_FLAGS)
    need_arguments(statement)
    for pair in statement.pairs:
        if not pair.name.raw:
            raise DockerfileError(f"{statement.name} names can not be blank", place=pair.name.place)
    return statement.pairs


def _env(statement: Statement) -> Env:
    return Env(**common_fields(statement), pairs=_pairs(statement))


def _label(statement: Statement) -> Label:
    return Label(**common_fields(statement), pairs=_pairs(statement))


def _arg(statement: Statement) -> Arg:
    need_arguments(statement)
    definitions = []
    for word in statement.arguments:
        name, equals, default = word.raw.partition("=")
        if equals and not name:
            raise DockerfileError("ARG names can not be blank", place=word.place)
        value = None
        if equals:
            place = structs.replace(word.place, column=word.place.column + len(name) + 1)
            value = Word(default, place)
        definitions.append(ArgDefinition(name, value, word.place, described(statement.comments, name)))
    return Arg(**common_fields(statement), definitions=tuple(definitions))


def _workdir(statement: Statement) -> Workdir:
    read_flags(statement.flags, NO_FLAGS)
    return Workdir(**common_fields(statement), path=one_argument(statement))


def _user(statement: Statement) -> User:
    read_flags(statement.flags, NO_FLAGS)
    return User(**common_fields(statement), user=one_argument(statement))


def _expose(statement: Statement) -> Expose:
    read_flags(statement.flags, NO_FLAGS)
    need_arguments(statement)
    return Expose(**common_fields(statement), ports=statement.arguments)


def _volume(statement: Statement) -> Volume:
    read_flags(statement.flags, NO_FLAGS)
    need_arguments(statement)
    paths = tuple(Word(word.raw.strip(SPACES), word.place) for word in statement.arguments)
    for path in paths:
        if not path.raw:
            raise DockerfileError("VOLUME specified can not be an empty string", place=path.place)
    return Volume(**common_fields(statement), paths=paths, exec_form=statement.exec_form)


def _onbuild_trigger(statement: Statement) -> Onbuild:
    trigger = statement.trigger
    if trigger is None:
        raise DockerfileError("ONBUILD requires at least one argument")
    read_flags(statement.flags, NO_FLAGS)
    if trigger.name in ("FROM", "MAINTAINER"):
        raise DockerfileError(f"{trigger.name} isn't allowed as an ONBUILD trigger", place=trigger.place)
    found = _onbuild.match(statement.source)
    text = statement.source[found.end() if found else 0 :]
    text += "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in statement.heredocs)
    return Onbuild(**common_fields(statement), trigger=text)


def _maintainer(statement: Statement) -> Maintainer:
    word = one_argument(statement)
    read_flags(statement.flags, NO_FLAGS)
    return Maintainer(**common_fields(statement), name=word.raw)


_READERS: dict[str, Callable[[Statement], From | StageInstruction]] = {
    "ADD": read_add,
    "ARG": _arg,
    "CMD": read_cmd,
    "COPY": read_copy,
    "ENTRYPOINT": read_entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "FROM": _from,
    "HEALTHCHECK": read_healthcheck,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "ONBUILD": _onbuild_trigger,
    "RUN": read_run,
    "SHELL": read_shell,
    "STOPSIGNAL": read_stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
