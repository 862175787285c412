"""A process that runs one execution and kills itself at a named point, as often met as it was told.

Arguments: database URL, home, execution id, "lives-on" or "attached", point, and which visit of it.
"""

import os
import signal
import sys
import threading
from pathlib import Path

from pipeyard.definition.model import Definition, PipelineDeclaration
from pipeyard.engine import DbosDriver, Engine, HeartbeatRoll, LockedRoll, Roll
from pipeyard.engine.debug_points import visit_debug_points
from pipeyard.engine.scripted import perform_scripted
from pipeyard.engine.store import Store, open_store
from tests.engine.conftest import new_id, now_ms
from tests.engine.pipelines import action, pipeline, stage

MISSED_S = 0.5  # of heartbeats, so that no test waits a minute for somebody to be dead


def declared(home: Path) -> PipelineDeclaration:
    effect = {"Effect": str(home / "effects")}
    fetch = action("Fetch", category="Source", outputs=("code",), namespace="Source", configuration=effect)
    builds = [action(name, inputs=("code",), configuration=effect) for name in ("Left", "Right")]
    return pipeline(stage("Source", fetch), stage("Build", *builds))


def engine_on(store: Store, url: str, home: Path, *, lives_on: bool) -> Engine:
    sqlite = url.startswith("sqlite")
    roll: Roll = LockedRoll(home / "executors") if sqlite else HeartbeatRoll(store, now_ms, missed_s=MISSED_S)
    driver = DbosDriver(f"sqlite:///{home}/dispatch.sqlite" if sqlite else url)
    return Engine(
        store, now_ms=now_ms, new_id=new_id, driver=driver, roll=roll, perform=perform_scripted, lives_on=lives_on
    )


def main(url: str, home_text: str, execution_id: str, kind: str, point: str, visit: str) -> None:
    home = Path(home_text)
    left = int(visit)
    lock = threading.Lock()

    def count(name: str) -> None:
        nonlocal left
        with lock:
            left -= name == point
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    visit_debug_points(count)
    store = open_store(url)
    pipe = declared(home)
    with engine_on(store, url, home, lives_on=kind == "lives-on") as engine:
        engine.register(Definition(pipelines=(pipe,)), pipe)
        engine.start("site", execution_id=execution_id)
        engine.wait(execution_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
