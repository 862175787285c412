"""What every store promises, on both databases."""

import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from pipeyard.definition.model import Definition, EcrRepository
from pipeyard.engine.commands import SetTimer, StartAction
from pipeyard.engine.events import (
    ActionSucceeded,
    ExecutionRequested,
    PipelineDefined,
    PipelineDeleted,
    StageRetryRequested,
    StopRequested,
)
from pipeyard.engine.machine import advance
from pipeyard.engine.state import PipelineState
from pipeyard.engine.store import Store, open_store
from pipeyard.engine.store.opening import upgrade
from pipeyard.engine.store.tables import HEAD, metadata
from pipeyard.errors import InputError
from tests.engine.pipelines import two_stages


def define(store: Store, name: str = "site", mode: str = "SUPERSEDED") -> None:
    declaration = msgspec.structs.replace(two_stages(mode), name=name)
    store.apply(name, PipelineDefined(at_ms=1, declaration=declaration))


def begin(store: Store, execution_id: str = "e1", executor: str | None = None) -> StartAction:
    applied = store.apply("site", ExecutionRequested(at_ms=2, execution_id=execution_id), executor=executor)
    return next(command for command in applied.commands if isinstance(command, StartAction))


def test_an_event_its_state_and_its_commands_are_stored_together(store: Store) -> None:
    define(store)
    command = begin(store)
    assert [pending.command for pending in store.unconfirmed()] == [command]
    assert [type(event) for _, event in store.events("site")] == [PipelineDefined, ExecutionRequested]
    record = store.execution("e1")
    assert record is not None
    assert record.execution == store.state("site").executions["e1"]
    assert record.execution.status == "InProgress"
    assert store.execution_of_action(command.action_execution_id) == record


def test_the_log_gives_the_state_again(store: Store) -> None:
    define(store)
    command = begin(store)
    store.apply("site", ActionSucceeded(at_ms=3, action_execution_id=command.action_execution_id))
    state = PipelineState(pipeline="site")
    for _, event in store.events("site"):
        state, _ = advance(state, event)
    assert state == store.state("site")


def test_an_event_that_changes_nothing_is_not_stored(store: Store) -> None:
    define(store)
    command = begin(store)
    answer = ActionSucceeded(at_ms=3, action_execution_id=command.action_execution_id, variables={"CommitId": "a"})
    assert store.apply("site", answer).changed
    assert not store.apply("site", answer).changed
    assert len(list(store.events("site"))) == 3


def test_events_can_be_read_from_a_number_on(store: Store) -> None:
    define(store)
    begin(store)
    (first, _), (second, event) = store.events("site")
    assert list(store.events("site", after=first)) == [(second, event)]


def test_a_started_action_stays_findable_until_it_has_ended(store: Store) -> None:
    define(store)
    command = begin(store)
    store.confirm(command.id)
    assert list(store.unconfirmed()) == []
    assert store.outstanding([command.id, "other"]) == {command.id}
    store.apply("site", ActionSucceeded(at_ms=3, action_execution_id=command.action_execution_id))
    assert store.command(command.id) is None
    assert store.outstanding([command.id]) == set()


def test_a_timer_is_due_at_its_time_and_gone_with_what_it_watched(store: Store) -> None:
    define(store)
    command = begin(store)
    timer = store.state("site").executions["e1"].runs[command.action_execution_id].expires_ms
    assert store.due(timer - 1) == []
    (pending,) = store.due(timer)
    assert isinstance(pending.command, SetTimer)
    store.apply("site", StopRequested(at_ms=4, execution_id="e1", abandon=True))
    assert store.due(timer) == []


def test_an_executors_commands_are_nobody_elses(store: Store) -> None:
    define(store)
    command = begin(store, executor="mine")
    assert list(store.unconfirmed("other")) == []
    assert [pending.command for pending in store.unconfirmed("mine")] == [command]
    assert store.owned("mine") == ["e1"]
    store.disown("mine")
    assert list(store.unconfirmed("mine")) == []


def test_an_adopted_execution_and_its_commands_change_hands_at_once(store: Store) -> None:
    define(store)
    begin(store, executor="gone")
    store.apply("site", StopRequested(at_ms=3, execution_id="e1", abandon=True))
    retry = StageRetryRequested(at_ms=4, execution_id="e1", stage="Source")
    applied = store.apply("site", retry, executor="heir", adopted="e1")
    (command,) = [command for command in applied.commands if isinstance(command, StartAction)]
    assert store.owned("heir") == ["e1"]
    assert [pending.command for pending in store.unconfirmed("heir")] == [command]


