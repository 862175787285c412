"""Stage conditions and automatic reactions: `beforeEntry`, `onSuccess`, `onFailure` and the rules in them.

Source: CodePipeline User Guide, "Stage conditions", "Rule structure reference".
"""

from collections.abc import Mapping

from pipeyard.definition.declaration import suggestion
from pipeyard.definition.model import Condition, FailureConditions, PipelineDeclaration, RuleDeclaration
from pipeyard.definition.places import Keys
from pipeyard.definition.rules.configuration import value_complaint
from pipeyard.definition.rules.findings import Findings, joined_hint, listed
from pipeyard.definition.rules.provider import FREE, NEEDED, SWITCH, Setting
from pipeyard.definition.rules.structure import NAME

RULE_SETTINGS: Mapping[str, Mapping[str, Setting]] = {
    "CloudWatchAlarm": {"AlarmName": NEEDED, "AlarmStates": FREE, "WaitTime": Setting(numbers=(0, 10**9))},
    "CodeBuild": {
        "ProjectName": NEEDED,
        "PrimarySource": FREE,
        "BatchEnabled": SWITCH,
        "CombineArtifacts": SWITCH,
        "BuildspecOverride": FREE,
        "EnvironmentVariables": FREE,
    },
    "Commands": {},
    "DeploymentWindow": {"Cron": NEEDED, "TimeZone": FREE},
    "LambdaInvoke": {"FunctionName": NEEDED, "UserParameters": FREE},
    "VariableCheck": {
        "Operator": Setting(required=True, values=("EQ", "NE", "MATCHES", "CONTAINS")),
        "Variable": NEEDED,
        "Value": NEEDED,
    },
}
"""The configuration keys of each rule provider."""

_ALARM_STATES = ("ALARM", "OK", "INSUFFICIENT_DATA")
_MAX_VALUE = 10_000

RESULTS: Mapping[str, tuple[str, ...]] = {
    "beforeEntry": ("FAIL", "SKIP"),
    "onSuccess": ("FAIL", "ROLLBACK"),
    "onFailure": ("FAIL", "RETRY", "ROLLBACK", "SKIP"),
}


def check_conditions(pipeline: PipelineDeclaration, findings: Findings) -> None:
    for index, stage in enumerate(pipeline.stages):
        keys: Keys = ("stages", index)
        for key, found in (("beforeEntry", stage.before_entry), ("onSuccess", stage.on_success)):
            if found is not None:
                if not found.conditions:
                    findings.error("condition", (*keys, key), f"{key} of stage {stage.name} has no condition")
                _conditions(found.conditions, key, (*keys, key), findings)
        if stage.on_failure is not None:
            _failure(stage.on_failure, (*keys, "onFailure"), index == 0, pipeline.execution_mode, findings)


def _failure(reaction: FailureConditions, keys: Keys, first: bool, mode: str, findings: Findings) -> None:
    _result(reaction.result, "onFailure", keys, findings)
    _conditions(reaction.conditions, "onFailure", keys, findings)
    retry = reaction.retry_configuration
    if retry is not None and reaction.result != "RETRY":
        findings.error("condition", (*keys, "retryConfiguration"), "retryConfiguration goes with the result RETRY")
    if retry is not None and retry.retry_mode not in (None, "FAILED_ACTIONS", "ALL_ACTIONS"):
        findings.error(
            "condition",
            (*keys, "retryConfiguration", "retryMode"),
            f"there is no retry mode {retry.retry_mode!r}: FAILED_ACTIONS, ALL_ACTIONS",
        )
    rolls_back = "ROLLBACK" in (reaction.result, *(condition.result for condition in reaction.conditions))
    if rolls_back and first:
        findings.error("condition", keys, "the first stage cannot be rolled back")
    if rolls_back and mode == "PARALLEL":
        findings.error("condition", keys, "a pipeline in PARALLEL mode cannot be rolled back")


