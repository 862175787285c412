"""What each instruction does to its stage: to the image's configuration, and to the graph.

Source: BuildKit, frontend/dockerfile/dockerfile2llb (convert.go, convert_copy.go, convert_runmount.go).
"""

import posixpath
import re
import signal
from collections.abc import Mapping
from typing import assert_never

from msgspec import Struct, structs

from pipeyard.errors import DockerfileError
from pipeyard.image.build.copyplan import plan_copy
from pipeyard.image.build.gotext import duration, plain_list, quoted_list
from pipeyard.image.build.graph import (
    ContextFiles,
    MakeFolder,
    MountOf,
    RunCommand,
    Scratch,
)
from pipeyard.image.build.ports import exposed_ports
from pipeyard.image.build.stagestate import StageState, VertexList, source_key
from pipeyard.image.build.workpaths import joined, working_folder
from pipeyard.image.dockerfile.expansion import expand, expand_word
from pipeyard.image.dockerfile.heredoc import read_opening
from pipeyard.image.dockerfile.instructions import (
    Add,
    Arg,
    BindMount,
    CacheMount,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Run,
    SecretMount,
    Shell,
    SshMount,
    StageInstruction,
    Stopsignal,
    TmpfsMount,
    User,
    Volume,
    Workdir,
)
from pipeyard.oci.documents import Healthcheck as HealthcheckConfig

NOT_IN_ENVIRONMENT = frozenset({"BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"})


class Surroundings(Struct, frozen=True, kw_only=True):
    """What all stages of a build share while their instructions are planned."""

    escape: str
    arguments: Mapping[str, str]  # --build-arg
    globals: Mapping[str, str]
    proxy: tuple[tuple[str, str], ...]
    network: str
    hostname: str
    hosts: tuple[tuple[str, str], ...]
    host_network: bool  # RUN may ask for the host's network


def dispatch(stage: StageState, instruction: StageInstruction, graph: VertexList, around: Surroundings) -> None:
    """Applies one instruction. Raises DockerfileError, which the caller places."""
    if not isinstance(instruction, Arg):  # an ARG's default may never be looked at
        instruction = expand(instruction, stage.environment, escape=around.escape)
    match instruction:
        case Add() | Copy():
            plan_copy(stage, instruction, graph)
        case Run():
            _run(stage, instruction, graph, around)
        case Workdir():
            _workdir(stage, instruction, graph)
        case Arg():
            _arg(stage, instruction, around)
        case Env():
            pairs = [(pair.name.text, pair.value.text) for pair in instruction.pairs]
            stage.set_environment(pairs)
            stage.commit(" ".join(["ENV", *(f"{name}={value}" for name, value in pairs)]))
        case Label():
            pairs = [(pair.name.text, pair.value.text) for pair in instruction.pairs]
            stage.configure(labels={**(stage.runtime.labels or {}), **dict(pairs)})
            stage.commit(" ".join(["LABEL", *(f"{name}={value}" for name, value in pairs)]))
        case Cmd():
            words = _command_words(stage, instruction)
            stage.configure(cmd=words, args_escaped=True)
            stage.command_set = True
            stage.commit(f"CMD {quoted_list(words)}")
        case Entrypoint():
            words = _command_words(stage, instruction)
            stage.configure(entrypoint=words)
            if not stage.command_set:
                stage.configure(cmd=None)
            stage.commit(f"ENTRYPOINT {quoted_list(words)}")
        case Healthcheck():
            _healthcheck(stage, instruction)
        case Expose():
            ports = exposed_ports(word.text for word in instruction.ports)
            stage.configure(exposed_ports={**(stage.runtime.exposed_ports or {}), **{port: {} for port in ports}})
            stage.commit(f"EXPOSE {plain_list(ports)}")
        case Volume():
            paths = [word.text for word in instruction.paths]
            if not all(paths):
                raise DockerfileError("VOLUME specified can not be an empty string")
            stage.configure(volumes={**(stage.runtime.volumes or {}), **{path: {} for path in paths}})
            stage.commit(f"VOLUME {plain_list(paths)}")
        case User():
            stage.user = instruction.user.text
            stage.configure(user=stage.user)
            stage.commit(f"USER {stage.user}")
        case Stopsignal():
            name = instruction.signal.text
            _check_signal(name)
            stage.configure(stop_signal=name)
            stage.commit(f"STOPSIGNAL {name}")
        case Shell():
            stage.configure(shell=list(instruction.shell))
            stage.commit(f"SHELL {plain_list(instruction.shell)}")
        case Onbuild():
            stage.configure(on_build=[*(stage.runtime.on_build or []), instruction.trigger])
        case Maintainer():
            stage.image = structs.replace(stage.image, author=instruction.name)
            stage.commit(f"MAINTAINER {instruction.name}")
        case _:
            assert_never(instruction)


