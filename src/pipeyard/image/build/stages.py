"""Which stages a build needs, what they are built on, and in which order they are planned.

Source: BuildKit, frontend/dockerfile/dockerfile2llb/convert.go (toDispatchState and what it calls).
"""

import re
from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct, structs

from pipeyard.errors import DockerfileError, InputError, Place, located
from pipeyard.image.build.stagestate import StageState, empty_image, source_key
from pipeyard.image.dockerfile.expansion import expand_word
from pipeyard.image.dockerfile.instructions import Add as AddInstruction
from pipeyard.image.dockerfile.instructions import (
    Copy,
    Dockerfile,
    From,
    Onbuild,
    Run,
    StageInstruction,
    Word,
    Workdir,
)
from pipeyard.image.dockerfile.parser import parse_trigger
from pipeyard.oci import Platform, parse_platform
from pipeyard.registry.exchange import ResolvedImage
from pipeyard.registry.reference import parse_reference

SCRATCH = "scratch"
STAGE_CONTEXT = "target:"  # a named context that is another stage of the same Dockerfile
Images = Callable[[str, Platform], ResolvedImage]
"""Finds an image by its reference; raises InputError when there is none. Called from one thread."""


class Lookup(Struct, frozen=True, kw_only=True):
    """What stages are resolved against. `contexts` are the named ones."""

    globals: Mapping[str, str]
    escape: str
    target_platform: Platform
    implicit_platform: bool  # nobody asked for a platform: an image of another one changes it
    contexts: Mapping[str, str]
    images: Images
    no_cache: bool
    no_cache_filter: tuple[str, ...]


