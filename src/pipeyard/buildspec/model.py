"""A buildspec as one immutable value, with the names of the file's own keys.

Source: CodeBuild User Guide, "Build specification reference for CodeBuild", "Batch build buildspec reference".
"""

from typing import Literal

from msgspec import Struct

from pipeyard.errors import Place, Problem

PhaseName = Literal["install", "pre_build", "build", "post_build"]
PHASES: tuple[PhaseName, ...] = ("install", "pre_build", "build", "post_build")
ReportFormat = Literal[
    "CUCUMBERJSON", "JUNITXML", "NUNITXML", "NUNIT3XML", "TESTNGXML", "VISUALSTUDIOTRX",
    "CLOVERXML", "COBERTURAXML", "JACOCOXML", "SIMPLECOV",
]  # fmt: skip


class ShellCommand(Struct, frozen=True):
    """One entry of `commands` or `finally`; it may have several lines, which run as one script."""

    text: str
    place: Place


class OnFailure(Struct, frozen=True, kw_only=True):
    """`pattern` is searched in what the failed command told; only RETRY has it and `retries`."""

    action: Literal["ABORT", "CONTINUE", "RETRY"]
    retries: int = 0
    pattern: str = ""


class Phase(Struct, frozen=True, kw_only=True):
    name: PhaseName
    place: Place
    run_as: str = ""
    on_failure: OnFailure | None = None
    commands: tuple[ShellCommand, ...] = ()
    finally_: tuple[ShellCommand, ...] = ()
    runtime_versions: dict[str, str] = {}


class Env(Struct, frozen=True, kw_only=True):
    """`secrets_manager` values are `secret-id:json-key:version-stage:version-id`, the last three optional."""

    shell: str = ""  # sh, bash, or Windows' own
    variables: dict[str, str] = {}
    parameter_store: dict[str, str] = {}
    secrets_manager: dict[str, str] = {}
    exported_variables: tuple[str, ...] = ()
    git_credential_helper: bool = False


class Proxy(Struct, frozen=True, kw_only=True):
    upload_artifacts: bool = False
    logs: bool = False


class ReportGroup(Struct, frozen=True, kw_only=True):
    name: str
    place: Place
    files: tuple[str, ...]
    base_directory: str = ""
    discard_paths: bool = False
    file_format: ReportFormat = "JUNITXML"


class Artifact(Struct, frozen=True, kw_only=True):
    """One output. `name` may hold variables and commands that a shell expands after the build."""

    place: Place
    files: tuple[str, ...]
    name: str = ""
    base_directory: str = ""
    discard_paths: bool = False
    exclude_paths: tuple[str, ...] = ()
    enable_symlinks: bool = False
    s3_prefix: str = ""


class Artifacts(Struct, frozen=True, kw_only=True):
    primary: Artifact | None = None
    secondary: dict[str, Artifact] = {}


class Cache(Struct, frozen=True, kw_only=True):
    paths: tuple[str, ...] = ()
    key: str = ""
    fallback_keys: tuple[str, ...] = ()
    action: Literal["restore", "save", ""] = ""  # empty: both


class BatchEnvironment(Struct, frozen=True, kw_only=True):
    """What a build of a batch has otherwise than its project; None and empty: the project's."""

    variables: dict[str, str] = {}
    image: str = ""
    compute_type: str = ""
    type: str = ""
    fleet: str = ""
    privileged_mode: bool | None = None


class BatchBuild(Struct, frozen=True, kw_only=True):
    """An entry of build-list or build-graph."""

    identifier: str
    place: Place
    env: BatchEnvironment = BatchEnvironment()
    buildspec: str = ""
    depend_on: tuple[str, ...] = ()
    ignore_failure: bool = False
    debug_session: bool = False
    shard: tuple[int, int] = (0, 1)  # of a fan-out: which of how many, counted from 0


class BuildMatrix(Struct, frozen=True, kw_only=True):
    """Every combination of the dynamic values is one build over the static environment."""

    place: Place
    static: BatchEnvironment = BatchEnvironment()
    ignore_failure: bool = False
    buildspecs: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    compute_types: tuple[str, ...] = ()
    variables: dict[str, tuple[str, ...]] = {}


class Batch(Struct, frozen=True, kw_only=True):
    fast_fail: bool = True
    builds: tuple[BatchBuild, ...] = ()  # of build-list or build-graph
    matrix: BuildMatrix | None = None


class Buildspec(Struct, frozen=True, kw_only=True):
    """`problems` are warnings: what a buildspec says and nobody will do."""

    version: Literal["0.1", "0.2"]
    run_as: str = ""
    env: Env = Env()
    proxy: Proxy = Proxy()
    phases: tuple[Phase, ...] = ()  # in the order in which they run
    reports: tuple[ReportGroup, ...] = ()
    artifacts: Artifacts = Artifacts()
    cache: Cache = Cache()
    batch: Batch | None = None
    problems: tuple[Problem, ...] = ()

    def phase(self, name: PhaseName) -> Phase | None:
        return next((phase for phase in self.phases if phase.name == name), None)
