"""The engine as the rest of pipeyard uses it: requests in, executions carried out, views back."""

import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Literal, Self

from pipeyard.definition.model import Definition, PipelineDeclaration
from pipeyard.engine.bench import WorkBench
from pipeyard.engine.commands import AskApproval
from pipeyard.engine.driver import Driver
from pipeyard.engine.events import (
    ApprovalAnswered,
    ConditionOverridden,
    Event,
    ExecutionRequested,
    PipelineDefined,
    PipelineDeleted,
    RollbackRequested,
    SourceOverride,
    StageRetryRequested,
    StopRequested,
    TransitionDisabled,
    TransitionEnabled,
)
from pipeyard.engine.pump import LOOK_S, Pump
from pipeyard.engine.redaction import redacted
from pipeyard.engine.refusals import awaiting_approval, refusal
from pipeyard.engine.roll import Roll
from pipeyard.engine.state import PipelineState
from pipeyard.engine.store import Applied, ExecutionRecord, Store
from pipeyard.engine.views import ExecutionView, execution_view
from pipeyard.engine.work import Evaluate, Perform, no_rules
from pipeyard.errors import InputError
from pipeyard.threads import Stop, StopSignal

DRAIN_S = 30.0  # how long work that was told to end may take to do so

CLOSED = "the process that runs it ends"


class Refused(InputError):
    """A request that the pipeline's state does not allow. `code` is the API's exception name."""

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


def no_notice(pipeline: str, approval: AskApproval) -> None:
    """For when nobody is told that an approval waits."""


