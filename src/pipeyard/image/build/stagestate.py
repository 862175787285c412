"""One stage while it is planned: its environment, the image configuration so far, and its last file system.

A planning state is written by the planner alone, from the first instruction of its stage to the last; what is shared
with stages built on it is copied when they begin.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import structs

from pipeyard.errors import Place
from pipeyard.image.build.graph import Operation, Vertex
from pipeyard.image.build.scope import DEFAULT_PATH
from pipeyard.image.dockerfile.instructions import From, StageInstruction
from pipeyard.oci import History, ImageConfig, Platform, RootFs, RuntimeConfig
from pipeyard.registry.exchange import ResolvedImage

HISTORY_COMMENT = "buildkit.dockerfile.v0"
DEFAULT_SHELL = ("/bin/sh", "-c")


def empty_image(platform: Platform) -> ImageConfig:
    """What `FROM scratch` begins with."""
    return ImageConfig(
        architecture=platform.architecture,
        os=platform.os,
        variant=platform.variant,
        rootfs=RootFs(),
        config=RuntimeConfig(working_dir="/", env=[f"PATH={DEFAULT_PATH}"]),
    )


class StageState:
    """`vertex` is the stage's file system so far, None before it begins."""

    def __init__(self, from_: From, name: str, base_name: str, instructions: Sequence[StageInstruction]) -> None:
        self.from_ = from_
        self.place: Place = from_.place
        self.name = name  # "" for stages without one
        self.label = name
        self.base_name = base_name
        self.instructions = list(instructions)
        self.on_build = 0  # so many of the instructions are triggers of the base
        self.base: StageState | None = None
        self.sources: dict[tuple[Place, str], list[StageState | None]] = {}  # by source_key: what it takes from
        self.platform: Platform | None = None
        self.named_context = ""
        self.context_name = ""  # under which it was given: the stage's own name, or its base's
        self.is_image = False  # stands for an image that a COPY or mount named
        self.resolved = False
        self.dispatched = False
        self.triggers_taken = False
        self.image = ImageConfig(rootfs=RootFs())
        self.base_image: ResolvedImage | None = None
        self.base_history = 0
        self.vertex: int | None = None
        self.environment: dict[str, str] = {}
        self.folder = "/"
        self.user = ""
        self.declared: list[tuple[str, str | None]] = []
        self.command_set = False
        self.uncached = False
        self.steps = 0
        self.step = 0

    def begin_from(self, base: "StageState") -> None:
        """Takes over what a stage inherits from the one that it is built on."""
        self.vertex = base.vertex
        self.platform = base.platform
        self.image = self.with_runtime(base.image, on_build=None)
        self.base_image = base.base_image
        self.base_history = base.base_history
        self.environment = dict(base.environment)
        self.folder = base.folder
        self.user = base.user
        self.declared = list(base.declared)

    @property
    def runtime(self) -> RuntimeConfig:
        return self.image.config or RuntimeConfig()

    @staticmethod
    def with_runtime(image: ImageConfig, **changes: Any) -> ImageConfig:
        return structs.replace(image, config=structs.replace(image.config or RuntimeConfig(), **changes))

    def configure(self, **changes: Any) -> None:
        """Changes members of the image's `config`."""
        self.image = self.with_runtime(self.image, **changes)

    def commit(self, text: str, *, layer: bool = False) -> None:
        """Adds an entry to the image's history."""
        entry = History(created_by=text, comment=HISTORY_COMMENT, empty_layer=not layer)
        self.image = structs.replace(self.image, history=[*self.image.history, entry])

    def set_environment(self, pairs: Iterable[tuple[str, str]]) -> None:
        """ENV: for the following instructions, and for the image, where a name keeps its place."""
        entries = list(self.runtime.env or [])
        for name, value in pairs:
            self.environment[name] = value
            found = next((at for at, entry in enumerate(entries) if entry.partition("=")[0] == name), None)
            if found is None:
                entries.append(f"{name}={value}")
            else:
                entries[found] = f"{name}={value}"
        self.configure(env=entries)

    def shell(self, command: str) -> list[str]:
        return [*(self.runtime.shell or DEFAULT_SHELL), command]

    def title(self, text: str) -> str:
        """What people see of the stage's next step: `[build 2/5] RUN make`."""
        self.step += 1
        width = len(str(self.steps))
        name = f"{self.label} " if self.label else ""
        trigger = "ONBUILD " if self.on_build else ""
        return f"[{name}{self.step:>{width}}/{self.steps}] {trigger}{' '.join(text.split())}"

    def run_text(self, arguments: Sequence[str]) -> str:
        """What history says that a RUN did: with the arguments in force, as `|2 A=1 B=2 /bin/sh -c ...`."""
        values: dict[str, str] = {}
        for name, value in self.declared:
            values[name] = self.environment.get(name, value or "")
        declared = [f"|{len(values)}", *(f"{name}={value}" for name, value in values.items())] if values else []
        return " ".join([*declared, *arguments])


class VertexList:
    """The graph while it grows."""

    def __init__(self) -> None:
        self.vertices: list[Vertex] = []
        self._contexts: dict[object, int] = {}

    def add(
        self,
        operation: Operation,
        inputs: tuple[int, ...] = (),
        *,
        title: str = "",
        place: Place | None = None,
        proxy: tuple[tuple[str, str], ...] = (),
        uncached: bool = False,
        step: bool = True,
    ) -> int:
        self.vertices.append(
            Vertex(
                operation=operation,
                inputs=inputs,
                title=title,
                place=place,
                proxy=proxy,
                uncached=uncached,
                step=step,
            )
        )
        return len(self.vertices) - 1

    def shared(self, key: object, operation: Operation, title: str, place: Place | None = None) -> int:
        """A vertex without inputs that exists once for its key."""
        if key not in self._contexts:
            self._contexts[key] = self.add(operation, title=title, place=place, step=False)
        return self._contexts[key]


def source_key(instruction: StageInstruction) -> tuple[Place, str]:
    """Names an instruction also after its expansion, which makes a new node of it."""
    return instruction.place, instruction.source


def platform_of(image: ImageConfig) -> Platform:
    return Platform(image.os or "linux", image.architecture, image.variant)


def environment_of(entries: Sequence[str] | None) -> Mapping[str, str]:
    """`NAME=VALUE` lines as a mapping; the last one of a name counts."""
    return {name: value for name, _, value in (entry.partition("=") for entry in entries or ())}
