"""Small pipelines to try rules on."""

from pipeyard.definition.model import (
    ActionDeclaration,
    ActionTypeId,
    Condition,
    Conditions,
    FailureConditions,
    InputArtifact,
    OutputArtifact,
    PipelineDeclaration,
    PipelineVariable,
    RetryConfiguration,
    RuleDeclaration,
    RuleTypeId,
    StageDeclaration,
)


def action(
    name: str,
    *,
    order: int = 1,
    category: str = "Build",
    namespace: str | None = None,
    configuration: dict[str, str] | None = None,
    inputs: tuple[str, ...] = (),
    outputs: tuple[str, ...] = (),
    timeout: int | None = None,
) -> ActionDeclaration:
    return ActionDeclaration(
        name=name,
        action_type_id=ActionTypeId(category=category, owner="AWS", provider="Scripted"),
        run_order=order,
        namespace=namespace,
        configuration=configuration or {},
        input_artifacts=[InputArtifact(name=each) for each in inputs],
        output_artifacts=[OutputArtifact(name=each) for each in outputs],
        timeout_in_minutes=timeout,
    )


def approval(name: str, *, order: int = 1, timeout: int | None = None) -> ActionDeclaration:
    return action(name, order=order, category="Approval", timeout=timeout)


def condition(*rules: str, result: str | None = None, timeout: int | None = None) -> Condition:
    declared = [
        RuleDeclaration(name=rule, rule_type_id=RuleTypeId(provider="Scripted"), timeout_in_minutes=timeout)
        for rule in rules
    ]
    return Condition(result=result, rules=declared)


def stage(
    name: str,
    *actions: ActionDeclaration,
    entry: Condition | None = None,
    success: Condition | None = None,
    failure: Condition | None = None,
    failure_result: str | None = None,
    retry_mode: str | None = None,
) -> StageDeclaration:
    on_failure = None
    if failure or failure_result:
        on_failure = FailureConditions(
            result=failure_result,
            retry_configuration=RetryConfiguration(retry_mode=retry_mode) if retry_mode else None,
            conditions=[failure] if failure else [],
        )
    return StageDeclaration(
        name=name,
        actions=list(actions),
        before_entry=Conditions(conditions=[entry]) if entry else None,
        on_success=Conditions(conditions=[success]) if success else None,
        on_failure=on_failure,
    )


def pipeline(
    *stages: StageDeclaration,
    name: str = "site",
    mode: str = "SUPERSEDED",
    variables: dict[str, str | None] | None = None,
) -> PipelineDeclaration:
    declared = [PipelineVariable(name=key, default_value=value) for key, value in (variables or {}).items()]
    return PipelineDeclaration(name=name, stages=list(stages), execution_mode=mode, variables=declared)


def source() -> StageDeclaration:
    return stage("Source", action("Fetch", category="Source", namespace="Source", outputs=("code",)))


def two_stages(mode: str = "SUPERSEDED") -> PipelineDeclaration:
    """Source, then a build that uses the source's commit."""
    build = action("Image", namespace="Build", configuration={"Tags": "#{Source.CommitId},latest"}, inputs=("code",))
    return pipeline(source(), stage("Build", build), mode=mode)
