"""The store on SQLAlchemy: one row of state per pipeline, locked while an event is applied, and records beside it."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from pipeyard.definition.model import Definition, PipelineDeclaration
from pipeyard.engine.commands import CancelTimer, Command, SetTimer, StartAction, StartRule, decode_command
from pipeyard.engine.commands import encode_command as encoded_command
from pipeyard.engine.debug_points import debug_point
from pipeyard.engine.events import Event, ExecutionRequested, PipelineDefined, decode_event, encode_event
from pipeyard.engine.machine import advance
from pipeyard.engine.state import (
    Execution,
    PipelineState,
    decode_execution,
    decode_state,
    encode_execution,
    encode_state,
)
from pipeyard.engine.store import tables
from pipeyard.engine.store.contract import Applied, ExecutionRecord, Pending
from pipeyard.engine.store.opening import writing

_decode_declaration = msgspec.json.Decoder(PipelineDeclaration).decode
_decode_definition = msgspec.json.Decoder(Definition).decode


class SqlStore:
    """See `contract.Store`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def close(self) -> None:
        self._engine.dispose()

    # -- events -----------------------------------------------------------------------------------------------------

    def apply(self, pipeline: str, event: Event, *, executor: str | None = None, adopted: str | None = None) -> Applied:
        with writing(self._engine) as connection:
            before = self._locked_state(connection, pipeline)
            if isinstance(event, ExecutionRequested) and self._is_known(connection, event.execution_id):
                return Applied(before=before, after=before, commands=())
            after, commands = advance(before, event)
            if after is before:
                return Applied(before=before, after=before, commands=())
            connection.execute(
                sa.insert(tables.events).values(pipeline=pipeline, at_ms=event.at_ms, body=encode_event(event).decode())
            )
            self._save_state(connection, before, after, event)
            self._save_executions(connection, before, after, executor)
            if adopted is not None:
                # Before the commands, which belong to the execution's executor.
                mine = tables.executions.c.id == adopted
                connection.execute(sa.update(tables.executions).where(mine).values(executor=executor))
            self._save_commands(connection, pipeline, commands)
            debug_point("apply:before-commit")
        debug_point("apply:after-commit")
        return Applied(before=before, after=after, commands=commands)

    def _locked_state(self, connection: Connection, pipeline: str) -> PipelineState:
        wanted = sa.select(tables.pipelines.c.state).where(tables.pipelines.c.name == pipeline).with_for_update()
        text = connection.execute(wanted).scalar()
        if text is not None:
            return decode_state(text)
        # Two processes may meet here: the row is made first, so that there is something to lock.
        empty = PipelineState(pipeline=pipeline)
        insert: Any
        if self._engine.dialect.name == "postgresql":
            from sqlalchemy.dialects.postgresql import insert
        else:
            from sqlalchemy.dialects.sqlite import insert
        row = {"name": pipeline, "version": 0, "created_ms": 0, "updated_ms": 0, "state": encode_state(empty).decode()}
        connection.execute(insert(tables.pipelines).values(row).on_conflict_do_nothing())
        return decode_state(connection.execute(wanted).scalar_one())

    def _is_known(self, connection: Connection, execution_id: str) -> bool:
        wanted = sa.select(tables.executions.c.id).where(tables.executions.c.id == execution_id)
        return connection.execute(wanted).first() is not None

    def _save_state(self, connection: Connection, before: PipelineState, after: PipelineState, event: Event) -> None:
        row = {
            "version": 0 if after.deleted else after.version,
            "created_ms": after.created_ms,
            "updated_ms": after.updated_ms,
            "state": encode_state(after).decode(),
        }
        connection.execute(sa.update(tables.pipelines).where(tables.pipelines.c.name == after.pipeline).values(row))
        if isinstance(event, PipelineDefined):
            version = after.versions[after.version]
            values = {
                "pipeline": after.pipeline,
                "created_ms": version.created_ms,
                "version": after.version,
                "declaration": msgspec.json.encode(version.declaration).decode(),
                "definition": version.definition,
            }
            connection.execute(sa.insert(tables.versions).values(values))

    def _save_executions(
        self, connection: Connection, before: PipelineState, after: PipelineState, executor: str | None
    ) -> None:
        changed = [each for key, each in after.executions.items() if before.executions.get(key) is not each]
        for execution in changed:
            self._save_execution(connection, before, after, execution, executor)

    def _save_execution(
        self,
        connection: Connection,
        before: PipelineState,
        after: PipelineState,
        execution: Execution,
        executor: str | None,
    ) -> None:
        known = before.executions.get(execution.id)
        row: dict[str, object] = {
            "status": execution.status,
            "live": execution.is_live,
            "updated_ms": execution.updated_ms,
            "body": encode_execution(execution).decode(),
        }
        if known is None:
            if execution.trigger == "AutomatedRollback":
                executor = self._executor_of(connection, execution.trigger_detail)
            row |= {
                "id": execution.id,
                "pipeline": after.pipeline,
                "number": execution.number,
                "started_ms": execution.started_ms,
                "executor": executor,
                "definition": after.versions[execution.version].definition,
            }
            connection.execute(sa.insert(tables.executions).values(row))
        else:
            connection.execute(sa.update(tables.executions).where(tables.executions.c.id == execution.id).values(row))
        old_runs = known.runs if known else {}
        for run in execution.runs.values():
            old = old_runs.get(run.id)
            if old is run:
                continue
            ended = {"status": run.status, "updated_ms": run.updated_ms}
            if old is None:
                first = {
                    "id": run.id,
                    "execution_id": execution.id,
                    "pipeline": after.pipeline,
                    "stage": run.stage,
                    "action": run.action,
                    "started_ms": run.started_ms,
                }
                connection.execute(sa.insert(tables.actions).values(first | ended))
            else:
                connection.execute(sa.update(tables.actions).where(tables.actions.c.id == run.id).values(ended))
        gone = _ended_work(known, execution)
        if gone:
            connection.execute(sa.delete(tables.commands).where(tables.commands.c.id.in_(gone)))

    def _executor_of(self, connection: Connection, execution_id: str) -> str | None:
        wanted = sa.select(tables.executions.c.executor).where(tables.executions.c.id == execution_id)
        return connection.execute(wanted).scalar()

    def _save_commands(self, connection: Connection, pipeline: str, commands: Sequence[Command]) -> None:
        for command in commands:
            if isinstance(command, CancelTimer):
                timer = f"{command.timer}:timer"
                connection.execute(sa.delete(tables.commands).where(tables.commands.c.id == timer))
                continue
            values = {
                "id": command.id,
                "pipeline": pipeline,
                "execution_id": command.execution_id,
                "executor": self._executor_of(connection, command.execution_id),
                "confirmed": False,
                "lasting": isinstance(command, StartAction | StartRule),
                "due_ms": command.due_ms if isinstance(command, SetTimer) else None,
                "body": encoded_command(command).decode(),
            }
            connection.execute(sa.insert(tables.commands).values(values))

    def events(self, pipeline: str, after: int = 0) -> Iterator[tuple[int, Event]]:
        log = tables.events.c
        wanted = sa.select(log.number, log.body).where(log.pipeline == pipeline).order_by(log.number).limit(500)
        while True:
            with self._engine.connect() as connection:
                rows = connection.execute(wanted.where(log.number > after)).all()
            for number, body in rows:
                after = number
                yield number, decode_event(body)
            if not rows:
                return

    # -- commands ---------------------------------------------------------------------------------------------------

    def unconfirmed(self, executor: str | None = None, *, anybodys: bool = True) -> Iterator[Pending]:
        column = tables.commands.c
        owner = (
            sa.or_(column.executor.is_(None), column.executor == executor) if anybodys else column.executor == executor
        )
        wanted = _PENDING.where(sa.not_(column.confirmed), column.due_ms.is_(None), owner).order_by(column.number)
        with self._engine.connect() as connection:
            rows = connection.execute(wanted).all()
        yield from (_pending(row) for row in rows)

    def confirm(self, command_id: str) -> None:
        column = tables.commands.c
        with writing(self._engine) as connection:
            mine = column.id == command_id
            connection.execute(sa.delete(tables.commands).where(mine, sa.not_(column.lasting)))
            connection.execute(sa.update(tables.commands).where(mine).values(confirmed=True))

    def command(self, command_id: str) -> Pending | None:
        with self._engine.connect() as connection:
            row = connection.execute(_PENDING.where(tables.commands.c.id == command_id)).first()
        return _pending(row) if row else None

    def outstanding(self, command_ids: Sequence[str]) -> set[str]:
        if not command_ids:
            return set()
        with self._engine.connect() as connection:
            found = connection.execute(sa.select(tables.commands.c.id).where(tables.commands.c.id.in_(command_ids)))
            return set(found.scalars())

    def due(self, now_ms: int) -> list[Pending]:
        with self._engine.connect() as connection:
            rows = connection.execute(_PENDING.where(tables.commands.c.due_ms <= now_ms)).all()
        return [_pending(row) for row in rows]

    # -- executors --------------------------------------------------------------------------------------------------

    def disown(self, executor: str) -> None:
        with writing(self._engine) as connection:
            connection.execute(sa.delete(tables.commands).where(tables.commands.c.executor == executor))

    def owned(self, executor: str) -> list[str]:
        column = tables.executions.c
        with self._engine.connect() as connection:
            return list(
                connection.execute(sa.select(column.id).where(column.executor == executor, column.live)).scalars()
            )

    def enlist(self, executor: str, now_ms: int) -> None:
        column = tables.executors.c
        with writing(self._engine) as connection:
            mine = sa.update(tables.executors).where(column.id == executor).values(seen_ms=now_ms)
            if not connection.execute(mine).rowcount:
                connection.execute(sa.insert(tables.executors).values(id=executor, seen_ms=now_ms))

    def strike(self, executor: str) -> None:
        with writing(self._engine) as connection:
            connection.execute(sa.delete(tables.executors).where(tables.executors.c.id == executor))

    def enlisted(self) -> dict[str, int]:
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(tables.executors.c.id, tables.executors.c.seen_ms)).all()
        return {row.id: row.seen_ms for row in rows}

    # -- looking up -------------------------------------------------------------------------------------------------

    def declaration(self, record: ExecutionRecord) -> PipelineDeclaration:
        column = tables.versions.c
        execution = record.execution
        # Of two pipelines of one name, one after the other, the execution's is the one that was there when it started.
        mine = sa.and_(
            column.pipeline == record.pipeline,
            column.version == execution.version,
            column.created_ms <= execution.started_ms,
        )
        wanted = sa.select(column.declaration).where(mine).order_by(column.created_ms.desc()).limit(1)
        with self._engine.connect() as connection:
            return _decode_declaration(connection.execute(wanted).scalar_one())

    def state(self, pipeline: str) -> PipelineState:
        wanted = sa.select(tables.pipelines.c.state).where(tables.pipelines.c.name == pipeline)
        with self._engine.connect() as connection:
            text = connection.execute(wanted).scalar()
        return decode_state(text) if text is not None else PipelineState(pipeline=pipeline)

    def pipelines(self) -> list[str]:
        column = tables.pipelines.c
        with self._engine.connect() as connection:
            return list(
                connection.execute(sa.select(column.name).where(column.version > 0).order_by(column.name)).scalars()
            )

    def execution(self, execution_id: str) -> ExecutionRecord | None:
        with self._engine.connect() as connection:
            row = connection.execute(_RECORD.where(tables.executions.c.id == execution_id)).first()
        return _record(row) if row else None

    def executions(self, pipeline: str | None = None, *, limit: int = 100, offset: int = 0) -> list[ExecutionRecord]:
        column = tables.executions.c
        wanted = _RECORD if pipeline is None else _RECORD.where(column.pipeline == pipeline)
        wanted = wanted.order_by(column.started_ms.desc(), column.number.desc()).limit(limit).offset(offset)
        with self._engine.connect() as connection:
            return [_record(row) for row in connection.execute(wanted).all()]

    def execution_of_action(self, action_execution_id: str) -> ExecutionRecord | None:
        mine = tables.actions.c.id == action_execution_id
        wanted = _RECORD.join(tables.actions, tables.actions.c.execution_id == tables.executions.c.id).where(mine)
        with self._engine.connect() as connection:
            row = connection.execute(wanted).first()
        return _record(row) if row else None

    def keep_definition(self, definition: Definition) -> str:
        body = msgspec.json.encode(definition, order="deterministic")
        key = hashlib.sha256(body).hexdigest()
        with writing(self._engine) as connection:
            known = sa.select(tables.definitions.c.key).where(tables.definitions.c.key == key)
            if connection.execute(known).first() is None:
                connection.execute(sa.insert(tables.definitions).values(key=key, body=body.decode()))
        return key

    def definition(self, key: str) -> Definition:
        if not key:
            return Definition()
        wanted = sa.select(tables.definitions.c.body).where(tables.definitions.c.key == key)
        with self._engine.connect() as connection:
            return _decode_definition(connection.execute(wanted).scalar_one())


_PENDING = sa.select(tables.commands.c.pipeline, tables.commands.c.executor, tables.commands.c.body)
_RECORD = sa.select(
    tables.executions.c.pipeline, tables.executions.c.executor, tables.executions.c.definition, tables.executions.c.body
)


def _pending(row: Any) -> Pending:
    return Pending(pipeline=row.pipeline, executor=row.executor, command=decode_command(row.body))


def _record(row: Any) -> ExecutionRecord:
    execution = decode_execution(row.body)
    return ExecutionRecord(pipeline=row.pipeline, execution=execution, executor=row.executor, definition=row.definition)


def _ended_work(before: Execution | None, after: Execution) -> list[str]:
    """Ids of the commands whose work an event ended: the presence of its row says that work is outstanding."""
    was = _in_progress(before) if before else set()
    return [f"{each}:start" for each in was - _in_progress(after)]


def _in_progress(execution: Execution) -> set[str]:
    runs = {run.id for run in execution.runs.values() if run.status == "InProgress"}
    rules = {
        rule.id
        for stage in execution.stages.values()
        for condition in stage.conditions.values()
        for rule in condition.each_rule()
        if rule.status == "InProgress"
    }
    return runs | rules
