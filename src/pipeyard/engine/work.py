"""Between a command and an action: the request that it becomes, and the event that its outcome becomes.

The functions that do the work are handed in: `Perform` for actions and `Evaluate` for rules of stage conditions.
"""

import errno
from collections.abc import Callable, Mapping

from msgspec import Struct, structs

from pipeyard.actions.contract import ActionRequest, ActionResult, Artifact
from pipeyard.definition.model import Definition, RuleTypeId
from pipeyard.engine.commands import StartAction, StartRule
from pipeyard.engine.events import ActionFailed, ActionSucceeded, Event, RuleFailed, RuleSucceeded
from pipeyard.engine.redaction import restored
from pipeyard.errors import BuildFailed, InputError, PipeyardError, RegistryError, Stopped
from pipeyard.threads import StopSignal

_OF_THE_MACHINE = {  # what is no fault of the action -> the next move
    errno.ENOSPC: "free some space (`pipeyard registry collect` helps), then retry the execution",
    errno.EDQUOT: "raise the quota, then retry the execution",
    errno.EROFS: "let PIPEYARD_HOME lie where files can be written, then retry the execution",
    errno.EMFILE: "raise the limit of open files (ulimit -n), then retry the execution",
    errno.ENOMEM: "give the machine more memory, then retry the execution",
}


class RuleRequest(Struct, frozen=True, kw_only=True):
    """A rule of a stage's condition, everything resolved."""

    rule_execution_id: str  # the same after a crash
    pipeline_execution_id: str
    pipeline: str
    stage: str
    rule: str
    type_id: RuleTypeId
    configuration: Mapping[str, str]
    commands: tuple[str, ...] = ()
    inputs: Mapping[str, Artifact]
    definition: Definition


class RuleNotMet(PipeyardError):
    """The rule was evaluated and its criteria are not met."""


Perform = Callable[[ActionRequest, StopSignal], ActionResult]
"""Performs an action; may be called again from the start after a crash, with the same request. Raises PipeyardError."""

Evaluate = Callable[[RuleRequest, StopSignal], str]
"""Evaluates a rule; gives a summary. Raises RuleNotMet, or another PipeyardError when it could not be evaluated."""


def no_rules(request: RuleRequest, stop: StopSignal) -> str:
    """An Evaluate that knows no rule."""
    raise InputError(f"rule {request.rule} uses {request.type_id.provider}, which is not supported")


def action_request(pipeline: str, command: StartAction, definition: Definition) -> ActionRequest:
    """The request that a StartAction stands for; only here are the declaration's secret values put back in."""
    declared = command.declaration
    variables = [
        structs.replace(variable, value=command.environment.get(variable.name, variable.value))
        for variable in declared.environment_variables
    ]
    return ActionRequest(
        action_execution_id=command.action_execution_id,
        pipeline_execution_id=command.execution_id,
        pipeline=pipeline,
        stage=command.stage,
        action=declared.name,
        type_id=declared.action_type_id,
        configuration=restored(pipeline, command, definition),
        commands=tuple(command.commands),
        environment_variables=tuple(variables),
        output_variables=tuple(declared.output_variables),
        region=declared.region or "",
        timeout_s=command.timeout_s,
        inputs=command.inputs,
        source_revision=command.source_revision[1] if command.source_revision else "",
        source_revision_type=command.source_revision[0] if command.source_revision else "",
        outputs=tuple(declared.output_artifacts),
        definition=definition,
    )


def rule_request(pipeline: str, command: StartRule, definition: Definition) -> RuleRequest:
    return RuleRequest(
        rule_execution_id=command.rule_execution_id,
        pipeline_execution_id=command.execution_id,
        pipeline=pipeline,
        stage=command.stage,
        rule=command.rule.name,
        type_id=command.rule.rule_type_id,
        configuration=command.configuration,
        commands=tuple(command.commands),
        inputs=command.inputs,
        definition=definition,
    )


def outcome(
    command: StartAction | StartRule, work: Callable[[], ActionResult | str], now_ms: Callable[[], int]
) -> Event:
    """Does the work and tells what came of it, as the event that answers the command.

    Stopped passes through: whether it was the user or the process that stopped is the caller's to know.
    """
    try:
        result = work()
    except Stopped:
        raise
    except Exception as error:  # noqa: BLE001 - the action boundary: whatever went wrong, the action has failed
        return failure(command, error, now_ms())
    if isinstance(command, StartRule):
        summary = result if isinstance(result, str) else result.summary
        return RuleSucceeded(at_ms=now_ms(), rule_execution_id=command.rule_execution_id, summary=summary)
    assert isinstance(result, ActionResult)
    return ActionSucceeded(
        at_ms=now_ms(),
        action_execution_id=command.action_execution_id,
        variables=result.variables,
        outputs=result.outputs,
        summary=result.summary,
        published=result.published,
        external_url=result.external_url,
    )


def failure(command: StartAction | StartRule, error: Exception, at_ms: int) -> Event:
    if isinstance(error, PipeyardError):
        message, place, hint = error.message, str(error.place or ""), error.hint
    elif isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        where = f"{error.filename}: " if error.filename else ""
        message, place, hint = f"{where}{error.strerror}", "", _OF_THE_MACHINE[error.errno]
    else:
        message, place, hint = f"{type(error).__name__}: {error}", "", "this is a bug in the action"
    if isinstance(command, StartRule):
        code = "RuleNotMet" if isinstance(error, RuleNotMet) else _code(error)
        return RuleFailed(at_ms=at_ms, rule_execution_id=command.rule_execution_id, message=message, code=code)
    return ActionFailed(
        at_ms=at_ms,
        action_execution_id=command.action_execution_id,
        message=message,
        code=_code(error),
        place=place,
        hint=hint,
    )


def _code(error: Exception) -> str:
    """The nearest of the service's words. Source: CodePipeline API, FailureType."""
    if isinstance(error, InputError):
        return "ConfigurationError"
    if isinstance(error, RegistryError) and error.status in (401, 403):
        return "PermissionError"
    if isinstance(error, RegistryError) and error.status in (0, 429, 502, 503, 504):
        return "SystemUnavailable"
    if isinstance(error, BuildFailed | PipeyardError):
        return "JobFailed"
    return "InternalError"
