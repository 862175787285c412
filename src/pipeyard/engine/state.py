"""The state of one pipeline: its versions, transitions and executions, with the API's own status words.

Everything is frozen and can be stored as JSON. Executions that ended and are neither a stage's latest nor its latest
success are forgotten after a while (`admission.forget`); the store keeps their records.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Literal

import msgspec
from msgspec import Struct

from pipeyard.actions.contract import Artifact, Published
from pipeyard.definition.model import PipelineDeclaration, StageDeclaration

ExecutionStatus = Literal["InProgress", "Stopping", "Stopped", "Succeeded", "Superseded", "Failed", "Cancelled"]
StageStatus = Literal["InProgress", "Stopping", "Stopped", "Succeeded", "Failed", "Cancelled", "Skipped"]
ActionStatus = Literal["InProgress", "Abandoned", "Succeeded", "Failed"]
ConditionStatus = Literal["InProgress", "Failed", "Errored", "Succeeded", "Cancelled", "Abandoned", "Overridden"]
Moment = Literal["beforeEntry", "onSuccess", "onFailure"]

ENDED: frozenset[str] = frozenset({"Stopped", "Succeeded", "Superseded", "Failed", "Cancelled"})


class _Kept(Struct, frozen=True, kw_only=True, omit_defaults=True):
    pass


class ErrorDetails(_Kept, frozen=True, kw_only=True):
    code: str
    message: str
    place: str = ""
    hint: str = ""


class ActionRun(_Kept, frozen=True, kw_only=True):
    """One execution of one action; a retry makes a new one."""

    id: str
    stage: str
    action: str
    attempt: int
    status: ActionStatus
    started_ms: int
    updated_ms: int
    configuration: dict[str, str] = {}  # resolved
    inputs: dict[str, Artifact] = {}
    outputs: dict[str, Artifact] = {}
    variables: dict[str, str] = {}
    summary: str = ""
    error: ErrorDetails | None = None
    published: list[Published] = []
    external_url: str = ""
    token: str = ""  # of an approval that waits
    expires_ms: int = 0  # when its timer fires; 0: never
    updated_by: str = ""


class RuleRun(_Kept, frozen=True, kw_only=True):
    id: str
    name: str
    status: ActionStatus
    started_ms: int
    updated_ms: int
    configuration: dict[str, str] = {}
    summary: str = ""
    error: ErrorDetails | None = None
    expires_ms: int = 0


class ConditionRun(_Kept, frozen=True, kw_only=True):
    """The conditions of a stage at one moment: `rules` of condition n stand in `rules[n]`."""

    status: ConditionStatus
    started_ms: int
    updated_ms: int
    rules: list[list[RuleRun]] = []
    summary: str = ""

    def each_rule(self) -> Iterator[RuleRun]:
        return chain.from_iterable(self.rules)


class StageRun(_Kept, frozen=True, kw_only=True):
    """An execution's passage through a stage. `current` names the action run that counts for each action."""

    name: str
    status: StageStatus
    attempt: int = 1
    entered_ms: int = 0
    updated_ms: int = 0
    current: dict[str, str] = {}
    conditions: dict[Moment, ConditionRun] = {}
    automatic_retries: int = 0
    manual_retries: int = 0
    latest_retry: str = ""


class Execution(_Kept, frozen=True, kw_only=True):
    """One execution. It waits before the stage at `position`, is inside it, or has ended."""

    id: str
    number: int  # counts from 1 within the pipeline, in the order of starts
    version: int
    mode: str
    status: ExecutionStatus
    place: Literal["waiting", "inside", "ended"]
    position: int
    started_ms: int
    updated_ms: int
    type: Literal["STANDARD", "ROLLBACK"] = "STANDARD"
    trigger: str = "StartPipelineExecution"
    trigger_detail: str = ""
    rollback_target: str = ""
    variables: dict[str, str] = {}
    source_overrides: dict[str, tuple[str, str]] = {}  # action name -> revision type and value
    summary: str = ""  # the API's statusSummary
    stop_reason: str = ""
    stages: dict[str, StageRun] = {}
    runs: dict[str, ActionRun] = {}  # every action run by id, in the order of starts
    outputs: dict[str, dict[str, str]] = {}  # namespace -> output variables
    artifacts: dict[str, Artifact] = {}

    @property
    def is_live(self) -> bool:
        return self.place != "ended"


class Transition(_Kept, frozen=True, kw_only=True):
    enabled: bool
    changed_ms: int
    reason: str = ""
    by: str = ""


class Version(_Kept, frozen=True, kw_only=True):
    declaration: PipelineDeclaration
    definition: str
    created_ms: int


class PipelineState(_Kept, frozen=True, kw_only=True):
    """`version` is 0 before the first definition; `started` counts all executions ever started."""

    pipeline: str
    version: int = 0
    created_ms: int = 0
    updated_ms: int = 0
    deleted: bool = False
    started: int = 0
    versions: dict[int, Version] = {}
    transitions: dict[str, Transition] = {}
    executions: dict[str, Execution] = {}
    latest: dict[str, str] = {}  # stage -> the execution that entered it last
    latest_success: dict[str, str] = {}  # stage -> the standard execution that succeeded in it last

    @property
    def declaration(self) -> PipelineDeclaration | None:
        version = self.versions.get(self.version)
        return version.declaration if version and not self.deleted else None

    def stages_of(self, execution: Execution) -> list[StageDeclaration]:
        return self.versions[execution.version].declaration.stages

    def stage_of(self, execution: Execution) -> StageDeclaration:
        """The stage that an execution waits for or is in; the last it was in once it has ended."""
        return self.stages_of(execution)[execution.position]

    def live(self) -> list[Execution]:
        return [execution for execution in self.executions.values() if execution.is_live]


encode_state = msgspec.json.Encoder().encode
decode_state = msgspec.json.Decoder(PipelineState).decode
encode_execution = msgspec.json.Encoder().encode
decode_execution = msgspec.json.Decoder(Execution).decode
