"""What a build is asked for, where it runs, and what it gives back."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, Protocol

from msgspec import Struct

from pipeyard.buildspec.model import Buildspec
from pipeyard.buildspec.phases import PhaseEnded
from pipeyard.errors import PipeyardError
from pipeyard.registry.exchange import Published
from pipeyard.threads import Stop

Status = Literal["SUCCEEDED", "FAILED"]
Output = Callable[[bytes], None]


class Bound(Struct, frozen=True, kw_only=True):
    """A folder or file of this machine that the build sees at `target`."""

    target: str
    source: Path
    writable: bool = True


class Job(Struct, frozen=True, kw_only=True):
    """One program in a machine; `environment` is all that it sees."""

    arguments: tuple[str, ...]
    environment: dict[str, str]
    folder: str
    bound: tuple[Bound, ...]
    seconds: float = 0  # 0: as long as it takes


class Machine(Protocol):
    """Where builds run: an image's file system, or this machine's own. Safe for any number of jobs at once."""

    @property
    def name(self) -> str:
        """CODEBUILD_BUILD_IMAGE."""

    @property
    def environment(self) -> dict[str, str]:
        """What every job finds set, PATH and HOME among it."""

    def finds(self, program: str) -> bool:
        """Whether a program is in the machine's PATH."""

    def run(self, job: Job, output: Output, stop: Stop) -> int:
        """Runs to the end; no process of the job is alive afterwards. `output` is called from this thread.

        Gives the exit status as a shell does. Raises Stopped after a stop, BuildTimedOut after `seconds`.
        """


class BuildTimedOut(PipeyardError):
    """The build took longer than its project allows."""


class Identity(Struct, frozen=True, kw_only=True):
    """Who builds: what the CODEBUILD_* variables tell."""

    project: str
    build_id: str  # unique; the part after the colon
    region: str
    account: str
    initiator: str = "pipeyard"
    number: int = 1
    start_ms: int = 0
    source_version: str = ""  # as it was asked for
    resolved_version: str = ""  # the commit that it was; empty: as asked for
    source_url: str = ""
    batch_identifier: str = ""


class BuildOrder(Struct, frozen=True, kw_only=True):
    """One build. Folders are of this machine; `sources` are copied, never written to.

    `variables` go over the buildspec's own; of two with one name they win. `secrets` are masked in all output.
    `tools` are programs put first in PATH, `spare_tools` those put last.
    """

    spec: Buildspec
    identity: Identity
    source: Path
    secondary_sources: dict[str, Path] = {}
    variables: dict[str, str] = {}
    secrets: tuple[str, ...] = ()
    tools: dict[str, str] = {}
    spare_tools: dict[str, str] = {}
    cache: Path | None = None  # kept between builds of one project; None: no caching
    seconds: float = 0


class TestCase(Struct, frozen=True, kw_only=True):
    __test__ = False  # no test of pytest's, whatever its name

    name: str
    status: Literal["SUCCEEDED", "FAILED", "ERROR", "SKIPPED"]
    seconds: float = 0
    message: str = ""


class Report(Struct, frozen=True, kw_only=True):
    """The test cases of one report group."""

    group: str
    cases: tuple[TestCase, ...]

    def count(self, *statuses: str) -> int:
        return sum(case.status in statuses for case in self.cases)


class BuiltArtifact(Struct, frozen=True, kw_only=True):
    """A folder with the files of one artifact; `name` as the buildspec names it, expanded."""

    folder: Path
    name: str = ""
    files: int = 0


class BuildOutcome(Struct, frozen=True, kw_only=True):
    """What became of a build. `error` is the first failure, empty when it succeeded."""

    status: Status
    phases: tuple[PhaseEnded, ...]
    exported: dict[str, str] = {}
    artifact: BuiltArtifact | None = None
    secondary: dict[str, BuiltArtifact] = {}
    reports: tuple[Report, ...] = ()
    error: str = ""


HOST = "host"
"""The environment that is this machine's own programs."""


class BuildWish(Struct, frozen=True, kw_only=True):
    """A build as its front door wants it. `buildspec` is text, or a path within the source; empty: buildspec.yml.

    `variables` are NAME -> (type, value). `environment` is `host` or an image's name.
    """

    project: str
    source: Path
    secondary_sources: dict[str, Path] = {}
    buildspec: str = ""
    environment: str = HOST
    privileged: bool = False
    variables: Mapping[str, tuple[str, str]] = {}
    publish: str = "embedded"
    timeout_s: float = 0
    build_id: str = ""  # empty: a new one
    number: int = 1
    region: str = ""  # empty: the settings'
    source_version: str = ""
    resolved_version: str = ""
    source_url: str = ""
    created_s: int = 0  # the commit's time; images clamp to it
    initiator: str = "pipeyard"
    batch: bool = False
    batch_identifier: str = ""
    shard: tuple[int, int] = (0, 1)  # of a fan-out: which of how many
    caches: bool = True


class Build(Struct, frozen=True, kw_only=True):
    """What became of it; a batch has one outcome for each of its builds, by identifier."""

    outcome: BuildOutcome
    published: tuple[Published, ...] = ()
    batch: Mapping[str, BuildOutcome] = {}
