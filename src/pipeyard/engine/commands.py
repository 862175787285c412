"""What the machine wants done: carried out after the state that asks for it was saved, possibly more than once.

Each command's `id` is derived from what caused it, so carrying one out again is recognised as a repeat.
"""

import msgspec
from msgspec import Struct

from pipeyard.actions.contract import Artifact
from pipeyard.definition.model import ActionDeclaration, ActionTypeId, RuleDeclaration


class _Command(Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    id: str
    execution_id: str


class StartAction(_Command, frozen=True, kw_only=True):
    """Perform an action; `configuration` and `commands` have no #{...} left, `declaration` says the rest.

    Answered by ActionSucceeded or ActionFailed under the same `action_execution_id`, once.
    """

    action_execution_id: str
    stage: str
    declaration: ActionDeclaration
    configuration: dict[str, str]
    commands: list[str] = []
    environment: dict[str, str] = {}  # the declared environment variables' resolved values
    inputs: dict[str, Artifact] = {}
    source_revision: tuple[str, str] | None = None  # of an overridden source: revision type and value
    timeout_s: int | None = None
    definition: str = ""


class StopAction(_Command, frozen=True, kw_only=True):
    """Nobody waits for the action any more (`reason` says why): end it soon; its answer will change nothing."""

    action_execution_id: str
    reason: str


class StartRule(_Command, frozen=True, kw_only=True):
    """Evaluate a rule of a stage's condition. Answered by RuleSucceeded or RuleFailed."""

    rule_execution_id: str
    stage: str
    rule: RuleDeclaration
    configuration: dict[str, str]
    commands: list[str] = []
    inputs: dict[str, Artifact] = {}
    definition: str = ""


class StopRule(_Command, frozen=True, kw_only=True):
    rule_execution_id: str
    reason: str


class AskApproval(_Command, frozen=True, kw_only=True):
    """Tell whoever may approve. `configuration` holds NotificationArn, CustomData and ExternalEntityLink."""

    action_execution_id: str
    stage: str
    action: str
    token: str
    type_id: ActionTypeId
    configuration: dict[str, str]
    expires_ms: int


class SetTimer(_Command, frozen=True, kw_only=True):
    """Report TimerFired(`timer`) at `due_ms` or soon after it."""

    timer: str
    due_ms: int


class CancelTimer(_Command, frozen=True, kw_only=True):
    """The timer is not needed any more; firing it all the same does no harm."""

    timer: str


Command = StartAction | StopAction | StartRule | StopRule | AskApproval | SetTimer | CancelTimer

encode_command = msgspec.json.Encoder().encode
decode_command = msgspec.json.Decoder(Command).decode
