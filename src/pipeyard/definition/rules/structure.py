"""Names, counts and limits of a pipeline and its stages.

Source: CodePipeline API (botocore's model: patterns and sizes); User Guide, "Pipeline structure reference", "Quotas".
"""

import re

from pipeyard.definition.declaration import is_v2_only
from pipeyard.definition.model import ActionDeclaration, PipelineDeclaration, StageDeclaration
from pipeyard.definition.places import Keys
from pipeyard.definition.rules.findings import Findings

MAX_STAGES = 50
MAX_ACTIONS_IN_STAGE = 50
MAX_ACTIONS = 1000
MAX_VARIABLES = 50

NAME = re.compile(r"[A-Za-z0-9.@_-]{1,100}")
_VARIABLE_NAME = re.compile(r"[A-Za-z0-9@_-]{1,128}")
_REGION = re.compile(r"[a-z0-9-]{4,30}")
_MODES = ("SUPERSEDED", "QUEUED", "PARALLEL")


def check_structure(pipeline: PipelineDeclaration, findings: Findings) -> None:
    _name("pipeline", pipeline.name, ("name",), findings)
    if pipeline.pipeline_type not in ("V1", "V2"):
        findings.error(
            "pipeline-type", ("pipelineType",), f"there is no pipeline type {pipeline.pipeline_type!r}: V1, V2"
        )
    if pipeline.execution_mode not in _MODES:
        known = ", ".join(_MODES)
        findings.error(
            "execution-mode", ("executionMode",), f"there is no execution mode {pipeline.execution_mode!r}", hint=known
        )
    _stores(pipeline, findings)
    _stages(pipeline, findings)
    _variables(pipeline, findings)
    _type_features(pipeline, findings)


def _name(what: str, name: str, keys: Keys, findings: Findings) -> None:
    if not NAME.fullmatch(name):
        findings.error(
            "name",
            keys,
            f"{name!r} is no name for a {what}: 1 to 100 letters, digits and . @ - _",
        )


def _stores(pipeline: PipelineDeclaration, findings: Findings) -> None:
    if pipeline.role_arn is None and not findings.is_written(("roleArn",)):
        findings.warning(
            "role-missing", (), f"pipeline {pipeline.name} has no role; the service needs one, this machine does not"
        )
    if pipeline.artifact_store and pipeline.artifact_stores:
        findings.error(
            "artifact-store-choice", ("artifactStores",), "a pipeline has artifactStore or artifactStores, not both"
        )
    stores = (("artifactStore",), ("artifactStores",))
    if not pipeline.artifact_store and not pipeline.artifact_stores and not any(map(findings.is_written, stores)):
        findings.warning(
            "artifact-store-missing",
            (),
            f"pipeline {pipeline.name} has no artifact store; artifacts are kept on this machine",
        )


def _stages(pipeline: PipelineDeclaration, findings: Findings) -> None:
    count = len(pipeline.stages)
    if not 2 <= count <= MAX_STAGES:
        findings.error("stage-count", ("stages",), f"a pipeline has 2 to {MAX_STAGES} stages, not {count}")
    if sum(len(stage.actions) for stage in pipeline.stages) > MAX_ACTIONS:
        findings.error("action-count", ("stages",), f"a pipeline has at most {MAX_ACTIONS} actions")
    seen: set[str] = set()
    for index, stage in enumerate(pipeline.stages):
        keys: Keys = ("stages", index)
        _name("stage", stage.name, (*keys, "name"), findings)
        if stage.name in seen:
            findings.error("duplicate-name", (*keys, "name"), f"there is a stage {stage.name!r} already")
        seen.add(stage.name)
        _actions(stage, keys, index == 0, findings)
        for number, blocker in enumerate(stage.blockers):
            if blocker.type != "Schedule" or not 1 <= len(blocker.name) <= 100:
                findings.error(
                    "blocker", (*keys, "blockers", number), "a blocker has a name and the type Schedule", hint=""
                )


