"""Namespaces and `#{...}` references: that they mean something at the moment they are used, and stand where they may.

Source: CodePipeline User Guide, "Variables reference".
"""

import re
from collections.abc import Iterator, Mapping

from pipeyard.definition.declaration import suggestion
from pipeyard.definition.expressions import (
    EXECUTION_VARIABLE_NAMES,
    EXECUTION_VARIABLES,
    PIPELINE_VARIABLES,
    RESERVED_NAMESPACES,
    Reference,
    references,
)
from pipeyard.definition.model import ActionDeclaration, PipelineDeclaration, RuleDeclaration
from pipeyard.definition.places import Keys
from pipeyard.definition.rules.findings import Findings, joined_hint, listed
from pipeyard.definition.rules.flow import Step, rule_steps, steps
from pipeyard.definition.rules.providers import provider_of
from pipeyard.errors import InputError

NAMESPACE = re.compile(r"[A-Za-z0-9@_-]{1,100}")


def check_variables(pipeline: PipelineDeclaration, findings: Findings) -> None:
    order = steps(pipeline)
    owners = _namespaces(order, findings)
    declared = [variable.name for variable in pipeline.variables]
    for step in order:
        for keys, what, text in _texts(step.action):
            source = step.action.action_type_id.category == "Source"
            _check_text(text, what, (*step.keys, *keys), step.moment, owners, declared, findings, source=source)
        for keys, text in _fixed(step.action):
            if "#{" in text:
                findings.error(
                    "variable-not-allowed",
                    (*step.keys, *keys),
                    f"{text!r}: a variable cannot stand in {keys[0]}",
                    hint="variables stand in configuration, commands and environment variables",
                )
    for found in rule_steps(pipeline):
        for keys, what, text in _rule_texts(found.rule):
            _check_text(text, what, (*found.keys, *keys), found.moment, owners, declared, findings)


def output_variables(action: ActionDeclaration) -> tuple[str, ...] | None:
    """What an action puts out under its namespace; None when only running it tells."""
    if action.action_type_id.provider == "Commands":
        return tuple(action.output_variables)
    provider = provider_of(action.action_type_id)
    return provider.variables if provider else None


def _namespaces(order: tuple[Step, ...], findings: Findings) -> dict[str, Step]:
    owners: dict[str, Step] = {}
    artifacts = {output.name for step in order for output in step.action.output_artifacts}
    for step in order:
        name = step.action.namespace
        if name is None:
            continue
        keys = (*step.keys, "namespace")
        if not NAMESPACE.fullmatch(name):
            findings.error("namespace", keys, f"{name!r} is no namespace: 1 to 100 letters, digits and @ - _")
        elif name in RESERVED_NAMESPACES:
            findings.error("namespace", keys, f"the namespace {name} is reserved")
        elif name in owners:
            findings.error(
                "duplicate-namespace", keys, f"the namespace {name} belongs to action {owners[name].action.name}"
            )
        else:
            owners[name] = step
            if name in artifacts:
                findings.warning("namespace", keys, f"the namespace {name} is also the name of an artifact")
    return owners


def _texts(action: ActionDeclaration) -> Iterator[tuple[Keys, str, str]]:
    for key, value in action.configuration.items():
        yield ("configuration", key), key, value
    for index, command in enumerate(action.commands):
        yield ("commands", index), f"command {index + 1} of {action.name}", command
    for index, variable in enumerate(action.environment_variables):
        yield ("environmentVariables", index, "value"), f"environment variable {variable.name}", variable.value


def _fixed(action: ActionDeclaration) -> Iterator[tuple[Keys, str]]:
    yield ("roleArn",), action.role_arn or ""
    yield ("region",), action.region or ""
    for index, variable in enumerate(action.output_variables):
        yield ("outputVariables", index), variable
    for index, output in enumerate(action.output_artifacts):
        for number, file in enumerate(output.files):
            yield ("outputArtifacts", index, "files", number), file


def _rule_texts(rule: RuleDeclaration) -> Iterator[tuple[Keys, str, str]]:
    for name, value in rule.configuration.items():
        yield ("configuration", name), f"{name} of rule {rule.name}", value
    for index, command in enumerate(rule.commands):
        yield ("commands", index), f"a command of rule {rule.name}", command


def _check_text(
    text: str,
    what: str,
    keys: Keys,
    moment: tuple[int, int],
    owners: Mapping[str, Step],
    declared: list[str],
    findings: Findings,
    *,
    source: bool = False,
) -> None:
    try:
        found = references(text)
    except InputError as error:
        findings.error("invalid-reference", keys, f"{what}: {error.message}", hint=error.hint)
        return
    for reference in found:
        if source and reference.namespace == PIPELINE_VARIABLES:
            findings.warning(
                "variable-not-allowed",
                keys,
                f"{what} uses {reference} in a source action, where the service resolves no pipeline variables",
            )
        complaint, hint = _complaint(reference, moment, owners, declared)
        if complaint:
            findings.error("undefined-variable", keys, f"{what} uses {reference}, {complaint}", hint=hint)


def _complaint(
    reference: Reference, moment: tuple[int, int], owners: Mapping[str, Step], declared: list[str]
) -> tuple[str, str]:
    name, variable = reference.namespace, reference.variable
    if name == PIPELINE_VARIABLES:
        if variable in declared:
            return "", ""
        hint = suggestion(variable, declared) or (f"it declares {listed(declared)}" if declared else "")
        return "which the pipeline does not declare", hint or "declare it among the pipeline's variables"
    if name == EXECUTION_VARIABLES:
        if variable in EXECUTION_VARIABLE_NAMES:
            return "", ""
        return "which the service does not put out", f"there is {listed(EXECUTION_VARIABLE_NAMES)}"
    owner = owners.get(name)
    if owner is None:
        before = [known for known, step in owners.items() if step.moment < moment]
        hint = suggestion(name, before) or (f"namespaces before it: {listed(before)}" if before else "")
        return f"but no action has the namespace {name}", hint or f"give an earlier action the namespace {name}"
    if owner.moment >= moment:
        return (
            f"but action {owner.action.name} does not end before it starts",
            "only earlier actions' variables are known",
        )
    known = output_variables(owner.action)
    if known is None or variable in known:
        return "", ""
    if not known:
        return "which no action puts out", f"action {owner.action.name} (namespace {name}) puts out no variables"
    closest = suggestion(variable, known)
    what = f"action {owner.action.name} (namespace {name}) puts out {listed(known)}"
    return "which no action puts out", joined_hint(closest, what)