class Stages:
    """The stages of one Dockerfile and the images that they mention, in the order in which they are planned."""

    def __init__(self, file: Dockerfile, lookup: Lookup) -> None:
        self._file = file
        self._lookup = lookup
        self.all: list[StageState] = []
        self._names: dict[str, StageState] = {}
        for number, stage in enumerate(file.stages):
            with located(stage.from_.place):
                self._add(self._declare(number, stage.from_, stage.instructions))
        for name, specifier in lookup.contexts.items():
            if specifier.startswith(STAGE_CONTEXT):
                self._names[name.lower()] = self.target(specifier.removeprefix(STAGE_CONTEXT))
        for state in tuple(self.all):
            self._connect(state, state.instructions)
        self._refuse_circles()

    # ------------------------------------------------------------ declared

    def _declare(self, number: int, from_: From, instructions: Iterable[StageInstruction]) -> StageState:
        scope, escape = self._lookup.globals, self._lookup.escape
        base_name = expand_word(from_.image, scope, escape=escape).value
        if not base_name:
            raise DockerfileError(f"base name ({from_.image.raw}) should not be blank")
        state = StageState(from_, from_.name or "", base_name, tuple(instructions))
        if from_.platform is not None:
            text = expand_word(from_.platform, scope, escape=escape).value
            if not text:
                raise DockerfileError(f"empty platform value from expression {from_.platform.raw}")
            try:
                state.platform = parse_platform(text)
            except InputError as error:
                message = f"failed to parse platform {from_.platform.raw}: {error.message}"
                raise DockerfileError(message, hint=error.hint) from error
        state.named_context = self._context_of(state.name) if state.name else ""
        if state.named_context:
            state.context_name = familiar(state.name)
            state.instructions = []
        state.label = state.name or f"stage-{number}"
        if len(self._file.stages) == 1 and not state.name:
            state.label = ""
        filters = {name.lower() for name in self._lookup.no_cache_filter}
        state.uncached = self._lookup.no_cache or (bool(state.name) and state.name.lower() in filters)
        return state

    def _add(self, state: StageState) -> None:
        self.all.append(state)
        if not state.named_context:
            state.base = self._names.get(state.base_name)
        if state.name:
            self._names[state.name.lower()] = state
        makers = (AddInstruction, Copy, Run, Workdir)
        state.steps = sum(isinstance(instruction, makers) for instruction in state.instructions)
        if state.base is None and state.base_name != SCRATCH and not state.is_image:
            state.steps += 1
            state.step = 1

    def _context_of(self, name: str) -> str:
        """The named context that takes the place of a stage or an image."""
        if not self._lookup.contexts or name.lower() in (SCRATCH, "context"):
            return ""
        specifier = self._lookup.contexts.get(familiar(name), "")
        return "" if specifier.startswith(STAGE_CONTEXT) else specifier

    def _connect(self, state: StageState, instructions: Iterable[StageInstruction]) -> bool:
        """Finds what instructions take from; True when there was something."""
        found = False
        for instruction in instructions:
            with located(instruction.place):
                taken = self._taken(instruction)
            if taken:
                state.sources[source_key(instruction)] = taken
                found = found or any(taken)
        return found

    def _taken(self, instruction: StageInstruction) -> list[StageState | None]:
        match instruction:
            case Copy(from_=str(name)) if name:
                if expand_word(Word(name, instruction.place), {}, escape=self._lookup.escape).value != name:
                    raise DockerfileError(
                        "variable expansion is not supported for --from, "
                        "define a new stage with FROM using ARG from global scope as a workaround"
                    )
                if re.fullmatch(r"[+-]?[0-9]+", name):
                    if not 0 <= int(name) < len(self.all):
                        raise DockerfileError(f"invalid stage index {int(name)}")
                    return [self.all[int(name)]]
                return [self._named(name, instruction.place)]
            case Run():
                return [
                    self._named(request.from_, instruction.place) if request.from_ else None
                    for request in instruction.mount_requests
                ]
            case _:
                return []

    def _named(self, name: str, place: Place) -> StageState:
        known = self._names.get(name.lower())
        if known is not None:
            return known
        state = StageState(From(place=place, source=f"FROM {name}", image=Word(name, place)), "", name, ())
        state.is_image = True
        self._add(state)
        return state

    def _refuse_circles(self) -> None:
        done: set[int] = set()

        def visit(state: StageState, path: tuple[StageState, ...]) -> None:
            if state in path:
                raise DockerfileError(f"circular dependency detected on stage: {state.label}", place=state.place)
            if id(state) in done:
                return
            for needed in _needs(state, with_base=False):
                visit(needed, (*path, state))
            done.add(id(state))

        for state in self.all:
            visit(state, ())

    # ------------------------------------------------------------ needed

    def target(self, name: str) -> StageState:
        """The stage called `name`, or the last of the file. Raises DockerfileError."""
        if not name:
            return next(state for state in reversed(self.all) if not state.is_image)
        found = self._names.get(name.lower())
        if found is None:
            names = [state.name for state in self.all if state.name]
            import difflib

            close = difflib.get_close_matches(name, names, 1)
            hint = f"did you mean {close[0]}" if close else f"its stages are {', '.join(names)}" if names else ""
            raise DockerfileError(f'target stage "{name}" could not be found', place=Place(self._file.file), hint=hint)
        return found

    def resolve(self, target: StageState) -> list[StageState]:
        """Finds the bases of everything that `target` needs, takes over their triggers, and answers it in order."""
        while True:
            needed = _reachable(target)
            for state in tuple(self.all):
                if state.base is not None or state.resolved:
                    continue
                with located(state.place):
                    if state in needed:
                        state.resolved = True
                        self._resolve_base(state)
                    elif state.base_name != SCRATCH:
                        _check_reference(state.base_name)
            more = [self._take_triggers(state) for state in tuple(self.all) if state in needed]
            if not any(more):
                # What only stands for an image has no instructions, and is there before all that take from it.
                found = [state for state in self.all if state in needed]
                return sorted(found, key=lambda state: not state.is_image)

    def _resolve_base(self, state: StageState) -> None:
        lookup = self._lookup
        if state.base_name == SCRATCH and not state.named_context:
            state.platform = lookup.target_platform
            state.image = empty_image(lookup.target_platform)
            return
        platform = state.platform or lookup.target_platform
        specifier = state.named_context or self._context_of(state.base_name)
        if specifier and not specifier.startswith(("docker-image://", "oci-layout://")):
            state.context_name = state.context_name or familiar(state.base_name)
            state.named_context = specifier
            state.platform = platform
            state.image = empty_image(platform)
            return
        reference = specifier.removeprefix("docker-image://") or state.base_name
        is_layout = reference.startswith("oci-layout://")
        if specifier and reference == SCRATCH:
            state.platform, state.image = platform, empty_image(platform)
            state.named_context, state.base_name = "", SCRATCH
            return
        state.named_context = ""
        if not is_layout:
            _check_reference(reference)
        try:
            image = lookup.images(reference, platform)
        except InputError as error:
            error.message = f"no image for {platform}: {error.message}"
            error.args = (error.message,)
            import difflib

            close = difflib.get_close_matches(state.base_name, [other.name for other in self.all if other.name], 1)
            if close and not error.hint:
                error.hint = f"did you mean the stage {close[0]}"
            raise
        found = Platform(image.config.os, image.config.architecture, image.config.variant)
        if state.platform is None and lookup.implicit_platform and found.architecture:
            same = (found.os, found.architecture) == (platform.os, platform.architecture)
            platform = platform if same else found
        state.platform = platform
        state.base_image = image
        state.base_history = len(image.config.history)
        state.image = structs.replace(image.config, created=None)

    def _take_triggers(self, state: StageState) -> bool:
        """ONBUILD of the base becomes the first instructions; True when they need stages not yet known."""
        if state.triggers_taken or state.is_image or state.named_context:
            return False
        state.triggers_taken = True
        triggers: list[str] = []
        if state.base is not None:
            triggers = [one.trigger for one in state.base.instructions if isinstance(one, Onbuild)]
        elif state.base_image is not None:
            triggers = list(state.runtime.on_build or [])
        if not triggers:
            return False
        with located(state.place):
            parsed = [parse_trigger(trigger, state.place) for trigger in triggers]
        state.instructions = [*parsed, *state.instructions]
        state.on_build = len(parsed)
        state.steps += len(parsed)
        state.image = state.with_runtime(state.image, on_build=None)
        return self._connect(state, parsed)


def _check_reference(name: str) -> None:
    """Raises DockerfileError for what names no image. Also asked of stages that nothing needs."""
    try:
        parse_reference(name)
    except InputError as error:
        raise DockerfileError(f"invalid reference format: {error.message}", hint=error.hint) from error


def _needs(state: StageState, *, with_base: bool = True) -> list[StageState]:
    found = [source for taken in state.sources.values() for source in taken if source is not None]
    return [state.base, *found] if with_base and state.base is not None else found


def _reachable(target: StageState) -> set[StageState]:
    found: set[StageState] = set()
    waiting = [target]
    while waiting:
        state = waiting.pop()
        if state not in found:
            found.add(state)
            waiting += _needs(state)
    return found


def familiar(name: str) -> str:
    """How a named context is looked up: without Docker Hub's defaults and without `:latest`."""
    try:
        reference = parse_reference(name)
    except InputError:
        return name
    short = reference.repository if reference.host == "docker.io" else reference.name
    if reference.host == "docker.io":
        short = short.removeprefix("library/")
    if reference.digest:
        return f"{short}@{reference.digest}"
    return short if reference.tag == "latest" else f"{short}:{reference.tag}"
