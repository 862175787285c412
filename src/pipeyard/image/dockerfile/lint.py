"""The linter: what a Dockerfile does that works and should not be done.

    problems = check(dockerfile, Surroundings(...))     never raises for what the file says: that is a Problem too
    refuse_violations(problems)                         raises when the file's `# check=error=true` asks for it

Source: BuildKit, frontend/dockerfile/dockerfile2llb/validations.go and the callers of linter.Run in convert.go.
"""

import posixpath
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from msgspec import Struct, field

from pipeyard.errors import DockerfileError, InputError, Place, Problem
from pipeyard.image.dockerfile.expansion import Expansion, expand, expand_word, undefined_variables
from pipeyard.image.dockerfile.ignore import IgnoreMatcher
from pipeyard.image.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Dockerfile,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Shell,
    Stage,
    StageInstruction,
    Workdir,
)
from pipeyard.image.dockerfile.parser import parse_trigger
from pipeyard.image.dockerfile.rules import RULES, Choice, choice_of
from pipeyard.image.dockerfile.secret_names import is_secret_name
from pipeyard.image.dockerfile.suggestions import suggestion
from pipeyard.oci.platforms import parse_platform
from pipeyard.registry.reference import parse_reference

_PLATFORM_ARGUMENTS = tuple(
    side + part for side in ("BUILD", "TARGET") for part in ("PLATFORM", "OS", "OSVERSION", "ARCH", "VARIANT")
)
PREDEFINED: Mapping[str, str] = dict.fromkeys((*_PLATFORM_ARGUMENTS, "TARGETSTAGE"), "")
"""Names that exist in the global scope of every build."""

_SCANNER_ARGUMENTS = frozenset(("BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"))
_RESERVED = ("context", "scratch")


class BaseImage(Struct, frozen=True):
    """What a stage inherits of its base image, as far as checks depend on it."""

    environment: Mapping[str, str] = {}
    has_shell: bool = False
    triggers: tuple[str, ...] = ()  # of ONBUILD
    unlike: tuple[str, str] | None = None  # the platform that it has and the one asked for, where they differ


def unknown_image(reference: str, platform: str) -> BaseImage | None:
    """For checks without a registry."""
    return None


class Surroundings(Struct, frozen=True, kw_only=True):
    """What a build knows beside the file. Where a base image is unknown, no variable counts as undefined."""

    arguments: Mapping[str, str] = {}  # --build-arg
    predefined: Mapping[str, str] = field(
        default_factory=lambda: dict(PREDEFINED)
    )  # platform arguments, with their values where known
    ignore: IgnoreMatcher | None = None
    base_image: Callable[[str, str], BaseImage | None] = unknown_image  # by name and --platform, "" without one
    stages: frozenset[int] | None = None  # those that are built; None is all


def check(dockerfile: Dockerfile, surroundings: Surroundings | None = None) -> tuple[Problem, ...]:
    """Every finding, by line. `Problem.rule` is BuildKit's name of the rule; severity is error where the file wants it.

    Raises DockerfileError only for a `# check=` directive that is wrong itself.
    """
    return _Linter(dockerfile, surroundings or Surroundings()).run()


def refuse_violations(problems: Iterable[Problem]) -> None:
    """Raises DockerfileError when rules were violated and the file says `error=true`."""
    violated = [problem for problem in problems if problem.severity == "error" and problem.rule]
    if violated:
        names = ", ".join(sorted({problem.rule for problem in violated}))
        raise DockerfileError(f"lint violation found for rules: {names}", place=violated[0].place)


class _State(Struct):
    """What the instructions of a stage did so far."""

    environment: dict[str, str] | None  # None while the base image is unknown
    declared: set[str]
    has_shell: bool = False
    has_workdir: bool = False
    triggers: tuple[str, ...] = ()  # for a stage built on this one