def _command_words(stage: StageState, instruction: Cmd | Entrypoint) -> list[str]:
    if instruction.command.shell:
        return stage.shell(" ".join(instruction.command.arguments))
    return list(instruction.command.arguments)


def _healthcheck(stage: StageState, check: Healthcheck) -> None:
    test = list(check.test)
    stage.configure(
        healthcheck=HealthcheckConfig(
            test=test,
            interval=check.interval_ns,
            timeout=check.timeout_ns,
            start_period=check.start_period_ns,
            start_interval=check.start_interval_ns,
            retries=check.retries,
        )
    )
    times = {
        "Interval": check.interval_ns,
        "Timeout": check.timeout_ns,
        "StartPeriod": check.start_period_ns,
        "StartInterval": check.start_interval_ns,
    }
    told = " ".join(f"{name}:{duration(value)}" for name, value in times.items())
    stage.commit(f"HEALTHCHECK {{Test:{plain_list(test)} {told} Retries:{check.retries}}}")


def _check_signal(name: str) -> None:
    if re.fullmatch(r"[+-]?[0-9]+", name):
        if int(name) != 0:
            return
    elif (
        re.fullmatch(r"RTM(?:IN\+(?:[1-9]|1[0-5])|AX-(?:[1-9]|1[0-4])|IN|AX)", name.upper().removeprefix("SIG"))
        or "SIG" + name.upper().removeprefix("SIG") in signal.Signals.__members__
    ):
        return
    raise DockerfileError(f"invalid signal: {name}", hint="write a number, or a name such as SIGTERM")


def _arg(stage: StageState, instruction: Arg, around: Surroundings) -> None:
    told = []
    for definition in instruction.definitions:
        value: str | None = None
        if definition.name in around.arguments:
            value = around.arguments[definition.name]
        elif definition.default is not None:
            value = expand_word(definition.default, stage.environment, escape=around.escape).value
        else:
            value = around.globals.get(definition.name)
        if value is not None and definition.name not in NOT_IN_ENVIRONMENT:
            stage.environment[definition.name] = value
        stage.declared.append((definition.name, value))
        told.append(definition.name if value is None else f"{definition.name}={value}")
    stage.commit("ARG " + " ".join(told))


def _workdir(stage: StageState, instruction: Workdir, graph: VertexList) -> None:
    written = working_folder(stage.runtime.working_dir or "/", instruction.path.text)
    stage.folder = joined("/", written)
    stage.configure(working_dir=written)
    made = written != "/"
    if made:
        assert stage.vertex is not None
        stage.vertex = graph.add(
            MakeFolder(path=stage.folder, owner=stage.runtime.user),
            (stage.vertex,),
            title=stage.title(f"WORKDIR {written}"),
            place=instruction.place,
        )
    stage.commit(f"WORKDIR {written}", layer=made)


# ---------------------------------------------------------------- RUN


