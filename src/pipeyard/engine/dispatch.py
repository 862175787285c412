"""Carries work out as DBOS workflows. The only module that knows DBOS; importing this module does not import it.

A command's work is one workflow under the command's id, so giving it twice starts it once. The workflow is two moves:
a step that performs, whose outcome DBOS records, and the report of that outcome, which is harmless when repeated.

Work of an execution that belongs to this process starts at once in a thread. Work that is nobody's goes over the queue
`work`, to whichever process listens. Recovery only puts a dead executor's workflows back into a queue, so that a first
run, a repetition and a recovery all enter by the same gate: a workflow first asks whether its work is outstanding.

DBOS has one instance per process, an ambient context, and an executor id that it reads once: all of it stays in here.
"""

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pipeyard.engine.debug_points import debug_point
from pipeyard.engine.driver import THREADS, Bench

QUEUE = "work"
POLLING_S = 0.1
# Workflows of another version of the application would never be recovered; ours are the same two moves in all of them.
APPLICATION_VERSION = "1"

_one_at_a_time = threading.Lock()


class DbosDriver:
    """See `driver.Driver`. One at a time in a process: `open` waits for an earlier one's `close`.

    `database_url` is where DBOS keeps its tables, a SQLite file of its own or a PostgreSQL database; `concurrency` is
    how much work each of its processes takes on at once.
    """

    def __init__(self, database_url: str, *, concurrency: int = THREADS) -> None:
        self._url = database_url
        self._concurrency = concurrency
        self._start: Callable[[str, bool], None] | None = None

    def open(self, bench: Bench, executor: str, *, listens: bool) -> None:
        _one_at_a_time.acquire()
        try:
            self._open(bench, executor, listens=listens)
        except BaseException:
            _one_at_a_time.release()
            raise

    def _open(self, bench: Bench, executor: str, *, listens: bool) -> None:
        logging.getLogger("dbos").setLevel(logging.CRITICAL)
        from dbos import DBOS, Serializer, SetWorkflowID

        class JsonText(Serializer):
            """Ids and outcomes are text; nothing in the database is ever unpickled."""

            def name(self) -> str:
                return "pipeyard_json"

            def serialize(self, data: Any) -> str:
                return json.dumps(data, default=repr)

            def deserialize(self, serialized_data: str) -> Any:
                return json.loads(serialized_data)

        if self._url.startswith("sqlite:///"):
            _write_ahead(Path(unquote(self._url.removeprefix("sqlite:///").partition("?")[0])))
        DBOS(
            config={
                "name": "pipeyard",
                "system_database_url": self._url,
                "application_version": APPLICATION_VERSION,
                "executor_id": executor,
                "log_level": "CRITICAL",
                "serializer": JsonText(),
                "max_executor_threads": self._concurrency,
                "notification_listener_polling_interval_sec": POLLING_S,
            }
        )

        @DBOS.step(name="pipeyard.perform")
        def perform(command_id: str) -> str:
            return bench.perform(command_id)

        @DBOS.workflow(name="pipeyard.work")
        def work(command_id: str) -> None:
            text = perform(command_id)
            debug_point("work:before-report")
            if text:
                bench.report(text)
            debug_point("work:after-report")

        def start(command_id: str, queued: bool) -> None:
            with SetWorkflowID(command_id):
                if queued:
                    DBOS.enqueue_workflow(QUEUE, work, command_id)
                else:
                    DBOS.start_workflow(work, command_id)

        if not listens:
            DBOS.listen_queues([])
        DBOS.launch()
        DBOS.register_queue(
            QUEUE, worker_concurrency=self._concurrency, polling_interval_sec=POLLING_S, on_conflict="always_update"
        )
        self._start = start

    def submit(self, command_id: str, *, queued: bool) -> None:
        assert self._start is not None
        self._start(command_id, queued)

    def recover(self, executor: str) -> None:
        from dbos import DBOS

        DBOS._recover_pending_workflows([executor])

    def close(self) -> None:
        from dbos import DBOS

        try:
            DBOS.destroy(destroy_registry=True)
        finally:
            self._start = None
            _one_at_a_time.release()


def _write_ahead(file: Path) -> None:
    """Puts DBOS's file into WAL mode, which the file remembers: a commit is then one write, and readers never wait."""
    import sqlite3

    file.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(file, timeout=30)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()
