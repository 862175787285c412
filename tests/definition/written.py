"""Pipelines of any shape (hypothesis), and each format's way to write one down."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import yaml
from hypothesis import strategies as st

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


def _yaml(document: Any) -> str:
    text: str = yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
    return text


WRITERS: Mapping[str, tuple[str, Callable[[PipelineDeclaration], str]]] = {
    "template.json": ("CloudFormation", lambda pipeline: json.dumps(template_of(pipeline))),
    "template.yaml": ("CloudFormation", lambda pipeline: _yaml(template_of(pipeline))),
    "pipeline.json": ("CodePipeline", lambda pipeline: json.dumps({"pipeline": api_document(pipeline)}, indent="\t")),
    "pipeline.yaml": ("CodePipeline", lambda pipeline: _yaml({"pipeline": api_document(pipeline), "metadata": {}})),
}
"""By file name: the format's name and what writes a pipeline in it."""
