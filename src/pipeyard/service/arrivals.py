"""Images that arrive in the embedded registry start the pipelines whose ECR source names them.

The registry announces each tag that moves in the transaction that moves it; here an announcement becomes executions
under ids that follow from it, and only then it is settled. So whatever is killed in between, each arrival starts each
of its pipelines exactly once, at the latest when the next server of the home is there.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeyard.definition.expressions import PIPELINE_VARIABLES, resolve
from pipeyard.definition.model import PipelineDeclaration
from pipeyard.errors import InputError
from pipeyard.registry.announcements import Announcement, listening
from pipeyard.registry.server.serving import repeated
from pipeyard.registry.store import ContentStore
from pipeyard.service.executions import start_execution
from pipeyard.service.source_images import connected_image
from pipeyard.settings import Settings

if TYPE_CHECKING:
    from pipeyard.engine import Engine

_LOOK_S = 0.3

log = logging.getLogger(__name__)


@contextmanager
def following(settings: Settings, store: ContentStore, engine: "Callable[[], Engine]") -> Iterator[None]:
    """Starts pipelines for the block. `engine` as `carried_out` gives it.

    Nothing is started where executions look for their images elsewhere: `publish` in the settings is not `embedded`.
    """
    if settings.publish != "embedded":
        yield
        return
    with (
        listening(store.root, store.now_ms()),
        repeated(lambda: start_for_arrivals(settings, store, engine), _LOOK_S, "starting pipelines for pushed images"),
    ):
        yield


def start_for_arrivals(settings: Settings, store: ContentStore, engine: "Callable[[], Engine]") -> None:
    """Acts on what was announced so far. Safe to do twice, also in two processes at once."""
    arrived = store.catalog.announcements(limit=1000)
    if not arrived:
        return
    try:
        opened = engine()
    except BaseException:  # noqa: BLE001  (it was logged where it happened; what arrived waits for the next server)
        return
    declared = [found for name in opened.store.pipelines() if (found := opened.store.state(name).declaration)]
    full: set[str] = set()
    for one in arrived:
        waiting = False
        # Whose images are looked for elsewhere waits for nothing here.
        for pipeline in declared if not connected_image(settings, one.repository) else ():
            if actions := sources_of(pipeline, one):
                if pipeline.name not in full and not _start(settings, opened, pipeline, actions, one):
                    full.add(pipeline.name)
                waiting = waiting or pipeline.name in full
        if not waiting:
            store.catalog.settle(one)


def sources_of(pipeline: PipelineDeclaration, arrived: Announcement) -> tuple[str, ...]:
    """The pipeline's ECR source actions that name this repository and tag, in order of declaration."""
    defaults = {variable.name: variable.default_value or "" for variable in pipeline.variables}
    return tuple(
        action.name
        for _, action in pipeline.actions()
        if (kind := action.action_type_id).category == "Source"
        and (kind.owner, kind.provider) == ("AWS", "ECR")
        and _resolved(action.configuration.get("RepositoryName", ""), defaults) == arrived.repository
        and _resolved(action.configuration.get("ImageTag") or "latest", defaults) == arrived.tag
    )


def _start(
    settings: Settings, engine: "Engine", pipeline: PipelineDeclaration, actions: tuple[str, ...], one: Announcement
) -> bool:
    """False when the pipeline has as many executions as it may have: later, then."""
    from pipeyard.engine.engine import Refused
    from pipeyard.engine.events import SourceOverride

    partition = "aws-cn" if settings.region.startswith("cn-") else "aws"
    try:
        start_execution(
            engine,
            pipeline.name,
            trigger="CloudWatchEvent",
            trigger_detail=f"arn:{partition}:ecr:{settings.region}:{settings.account_id}:repository/{one.repository}",
            revisions=[
                SourceOverride(action_name=name, revision_type="IMAGE_DIGEST", revision_value=one.digest)
                for name in actions
            ],
            token=f"{one.number} {one.repository}:{one.tag}@{one.digest} {one.at_ms}",
        )
    except Refused as refused:
        if refused.code == "ConcurrentPipelineExecutionsLimitExceededException":
            return False
        # A variable without a value, or the pipeline was deleted meanwhile.
        log.warning("%s:%s was pushed and does not start %s: %s", one.repository, one.tag, pipeline.name, refused)
    return True


def _resolved(text: str, variables: dict[str, str]) -> str | None:
    try:
        return resolve(text, {PIPELINE_VARIABLES: variables})
    except InputError:
        return None  # what only an execution knows names no image before it
