"""Artifacts: their names, who makes them, who reads them, and that it happens in this order."""

import re

from pipeyard.definition.declaration import suggestion
from pipeyard.definition.model import PipelineDeclaration
from pipeyard.definition.places import Keys
from pipeyard.definition.rules.findings import Findings, listed
from pipeyard.definition.rules.flow import Step, rule_steps, steps
from pipeyard.definition.rules.providers import provider_of

NAME = re.compile(r"[a-zA-Z0-9_-]{1,100}")
_IN_CONFIGURATION = re.compile(r"([A-Za-z0-9_-]+)::\S+")

_ARTIFACT_KEYS = {
    "CodeBuild": ("PrimarySource",),
    "CodeDeployToECS": (
        "TaskDefinitionTemplateArtifact",
        "AppSpecTemplateArtifact",
        *(f"Image{number}ArtifactName" for number in ("", *range(1, 5))),
    ),
}
"""Configuration keys that hold the name of an input artifact."""

_PATH_KEYS = frozenset({"TemplatePath", "TemplateConfiguration"})
"""Configuration keys that may hold Artifact::file."""


def check_artifacts(pipeline: PipelineDeclaration, findings: Findings) -> None:
    order = steps(pipeline)
    makers: dict[str, Step] = {}
    read: set[str] = set()
    for step in order:
        for index, output in enumerate(step.action.output_artifacts):
            keys = (*step.keys, "outputArtifacts", index)
            _check_name(output.name, (*keys, "name"), findings)
            if output.name in makers:
                findings.error(
                    "duplicate-artifact",
                    keys,
                    f"artifact {output.name} is already made by action {makers[output.name].action.name}",
                )
            else:
                makers[output.name] = step
            if len(output.files) > 10 or any(not 1 <= len(file) <= 128 for file in output.files):
                findings.error(
                    "artifact-name", (*keys, "files"), "an artifact has at most 10 files of 1 to 128 characters"
                )
    for step in order:
        read |= _check_inputs(step, makers, findings)
        _check_counts(step, findings)
        _check_configuration(step, findings)
    read |= _read_by_rules(pipeline, makers, findings)
    for name, maker in makers.items():
        # A source must put out an artifact, read or not, and a scan's is for people; any other action need not.
        type_id = maker.action.action_type_id
        if name not in read and type_id.category != "Source" and type_id.provider != "InspectorScan":
            index = [output.name for output in maker.action.output_artifacts].index(name)
            findings.warning(
                "artifact-unread",
                (*maker.keys, "outputArtifacts", index),
                f"artifact {name} of action {maker.action.name} is read by no action",
            )
    sources = [step for step in order if step.action.action_type_id.category == "Source"]
    if sources and len(order) > len(sources) and not read:
        findings.warning("artifact-unread", sources[0].keys, "no action reads what the sources put out")


def _check_name(name: str, keys: Keys, findings: Findings) -> None:
    if not NAME.fullmatch(name):
        findings.error("artifact-name", keys, f"{name!r} is no name for an artifact: 1 to 100 letters, digits, - and _")


def _check_inputs(step: Step, makers: dict[str, Step], findings: Findings) -> set[str]:
    names: set[str] = set()
    for index, entry in enumerate(step.action.input_artifacts):
        keys = (*step.keys, "inputArtifacts", index, "name")
        if entry.name in names:
            findings.error("duplicate-artifact", keys, f"action {step.action.name} reads {entry.name} twice")
        names.add(entry.name)
        _check_maker(entry.name, f"action {step.action.name}", step.moment, keys, makers, findings)
    return names


def _check_maker(
    name: str, reader: str, moment: tuple[int, int], keys: Keys, makers: dict[str, Step], findings: Findings
) -> None:
    maker = makers.get(name)
    if maker is None:
        before = [other for other, step in makers.items() if step.moment < moment]
        findings.error(
            "artifact-not-produced",
            keys,
            f"{reader} reads artifact {name}, which no action produces",
            hint=suggestion(name, before) or (f"artifacts made before it: {listed(before)}" if before else ""),
        )
    elif maker.moment >= moment:
        findings.error(
            "artifact-not-produced",
            keys,
            f"{reader} reads artifact {name}, which no earlier action produces: {maker.action.name} in stage "
            f"{maker.stage} does not end before it starts",
            hint="stages run in order, and actions of a stage by their run order",
        )


def _check_counts(step: Step, findings: Findings) -> None:
    provider = provider_of(step.action.action_type_id)
    if provider is None:
        return
    inputs, outputs = provider.inputs, provider.outputs
    if provider.provider == "InspectorScan" and step.action.configuration.get("InspectorRunMode") == "SourceCodeScan":
        inputs = (1, 1)
    for key, count, (least, most), what in (
        ("inputArtifacts", len(step.action.input_artifacts), inputs, "input"),
        ("outputArtifacts", len(step.action.output_artifacts), outputs, "output"),
    ):
        if not least <= count <= most:
            wanted = f"{least}" if least == most else f"{least} to {most}"
            findings.error(
                "artifact-count",
                (*step.keys, key),
                f"action {step.action.name} has {count} {what} artifacts; {provider.provider} has {wanted}",
            )


def _check_configuration(step: Step, findings: Findings) -> None:
    action = step.action
    inputs = [entry.name for entry in action.input_artifacts]
    provider = action.action_type_id.provider
    if provider == "CodeBuild" and len(inputs) > 1 and "PrimarySource" not in action.configuration:
        findings.error(
            "configuration-missing",
            (*step.keys, "configuration"),
            f"action {action.name} has {len(inputs)} input artifacts and needs PrimarySource",
            hint=f"one of {listed(inputs)}",
        )
    for key, value in action.configuration.items():
        named = value if key in _ARTIFACT_KEYS.get(provider, ()) else ""
        if provider.startswith("CloudFormation") and key in _PATH_KEYS and (found := _IN_CONFIGURATION.match(value)):
            named = found[1]
        if named and "#{" not in named and named not in inputs:
            # With one input, that one is the primary source whatever the key names.
            note = findings.warning if key == "PrimarySource" and len(inputs) == 1 else findings.error
            note(
                "artifact-not-produced",
                (*step.keys, "configuration", key),
                f"{key} names artifact {named}, which is no input of action {action.name}",
                hint=suggestion(named, inputs) or (f"its inputs are {listed(inputs)}" if inputs else ""),
            )


def _read_by_rules(pipeline: PipelineDeclaration, makers: dict[str, Step], findings: Findings) -> set[str]:
    names: set[str] = set()
    for step in rule_steps(pipeline):
        for place, entry in enumerate(step.rule.input_artifacts):
            names.add(entry.name)
            keys = (*step.keys, "inputArtifacts", place)
            _check_maker(entry.name, f"rule {step.rule.name}", step.moment, keys, makers, findings)
    return names
