"""Pipelines of any shape (hypothesis), and each format's way to write one down."""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import yaml
from hypothesis import strategies as st
from msgspec import structs

from pipeyard.definition import model
from pipeyard.definition.model import PipelineDeclaration, api_document

_names = st.text("abcXYZ019-_", min_size=1, max_size=10)
# What a person may write: quotes, braces, line breaks, things that look like functions, references or numbers.
_texts = st.one_of(
    st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=20),
    st.sampled_from(
        [
            "true",
            "no",
            "0123",
            "1.10",
            "~",
            "null",
            "#{Src.CommitId}",
            "${AWS::Region}",
            "%{x}",
            "a: b",
            "- x",
            "a\nb",
            "{}",
        ]
    ),
)
_lists = st.lists(_texts, min_size=1, max_size=3)


def _absent_or(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


_types = st.builds(
    model.ActionTypeId,
    category=st.sampled_from(["Source", "Build", "Deploy", "Test", "Invoke", "Approval", "Compute"]),
    owner=st.sampled_from(["AWS", "ThirdParty", "Custom"]),
    provider=_names,
    version=st.sampled_from(["1", "2", "1.10"]),
)
_rules = st.builds(
    model.RuleDeclaration,
    name=_names,
    rule_type_id=st.builds(model.RuleTypeId, provider=_names),
    configuration=st.dictionaries(_names, _texts, max_size=2),
    commands=st.just([]) | _lists,
    timeout_in_minutes=_absent_or(st.integers(5, 900)),
)
_conditions = st.lists(
    st.builds(model.Condition, result=_absent_or(st.just("FAIL")), rules=st.lists(_rules, min_size=1, max_size=2)),
    min_size=1,
    max_size=1,
)
_actions = st.builds(
    model.ActionDeclaration,
    name=_names,
    action_type_id=_types,
    run_order=st.integers(1, 999),
    configuration=st.dictionaries(_names, _texts, max_size=3),
    commands=st.just([]) | _lists,
    output_variables=st.just([]) | st.lists(_names, min_size=1, max_size=2),
    input_artifacts=st.lists(st.builds(model.InputArtifact, name=_names), max_size=2),
    output_artifacts=st.lists(
        st.builds(model.OutputArtifact, name=_names, files=st.just([]) | st.lists(_names, min_size=1, max_size=2)),
        max_size=2,
    ),
    environment_variables=st.lists(
        st.builds(
            model.EnvironmentVariable, name=_names, value=_texts, type=st.sampled_from(["PLAINTEXT", "SECRETS_MANAGER"])
        ),
        max_size=2,
    ),
    role_arn=_absent_or(_names),
    region=_absent_or(_names),
    namespace=_absent_or(_names),
    timeout_in_minutes=_absent_or(st.integers(5, 900)),
)
_stages = st.builds(
    model.StageDeclaration,
    name=_names,
    actions=st.lists(_actions, min_size=1, max_size=3),
    on_failure=_absent_or(
        st.builds(
            model.FailureConditions,
            result=_absent_or(st.just("RETRY")),
            retry_configuration=_absent_or(st.builds(model.RetryConfiguration, retry_mode=st.just("ALL_ACTIONS"))),
            conditions=st.just([]) | _conditions,
        )
    ),
    on_success=_absent_or(st.builds(model.Conditions, conditions=_conditions)),
    before_entry=_absent_or(st.builds(model.Conditions, conditions=_conditions)),
)
_filters = _absent_or(st.builds(model.Filter, includes=_lists, excludes=st.just([]) | _lists))
_triggers = st.builds(
    model.Trigger,
    git_configuration=st.builds(
        model.GitConfiguration,
        source_action_name=_names,
        push=st.lists(st.builds(model.PushFilter, tags=_filters, branches=_filters, file_paths=_filters), max_size=2),
        pull_request=st.lists(
            st.builds(model.PullRequestFilter, events=st.just(["OPEN"]), branches=_filters, file_paths=_filters),
            max_size=2,
        ),
    ),
)
_stores = st.builds(model.ArtifactStore, location=_names)
pipelines: st.SearchStrategy[PipelineDeclaration] = st.builds(
    model.PipelineDeclaration,
    name=_names,
    role_arn=_absent_or(_names),
    artifact_store=_absent_or(_stores),
    artifact_stores=st.dictionaries(_names, _stores, max_size=2),
    stages=st.lists(_stages, min_size=1, max_size=3),
    execution_mode=st.sampled_from(["SUPERSEDED", "QUEUED", "PARALLEL"]),
    pipeline_type=st.sampled_from(["V1", "V2"]),
    variables=st.lists(
        st.builds(
            model.PipelineVariable, name=_names, default_value=_absent_or(_texts), description=_absent_or(_texts)
        ),
        max_size=2,
    ),
    triggers=st.lists(_triggers, max_size=2),
)


def as_properties(node: Any, *, free: bool = False) -> Any:
    """The API's document with CloudFormation's keys; `free` keys (configurations) stay as they are."""
    if isinstance(node, dict):
        return {
            key if free else key[:1].upper() + key[1:]: as_properties(value, free=key == "configuration")
            for key, value in node.items()
        }
    return [as_properties(entry) for entry in node] if isinstance(node, list) else node


def template_of(pipeline: PipelineDeclaration) -> dict[str, Any]:
    properties = as_properties(api_document(pipeline))
    properties.pop("Version")
    if pipeline.artifact_stores:
        properties["ArtifactStores"] = [
            {"Region": region, "ArtifactStore": as_properties(store)}
            for region, store in api_document(pipeline)["artifactStores"].items()
        ]
    return {"Resources": {"P": {"Type": "AWS::CodePipeline::Pipeline", "Properties": properties}}}


_TERRAFORM_BLOCKS = {
    "stages": "stage",
    "actions": "action",
    "variables": "variable",
    "triggers": "trigger",
    "conditions": "condition",
    "rules": "rule",
    "environmentVariables": "environment_variable",
}
"""Lists of the API that are repeated blocks in Terraform, with the blocks' names."""


def _snake(key: str) -> str:
    return re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", key)


def terraform_of(pipeline: PipelineDeclaration) -> dict[str, Any]:
    """The body of an `aws_codepipeline`: blocks are lists of bodies, arguments are values, maps have the key ""."""
    document = api_document(pipeline)
    document.pop("version")
    stores = document.pop("artifactStores", {})
    stores = [{**store, "region": region} for region, store in stores.items()]
    plain = document.pop("artifactStore", None)
    body = _terraform_body(document)
    if plain or stores:
        body["artifact_store"] = [_terraform_body(store) for store in ([plain] if plain else stores)]
    return body


def _terraform_body(node: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for key, value in node.items():
        if key == "actionTypeId":
            body |= value
        elif key == "configuration":
            body[key] = {"": value}
        elif key in ("inputArtifacts", "outputArtifacts"):
            body[_snake(key)] = [artifact["name"] for artifact in value]
        elif key in _TERRAFORM_BLOCKS or (isinstance(value, list) and value and isinstance(value[0], dict)):
            body[_TERRAFORM_BLOCKS.get(key, _snake(key))] = [_terraform_body(entry) for entry in value]
        elif isinstance(value, dict):
            body[_snake(key)] = [_terraform_body(value)]
        else:
            body[_snake(key)] = value
    return body


def _hcl_value(value: Any) -> str:
    """As JSON, where HCL has the same escapes; text may not begin a template."""
    if isinstance(value, str):
        quoted = json.dumps(value, ensure_ascii=False)
        return quoted.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, list):
        return f"[{', '.join(map(_hcl_value, value))}]"
    if isinstance(value, dict):
        return "{" + "".join(f"{_hcl_value(key)} = {_hcl_value(entry)}\n" for key, entry in value.items()) + "}"
    return json.dumps(value)


def _hcl_body(body: dict[str, Any]) -> str:
    lines: list[str] = []
    for name, value in body.items():
        if isinstance(value, dict):
            lines.append(f"{name} = {_hcl_value(value[''])}\n")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            lines.extend(f"{name} {{\n{_hcl_body(block)}}}\n" for block in value)
        else:
            lines.append(f"{name} = {_hcl_value(value)}\n")
    return "".join(lines)


def _terraform(pipeline: PipelineDeclaration) -> str:
    return f'resource "aws_codepipeline" "this" {{\n{_hcl_body(terraform_of(pipeline))}}}\n'


def _json_body(value: Any) -> Any:
    if isinstance(value, dict):
        return _json_body(value[""]) if list(value) == [""] else {key: _json_body(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_json_body(entry) for entry in value]
    return value.replace("${", "$${").replace("%{", "%%{") if isinstance(value, str) else value


def _terraform_json(pipeline: PipelineDeclaration) -> str:
    return json.dumps({"resource": {"aws_codepipeline": {"this": _json_body(terraform_of(pipeline))}}})


def as_terraform_can_say(pipeline: PipelineDeclaration) -> PipelineDeclaration:
    """Without what the provider's schema lacks: files of an artifact, and a single store that has a region.

    Text is in the composed form (NFC), which the language gives to all text.
    """
    composed = unicodedata.normalize("NFC", msgspec.json.encode(pipeline).decode())
    pipeline = msgspec.json.decode(composed, type=PipelineDeclaration)
    stages = [
        structs.replace(
            stage,
            actions=[
                structs.replace(
                    action, output_artifacts=[structs.replace(one, files=[]) for one in action.output_artifacts]
                )
                for action in stage.actions
            ],
        )
        for stage in pipeline.stages
    ]
    stores = pipeline.artifact_stores if len(pipeline.artifact_stores) > 1 else {}
    return structs.replace(
        pipeline, stages=stages, artifact_stores=stores, artifact_store=None if stores else pipeline.artifact_store
    )


def _yaml(document: Any) -> str:
    text: str = yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
    return text


WRITERS: Mapping[str, tuple[str, Callable[[PipelineDeclaration], str]]] = {
    "template.json": ("CloudFormation", lambda pipeline: json.dumps(template_of(pipeline))),
    "template.yaml": ("CloudFormation", lambda pipeline: _yaml(template_of(pipeline))),
    "main.tf": ("Terraform", _terraform),
    "main.tf.json": ("Terraform", _terraform_json),
    "pipeline.json": ("CodePipeline", lambda pipeline: json.dumps({"pipeline": api_document(pipeline)}, indent="\t")),
    "pipeline.yaml": ("CodePipeline", lambda pipeline: _yaml({"pipeline": api_document(pipeline), "metadata": {}})),
}
"""By file name: the format's name and what writes a pipeline in it."""