def _result(result: str | None, key: str, keys: Keys, findings: Findings) -> None:
    if result is not None and result not in RESULTS[key]:
        findings.error(
            "condition", (*keys, "result"), f"the result of {key} is one of {listed(RESULTS[key])}, not {result!r}"
        )


def _conditions(conditions: list[Condition], key: str, keys: Keys, findings: Findings) -> None:
    if len(conditions) > 1:
        findings.error("condition", (*keys, "conditions"), f"{key} has at most one condition")
    for index, condition in enumerate(conditions):
        here: Keys = (*keys, "conditions", index)
        _result(condition.result, key, here, findings)
        if not 1 <= len(condition.rules) <= 5:
            findings.error("condition", (*here, "rules"), f"a condition has 1 to 5 rules, not {len(condition.rules)}")
        seen: set[str] = set()
        for number, rule in enumerate(condition.rules):
            place = (*here, "rules", number)
            if not NAME.fullmatch(rule.name):
                findings.error("name", (*place, "name"), f"{rule.name!r} is no name for a rule")
            if rule.name in seen:
                findings.error("duplicate-name", (*place, "name"), f"there is a rule {rule.name!r} already")
            seen.add(rule.name)
            _rule(rule, place, findings)


def _rule(rule: RuleDeclaration, keys: Keys, findings: Findings) -> None:
    settings = RULE_SETTINGS.get(rule.rule_type_id.provider)
    if settings is None:
        provider = rule.rule_type_id.provider
        closest = suggestion(provider, RULE_SETTINGS)
        there = f"there are {listed(RULE_SETTINGS)}"
        findings.error(
            "condition-rule",
            (*keys, "ruleTypeId", "provider"),
            f"rule {rule.name} has the unknown provider {provider}",
            hint=joined_hint(closest, there),
        )
        return
    kind = rule.rule_type_id
    if (kind.category, kind.owner, kind.version) != ("Rule", "AWS", "1"):
        given = f"{kind.category}/{kind.owner}/{kind.provider}/{kind.version}"
        findings.error(
            "condition-rule",
            (*keys, "ruleTypeId"),
            f"rule {rule.name} has the type {given}; it is Rule/AWS/{kind.provider}/1",
        )
    for key, value in rule.configuration.items():
        here = (*keys, "configuration", key)
        if key not in settings:
            findings.warning(
                "condition-rule",
                here,
                f"{kind.provider} has no configuration key {key!r}",
                hint=suggestion(key, settings) or (f"it has {listed(settings)}" if settings else "it has none"),
            )
        elif "#{" not in value and (complaint := value_complaint(settings[key], value)):
            findings.error("condition-rule", here, f"{key} is {value!r}; {complaint}")
        if not 1 <= len(value) <= _MAX_VALUE:
            message = f"{key} of rule {rule.name} has {len(value)} characters, not 1 to {_MAX_VALUE}"
            findings.error("configuration-size", here, message)
    for state in rule.configuration.get("AlarmStates", "").split(","):
        if kind.provider == "CloudWatchAlarm" and state.strip() not in ("", *_ALARM_STATES) and "#{" not in state:
            message = f"there is no alarm state {state.strip()!r}"
            hint = f"there are {listed(_ALARM_STATES)}"
            findings.error("condition-rule", (*keys, "configuration", "AlarmStates"), message, hint=hint)
    for key, setting in settings.items():
        if setting.required and key not in rule.configuration:
            findings.error("condition-rule", keys, f"rule {rule.name} needs {key} in its configuration")
    if rule.rule_type_id.provider == "Commands" and not 1 <= len(rule.commands) <= 50:
        findings.error("condition-rule", keys, f"rule {rule.name} needs 1 to 50 commands")
    if rule.timeout_in_minutes is not None and not 5 <= rule.timeout_in_minutes <= 86400:
        findings.error("timeout", (*keys, "timeoutInMinutes"), "a timeout is 5 to 86400 minutes")