def _run(stage: StageState, run: Run, graph: VertexList, around: Surroundings) -> None:
    assert stage.vertex is not None
    if run.devices:
        raise DockerfileError("RUN --device is a feature of labs frontends, and not supported", place=run.place)
    if run.network == "host" and not around.host_network:
        raise DockerfileError(
            "network.host is not allowed: this RUN asks for the network of the host",
            hint="if you trust the Dockerfile: --allow network.host",
        )
    arguments, script = _run_words(stage, run)
    inputs = [stage.vertex]
    mounts = tuple(_mount(stage, run, at, graph, inputs) for at in range(len(run.mounts)) if run.mounts[at] is not None)
    network = run.network if run.network != "default" else around.network
    vertex = RunCommand(
        arguments=tuple(arguments),
        environment=tuple(stage.environment.items()),
        folder=stage.folder,
        user=stage.user,
        network=network,
        insecure=run.security == "insecure",
        mounts=mounts,
        script=script,
        hostname=around.hostname,
        hosts=around.hosts,
        platform=str(stage.platform or ""),
    )
    text = stage.run_text(arguments)
    told = run.source
    if script or (run.heredocs and _is_heredoc(run)):
        told += f" ({_summary(run.heredocs[0].content)})"
    stage.vertex = graph.add(
        vertex,
        tuple(inputs),
        title=stage.title(told),
        place=run.place,
        proxy=around.proxy,
        uncached=stage.uncached,
    )
    stage.commit(f"RUN {text} # buildkit", layer=True)


def _run_words(stage: StageState, run: Run) -> tuple[list[str], tuple[str, str] | None]:
    """The command, and a script that must be shown to it."""
    words = list(run.command.arguments)
    if run.heredocs and run.command.shell and len(words) == 1:
        first = run.heredocs[0]
        if _is_heredoc(run):
            if first.text.startswith("#!"):
                return stage.shell(f"/dev/pipes/{first.name}"), (first.name, first.text)
            words = [first.text]
        else:
            words = [words[0] + "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in run.heredocs)]
    if run.command.shell:
        return stage.shell(" ".join(words)), None
    return words, None


def _is_heredoc(run: Run) -> bool:
    """Whether the command is one heredoc and nothing else."""
    return bool(run.heredocs and run.command.arguments) and read_opening(run.command.arguments[0]) is not None


def _summary(text: str) -> str:
    lines = text.strip().splitlines() or [""]
    return lines[0] + ("..." if len(lines) > 1 else "")


def _mount(stage: StageState, run: Run, at: int, graph: VertexList, inputs: list[int]) -> MountOf:
    mount = run.mounts[at]
    # Of what is no secret and no socket, an empty target is the working folder: BuildKit joins the two.
    target = mount.target
    if target or not isinstance(mount, SecretMount | SshMount):
        target = posixpath.normpath(posixpath.join("/", stage.folder, target)).replace("//", "/")
    if isinstance(mount, SecretMount | SshMount):
        return MountOf(mount=mount, target=target)
    if target == "/":
        raise DockerfileError(f'invalid mount target "{target}"')
    if isinstance(mount, TmpfsMount):
        return MountOf(mount=mount, target=target)
    if isinstance(mount, CacheMount) and not mount.id:
        mount = structs.replace(mount, id=posixpath.normpath(mount.target))
    vertex: int | None = None
    if mount.from_:
        taken = stage.sources.get(source_key(run), [])
        source = taken[at] if at < len(taken) else None
        if source is None or not source.dispatched or source.vertex is None:
            raise DockerfileError(
                f'cannot mount from stage "{mount.from_}" to "{mount.target}", '
                "stage needs to be defined before current command"
            )
        vertex = source.vertex
    elif isinstance(mount, BindMount):
        vertex = graph.shared("context", ContextFiles(), "load build context")
    if vertex is None or isinstance(graph.vertices[vertex].operation, Scratch):
        vertex = None
    if vertex is None:
        return MountOf(mount=mount, target=target)
    inputs.append(vertex)
    return MountOf(mount=mount, target=target, input=len(inputs) - 1)