def test_an_execution_id_is_never_used_twice_even_after_the_state_forgot_it(store: Store) -> None:
    define(store)
    begin(store)
    store.apply("site", StopRequested(at_ms=4, execution_id="e1", abandon=True))
    store.apply("site", PipelineDeleted(at_ms=5))
    store.apply("site", PipelineDefined(at_ms=6, declaration=two_stages()))
    assert not store.apply("site", ExecutionRequested(at_ms=7, execution_id="e1")).changed


def test_the_records_of_executions_outlive_the_pipeline(store: Store) -> None:
    define(store)
    begin(store)
    store.apply("site", PipelineDeleted(at_ms=5))
    assert store.pipelines() == []
    record = store.execution("e1")
    assert record is not None
    assert record.execution.status == "Cancelled"
    assert [stage.name for stage in store.declaration(record).stages] == ["Source", "Build"]


def test_executions_are_listed_newest_first_across_pipelines(store: Store) -> None:
    define(store)
    define(store, "other")
    for number, pipeline in enumerate(["site", "other", "site"]):
        store.apply(pipeline, ExecutionRequested(at_ms=10 + number, execution_id=f"e{number}"))
    assert [record.execution.id for record in store.executions()] == ["e2", "e1", "e0"]
    assert [record.execution.id for record in store.executions("site")] == ["e2", "e0"]
    assert [record.execution.id for record in store.executions(limit=1, offset=1)] == ["e1"]
    assert store.pipelines() == ["other", "site"]


def test_a_definition_is_kept_once_under_a_key_of_its_content(store: Store) -> None:
    definition = Definition(pipelines=(two_stages(),), repositories=(EcrRepository(name="site"),))
    key = store.keep_definition(definition)
    assert store.keep_definition(definition) == key
    assert store.definition(key) == definition
    assert store.definition("") == Definition()


def test_many_threads_with_stores_of_their_own_lose_no_event(database: str) -> None:
    first = open_store(database)
    define(first, mode="PARALLEL")
    failures: list[BaseException] = []

    def begin_some(worker: int) -> None:
        own = open_store(database)
        try:
            for number in range(8):
                own.apply("site", ExecutionRequested(at_ms=2, execution_id=f"{worker}-{number}"))
        except BaseException as error:
            failures.append(error)
        finally:
            own.close()

    threads = [threading.Thread(target=begin_some, args=(worker,)) for worker in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    state = first.state("site")
    assert state.started == 40
    assert sorted(each.number for each in state.executions.values()) == list(range(1, 41))
    first.close()


def test_several_processes_may_open_an_empty_database_at_once(database: str) -> None:
    program = "import sys\nfrom pipeyard.engine.store import open_store\nopen_store(sys.argv[1]).close()\n"
    command = [sys.executable, "-c", program, database]
    children = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for child in children:
        _, complaint = child.communicate(timeout=60)
        assert child.returncode == 0, complaint


@pytest.mark.parametrize("way", ["at once", "by every migration"])
def test_a_new_database_has_exactly_the_tables_that_the_code_uses(database: str, way: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = sa.create_engine(database)
    if way == "at once":
        open_store(database).close()
    else:
        upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "pipeyard_version"})
        assert context.get_current_revision() == HEAD
        differences = compare_metadata(context, metadata)
    engine.dispose()
    assert differences == []


def test_a_database_of_a_newer_pipeyard_is_refused(database: str) -> None:
    open_store(database).close()
    engine = sa.create_engine(database)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE pipeyard_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(InputError, match="newer"):
        open_store(database)


@pytest.mark.parametrize("url", ["nonsense", "oracle://host/name", "postgresql://nobody@127.0.0.1:1/none"])
def test_a_url_that_leads_nowhere_is_the_users_mistake(url: str) -> None:
    with pytest.raises(InputError):
        open_store(url)


def test_a_folder_that_is_missing_is_made(tmp_path: Path) -> None:
    open_store(f"sqlite:///{tmp_path}/a/b/pipeyard.sqlite").close()
    assert (tmp_path / "a/b/pipeyard.sqlite").exists()
