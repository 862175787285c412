"""Text to instructions: the whole grammar of the Dockerfile language.

    parse(text, file) -> Dockerfile

Source: Dockerfile reference; BuildKit, frontend/dockerfile/instructions/parse.go.
"""

import re
from collections.abc import Callable
from typing import Literal, TypedDict, cast

from msgspec import structs

from pipeyard.errors import DockerfileError, Place, located
from pipeyard.image.dockerfile.flags import NO_FLAGS, Flags, read_flags
from pipeyard.image.dockerfile.heredoc import read_opening
from pipeyard.image.dockerfile.instructions import (
    Add,
    Arg,
    ArgDefinition,
    Cmd,
    Command,
    Copy,
    Dockerfile,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Heredoc,
    InlineFile,
    Label,
    Maintainer,
    Onbuild,
    Pair,
    Run,
    Shell,
    Stage,
    StageInstruction,
    Stopsignal,
    User,
    Volume,
    Word,
    Workdir,
)
from pipeyard.image.dockerfile.lines import SPACES
from pipeyard.image.dockerfile.mounts import read_device, request_mount
from pipeyard.image.dockerfile.quantities import parse_duration_ns
from pipeyard.image.dockerfile.statements import Statement, read_statements
from pipeyard.image.dockerfile.suggestions import did_you_mean

_stage_name = re.compile(r"[a-z][a-z0-9\-_.]*").fullmatch
_onbuild = re.compile(r"ONBUILD[\t\n\f\r ]*", re.IGNORECASE).match
_SHORTEST_INTERVAL_NS = 1_000_000


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
            Stage(from_=from_, instructions=tuple(within), description=_description(from_.comments, from_.name or ""))
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
            raise DockerfileError("an ONBUILD trigger must be a single instruction", place=place)
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


class _Common(TypedDict):
    place: Place
    source: str
    end_line: int
    keyword: str
    flags: tuple[str, ...]
    heredocs: tuple[Heredoc, ...]
    comments: tuple[str, ...]


def _common(statement: Statement) -> _Common:
    return {
        "place": statement.place,
        "source": statement.source.rstrip(SPACES),
        "end_line": statement.end_line,
        "keyword": statement.keyword,
        "flags": statement.flags,
        "heredocs": statement.heredocs,
        "comments": statement.comments,
    }


def _description(comments: tuple[str, ...], name: str) -> str:
    if not name:
        return ""
    return next((comment[len(name) + 1 :] for comment in comments if comment.startswith(name + " ")), "")


def _need_arguments(statement: Statement) -> None:
    if not (statement.arguments or statement.pairs):
        raise DockerfileError(f"{statement.name} requires at least one argument")


def _one_argument(statement: Statement) -> Word:
    if len(statement.arguments) != 1:
        raise DockerfileError(f"{statement.name} requires exactly one argument")
    return statement.arguments[0]


def _flag_word(statement: Statement, text: str | None) -> Word | None:
    return Word(text, statement.place) if text else None


def _command(statement: Statement) -> Command:
    return Command(tuple(word.raw for word in statement.arguments), shell=not statement.exec_form)


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
        **_common(statement),
        image=words[0],
        name=name,
        name_as_written=words[2].raw if named else "",
        as_keyword=words[1].raw if named else "",
        platform=_flag_word(statement, flags.texts.get("platform")),
    )