class Engine:
    """Pipelines of one store. Used as a context manager; every method may be called from any thread.

    Without a `driver` it carries nothing out: for front doors that only ask and look. With one:

    - `lives_on=False` (`pipeyard run`): executions started here belong to this process. Nobody else performs their
      actions, since nobody else has this process's flags; they are Stopped when it ends or dies, and can be retried.
    - `lives_on=True` (`serve`, `worker`): executions started here are anybody's who lives on too, and are continued by
      another such process, or the next one, when this one ends or dies.

    An execution that a driverless engine starts or resumes is anybody's who lives on. Either kind with a driver stops
    the executions of dead processes of the first kind, and recovers the work of the second.
    """

    def __init__(
        self,
        store: Store,
        *,
        now_ms: Callable[[], int],
        new_id: Callable[[], str],
        driver: Driver | None = None,
        roll: Roll | None = None,
        perform: Perform | None = None,
        evaluate: Evaluate = no_rules,
        notify: Callable[[str, AskApproval], None] = no_notice,
        lives_on: bool = False,
    ) -> None:
        if driver is not None and (roll is None or perform is None):
            raise TypeError("an engine with a driver needs a roll and something that performs")
        self.store = store
        self.executor = new_id()
        self._now_ms = now_ms
        self._new_id = new_id
        self._driver = driver
        self._roll = roll
        self._lives_on = lives_on
        self._changed = threading.Condition()  # guards nothing: it only says that this process has stored something
        self._bench = WorkBench(store, perform, evaluate, now_ms, self._wake) if perform is not None else None
        self._pump: Pump | None = None
        if driver is not None and roll is not None and self._bench is not None:
            self._pump = Pump(
                store,
                driver=driver,
                roll=roll,
                bench=self._bench,
                executor=self.executor,
                now_ms=now_ms,
                lives_on=lives_on,
                notify=notify,
                apply=self._store,
                end=self._stop_quietly,
                stored=self._wake,
            )

    # -- lifetime ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._roll is not None and self._pump is not None:
            self._roll.join(self.executor)
            self._pump.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._driver is None or self._roll is None or self._bench is None or self._pump is None:
            return
        try:
            for execution_id in self.store.owned(self.executor):
                self._stop_quietly(execution_id, CLOSED)
            self._bench.close(CLOSED)
            self.store.disown(self.executor)
        finally:
            self._pump.close()
            self._bench.close(CLOSED)
            drained = self._bench.drain(DRAIN_S)
            if self._pump.failure is None:
                self._driver.close()
        # Work that did not obey may still be at it: then the roll names us until the process ends.
        if drained:
            self._roll.leave(work_remains=self._lives_on)

    def _stop_quietly(self, execution_id: str, reason: str) -> None:
        record = self.store.execution(execution_id)
        if record is not None:
            event = StopRequested(at_ms=self._now_ms(), execution_id=execution_id, abandon=True, reason=reason)
            self._store(record.pipeline, event)

    # -- requests ---------------------------------------------------------------------------------------------------

    def register(self, definition: Definition, pipeline: PipelineDeclaration) -> int:
        """Makes the pipeline what is declared; gives its version, which grows only when something has changed."""
        key = self.store.keep_definition(definition)
        applied = self._store(
            pipeline.name, PipelineDefined(at_ms=self._now_ms(), declaration=redacted(pipeline), definition=key)
        )
        return applied.after.version

    def delete(self, pipeline: str) -> None:
        """Forgets the pipeline; cancels what still runs of it. Nothing happens when there is none."""
        self._store(pipeline, PipelineDeleted(at_ms=self._now_ms()))

    def start(
        self,
        pipeline: str,
        variables: Mapping[str, str] | None = None,
        source_overrides: Sequence[SourceOverride] = (),
        *,
        trigger: str = "StartPipelineExecution",
        trigger_detail: str = "",
        execution_id: str | None = None,
    ) -> str:
        """Starts an execution; gives its id. The same `execution_id` again starts nothing. Raises Refused."""
        new_id = execution_id or self._new_id()
        event = ExecutionRequested(
            at_ms=self._now_ms(),
            execution_id=new_id,
            variables=dict(variables or {}),
            source_overrides=list(source_overrides),
            trigger=trigger,
            trigger_detail=trigger_detail,
        )
        if execution_id is None or self.store.execution(execution_id) is None:
            self._request(pipeline, event)
        return new_id

    def stop(self, execution_id: str, *, abandon: bool = False, reason: str = "") -> None:
        """Stop and wait for actions in progress, or abandon them. Raises Refused."""
        event = StopRequested(at_ms=self._now_ms(), execution_id=execution_id, abandon=abandon, reason=reason)
        self._request(self._record(execution_id).pipeline, event)

    def retry(
        self,
        execution_id: str,
        stage: str | None = None,
        mode: Literal["FAILED_ACTIONS", "ALL_ACTIONS"] = "FAILED_ACTIONS",
    ) -> None:
        """Resumes an execution in the stage that it failed or was stopped in; it is this engine's from now on."""
        record = self._record(execution_id)
        stage = stage or self.store.declaration(record).stages[record.execution.position].name
        event = StageRetryRequested(at_ms=self._now_ms(), execution_id=execution_id, stage=stage, mode=mode)
        self._resume(record, event)

    def override(self, execution_id: str, stage: str, condition_type: Literal["BEFORE_ENTRY", "ON_SUCCESS"]) -> None:
        """Resumes an execution as if the condition that failed it had been met. Raises Refused."""
        event = ConditionOverridden(
            at_ms=self._now_ms(), execution_id=execution_id, stage=stage, condition_type=condition_type
        )
        self._resume(self._record(execution_id), event)

    def rollback(self, pipeline: str, stage: str, target_execution_id: str) -> str:
        """Runs a stage again as it was in an earlier execution; gives the new execution's id. Raises Refused."""
        target = self.store.execution(target_execution_id)
        event = RollbackRequested(
            at_ms=self._now_ms(),
            execution_id=self._new_id(),
            stage=stage,
            target_execution_id=target_execution_id,
            target=target.execution if target and target.pipeline == pipeline else None,
        )
        self._request(pipeline, event)
        return event.execution_id

    def approve(
        self,
        pipeline: str,
        stage: str,
        action: str,
        *,
        approved: bool,
        summary: str = "",
        token: str | None = None,
        by: str = "",
    ) -> None:
        """Answers an approval. Without a token it answers the only one that waits. Raises Refused."""
        if token is None:
            waiting = awaiting_approval(self.store.state(pipeline), stage, action)
            if len(waiting) > 1:
                message = f"{len(waiting)} approvals of {action} wait for an answer"
                raise Refused("ValidationException", message, hint="name the execution's token")
            token = waiting[0][1].token if waiting else ""
        event = ApprovalAnswered(
            at_ms=self._now_ms(),
            stage=stage,
            action=action,
            token=token,
            status="Approved" if approved else "Rejected",
            summary=summary,
            by=by,
        )
        self._request(pipeline, event)

    def disable_transition(self, pipeline: str, stage: str, reason: str, *, by: str = "") -> None:
        """Lets no execution into the stage until it is enabled again. Raises Refused."""
        self._request(pipeline, TransitionDisabled(at_ms=self._now_ms(), stage=stage, reason=reason, by=by))

    def enable_transition(self, pipeline: str, stage: str, *, by: str = "") -> None:
        self._request(pipeline, TransitionEnabled(at_ms=self._now_ms(), stage=stage, by=by))

    # -- views ------------------------------------------------------------------------------------------------------

    def view(self, execution_id: str) -> ExecutionView:
        """The execution as it stands. Raises Refused when there is none."""
        record = self._record(execution_id)
        return execution_view(record, self.store.declaration(record))

    def state(self, pipeline: str) -> PipelineState:
        """The pipeline's state. Raises Refused when there is no such pipeline."""
        state = self.store.state(pipeline)
        if state.declaration is None:
            raise Refused("PipelineNotFoundException", f"there is no pipeline {pipeline}")
        return state

    def wait(
        self,
        execution_id: str,
        stop: Stop | StopSignal | None = None,
        watch: Callable[[ExecutionView], None] | None = None,
    ) -> ExecutionView:
        """Waits until an execution, and a rollback that it caused, have ended and nothing of it runs here any more.

        A stop that is asked for meanwhile abandons it, and its view says Stopped. `watch` sees each view that differs.
        """
        shown: ExecutionView | None = None
        stopped = False
        while True:
            if self._pump is not None and self._pump.failure is not None:
                raise self._pump.failure
            record = self._record(execution_id)
            view = execution_view(record, self.store.declaration(record))
            if watch is not None and view != shown:
                watch(view)
                shown = view
            if not view.is_live and not self._rolling_back(record):
                if self._bench is not None:
                    self._bench.drain(DRAIN_S, execution_id)
                return view
            if stop is not None and not stopped and stop.wait(0):
                stopped = True
                reason = stop.reason if isinstance(stop, StopSignal) else ""
                self._stop_quietly(execution_id, reason or "stopped by the user")
                continue
            with self._changed:
                self._changed.wait(LOOK_S)

    def _rolling_back(self, record: ExecutionRecord) -> bool:
        return any(
            each.trigger == "AutomatedRollback" and each.trigger_detail == record.execution.id
            for each in self.store.state(record.pipeline).live()
        )

    # -- inside -----------------------------------------------------------------------------------------------------

    def _record(self, execution_id: str) -> ExecutionRecord:
        record = self.store.execution(execution_id)
        if record is None:
            raise Refused("PipelineExecutionNotFoundException", f"there is no execution {execution_id}")
        return record

    def _request(self, pipeline: str, event: Event, adopted: str | None = None) -> Applied:
        applied = self._store(pipeline, event, adopted)
        if not applied.changed:
            refused = refusal(applied.before, event)
            if refused is not None:
                raise Refused(refused.code, refused.message)
        return applied

    def _resume(self, record: ExecutionRecord, event: Event) -> None:
        self._request(record.pipeline, event, adopted=record.execution.id)

    def _store(self, pipeline: str, event: Event, adopted: str | None = None) -> Applied:
        applied = self.store.apply(pipeline, event, executor=self._owner, adopted=adopted)
        self._wake()
        return applied

    @property
    def _owner(self) -> str | None:
        return None if self._lives_on or self._driver is None else self.executor

    def _wake(self) -> None:
        if self._pump is not None:
            self._pump.nudge()
        with self._changed:
            self._changed.notify_all()
