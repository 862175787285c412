"""The engine: what happens in pipelines, decided by a pure machine, stored as events, carried out durably.

For `service`:

    store = open_store(settings.database_url)
    engine = Engine(
        store, now_ms=..., new_id=..., perform=perform,              # (ActionRequest, StopSignal) -> ActionResult
        driver=DbosDriver(f"sqlite:///{home}/dispatch.sqlite"),      # imports dbos when the engine is entered
        roll=LockedRoll(home / "executors"),                         # HeartbeatRoll(store, now_ms) on PostgreSQL
        lives_on=False,                                              # run; True for serve and worker
    )
    with engine:
        engine.register(definition, declaration)
        execution_id = engine.start("site", {"Name": "value"})
        view = engine.wait(execution_id, stop)                       # ExecutionView
    store.close()

`Engine(store, now_ms=..., new_id=...)` without a driver is for front doors that only ask and look: stop, approve,
retry, rollback, override, transitions, view. Refusals are raised as `Refused`, an InputError with the API's code.
`ThreadDriver` carries out in threads without durability, with the same contract. What an execution looks like from
outside is `views`; looking up executions is the store's `execution`, `executions`, `execution_of_action`, `events`.

Inside: `machine` with `stages`, `conditions`, `admission`, `refusals` (pure); `store`; `bench`, `work` (an action's
surroundings); `driver`, `dispatch` (who carries out); `roll` (who lives).
"""

from pipeyard.engine.dispatch import DbosDriver
from pipeyard.engine.driver import Driver, ThreadDriver
from pipeyard.engine.engine import Engine, Refused
from pipeyard.engine.roll import HeartbeatRoll, LockedRoll, Roll
from pipeyard.engine.views import ActionView, ExecutionView, StageView, execution_view
from pipeyard.engine.work import Evaluate, Perform, RuleNotMet, RuleRequest

__all__ = [
    "ActionView",
    "DbosDriver",
    "Driver",
    "Engine",
    "Evaluate",
    "ExecutionView",
    "HeartbeatRoll",
    "LockedRoll",
    "Perform",
    "Refused",
    "Roll",
    "RuleNotMet",
    "RuleRequest",
    "StageView",
    "ThreadDriver",
    "execution_view",
]
