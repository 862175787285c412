"""What became of a pipeline's execution, or what would: the document of `run --json` and `run --plan --json`."""

from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from pipeyard.definition.model import ActionDeclaration, PipelineDeclaration, StageDeclaration

if TYPE_CHECKING:
    from pipeyard.engine.views import ExecutionView


class Failure(Struct, frozen=True, kw_only=True):
    message: str
    place: str | None = None
    hint: str = ""


class ActionOutcome(Struct, frozen=True, kw_only=True):
    """`configuration` is resolved where the action has started, and as declared where it has not."""

    name: str
    provider: str
    status: str | None = None  # the API's words; None while only planned
    summary: str = ""
    output_variables: dict[str, str] = {}
    error: Failure | None = None
    action_execution_id: str | None = None
    category: str = ""
    owner: str = ""
    version: str = ""
    run_order: int = 1
    namespace: str | None = None
    region: str | None = None
    role_arn: str | None = None
    timeout_in_minutes: int | None = None
    configuration: dict[str, str] = {}
    commands: list[str] = []
    environment_variables: list[dict[str, str]] = []
    input_artifacts: list[str] = []
    output_artifacts: list[str] = []


class StageOutcome(Struct, frozen=True, kw_only=True):
    name: str
    status: str | None = None
    actions: list[ActionOutcome] = []


class PublishedImage(Struct, frozen=True, kw_only=True):
    repository: str
    tags: list[str]
    digest: str | None  # None while only planned
    size: int | None  # bytes
    references: list[str]


class Outcome(Struct, frozen=True, kw_only=True):
    pipeline: str
    execution_id: str | None = None
    status: str | None = None
    reason: str = ""  # why it was stopped or superseded
    stages: list[StageOutcome] = []
    published: list[PublishedImage] = []
    execution_mode: str = "SUPERSEDED"
    pipeline_type: str = "V2"
    variables: dict[str, str | None] = {}
    triggers: list[dict[str, Any]] = []


def planned(pipeline: PipelineDeclaration, published: list[PublishedImage]) -> Outcome:
    """The pipeline as it would run, every status None."""
    from msgspec import to_builtins

    return Outcome(
        pipeline=pipeline.name,
        stages=[planned_stage(stage) for stage in pipeline.stages],
        published=published,
        execution_mode=pipeline.execution_mode,
        pipeline_type=pipeline.pipeline_type,
        variables={variable.name: variable.default_value for variable in pipeline.variables},
        triggers=[to_builtins(trigger) for trigger in pipeline.triggers],
    )


def executed(view: "ExecutionView", pipeline: PipelineDeclaration) -> Outcome:
    """An execution as it stands. `pipeline` is the declaration that it runs."""
    declared = {(stage.name, action.name): action for stage, action in pipeline.actions()}
    stages = []
    for stage in view.stages:
        actions = []
        for run in stage.actions:
            action = declared.get((stage.name, run.name))
            shown = planned_action(action) if action else ActionOutcome(name=run.name, provider=run.provider)
            failure = run.error and Failure(
                message=run.error.message, place=run.error.place or None, hint=run.error.hint
            )
            actions.append(
                structs.replace(
                    shown,
                    status=run.status,
                    summary=run.summary,
                    output_variables=dict(run.output_variables),
                    error=failure,
                    action_execution_id=run.action_execution_id or None,
                )
            )
        stages.append(StageOutcome(name=stage.name, status=stage.status, actions=actions))
    return Outcome(
        pipeline=view.pipeline,
        execution_id=view.execution_id,
        status=view.status,
        reason=view.stop_reason or view.summary,
        stages=stages,
        published=[
            PublishedImage(
                repository=image.repository,
                tags=list(image.tags),
                digest=image.digest,
                size=image.size,
                references=list(image.references),
            )
            for image in view.published
        ],
        execution_mode=view.mode,
        pipeline_type=pipeline.pipeline_type,
        variables=dict(view.variables),
    )


def planned_stage(stage: StageDeclaration) -> StageOutcome:
    return StageOutcome(name=stage.name, actions=[planned_action(action) for action in stage.actions])


def planned_action(action: ActionDeclaration) -> ActionOutcome:
    from msgspec import to_builtins

    return ActionOutcome(
        name=action.name,
        provider=action.action_type_id.provider,
        category=action.action_type_id.category,
        owner=action.action_type_id.owner,
        version=action.action_type_id.version,
        run_order=action.run_order,
        namespace=action.namespace,
        region=action.region,
        role_arn=action.role_arn,
        timeout_in_minutes=action.timeout_in_minutes,
        configuration=dict(action.configuration),
        commands=list(action.commands),
        environment_variables=[to_builtins(variable) for variable in action.environment_variables],
        input_artifacts=[artifact.name for artifact in action.input_artifacts],
        output_artifacts=[artifact.name for artifact in action.output_artifacts],
    )
