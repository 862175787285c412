"""Everything that the operations can touch, chosen once by whoever serves."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pipeyard.aws.identities import AccessKeys
from pipeyard.aws.logstreams import LogStreams
from pipeyard.aws.records import Records
from pipeyard.aws.running import RunningBuilds
from pipeyard.registry.store import ContentStore

if TYPE_CHECKING:
    from pipeyard.engine import Engine


class StartedBuild(Struct, frozen=True, kw_only=True):
    """A CodeBuild build to carry out: the API's own document of it, project and overrides already merged."""

    build: dict[str, Any]
    project: dict[str, Any]  # as it was when the build began
    region: str
    artifacts: dict[str, Any]  # as declared or overridden: where the build's files go
    secondary_artifacts: list[dict[str, Any]] = []
    update: Callable[[dict[str, Any]], None]
    """Merges members of the API's Build (phases, currentPhase, buildStatus, ...) into what BatchGetBuilds tells."""


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
    running: RunningBuilds
    server: str = ""  # this process among the servers of the home: whose builds are lost when it dies
    logs: LogStreams
    engine: Callable[[], "Engine"]  # waits for one that is still opening
    start_on_create: bool = True  # CreatePipeline starts the first execution
