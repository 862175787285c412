"""RUN, CMD, ENTRYPOINT, HEALTHCHECK, SHELL and STOPSIGNAL: the instructions about processes."""

from typing import Literal, cast

from pipeyard.errors import DockerfileError
from pipeyard.image.dockerfile.fields import common_fields, need_arguments, one_argument
from pipeyard.image.dockerfile.flags import NO_FLAGS, read_flags
from pipeyard.image.dockerfile.instructions import Cmd, Command, Entrypoint, Healthcheck, Run, Shell, Stopsignal, Word
from pipeyard.image.dockerfile.mounts import read_device, request_mount
from pipeyard.image.dockerfile.quantities import parse_duration_ns
from pipeyard.image.dockerfile.statements import Statement

_SHORTEST_INTERVAL_NS = 1_000_000


def read_run(statement: Statement) -> Run:
    flags = read_flags(statement.flags, {"mount": "texts", "network": "text", "security": "text", "device": "texts"})
    network = flags.texts.get("network", "default")
    if network not in ("default", "none", "host"):
        raise DockerfileError(f"invalid network mode {network!r}", hint="one of default, none, host")
    security = flags.texts.get("security", "sandbox")
    if security not in ("sandbox", "insecure"):
        raise DockerfileError(f"invalid security mode {security!r}", hint="one of sandbox, insecure")
    return Run(
        **common_fields(statement),
        command=_command(statement),
        mount_requests=tuple(request_mount(Word(text, statement.place)) for text in flags.lists.get("mount", ())),
        devices=tuple(map(read_device, flags.lists.get("device", ()))),
        network=cast("Literal['default', 'none', 'host']", network),
        security=cast("Literal['sandbox', 'insecure']", security),
    )


def read_shell(statement: Statement) -> Shell:
    read_flags(statement.flags, NO_FLAGS)
    need_arguments(statement)
    if not statement.exec_form:
        raise DockerfileError(
            "SHELL requires the arguments to be in JSON form", hint='for example SHELL ["/bin/bash", "-c"]'
        )
    return Shell(**common_fields(statement), shell=tuple(word.raw for word in statement.arguments))


def read_cmd(statement: Statement) -> Cmd:
    read_flags(statement.flags, NO_FLAGS)
    return Cmd(**common_fields(statement), command=_command(statement))


def read_entrypoint(statement: Statement) -> Entrypoint:
    read_flags(statement.flags, NO_FLAGS)
    return Entrypoint(**common_fields(statement), command=_command(statement))


def read_healthcheck(statement: Statement) -> Healthcheck:
    need_arguments(statement)
    kind, *words = (word.raw for word in statement.arguments)
    if kind.upper() == "NONE":
        if words:
            raise DockerfileError("HEALTHCHECK NONE takes no arguments")
        return Healthcheck(**common_fields(statement), command=None)
    flags = read_flags(
        statement.flags,
        {"interval": "text", "timeout": "text", "start-period": "text", "start-interval": "text", "retries": "text"},
    ).texts
    if kind.upper() != "CMD":
        raise DockerfileError(f'Unknown type "{kind}" in HEALTHCHECK (try CMD)', hint="it is CMD or NONE")
    if not words:
        raise DockerfileError("Missing command after HEALTHCHECK CMD")
    retries = flags.get("retries") or "0"
    if not retries.removeprefix("+").isascii() or not retries.removeprefix("+").isdecimal() or len(retries) > 10:
        raise DockerfileError(f"invalid number of retries {retries!r}", hint="a number that is not negative")
    return Healthcheck(
        **common_fields(statement),
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
        raise DockerfileError(f'Interval "{name}" cannot be less than 1ms')
    return duration


def read_stopsignal(statement: Statement) -> Stopsignal:
    return Stopsignal(**common_fields(statement), signal=one_argument(statement))


def _command(statement: Statement) -> Command:
    return Command(tuple(word.raw for word in statement.arguments), shell=not statement.exec_form)
