"""What can happen to a pipeline: one frozen class for each event, and nothing else moves the machine's state.

Time enters as `at_ms` (UTC milliseconds) and ids enter on the events that need new ones, so that whoever reports an
event decides both and the machine needs neither clock nor randomness. Every event can be stored as JSON; none holds a
secret (a declaration's secret values are masked before it gets here, see `redaction`).
"""

from typing import Literal

import msgspec
from msgspec import Struct

from pipeyard.actions.contract import Artifact, Published
from pipeyard.definition.model import PipelineDeclaration
from pipeyard.engine.state import Execution


class SourceOverride(Struct, frozen=True, kw_only=True, rename="camel"):
    """A source revision to use instead of the newest. Source: CodePipeline API, SourceRevisionOverride."""

    action_name: str
    revision_type: str  # COMMIT_ID, IMAGE_DIGEST, S3_OBJECT_VERSION_ID, S3_OBJECT_KEY
    revision_value: str


class _Event(Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    at_ms: int


class PipelineDefined(_Event, frozen=True, kw_only=True):
    """The pipeline was created or updated. `definition` is the key of the whole stored definition around it."""

    declaration: PipelineDeclaration
    definition: str = ""


class PipelineDeleted(_Event, frozen=True, kw_only=True):
    """The pipeline is gone; what still ran of it is cancelled."""


class ExecutionRequested(_Event, frozen=True, kw_only=True):
    """`variables` override the defaults; `trigger` and `trigger_detail` are the API's ExecutionTrigger."""

    execution_id: str
    variables: dict[str, str] = {}
    source_overrides: list[SourceOverride] = []
    trigger: str = "StartPipelineExecution"
    trigger_detail: str = ""


class StopRequested(_Event, frozen=True, kw_only=True):
    """Stop and wait, or with `abandon` stop and abandon."""

    execution_id: str
    abandon: bool = False
    reason: str = ""


class StageRetryRequested(_Event, frozen=True, kw_only=True):
    execution_id: str
    stage: str
    mode: Literal["FAILED_ACTIONS", "ALL_ACTIONS"] = "FAILED_ACTIONS"


class RollbackRequested(_Event, frozen=True, kw_only=True):
    """Runs one stage again as it was in an earlier execution, under the new `execution_id`.

    `target` is that execution's record, for one that the state no longer remembers.
    """

    execution_id: str
    stage: str
    target_execution_id: str
    target: Execution | None = None


class ConditionOverridden(_Event, frozen=True, kw_only=True):
    execution_id: str
    stage: str
    condition_type: Literal["BEFORE_ENTRY", "ON_SUCCESS"]


class TransitionDisabled(_Event, frozen=True, kw_only=True):
    """No execution enters `stage` from now on."""

    stage: str
    reason: str
    by: str = ""


class TransitionEnabled(_Event, frozen=True, kw_only=True):
    stage: str
    by: str = ""


class ApprovalAnswered(_Event, frozen=True, kw_only=True):
    """`token` belongs to one approval of one execution; an old one answers nothing."""

    stage: str
    action: str
    token: str
    status: Literal["Approved", "Rejected"]
    summary: str = ""
    by: str = ""


class ActionSucceeded(_Event, frozen=True, kw_only=True):
    action_execution_id: str
    variables: dict[str, str] = {}
    outputs: dict[str, Artifact] = {}
    summary: str = ""
    published: list[Published] = []
    external_url: str = ""


class ActionFailed(_Event, frozen=True, kw_only=True):
    """`code` is one of the service's error codes (JobFailed, ConfigurationError, ...); `place` may be empty."""

    action_execution_id: str
    message: str
    code: str = "JobFailed"
    place: str = ""
    hint: str = ""


class RuleSucceeded(_Event, frozen=True, kw_only=True):
    rule_execution_id: str
    summary: str = ""


class RuleFailed(_Event, frozen=True, kw_only=True):
    """The rule's criteria are not met, or it could not be evaluated (`code` is then not RuleNotMet)."""

    rule_execution_id: str
    message: str
    code: str = "RuleNotMet"


class TimerFired(_Event, frozen=True, kw_only=True):
    """A SetTimer command's moment came."""

    timer: str


Event = (
    PipelineDefined
    | PipelineDeleted
    | ExecutionRequested
    | StopRequested
    | StageRetryRequested
    | RollbackRequested
    | ConditionOverridden
    | TransitionDisabled
    | TransitionEnabled
    | ApprovalAnswered
    | ActionSucceeded
    | ActionFailed
    | RuleSucceeded
    | RuleFailed
    | TimerFired
)

encode_event = msgspec.json.Encoder().encode
decode_event = msgspec.json.Decoder(Event).decode