class _Linter:
    def __init__(self, dockerfile: Dockerfile, surroundings: Surroundings) -> None:
        self.file = dockerfile
        self.given = surroundings
        self.choice = choice_of(dockerfile.check)
        self.problems: dict[tuple[str, str, Place], Problem] = {}
        self.globals: dict[str, str] = {}
        self.states: dict[str, _State] = {}

    def run(self) -> tuple[Problem, ...]:
        for place in self.file.empty_continuations:
            self.warn("NoEmptyContinuation", place, "empty line within an instruction", self.choice)
        for argument in self.file.global_args:
            self.describes(argument, tuple(definition.name for definition in argument.definitions), self.choice)
        for stage in self.file.stages:
            self.form(stage)
        self.stage_names()
        self.casing()
        self.globals = self.global_scope({})
        self.default_images()
        self.globals = self.global_scope(self.given.arguments)
        for index, stage in enumerate(self.file.stages):
            self.stage(index, stage)
        return tuple(sorted(self.problems.values(), key=lambda problem: (problem.place.line, problem.rule)))

    def warn(self, name: str, place: Place, message: str, choice: Choice, hint: str = "") -> None:
        rule = RULES[name]
        if choice.includes(rule):
            severity: Literal["error", "warning"] = "error" if self.choice.as_error else "warning"
            problem = Problem(severity, message, place, hint or rule.link, name)
            self.problems.setdefault((name, message, place), problem)

    def complain(self, error: DockerfileError, place: Place) -> None:
        found = error.place or place
        self.problems.setdefault(("", error.message, found), Problem("error", error.message, found, error.hint))

    # What shows without knowing any value.

    def form(self, stage: Stage) -> None:
        from_ = stage.from_
        choice = self.choice.within(from_.comments)
        if from_.name is not None:
            written = from_.name_as_written
            if written != written.lower():
                self.warn("StageNameCasing", from_.place, f"name of stage {written!r} is not in lower case", choice)
            keyword, as_ = from_.keyword, from_.as_keyword
            if (keyword.islower() and not as_.islower()) or (keyword.isupper() and not as_.isupper()):
                self.warn("FromAsCasing", from_.place, f"{as_!r} is not in the case of {keyword!r}", choice)
            self.describes(from_, (from_.name,), choice)
        for instruction in stage.instructions:
            choice = self.choice.within(instruction.comments)
            if isinstance(instruction, Maintainer):
                message = "MAINTAINER is deprecated"
                hint = f"write LABEL org.opencontainers.image.authors={instruction.name!r}"
                self.warn("MaintainerDeprecated", instruction.place, message, choice, hint)
            elif isinstance(instruction, Arg):
                self.describes(instruction, tuple(one.name for one in instruction.definitions), choice)

    def describes(self, instruction: Instruction, names: tuple[str, ...], choice: Choice) -> None:
        choice = choice.within(instruction.comments)
        if instruction.comments and instruction.comments[-1].partition(" ")[0] not in names:
            message = f"the comment above {instruction.keyword.upper()} does not begin with {' or '.join(names)}"
            hint = "an empty comment between them says that it is no description"
            self.warn("InvalidDefinitionDescription", instruction.place, message, choice, hint)

    def stage_names(self) -> None:
        seen = set()
        for stage in self.file.stages:
            if stage.name is None:
                continue
            if stage.name in _RESERVED:
                self.warn("ReservedStageName", stage.from_.place, f"stage name {stage.name} is reserved", self.choice)
            if stage.name in seen:
                message = f"stage name {stage.name} is used more than once"
                self.warn("DuplicateStageName", stage.from_.place, message, self.choice)
            seen.add(stage.name)

    def casing(self) -> None:
        every: list[Instruction] = []
        for stage in self.file.stages:
            every += (stage.from_, *stage.instructions)
        lower = sum(instruction.keyword.islower() for instruction in every)
        upper = sum(instruction.keyword.isupper() for instruction in every)
        wanted, name = (str.islower, "lower") if lower > upper else (str.isupper, "upper")
        for instruction in every:
            if not wanted(instruction.keyword):
                message = f"{instruction.keyword!r} is not in {name} case, as most keywords here are"
                self.warn("ConsistentInstructionCasing", instruction.place, message, self.choice)

    # Global arguments and FROM.

    def global_scope(self, given: Mapping[str, str]) -> dict[str, str]:
        scope = {**self.given.predefined, **{name: given[name] for name in self.given.predefined if name in given}}
        for argument in self.file.global_args:
            for definition in argument.definitions:
                if definition.name in given:
                    scope[definition.name] = given[definition.name]
                elif definition.default is not None:
                    try:
                        scope[definition.name] = expand_word(definition.default, scope, escape=self.file.escape).value
                    except DockerfileError as error:
                        self.complain(error, argument.place)
        return scope

    def default_images(self) -> None:
        for stage in self.file.stages:
            try:
                name = expand_word(stage.from_.image, self.globals, escape=self.file.escape).value
            except DockerfileError:
                return  # said again, and placed, where the stage is looked at
            try:
                parse_reference(name)
            except InputError:
                message = f"the default of an ARG makes {stage.from_.image.raw} an empty or invalid image name"
                self.warn("InvalidDefaultArgInFrom", stage.from_.place, message, self.choice)

    def from_word(self, from_: From, expansion: Expansion, choice: Choice) -> None:
        known = {definition.name for argument in self.file.global_args for definition in argument.definitions}
        known |= self.globals.keys()
        for name in sorted(expansion.undefined - known):
            closest = suggestion(name, known)
            hint = f"did you mean {closest}?" if closest else "declare it with ARG before the first FROM"
            self.warn("UndefinedArgInFrom", from_.place, f"FROM uses {name}, which is not declared", choice, hint)

    def platform(self, from_: From, choice: Choice) -> str:
        """What FROM asks for, "" when it asks for nothing."""
        if from_.platform is None:
            return ""
        expansion = expand_word(from_.platform, self.globals, escape=self.file.escape)
        self.from_word(from_, expansion, choice)
        written = from_.platform.raw
        if expansion.used == {"TARGETPLATFORM"} and not expansion.undefined:
            if expansion.value == self.globals.get("TARGETPLATFORM"):
                message = f"--platform={written} is what FROM does without it"
                self.warn("RedundantTargetPlatform", from_.place, message, choice)
        elif not (expansion.used or expansion.undefined):
            try:
                platform = parse_platform(expansion.value)
            except InputError:
                return expansion.value
            name = from_.name or ""
            if platform.os not in name and platform.architecture not in name:
                message = f"--platform={written} of FROM is constant"
                self.warn("FromPlatformFlagConstDisallowed", from_.place, message, choice)
        return expansion.value

    # The instructions of a stage, with the values that they see.

    def stage(self, index: int, stage: Stage) -> None:
        from_ = stage.from_
        choice = self.choice.within(from_.comments)
        try:
            expansion = expand_word(from_.image, self.globals, escape=self.file.escape)
            self.from_word(from_, expansion, choice)
            platform = self.platform(from_, choice)
        except DockerfileError as error:
            self.complain(error, from_.place)
            return
        state = self.inherited(expansion.value, platform, from_.place)
        if self.given.stages is None or index in self.given.stages:
            last: dict[type, Place] = {}
            for instruction in (*self.triggered(state, from_.place), *stage.instructions):
                choice = self.choice.within(instruction.comments)
                try:
                    self.instruction(instruction, state, choice)
                except DockerfileError as error:
                    self.complain(error, instruction.place)
                if isinstance(instruction, Cmd | Entrypoint | Healthcheck):
                    self.only_one(instruction, last, choice)
        if from_.name is not None:
            state.triggers = tuple(one.trigger for one in stage.instructions if isinstance(one, Onbuild))
            self.states[from_.name] = state

    def triggered(self, state: _State, place: Place) -> list[StageInstruction]:
        """What ONBUILD of the base adds to the stage, as if it stood in its FROM."""
        try:
            return [parse_trigger(trigger, place) for trigger in state.triggers]
        except DockerfileError as error:
            self.complain(error, place)
            return []

    def inherited(self, image: str, platform: str, place: Place) -> _State:
        earlier = self.states.get(image)
        if earlier is not None:
            environment = None if earlier.environment is None else dict(earlier.environment)
            state = _State(environment, set(earlier.declared), earlier.has_shell, earlier.has_workdir)
            state.triggers = earlier.triggers
            return state
        base = BaseImage() if image == "scratch" else self.given.base_image(image, platform)
        if base is None:
            return _State(None, set())
        if base.unlike is not None:
            message = f"base image {image} is for {base.unlike[0]}, and {base.unlike[1]} was asked for"
            self.warn("InvalidBaseImagePlatform", place, message, self.choice)
        return _State({"PATH": "", **base.environment}, set(), base.has_shell, triggers=base.triggers)

    def only_one(self, instruction: Cmd | Entrypoint | Healthcheck, last: dict[type, Place], choice: Choice) -> None:
        earlier = last.get(type(instruction))
        if earlier is not None:
            message = f"this {instruction.keyword.upper()} has no effect: the stage has a later one"
            self.warn("MultipleInstructionsDisallowed", earlier, message, choice)
        last[type(instruction)] = instruction.place

    def instruction(self, instruction: StageInstruction, state: _State, choice: Choice) -> None:
        place, escape = instruction.place, self.file.escape
        variables = state.environment or {}
        if isinstance(instruction, Arg):
            self.argument(instruction, state, choice)
            return
        if state.environment is not None and not isinstance(instruction, Expose):  # of which BuildKit tells nothing
            self.undefined(place, undefined_variables(instruction, variables, escape=escape), state, choice)
        expanded = expand(instruction, variables, escape=escape)
        match expanded:
            case Env() | Label():
                if any(pair.legacy for pair in expanded.pairs):
                    keyword = expanded.keyword.upper()
                    message = f"{keyword} has a space between name and value"
                    self.warn("LegacyKeyValueFormat", place, message, choice, f"write {keyword} name=value")
                if isinstance(expanded, Env):
                    for pair in expanded.pairs:
                        self.no_secret("ENV", pair.name.text, place, choice)
                        if state.environment is not None:
                            state.environment[pair.name.text] = pair.value.text
            case Cmd() | Entrypoint():
                if expanded.command.shell and not state.has_shell:
                    message = f"{expanded.keyword.upper()} in shell form: signals go to the shell"
                    self.warn("JSONArgsRecommended", place, message, choice, 'write ["program", "argument"]')
            case Shell():
                state.has_shell = True
            case Workdir():
                if not state.has_workdir and not expanded.path.text.startswith("/"):
                    message = f"relative WORKDIR {expanded.path.text!r} depends on the base image"
                    self.warn("WorkdirRelativePath", place, message, choice)
                state.has_workdir = True
            case Expose():
                for port in expanded.ports:
                    self.port(port.text, place, choice)
            case Copy(from_=None) | Add():
                for source in expanded.sources:
                    self.copied(expanded.keyword.upper(), source.text, place, choice)

    def undefined(self, place: Place, names: frozenset[str], state: _State, choice: Choice) -> None:
        known = state.environment or {}
        for name in sorted(names - state.declared - _SCANNER_ARGUMENTS):
            closest = suggestion(name, known)
            hint = f"did you mean ${closest}?" if closest else ""
            self.warn("UndefinedVar", place, f"variable ${name} is not defined", choice, hint)

    def argument(self, instruction: Arg, state: _State, choice: Choice) -> None:
        for definition in instruction.definitions:
            name = definition.name
            self.no_secret("ARG", name, instruction.place, choice)
            value = self.given.arguments.get(name)
            if value is None and definition.default is not None:
                expansion = expand_word(definition.default, state.environment or {}, escape=self.file.escape)
                if state.environment is not None:
                    self.undefined(instruction.place, expansion.undefined, state, choice)
                value = expansion.value
            elif value is None:
                value = self.globals.get(name)
            if value is not None and state.environment is not None and name not in _SCANNER_ARGUMENTS:
                state.environment[name] = value
            state.declared.add(name)

    def no_secret(self, keyword: str, name: str, place: Place, choice: Choice) -> None:
        if is_secret_name(name):
            message = f"{keyword} {name} looks like a secret, which stays readable in the image"
            hint = f"RUN --mount=type=secret,id={name.lower()},env={name}"
            self.warn("SecretsUsedInArgOrEnv", place, message, choice, hint)

    def port(self, text: str, place: Place, choice: Choice) -> None:
        address, _, port = text.rpartition(":")
        protocol = port.partition("/")[2]
        if protocol != protocol.lower():
            self.warn("ExposeProtoCasing", place, f"protocol of {text!r} is not in lower case", choice)
        if address.strip(":"):
            message = f"{text!r} has an address or a host port, which EXPOSE does not map"
            self.warn("ExposeInvalidFormat", place, message, choice, f"write EXPOSE {port}")

    def copied(self, keyword: str, source: str, place: Place, choice: Choice) -> None:
        ignore = self.given.ignore
        if ignore is None or ignore.has_exceptions or "://" in source or source.startswith("git@"):
            return
        path = posixpath.normpath(source or ".")
        # The root itself cannot be ignored, only all that is in it.
        if path in (".", "/") and not any(pattern.text in ("*", "**", "**/*") for pattern in ignore.patterns):
            return
        if ignore.ignores(path):
            message = f"{keyword} of {path!r}, which the ignore file keeps out"
            self.warn("CopyIgnoredFile", place, message, choice)
