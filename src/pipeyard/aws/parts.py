"""Everything that the operations can touch, chosen once by whoever serves."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from pipeyard.aws.identities import AccessKeys
from pipeyard.aws.logstreams import LogStreams
from pipeyard.aws.records import Records
from pipeyard.aws.running import RunningBuilds
from pipeyard.buildspec.model import Batch
from pipeyard.registry.store import ContentStore
from pipeyard.threads import StopSignal

if TYPE_CHECKING:
    from pipeyard.engine import Engine


class StartedBuild(Struct, frozen=True, kw_only=True):
    """A CodeBuild build to carry out: the API's own document of it, project and overrides already merged."""

    build: dict[str, Any]
    project: dict[str, Any]  # as it was when the build began
    region: str
    artifacts: dict[str, Any]  # as declared or overridden: where the build's files go
    secondary_artifacts: list[dict[str, Any]] = []
    batch_identifier: str = ""  # of a batch
    shard: tuple[int, int] = (0, 1)  # of a batch that is a fan-out
    update: Callable[[dict[str, Any]], None]
    """Merges members of the API's Build (phases, currentPhase, buildStatus, ...) into what BatchGetBuilds tells."""


class BatchPlan(Struct, frozen=True, kw_only=True):
    """What a batch's buildspec wants, and the commit that it was read from."""

    batch: Batch
    resolved_version: str = ""


class BatchRunner(Protocol):
    """Reads batches, and runs what follows their builds."""

    def plan(self, started: StartedBuild, stop: StopSignal) -> BatchPlan:
        """Raises PipeyardError for a source that is not to be had, and a buildspec without a batch."""

    def aside(self, work: Callable[[StopSignal], None], name: str) -> Callable[[], None]:
        """Runs work in a thread; gives what asks it to stop. It is waited for when the server ends."""


BuildRunner = Callable[[StartedBuild], Callable[[], None]]
"""Starts a build, in threads of its own, and returns at once; the result asks the build to stop, and may be called
at any time, also after the end. The runner reports the end through `update`: buildComplete, buildStatus, phases."""


class Parts(Struct, frozen=True, kw_only=True):
    account: str
    region: str  # of this home: where what the command line made is
    store: ContentStore
    records: Records
    keys: AccessKeys
    now_ms: Callable[[], int]
    new_id: Callable[[], str]
    public_url: Callable[[str], str] = lambda host: f"http://{host}"  # of this server, from the Host that was asked
    sparse: bool = True  # PutImage before its layers, as for the registry
    run_build: BuildRunner | None = None  # without one every build fails at once, and says so
    batches: BatchRunner | None = None  # without one there are no batches
    running: RunningBuilds
    server: str = ""  # this process among the servers of the home: whose builds are lost when it dies
    logs: LogStreams
    engine: Callable[[], "Engine"]  # waits for one that is still opening
    oidc_providers: Mapping[str, str] = {}  # issuers whose tokens assume roles -> where their keys are
    start_on_create: bool = True  # CreatePipeline starts the first execution
