"""Executions of a home's pipelines in a process that lives on: who carries them out, and what starts them.

A server opens `carried_out` for its lifetime. Whatever happens that a pipeline should follow (a call of the API, a
push, a webhook, a schedule) becomes an execution by `start_execution`; retry, stop, approve, rollback and override are
the engine's own. One that was killed is continued by the next process that opens the same home.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeyard.files import private_folder
from pipeyard.progress import Observer, ignore
from pipeyard.registry.store import ContentStore
from pipeyard.service.projects import Projects, no_projects
from pipeyard.settings import Settings, sqlite_url

if TYPE_CHECKING:
    from pipeyard.engine import Engine
    from pipeyard.engine.commands import AskApproval
    from pipeyard.engine.events import SourceOverride

Notice = Callable[["Engine", str, "AskApproval"], None]
"""Hears of an approval of a pipeline that waits; from the engine's own thread, so it returns at once."""

_TOKENS = uuid.UUID("5f1b6a5e-8f5d-4b0e-9d3c-2f6a4f0c7a11")  # of ids that are made from a client's request token
_REVISION_TYPES: Mapping[str, tuple[str, ...]] = {
    # Source: CodePipeline API Reference, SourceRevisionOverride
    "CodeStarSourceConnection": ("COMMIT_ID",),
    "CodeCommit": ("COMMIT_ID",),
    "GitHub": ("COMMIT_ID",),
    "ECR": ("IMAGE_DIGEST",),
    "S3": ("S3_OBJECT_VERSION_ID", "S3_OBJECT_KEY"),
}

log = logging.getLogger(__name__)


def start_execution(
    engine: "Engine",
    pipeline: str,
    *,
    trigger: str = "StartPipelineExecution",
    trigger_detail: str = "",
    variables: Mapping[str, str] | None = None,
    revisions: "Sequence[SourceOverride]" = (),
    token: str = "",
) -> str:
    """Starts a pipeline because of something that happened; gives the execution's id, and does not wait for it.

    `trigger` is one of the API's TriggerType (CloudWatchEvent, WebhookV2, ...) and `trigger_detail` says more, as an
    ARN. `revisions` are the sources that the event is about; the others are taken at their newest. A `token` that has
    started this pipeline already gives that execution again, from whichever thread or process.

    Raises Refused: no such pipeline, an undeclared variable, a revision that the source action cannot have, too many
    executions at once.
    """
    from pipeyard.engine.engine import Refused

    state = engine.state(pipeline)
    if state.declaration is not None:
        providers = {action.name: action.action_type_id.provider for _, action in state.declaration.actions()}
        for revision in revisions:
            fitting = _REVISION_TYPES.get(providers.get(revision.action_name, ""))
            if fitting is not None and revision.revision_type not in fitting:
                message = f"source action {revision.action_name} has no {revision.revision_type}"
                raise Refused("ValidationException", message, hint=f"it has {' and '.join(fitting)}")
    cause = f"{pipeline}\0{state.created_ms}\0{token}"
    execution_id = str(uuid.uuid5(_TOKENS, cause)) if token else None
    try:
        return engine.start(
            pipeline,
            variables,
            revisions,
            trigger=trigger,
            trigger_detail=trigger_detail,
            execution_id=execution_id,
        )
    except Refused:
        # Another thread may have come first with the same token.
        if execution_id is not None and engine.store.execution(execution_id) is not None:
            return execution_id
        raise


@contextmanager
def carried_out(
    settings: Settings,
    environ: Mapping[str, str],
    store: ContentStore,
    observe: Observer = ignore,
    *,
    projects: Projects = no_projects,
) -> "Iterator[Callable[[], Engine]]":
    """Carries out, for the block, what nobody else does of this home's executions, those of a killed server included.

    What is given gives the engine: at once, or after the second that it takes to open, in a thread of its own; it
    raises what kept it from opening. `store` is where actions publish when they publish here; `projects` finds
    CodeBuild projects that neither the definition nor the settings have. Leaving the block stops the actions and leaves
    them to the next process that carries out.
    """
    opened: Future[Engine] = Future()
    over = threading.Event()

    def hold() -> None:
        try:
            with open_engine(settings, environ, observe, lives_on=True, store=store, projects=projects) as engine:
                opened.set_result(engine)
                over.wait()
        except BaseException as error:  # noqa: BLE001 - the thread's boundary: raised again where somebody asks
            if not opened.done():
                opened.set_exception(error)
            log.error("no executions are carried out here: %s", error)

    holder = threading.Thread(target=hold, name="executions")
    holder.start()
    try:
        yield opened.result
    finally:
        over.set()
        holder.join()


@contextmanager
def open_engine(
    settings: Settings,
    environ: Mapping[str, str],
    observe: Observer,
    *,
    lives_on: bool,
    store: ContentStore | None = None,
    notify: Notice | None = None,
    projects: Projects = no_projects,
) -> "Iterator[Engine]":
    """An engine that performs actions in this process with the parts of the settings. `lives_on` as for Engine."""
    from pipeyard.engine.dispatch import DbosDriver
    from pipeyard.engine.engine import Engine
    from pipeyard.engine.roll import HeartbeatRoll, LockedRoll, Roll
    from pipeyard.engine.store import open_store
    from pipeyard.service.images import open_images
    from pipeyard.service.performing import Performer

    home = settings.home
    private_folder(home)
    embedded = not settings.database
    states = open_store(settings.database_url)
    try:
        with open_images(settings, environ, store) as images:
            roll: Roll = LockedRoll(home / "executors") if embedded else HeartbeatRoll(states, now_ms)
            engine = Engine(
                states,
                now_ms=now_ms,
                new_id=new_id,
                driver=DbosDriver(sqlite_url(home / "dispatch.sqlite") if embedded else settings.database),
                roll=roll,
                perform=Performer(settings, images, observe, environ, projects=projects),
                notify=lambda pipeline, approval: notify(engine, pipeline, approval) if notify else None,
                lives_on=lives_on,
            )
            with engine:
                yield engine
    finally:
        states.close()


def now_ms() -> int:
    return int(time.time() * 1000)


def new_id() -> str:
    return str(uuid.uuid4())
