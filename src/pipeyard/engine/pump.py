"""The thread of an engine that looks for work: commands, timers, work that nobody wants, executors that died."""

import logging
import threading
from collections.abc import Callable

from pipeyard.engine.bench import WorkBench
from pipeyard.engine.commands import AskApproval, StartAction, StartRule, StopAction, StopRule
from pipeyard.engine.debug_points import debug_point
from pipeyard.engine.driver import Driver
from pipeyard.engine.events import Event, TimerFired
from pipeyard.engine.roll import HEARTBEAT_S, Roll
from pipeyard.engine.store import Pending, Store

LOOK_S = 0.1  # how often a process looks for what others have stored
DEAD_S = 1.0  # how often it looks for dead executors, and whether its running work is still wanted

DIED = "the process that ran it ended before it was done"

log = logging.getLogger(__name__)


class Pump:
    """One thread, from `start` to `close`. `failure` is what kept the driver from opening; then it does nothing.

    `apply` stores an event of a pipeline, `end` abandons an execution for a reason, `stored` hears that there is news.
    """

    def __init__(
        self,
        store: Store,
        *,
        driver: Driver,
        roll: Roll,
        bench: WorkBench,
        executor: str,
        now_ms: Callable[[], int],
        lives_on: bool,
        notify: Callable[[str, AskApproval], None],
        apply: Callable[[str, Event], object],
        end: Callable[[str, str], None],
        stored: Callable[[], None],
    ) -> None:
        self.failure: BaseException | None = None
        self._store = store
        self._driver = driver
        self._roll = roll
        self._bench = bench
        self._executor = executor
        self._now_ms = now_ms
        self._lives_on = lives_on
        self._notify = notify
        self._apply = apply
        self._end = end
        self._stored = stored
        self._nudge = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def nudge(self) -> None:
        """There may be work: it looks at once. From any thread."""
        self._nudge.set()

    def close(self) -> None:
        """Returns when the thread has ended."""
        self._closing.set()
        self._nudge.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            # Here and not in `start`: the durable engine takes a second to start, and others have things to do.
            self._driver.open(self._bench, self._executor, listens=self._lives_on)
        except BaseException as error:  # noqa: BLE001 - raised again where somebody waits
            self.failure = error
            if self._lives_on:
                log.error("nothing can be carried out here: %s", error)
            self._stored()
            return
        slow_at = beat_at = 0
        while not self._closing.is_set():
            self._nudge.clear()
            now = self._now_ms()
            try:
                if now >= beat_at:
                    self._roll.beat()
                    beat_at = now + int(HEARTBEAT_S * 1000)
                if now >= slow_at:
                    self._bury()
                    slow_at = now + int(DEAD_S * 1000)
                self._stop_unwanted()
                self._fire_timers()
                for pending in self._store.unconfirmed(self._executor, anybodys=self._lives_on):
                    self._carry_out(pending)
            except Exception:
                # The thread's boundary: a database that is away for a while comes back.
                log.warning("the engine could not look for work; it tries again", exc_info=True)
                self._closing.wait(1.0)
            self._nudge.wait(LOOK_S)

    def _carry_out(self, pending: Pending) -> None:
        match pending.command:
            case StartAction() | StartRule() as command:
                debug_point("dispatch:before-submit")
                self._driver.submit(command.id, queued=pending.executor is None)
                debug_point("dispatch:after-submit")
            case StopAction() as command:
                self._bench.stop(f"{command.action_execution_id}:start", command.reason)
            case StopRule() as command:
                self._bench.stop(f"{command.rule_execution_id}:start", command.reason)
            case AskApproval() as command:
                self._notify(pending.pipeline, command)
            case _:
                pass  # timers are looked at by their time
        self._store.confirm(pending.command.id)

    def _stop_unwanted(self) -> None:
        """Ends work here that somebody, perhaps in another process, has ended in the state."""
        here = self._bench.running()
        for command_id in set(here) - self._store.outstanding(here):
            self._bench.stop(command_id, "nobody waits for it any more")

    def _fire_timers(self) -> None:
        now = self._now_ms()
        for pending in self._store.due(now):
            if pending.executor == self._executor or (pending.executor is None and self._lives_on):
                timer = pending.command.id.removesuffix(":timer")
                self._apply(pending.pipeline, TimerFired(at_ms=now, timer=timer))
                self._store.confirm(pending.command.id)

    def _bury(self) -> None:
        """Stops what belonged to dead processes, and recovers what they had in hand of what is anybody's."""
        for executor in self._roll.dead():
            for execution_id in self._store.owned(executor):
                self._end(execution_id, DIED)
            self._store.disown(executor)
            self._driver.recover(executor)