def _run(statement: Statement) -> Run:
    flags = read_flags(statement.flags, {"mount": "texts", "network": "text", "security": "text", "device": "texts"})
    network = flags.texts.get("network", "default")
    if network not in ("default", "none", "host"):
        raise DockerfileError(f"invalid network mode {network!r}", hint="one of default, none, host")
    security = flags.texts.get("security", "sandbox")
    if security not in ("sandbox", "insecure"):
        raise DockerfileError(f"invalid security mode {security!r}", hint="one of sandbox, insecure")
    return Run(
        **_common(statement),
        command=_command(statement),
        mount_requests=tuple(request_mount(Word(text, statement.place)) for text in flags.lists.get("mount", ())),
        devices=tuple(map(read_device, flags.lists.get("device", ()))),
        network=cast("Literal['default', 'none', 'host']", network),
        security=cast("Literal['sandbox', 'insecure']", security),
    )


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
            f"{statement.name} requires at least two arguments: the last one is the destination",
            hint=f"write {statement.name} source destination",
        )
    *sources, destination = statement.arguments
    if "<<" in destination.raw and _is_heredoc(destination):
        raise DockerfileError(f"a heredoc cannot be the destination of {statement.name}", place=destination.place)
    bodies = {heredoc.name: heredoc.text for heredoc in statement.heredocs}
    paths = []
    files = []
    for source in sources:
        opening = read_opening(source.raw) if "<<" in source.raw else None
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
        "chown": _flag_word(statement, flags.texts.get("chown")),
        "chmod": _flag_word(statement, flags.texts.get("chmod")),
        "link": flags.booleans.get("link", False),
        "exclude": flags.lists.get("exclude", ()),
        "exec_form": statement.exec_form,
    }


def _is_heredoc(word: Word) -> bool:
    try:
        return read_opening(word.raw) is not None
    except DockerfileError:
        return False


def _copy(statement: Statement) -> Copy:
    flags = read_flags(
        statement.flags,
        {"from": "text", "chown": "text", "chmod": "text", "link": "boolean", "parents": "boolean", "exclude": "texts"},
    )
    return Copy(
        **_common(statement),
        **_transfer(statement, flags),
        from_=flags.texts.get("from") or None,
        parents=flags.booleans.get("parents", False),
    )


def _add(statement: Statement) -> Add:
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
        **_common(statement),
        **_transfer(statement, flags),
        checksum=_flag_word(statement, flags.texts.get("checksum")),
        keep_git_dir=flags.booleans.get("keep-git-dir"),
        unpack=flags.booleans.get("unpack"),
    )


def _pairs(statement: Statement) -> tuple[Pair, ...]:
    read_flags(statement.flags, NO_FLAGS)
    _need_arguments(statement)
    for pair in statement.pairs:
        if not pair.name.raw:
            raise DockerfileError(f"{statement.name} names can not be blank", place=pair.name.place)
    return statement.pairs


def _env(statement: Statement) -> Env:
    return Env(**_common(statement), pairs=_pairs(statement))


def _label(statement: Statement) -> Label:
    return Label(**_common(statement), pairs=_pairs(statement))


def _arg(statement: Statement) -> Arg:
    _need_arguments(statement)
    definitions = []
    for word in statement.arguments:
        name, equals, default = word.raw.partition("=")
        if equals and not name:
            raise DockerfileError("ARG names can not be blank", place=word.place)
        value = None
        if equals:
            place = structs.replace(word.place, column=word.place.column + len(name) + 1)
            value = Word(default, place)
        definitions.append(ArgDefinition(name, value, word.place, _description(statement.comments, name)))
    return Arg(**_common(statement), definitions=tuple(definitions))


def _workdir(statement: Statement) -> Workdir:
    read_flags(statement.flags, NO_FLAGS)
    return Workdir(**_common(statement), path=_one_argument(statement))


def _user(statement: Statement) -> User:
    read_flags(statement.flags, NO_FLAGS)
    return User(**_common(statement), user=_one_argument(statement))


def _expose(statement: Statement) -> Expose:
    read_flags(statement.flags, NO_FLAGS)
    _need_arguments(statement)
    return Expose(**_common(statement), ports=statement.arguments)


def _volume(statement: Statement) -> Volume:
    read_flags(statement.flags, NO_FLAGS)
    _need_arguments(statement)
    paths = tuple(Word(word.raw.strip(SPACES), word.place) for word in statement.arguments)
    for path in paths:
        if not path.raw:
            raise DockerfileError("a VOLUME cannot be an empty string", place=path.place)
    return Volume(**_common(statement), paths=paths, exec_form=statement.exec_form)


