"""Where this process does the work of commands: what runs here now, and how it is told to end."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import msgspec
from msgspec import Struct

from pipeyard.actions.contract import ActionResult
from pipeyard.engine.commands import StartAction, StartRule
from pipeyard.engine.debug_points import debug_point
from pipeyard.engine.driver import Relinquished
from pipeyard.engine.events import Event
from pipeyard.engine.store import Store
from pipeyard.engine.work import Evaluate, Perform, action_request, failure, outcome, rule_request
from pipeyard.errors import Stopped
from pipeyard.threads import StopSignal

RETRY_S = 1.0

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class Outcome(Struct, frozen=True):
    """What a driver keeps between performing and reporting."""

    pipeline: str
    event: Event


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Outcome).decode


class WorkBench:
    """See `driver.Bench`. `reported` is called after each report, from the thread that reported."""

    def __init__(
        self,
        store: Store,
        perform: Perform,
        evaluate: Evaluate,
        now_ms: Callable[[], int],
        reported: Callable[[], None],
    ) -> None:
        self._store = store
        self._perform = perform
        self._evaluate = evaluate
        self._now_ms = now_ms
        self._reported = reported
        self._closing = StopSignal()
        self._condition = threading.Condition()  # guards _running, and says that it shrank
        self._running: dict[str, tuple[str, StopSignal]] = {}  # command id -> execution id, its signal

    def perform(self, command_id: str) -> str:
        pending = self._persistently(lambda: self._store.command(command_id))
        if pending is None:
            return ""
        command = pending.command
        assert isinstance(command, StartAction | StartRule)
        debug_point("work:before-perform")
        with self._signal(command) as signal:
            event = self._carry_out(pending.pipeline, command, signal)
        debug_point("work:after-perform")
        return self._as_text(pending.pipeline, command, event)

    def _as_text(self, pipeline: str, command: StartAction | StartRule, event: Event) -> str:
        """An action is foreign code: what it puts out may be nothing that can be stored, which fails it and no more."""
        try:
            text = _encode(Outcome(pipeline, event)).decode()
            _decode(text)
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            untold = failure(command, error, self._now_ms())
            return _encode(Outcome(pipeline, untold)).decode(errors="replace")
        return text

    def _carry_out(self, pipeline: str, command: StartAction | StartRule, signal: StopSignal) -> Event:
        definition = self._persistently(lambda: self._store.definition(command.definition))

        def work() -> ActionResult | str:
            signal.check()
            if isinstance(command, StartAction):
                return self._perform(action_request(pipeline, command, definition), signal)
            return self._evaluate(rule_request(pipeline, command, definition), signal)

        try:
            return outcome(command, work, self._now_ms)
        except Stopped as stopped:
            if self._closing.is_set() and self._persistently(lambda: self._store.outstanding([command.id])):
                raise Relinquished from stopped
            # Whoever stopped it has ended it in the state; this answer comes late and changes nothing.
            return failure(command, stopped, self._now_ms())

    def report(self, outcome: str) -> None:
        told = _decode(outcome)
        self._persistently(lambda: self._store.apply(told.pipeline, told.event))
        self._reported()

    def _persistently(self, ask: Callable[[], Answer]) -> Answer:
        """Asks the store until it answers: a database that is away for a while must not fail an action."""
        while True:
            try:
                return ask()
            except Exception:
                log.warning("the store does not answer; asked again in %s s", RETRY_S, exc_info=True)
                if self._closing.wait(RETRY_S):
                    raise Relinquished from None

    @contextmanager
    def _signal(self, command: StartAction | StartRule) -> Iterator[StopSignal]:
        signal = StopSignal(self._closing)
        with self._condition:
            self._running[command.id] = (command.execution_id, signal)
        try:
            yield signal
        finally:
            signal.detach()
            with self._condition:
                self._running.pop(command.id, None)
                self._condition.notify_all()

    def running(self) -> list[str]:
        """Ids of the commands that are being carried out here."""
        with self._condition:
            return list(self._running)

    def stop(self, command_id: str, reason: str) -> None:
        with self._condition:
            found = self._running.get(command_id)
        if found is not None:
            found[1].stop(reason)

    def close(self, reason: str) -> None:
        """Tells everything to end, now and later."""
        self._closing.stop(reason)

    def drain(self, timeout_s: float, execution_id: str | None = None) -> bool:
        """Waits until nothing runs here, or nothing of one execution; False when something still does."""

        def is_empty() -> bool:
            return not any(execution_id in (None, owner) for owner, _ in self._running.values())

        with self._condition:
            return self._condition.wait_for(is_empty, timeout_s)