def _actions(stage: StageDeclaration, keys: Keys, first: bool, findings: Findings) -> None:
    if not 1 <= len(stage.actions) <= MAX_ACTIONS_IN_STAGE:
        findings.error(
            "action-count",
            (*keys, "actions"),
            f"stage {stage.name} has {len(stage.actions)} actions; a stage has 1 to {MAX_ACTIONS_IN_STAGE}",
        )
    seen: set[str] = set()
    for index, action in enumerate(stage.actions):
        here: Keys = (*keys, "actions", index)
        _name("action", action.name, (*here, "name"), findings)
        if action.name in seen:
            findings.error(
                "duplicate-name", (*here, "name"), f"stage {stage.name} has an action {action.name!r} already"
            )
        seen.add(action.name)
        is_source = action.action_type_id.category == "Source"
        if first and not is_source:
            findings.error(
                "source-stage",
                (*here, "actionTypeId", "category"),
                f"action {action.name} is in the first stage, which has source actions only",
                hint="put it into a stage of its own after the sources",
            )
        if is_source and not first:
            findings.error(
                "source-stage",
                (*here, "actionTypeId", "category"),
                f"source action {action.name} is in stage {stage.name}; source actions are in the first stage only",
            )
        _numbers(action, here, findings)


def _numbers(action: ActionDeclaration, keys: Keys, findings: Findings) -> None:
    if not 1 <= action.run_order <= 999:
        findings.error("run-order", (*keys, "runOrder"), f"run order is 1 to 999, not {action.run_order}")
    if action.timeout_in_minutes is not None and not 5 <= action.timeout_in_minutes <= 86400:
        findings.error(
            "timeout",
            (*keys, "timeoutInMinutes"),
            f"a timeout is 5 to 86400 minutes, not {action.timeout_in_minutes}",
        )
    if action.region is not None and not _REGION.fullmatch(action.region) and "#{" not in action.region:
        findings.error("region", (*keys, "region"), f"{action.region!r} is no region")


def check_regions(pipeline: PipelineDeclaration, findings: Findings) -> None:
    """With stores by region, each region that an action works in needs one."""
    if not pipeline.artifact_stores:
        return
    for stage_index, stage in enumerate(pipeline.stages):
        for index, action in enumerate(stage.actions):
            if action.region and action.region not in pipeline.artifact_stores:
                findings.error(
                    "region",
                    ("stages", stage_index, "actions", index, "region"),
                    f"action {action.name} works in {action.region}, where the pipeline has no artifact store",
                    hint=f"it has stores in {', '.join(pipeline.artifact_stores)}",
                )


def _variables(pipeline: PipelineDeclaration, findings: Findings) -> None:
    if len(pipeline.variables) > MAX_VARIABLES:
        findings.error("variable", ("variables",), f"a pipeline has at most {MAX_VARIABLES} variables")
    seen: set[str] = set()
    for index, variable in enumerate(pipeline.variables):
        keys: Keys = ("variables", index)
        if not _VARIABLE_NAME.fullmatch(variable.name):
            findings.error(
                "variable",
                (*keys, "name"),
                f"{variable.name!r} is no name for a variable: 1 to 128 letters, digits and @ - _",
            )
        if variable.name in seen:
            findings.error("duplicate-name", (*keys, "name"), f"there is a variable {variable.name!r} already")
        seen.add(variable.name)
        if variable.default_value is not None and not 1 <= len(variable.default_value) <= 1000:
            findings.error(
                "variable",
                (*keys, "defaultValue"),
                f"the default of variable {variable.name} has {len(variable.default_value)} characters, not 1 to 1000",
            )
        if variable.description is not None and len(variable.description) > 200:
            findings.error(
                "variable", (*keys, "description"), "the description of a variable has at most 200 characters"
            )


def _type_features(pipeline: PipelineDeclaration, findings: Findings) -> None:
    if pipeline.pipeline_type != "V1":
        return
    hint = "write V2 as the pipeline's type"
    for key, found, what in (
        ("variables", pipeline.variables, "pipeline variables"),
        ("triggers", pipeline.triggers, "triggers"),
        ("executionMode", pipeline.execution_mode != "SUPERSEDED", f"execution mode {pipeline.execution_mode}"),
    ):
        if found:
            findings.error("v2-only", (key,), f"{what} need a pipeline of type V2", hint=hint)
    for index, stage in enumerate(pipeline.stages):
        for key, condition in (
            ("beforeEntry", stage.before_entry),
            ("onSuccess", stage.on_success),
            ("onFailure", stage.on_failure),
        ):
            if condition is not None:
                findings.error("v2-only", ("stages", index, key), f"{key} needs a pipeline of type V2", hint=hint)
        for number, action in enumerate(stage.actions):
            if is_v2_only(action.action_type_id):
                findings.error(
                    "v2-only",
                    ("stages", index, "actions", number, "actionTypeId", "provider"),
                    f"{action.action_type_id.provider} needs a pipeline of type V2",
                    hint=hint,
                )