def _cmd(statement: Statement) -> Cmd:
    read_flags(statement.flags, NO_FLAGS)
    return Cmd(**_common(statement), command=_command(statement))


def _entrypoint(statement: Statement) -> Entrypoint:
    read_flags(statement.flags, NO_FLAGS)
    return Entrypoint(**_common(statement), command=_command(statement))


def _healthcheck(statement: Statement) -> Healthcheck:
    _need_arguments(statement)
    kind, *words = (word.raw for word in statement.arguments)
    if kind.upper() == "NONE":
        if words:
            raise DockerfileError("HEALTHCHECK NONE takes no arguments")
        return Healthcheck(**_common(statement), command=None)
    flags = read_flags(
        statement.flags,
        {"interval": "text", "timeout": "text", "start-period": "text", "start-interval": "text", "retries": "text"},
    ).texts
    if kind.upper() != "CMD":
        raise DockerfileError(f"unknown type {kind!r} in HEALTHCHECK", hint="it is CMD or NONE")
    if not words:
        raise DockerfileError("missing command after HEALTHCHECK CMD")
    retries = flags.get("retries") or "0"
    if not retries.removeprefix("+").isascii() or not retries.removeprefix("+").isdecimal() or len(retries) > 10:
        raise DockerfileError(f"invalid number of retries {retries!r}", hint="a number that is not negative")
    return Healthcheck(
        **_common(statement),
        command=Command(tuple(words), shell=not statement.exec_form),
        interval_ns=_interval_ns(flags, "interval"),
        timeout_ns=_interval_ns(flags, "timeout"),
        start_period_ns=_interval_ns(flags, "start-period"),
        start_interval_ns=_interval_ns(flags, "start-interval"),
        retries=int(retries),
    )


def _interval_ns(flags: dict[str, str], name: str) -> int:
    text = flags.get(name)
    if not text:
        return 0
    duration = parse_duration_ns(text)
    if duration is None:
        raise DockerfileError(f"invalid duration {text!r} of --{name}", hint="for example 30s, 1m30s, 500ms")
    if duration and duration < _SHORTEST_INTERVAL_NS:
        raise DockerfileError(f"--{name} cannot be less than 1ms")
    return duration


def _stopsignal(statement: Statement) -> Stopsignal:
    return Stopsignal(**_common(statement), signal=_one_argument(statement))


def _shell(statement: Statement) -> Shell:
    read_flags(statement.flags, NO_FLAGS)
    _need_arguments(statement)
    if not statement.exec_form:
        raise DockerfileError(
            "SHELL requires the arguments to be in JSON form", hint='for example SHELL ["/bin/bash", "-c"]'
        )
    return Shell(**_common(statement), shell=tuple(word.raw for word in statement.arguments))


def _onbuild_trigger(statement: Statement) -> Onbuild:
    trigger = statement.trigger
    if trigger is None:
        raise DockerfileError("ONBUILD requires at least one argument")
    read_flags(statement.flags, NO_FLAGS)
    if trigger.name in ("FROM", "MAINTAINER"):
        raise DockerfileError(f"{trigger.name} isn't allowed as an ONBUILD trigger", place=trigger.place)
    found = _onbuild(statement.source)
    text = statement.source[found.end() if found else 0 :]
    text += "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in statement.heredocs)
    return Onbuild(**_common(statement), trigger=text)


def _maintainer(statement: Statement) -> Maintainer:
    word = _one_argument(statement)
    read_flags(statement.flags, NO_FLAGS)
    return Maintainer(**_common(statement), name=word.raw)


_READERS: dict[str, Callable[[Statement], From | StageInstruction]] = {
    "ADD": _add,
    "ARG": _arg,
    "CMD": _cmd,
    "COPY": _copy,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "ONBUILD": _onbuild_trigger,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
