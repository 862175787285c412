"""Pipelines: made, changed, listed, tagged, deleted; they are the engine's, also those of `pipeyard run`.

A home has one engine: its pipelines are seen from every region.
"""

import re
from typing import Any

import msgspec
from msgspec import Struct, structs

from pipeyard.aws.arns import arn
from pipeyard.aws.identities import Caller
from pipeyard.aws.pages import BadToken, page
from pipeyard.aws.parts import Parts
from pipeyard.aws.refusals import AwsError
from pipeyard.definition.codepipeline import read_pipeline
from pipeyard.definition.documents import parse_document
from pipeyard.definition.model import Definition, PipelineDeclaration, api_document
from pipeyard.definition.validate import validate
from pipeyard.engine.engine import Refused
from pipeyard.engine.state import PipelineState
from pipeyard.service.executions import start_execution

_MAX_TAGS = 50
_ARN = re.compile(r"arn:aws[a-z-]*:codepipeline:[a-z0-9-]+:(?P<account>[0-9]{12}):(?P<name>[A-Za-z0-9.@_-]+)")


class PipelineTags(Struct, frozen=True, kw_only=True):
    tags: dict[str, str] = {}


def create_pipeline(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    name = request["pipeline"]["name"]
    tags = {tag["key"]: tag["value"] for tag in request.get("tags", ())}
    _demand_tags(caller, name, tags, tags)
    definition, declaration = _read(request["pipeline"])
    if name in parts.engine().store.pipelines():
        raise AwsError(
            "PipelineNameInUseException",
            f"A pipeline with the name '{name}' already exists in account '{caller.account}'",
        )
    parts.engine().register(definition, declaration)
    parts.records.put("", name, PipelineTags(tags=tags))
    if parts.start_on_create:
        _first_execution(parts, caller, name)
    return {"pipeline": _shown(demand_pipeline(parts, caller, name)), "tags": _listed(tags)}


def _first_execution(parts: Parts, caller: Caller, name: str) -> None:
    """The service runs a new pipeline at once; one whose variables need values waits for somebody who gives them."""
    try:
        start_execution(parts.engine(), name, trigger="CreatePipeline", trigger_detail=caller.arn)
    except Refused:
        return


def update_pipeline(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    name = request["pipeline"]["name"]
    definition, declaration = _read(request["pipeline"])
    _demand_resource(parts, caller, name)
    parts.engine().register(definition, declaration)
    return {"pipeline": _shown(demand_pipeline(parts, caller, name))}


def get_pipeline(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    state = demand_pipeline(parts, caller, request["name"])
    if request.get("version", state.version) != state.version:
        raise AwsError(
            "PipelineVersionNotFoundException",
            f"Account '{caller.account}' does not have a pipeline with name '{request['name']}' and version "
            f"'{request['version']}'",
        )
    metadata = {
        "pipelineArn": pipeline_arn(caller, request["name"]),
        "created": state.created_ms,
        "updated": state.updated_ms,
    }
    return {"pipeline": _shown(state), "metadata": metadata}


def list_pipelines(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    names, token = paged(parts.engine().store.pipelines(), str, request, 100)
    states = [state for name in names if (state := parts.engine().store.state(name)).declaration is not None]
    summaries = [
        {
            "name": state.pipeline,
            "version": state.version,
            "pipelineType": state.declaration.pipeline_type if state.declaration else None,
            "executionMode": state.declaration.execution_mode if state.declaration else None,
            "created": state.created_ms,
            "updated": state.updated_ms,
        }
        for state in states
    ]
    return {"pipelines": summaries, "nextToken": token}


def delete_pipeline(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """No complaint when there is none: the service has none either."""
    parts.engine().delete(request["name"])
    parts.records.delete(PipelineTags, "", request["name"])
    return {}


def list_tags_for_resource(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    tags = _listed(_tags(parts, _of_arn(parts, caller, request)))
    try:
        chosen, token = page(
            tags, lambda tag: tag["key"], request.get("nextToken"), request.get("maxResults", _MAX_TAGS)
        )
    except BadToken:
        raise _bad_token() from None
    return {"tags": chosen, "nextToken": token}


def tag_resource(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    name = _of_arn(parts, caller, request)
    new = {tag["key"]: tag["value"] for tag in request["tags"]}
    with parts.records.changing():
        tags = {**_tags(parts, name), **new}
        _demand_tags(caller, name, new, tags)
        parts.records.put("", name, PipelineTags(tags=tags))
    return {}


def untag_resource(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    name = _of_arn(parts, caller, request)
    with parts.records.changing():
        kept = {key: value for key, value in _tags(parts, name).items() if key not in request["tagKeys"]}
        parts.records.put("", name, PipelineTags(tags=kept))
    return {}


def demand_pipeline(parts: Parts, caller: Caller, name: str) -> PipelineState:
    """Raises AwsError (PipelineNotFoundException)."""
    try:
        return parts.engine().state(name)
    except Refused as refused:
        raise AwsError(
            refused.code, f"Account '{caller.account}' does not have a pipeline with name '{name}'"
        ) from refused


def pipeline_arn(caller: Caller, name: str) -> str:
    return arn("codepipeline", caller.region, caller.account, name)


def paged(entries: Any, key: Any, request: dict[str, Any], usual: int) -> tuple[list[Any], str | None]:
    """A page as the request asks. Raises AwsError (InvalidNextTokenException)."""
    try:
        return page(entries, key, request.get("nextToken"), request.get("maxResults", usual))
    except BadToken:
        raise _bad_token() from None


def _bad_token() -> AwsError:
    return AwsError("InvalidNextTokenException", "The next token was not given out for this list")


def _read(declared: dict[str, Any]) -> tuple[Definition, PipelineDeclaration]:
    """The declaration that a request holds, checked as `pipeyard validate` does. Raises AwsError."""
    file = "the request"
    reading = read_pipeline(parse_document(msgspec.json.encode({"pipeline": declared}).decode(), file), file)
    problems = reading.problems
    if reading.definition is not None:
        problems = (*problems, *validate(reading.definition, reading.places))
    wrong = [problem.message for problem in problems if problem.severity == "error"]
    if wrong or reading.definition is None:
        raise AwsError("InvalidStructureException", "; ".join(dict.fromkeys(wrong)) or "The pipeline cannot be read")
    return reading.definition, reading.definition.pipelines[0]


def _shown(state: PipelineState) -> dict[str, Any]:
    assert state.declaration is not None, "whoever asks has found the pipeline"
    return api_document(structs.replace(state.declaration, version=state.version))


def _tags(parts: Parts, name: str) -> dict[str, str]:
    return (parts.records.get(PipelineTags, "", name) or PipelineTags()).tags


def _listed(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def _demand_tags(caller: Caller, name: str, new: dict[str, str], tags: dict[str, str]) -> None:
    if any(key.startswith("aws:") for key in new):
        raise AwsError(
            "InvalidTagsException",
            "Not allowed to modify system tags. System tags start with 'aws:'. "
            "msg=[Caller is an end user and not allowed to mutate system tags]",
        )
    if len(tags) > _MAX_TAGS:
        told = f"Tag limit exceeded for resource [{pipeline_arn(caller, name)}]."
        raise AwsError("TooManyTagsException", told)


def _of_arn(parts: Parts, caller: Caller, request: dict[str, Any]) -> str:
    match = _ARN.fullmatch(request["resourceArn"])
    if match is None:
        raise AwsError("InvalidArnException", f"{request['resourceArn'][:200]} is not the ARN of a pipeline")
    return _demand_resource(parts, caller, match["name"] if match["account"] == caller.account else "")


def _demand_resource(parts: Parts, caller: Caller, name: str) -> str:
    if name not in parts.engine().store.pipelines():
        raise AwsError(
            "ResourceNotFoundException",
            f"The account with id '{caller.account}' does not include a pipeline with the name '{name}'",
        )
    return name
