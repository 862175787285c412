"""From a Dockerfile to the graph of what must be done for its target.

Pure: no clock, no disk, and no network but for `images`, which says what a base image's configuration is. BuildKit's
rules decide, its frontend/dockerfile/dockerfile2llb is the source for each of them.
"""

from collections.abc import Mapping

from msgspec import Struct, structs

from pipeyard.errors import DockerfileError, Place, located
from pipeyard.image.build.dispatch import Surroundings, dispatch
from pipeyard.image.build.gitref import parse_git
from pipeyard.image.build.graph import (
    BaseImage,
    ContextFiles,
    CopyFiles,
    CopySource,
    Download,
    GitFiles,
    Graph,
    Scratch,
)
from pipeyard.image.build.scope import DEFAULT_PATH, global_scope, platform_arguments, proxy_environment
from pipeyard.image.build.stages import SCRATCH, Images, Lookup, Stages, familiar
from pipeyard.image.build.stagestate import StageState, VertexList, environment_of, platform_of
from pipeyard.image.build.workpaths import joined, working_folder
from pipeyard.image.dockerfile.instructions import Dockerfile
from pipeyard.oci import Platform, parse_platform
from pipeyard.oci.platforms import native


class Wishes(Struct, frozen=True, kw_only=True):
    """What steers a plan beside the Dockerfile. `platform` None is the machine's, unless the base image has another."""

    target: str = ""
    arguments: Mapping[str, str] = {}
    labels: Mapping[str, str] = {}
    platform: Platform | None = None
    build_platform: Platform | None = None
    contexts: Mapping[str, str] = {}
    network: str = "default"
    host_network: bool = False  # RUN --network=host is allowed
    hostname: str = ""
    hosts: Mapping[str, str] = {}
    no_cache: bool = False
    no_cache_filter: tuple[str, ...] = ()


def plan(file: Dockerfile, wishes: Wishes, images: Images) -> Graph:
    """The graph for the wished target. Raises DockerfileError, placed, and what `images` raises."""
    if not file.stages:
        raise DockerfileError(
            "dockerfile contains no stages to build", place=Place(file.file), hint="it must have a FROM"
        )
    build_platform = wishes.build_platform or native()
    platform = wishes.platform or build_platform
    start = platform_arguments(build_platform, platform, wishes.target or file.stages[-1].name or "", wishes.arguments)
    with located(Place(file.file)):
        scope = global_scope(file.global_args, wishes.arguments, start, file.escape)
    stages = Stages(
        file,
        Lookup(
            globals=scope,
            escape=file.escape,
            target_platform=platform,
            implicit_platform=wishes.platform is None,
            contexts={familiar(name): specifier for name, specifier in wishes.contexts.items()},
            images=images,
            no_cache=wishes.no_cache,
            no_cache_filter=wishes.no_cache_filter,
        ),
    )
    target = stages.target(wishes.target)
    graph = VertexList()
    around = Surroundings(
        escape=file.escape,
        arguments=wishes.arguments,
        globals=scope,
        proxy=proxy_environment(wishes.arguments),
        network=wishes.network,
        hostname=wishes.hostname,
        hosts=tuple(sorted(wishes.hosts.items())),
        host_network=wishes.host_network,
    )
    for state in stages.resolve(target):
        with located(state.place):
            _plan_stage(state, graph, around)
    return _finished(target, graph, wishes, platform, scope)


def _plan_stage(state: StageState, graph: VertexList, around: Surroundings) -> None:
    if state.base is not None:
        state.begin_from(state.base)
    else:
        state.vertex = _root(state, graph)
        _begin(state)
    state.dispatched = True
    for at, instruction in enumerate(state.instructions):
        if at == state.on_build:
            state.on_build = 0
        with located(instruction.place):
            dispatch(state, instruction, graph, around)


def _root(state: StageState, graph: VertexList) -> int:
    """The vertex that a stage begins with."""
    if state.named_context:
        state.step = 0  # BuildKit counts such a FROM and gives it no number: its first step is `[1/2]`
        return _from_context(state, graph)
    if state.base_image is None:
        return graph.shared(SCRATCH, Scratch(), "")
    if not state.base_image.manifest.layers:
        return graph.shared(SCRATCH, Scratch(), "")
    title = f"FROM {state.base_name}"
    if state.steps and not state.is_image:
        title = f"[{state.label + ' ' if state.label else ''}{1:>{len(str(state.steps))}}/{state.steps}] {title}"
    key = ("image", state.base_image.descriptor.digest, state.base_image.reference.name)
    return graph.shared(key, BaseImage(image=state.base_image), title, state.place)


def _from_context(state: StageState, graph: VertexList) -> int:
    """A named context in place of a stage or image. As a source of files it is used as it is."""
    name = state.context_name
    specifier = state.named_context
    git = parse_git(specifier)
    if git is not None:
        operation = GitFiles(
            remote=git.remote,
            reference=git.reference,
            subfolder=git.subfolder,
            checksum=git.checksum,
            keep_git=bool(git.keep_git),
        )
        files = graph.shared(("context", name), operation, f"[context {name}] clone {specifier}")
    elif specifier.startswith(("http://", "https://")):
        files = graph.shared(("context", name), Download(url=specifier, name="context"), f"[context {name}]")
    else:
        files = graph.shared(("context", name), ContextFiles(name=name), f"[context {name}] load")
    if state.is_image:
        return files
    scratch = graph.shared(SCRATCH, Scratch(), "")
    everything = CopyFiles(sources=(CopySource(input=1, path="/"),), destination="/")
    return graph.add(everything, (scratch, files), title=f"[context {name}] load", place=state.place)


def _begin(state: StageState) -> None:
    """What the base image's configuration means for the instructions that follow."""
    environment = environment_of(state.runtime.env)
    if "PATH" not in environment:
        state.configure(env=[*(state.runtime.env or []), f"PATH={DEFAULT_PATH}"])
    state.environment = dict(environment_of(state.runtime.env))
    if state.runtime.working_dir:
        written = working_folder("/", state.runtime.working_dir)
        state.folder = joined("/", written)
        state.configure(working_dir=written)
    state.user = state.runtime.user


def _finished(
    target: StageState, graph: VertexList, wishes: Wishes, platform: Platform, scope: Mapping[str, str]
) -> Graph:
    assert target.vertex is not None
    if isinstance(graph.vertices[target.vertex].operation, ContextFiles | GitFiles | Download):
        raise DockerfileError("a named context alone is no image", place=target.place)
    if wishes.labels:
        target.configure(labels={**(target.runtime.labels or {}), **wishes.labels})
    image = target.image
    if wishes.platform is not None:
        same = (image.os, image.architecture) == (platform.os, platform.architecture)
        variant = platform.variant if platform.variant or not same else image.variant
        image = structs.replace(image, os=platform.os, architecture=platform.architecture, variant=variant)
    normal = parse_platform(str(platform_of(image)))
    image = structs.replace(image, architecture=normal.architecture, variant=normal.variant)
    epoch = wishes.arguments.get("SOURCE_DATE_EPOCH") or scope.get("SOURCE_DATE_EPOCH", "")
    return Graph(
        vertices=tuple(graph.vertices),
        target=target.vertex,
        config=image,
        platform=platform_of(image),
        base=target.base_image,
        base_history=target.base_history,
        epoch_s=int(epoch) if epoch.isdigit() else None,
    )
