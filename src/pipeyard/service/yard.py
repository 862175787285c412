"""The Python API: definitions in, executions and what became of them out. What the front doors call."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeyard.artifacts import FolderArtifacts
from pipeyard.definition.places import NO_INPUTS, Inputs
from pipeyard.definition.reading import read
from pipeyard.errors import InputError
from pipeyard.files import private_folder
from pipeyard.progress import Observer, ignore
from pipeyard.service.choices import Choices, keep_choices
from pipeyard.service.executions import new_id, now_ms, open_engine
from pipeyard.service.logs import read_log
from pipeyard.service.outcome import Outcome, executed
from pipeyard.service.preflight import ReadyRun, RunRequest, prepare
from pipeyard.settings import Settings
from pipeyard.threads import NEVER, Stop, StopSignal

if TYPE_CHECKING:
    from pipeyard.engine import Engine
    from pipeyard.engine.commands import AskApproval
    from pipeyard.engine.store import ExecutionRecord, Store


KEPT_EXECUTIONS = 10
"""Of each pipeline, the newest executions whose artifacts are kept."""

_FORGOTTEN_AT_ONCE = 20


class Approval(Struct, frozen=True, kw_only=True):
    """A manual approval that waits for an answer."""

    pipeline: str
    stage: str
    action: str
    message: str = ""
    link: str = ""


AskPerson = Callable[[Approval], bool | None]
"""Answers an approval: approved, rejected, or None when nobody is there to ask. May block; called in a thread."""


def nobody(approval: Approval) -> bool | None:
    """There is nobody to ask."""
    return None


def agree(approval: Approval) -> bool | None:
    """Approves everything."""
    return True


class Pipeyard:
    """Everything of one home. Cheap to make: parts are opened by the calls that need them.

    `environ` is where credentials and proxies are looked up; `observe` sees the progress of everything.
    """

    def __init__(self, settings: Settings, environ: Mapping[str, str], observe: Observer = ignore) -> None:
        self.settings = settings
        self._environ = environ
        self._observe = observe

    def prepare(
        self, path: Path, inputs: Inputs = NO_INPUTS, request: RunRequest | None = None,
        folder: Path | None = None, stop: Stop = NEVER,
    ) -> ReadyRun:  # fmt: skip
        """Reads and validates a definition for a run here, and resolves its sources to commits.

        Relative folders count from `folder`. Raises InvalidDefinition with every problem, InputError.
        """
        wanted = request or RunRequest()
        where = folder or path.parent
        return prepare(read(path, inputs), wanted, self.settings, path, where, observe=self._observe, stop=stop)

    def run(self, ready: ReadyRun, stop: StopSignal | None = None, ask: AskPerson = nobody) -> Outcome:
        """Runs to the end; a stop that is asked for meanwhile ends the execution as Stopped."""
        from pipeyard.engine.events import SourceOverride

        private_folder(self.settings.home)
        execution_id = new_id()
        sources = {name: f"{chosen.origin.location}#{chosen.origin.ref}" for name, chosen in ready.sources.items()}
        keep_choices(
            self.settings.home,
            execution_id,
            Choices(sources=sources, images=ready.images, objects=ready.objects, publish=ready.publish),
        )
        overrides = [
            SourceOverride(action_name=name, revision_type="COMMIT_ID", revision_value=revision)
            for name, revision in ready.revisions.items()
        ]
        waiting = StopSignal(stop)
        with self._engine(ask=ask, give_up=waiting.stop) as engine:
            engine.register(ready.definition, ready.pipeline)
            engine.start(ready.pipeline.name, ready.variables, overrides, execution_id=execution_id)
            outcome = executed(engine.wait(execution_id, waiting), ready.pipeline)
            self._forget_artifacts(engine.store, ready.pipeline.name)
            return outcome

    def _forget_artifacts(self, store: "Store", pipeline: str) -> None:
        """Removes what the actions of old executions handed on; a retry of one of those says that it is gone."""
        artifacts = FolderArtifacts(Path(self.settings.artifacts_url))
        for record in store.executions(pipeline, limit=_FORGOTTEN_AT_ONCE, offset=KEPT_EXECUTIONS):
            if not record.execution.is_live:
                artifacts.forget(list(record.execution.runs))

    def retry(
        self, execution_id: str, *, all_actions: bool = False, stop: StopSignal | None = None, ask: AskPerson = nobody
    ) -> Outcome:
        """Resumes a failed or stopped execution in its stage, here, to its end. Raises InputError when it cannot be."""
        waiting = StopSignal(stop)
        with self._engine(ask=ask, give_up=waiting.stop) as engine:
            record = find_execution(engine.store, execution_id)
            engine.retry(record.execution.id, mode="ALL_ACTIONS" if all_actions else "FAILED_ACTIONS")
            return executed(engine.wait(record.execution.id, waiting), engine.store.declaration(record))

    def show(self, execution_id: str) -> Outcome:
        """An execution as it stands. `execution_id` may be its beginning. Raises InputError when there is none."""
        with self._store() as store:
            record = find_execution(store, execution_id)
            from pipeyard.engine.views import execution_view

            declaration = store.declaration(record)
            return executed(execution_view(record, declaration), declaration)

    def log(self, action_execution_id: str) -> str:
        return read_log(self.settings.home, action_execution_id)

    def executions(self, pipeline: str | None = None, limit: int = 100) -> "list[ExecutionRecord]":
        """Newest first. Raises InputError when no pipeline has that name."""
        with self._store() as store:
            if pipeline is not None and pipeline not in store.pipelines():
                known = ", ".join(store.pipelines()) or "none"
                raise InputError(f"there is no pipeline {pipeline!r}", hint=f"there are {known}")
            return store.executions(pipeline, limit=limit)

    def pipelines(self) -> "list[tuple[str, ExecutionRecord | None]]":
        """Every pipeline with its latest execution."""
        with self._store() as store:
            return [(name, next(iter(store.executions(name, limit=1)), None)) for name in store.pipelines()]

    @contextmanager
    def asking(self) -> "Iterator[Engine]":
        """An engine that carries nothing out: to stop, approve, retry, and look."""
        from pipeyard.engine.engine import Engine

        with self._store() as store:
            yield Engine(store, now_ms=now_ms, new_id=new_id)

    @contextmanager
    def _store(self) -> "Iterator[Store]":
        from pipeyard.engine.store import open_store

        private_folder(self.settings.home)
        store = open_store(self.settings.database_url)
        try:
            yield store
        finally:
            store.close()

    def _engine(self, *, ask: AskPerson, give_up: Callable[[str], None]) -> "AbstractContextManager[Engine]":
        return open_engine(
            self.settings,
            self._environ,
            self._observe,
            lives_on=False,
            notify=lambda engine, pipeline, approval: _answer(engine, pipeline, approval, ask, give_up),
        )


def _answer(
    engine: "Engine", pipeline: str, asked: "AskApproval", ask: AskPerson, give_up: Callable[[str], None]
) -> None:
    """Asks in a thread of its own: the engine goes on meanwhile, and stops waiting when the execution ends."""
    approval = Approval(
        pipeline=pipeline,
        stage=asked.stage,
        action=asked.action,
        message=asked.configuration.get("CustomData", ""),
        link=asked.configuration.get("ExternalEntityLink", ""),
    )

    def answer() -> None:
        approved = ask(approval)
        if approved is None:
            give_up(f"{asked.stage} / {asked.action} waits for an approval; --approve answers it beforehand")
        else:
            engine.approve(pipeline, asked.stage, asked.action, approved=approved, token=asked.token)

    Thread(target=answer, name="approval", daemon=True).start()


def find_execution(store: "Store", execution_id: str) -> "ExecutionRecord":
    """By the whole id or an unambiguous beginning. Raises InputError."""
    record = store.execution(execution_id)
    if record is not None:
        return record
    beginning = [each for each in store.executions(limit=1000) if each.execution.id.startswith(execution_id)]
    if len(beginning) == 1:
        return beginning[0]
    if beginning:
        raise InputError(f"{len(beginning)} executions begin with {execution_id!r}", hint="give more of the id")
    raise InputError(f"there is no execution {execution_id!r}", hint="pipeyard executions lists them")
