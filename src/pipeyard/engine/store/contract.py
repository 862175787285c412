"""What the engine asks of a store."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from msgspec import Struct

from pipeyard.definition.model import Definition, PipelineDeclaration
from pipeyard.engine.commands import Command
from pipeyard.engine.events import Event
from pipeyard.engine.state import Execution, PipelineState


class Applied(Struct, frozen=True, kw_only=True):
    """What an event did. `before is after` when it changed nothing; then nothing was stored either."""

    before: PipelineState
    after: PipelineState
    commands: tuple[Command, ...]

    @property
    def changed(self) -> bool:
        return self.before is not self.after


class Pending(Struct, frozen=True, kw_only=True):
    """A command with its pipeline, and the executor whose it is to carry out (None: anybody's)."""

    pipeline: str
    command: Command
    executor: str | None = None


class ExecutionRecord(Struct, frozen=True, kw_only=True):
    """One execution, live or long ended; `executor` is the process that it lives and dies with, if it does."""

    pipeline: str
    execution: Execution
    executor: str | None
    definition: str


class Store(Protocol):
    """Safe for any number of threads and processes. Everything that `apply` returns was stored before it returned."""

    def apply(self, pipeline: str, event: Event, *, executor: str | None = None, adopted: str | None = None) -> Applied:
        """Lock, load, advance, append the event, save state and commands: one transaction, or nothing happened.

        New executions, and the one `adopted` if the event changes it, belong to `executor`, or to nobody; an automatic
        rollback belongs to whom its cause belongs to.
        """

    def unconfirmed(self, executor: str | None = None, *, anybodys: bool = True) -> Iterator[Pending]:
        """Commands not yet carried out, oldest first: `executor`'s and, with `anybodys`, those that are nobody's."""

    def confirm(self, command_id: str) -> None:
        """The command was carried out. A StartAction or StartRule stays findable until its work has ended."""

    def command(self, command_id: str) -> Pending | None:
        """A StartAction or StartRule whose work has not ended yet, or an unconfirmed command."""

    def outstanding(self, command_ids: Sequence[str]) -> set[str]:
        """Those of the commands whose work has not ended."""

    def due(self, now_ms: int) -> list[Pending]:
        """SetTimer commands whose moment has come."""

    def disown(self, executor: str) -> None:
        """Drops the commands of an executor that is gone and whose executions have ended."""

    def declaration(self, record: ExecutionRecord) -> PipelineDeclaration:
        """The pipeline as it was declared for an execution."""

    def state(self, pipeline: str) -> PipelineState:
        """The empty state for a pipeline never heard of."""

    def pipelines(self) -> list[str]:
        """Names of the pipelines that are defined, in alphabetical order."""

    def events(self, pipeline: str, after: int = 0) -> Iterator[tuple[int, Event]]:
        """The log, each with its number, of those with a number above `after`."""

    def execution(self, execution_id: str) -> ExecutionRecord | None: ...

    def executions(self, pipeline: str | None = None, *, limit: int = 100, offset: int = 0) -> list[ExecutionRecord]:
        """Newest first; of all pipelines when none is named."""

    def owned(self, executor: str) -> list[str]:
        """Ids of the live executions of an executor."""

    def execution_of_action(self, action_execution_id: str) -> ExecutionRecord | None:
        """The execution that an action execution belongs to."""

    def keep_definition(self, definition: Definition) -> str:
        """Stores a whole definition under the key that it gives; the same definition has the same key."""

    def definition(self, key: str) -> Definition:
        """The empty definition for the empty key."""

    def enlist(self, executor: str, now_ms: int) -> None:
        """Notes that an executor lives; repeated as its heartbeat."""

    def strike(self, executor: str) -> None:
        """Takes an executor off the list."""

    def enlisted(self) -> dict[str, int]:
        """Every listed executor with the time of its last heartbeat."""

    def close(self) -> None: ...
