"""Build projects: made, changed, listed, deleted; kept for each region as they were declared."""

import re
from typing import Any

from msgspec import Struct, structs

from pipeyard.aws.arns import arn
from pipeyard.aws.identities import Caller
from pipeyard.aws.pages import BadToken, page
from pipeyard.aws.parts import Parts
from pipeyard.aws.records import Records
from pipeyard.aws.refusals import AwsError
from pipeyard.definition.model import CodeBuildProject, EnvironmentVariable

PAGE = 100  # API: results come in hundreds, and callers have no say in it
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::(?P<account>[0-9]{12}):role/.+")
_NEEDS_LOCATION = frozenset(
    {"CODECOMMIT", "GITHUB", "GITLAB", "GITLAB_SELF_MANAGED", "S3", "BITBUCKET", "GITHUB_ENTERPRISE"}
)


class ProjectRecord(Struct, frozen=True, kw_only=True):
    document: dict[str, Any]  # the API's Project
    builds: int = 0  # started so far: the last build's number
    batches: int = 0  # likewise


def create_project(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    name = request["name"]
    _demand_sound(caller, request)
    now_ms = parts.now_ms()
    document = {
        **_declared(request),
        "arn": project_arn(caller, name),
        "created": now_ms,
        "lastModified": now_ms,
    }
    document.setdefault("cache", {"type": "NO_CACHE"})
    document.setdefault("timeoutInMinutes", 60)
    document.setdefault("queuedTimeoutInMinutes", 480)
    document.setdefault("encryptionKey", arn("kms", caller.region, caller.account, "alias/aws/s3"))
    document.setdefault("badge", {"badgeEnabled": False})
    document["projectVisibility"] = "PRIVATE"
    with parts.records.changing():
        if parts.records.get(ProjectRecord, caller.region, name) is not None:
            raise AwsError("ResourceAlreadyExistsException", f"Project already exists: {project_arn(caller, name)}")
        parts.records.put(caller.region, name, ProjectRecord(document=document))
    return {"project": document}


def update_project(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    with parts.records.changing():
        record = demand_project(parts, caller, request["name"])
        document = {**record.document, **_declared(request), "lastModified": parts.now_ms()}
        _demand_sound(caller, document)
        parts.records.put(caller.region, request["name"], structs.replace(record, document=document))
    return {"project": document}


def batch_get_projects(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    found, missing = [], []
    for asked in request["names"]:
        record = parts.records.get(ProjectRecord, caller.region, asked.rpartition(":project/")[2])
        if record is None or (asked.startswith("arn:") and asked != record.document["arn"]):
            missing.append(asked)
        else:
            found.append(record.document)
    return {"projects": found, "projectsNotFound": missing}


def list_projects(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    by = {"NAME": "name", "CREATED_TIME": "created", "LAST_MODIFIED_TIME": "lastModified"}[
        request.get("sortBy", "NAME")
    ]
    documents = [record.document for _, record in parts.records.all(ProjectRecord, caller.region)]
    documents.sort(key=lambda each: each[by], reverse=request.get("sortOrder") == "DESCENDING")
    names, token = hundred([each["name"] for each in documents], request)
    return {"projects": names, "nextToken": token}


def delete_project(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Its builds stay. No complaint when there is none: the service has none either."""
    parts.records.delete(ProjectRecord, caller.region, request["name"].rpartition(":project/")[2])
    return {}


def invalidate_project_cache(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    demand_project(parts, caller, request["projectName"])
    return {}


def demand_project(
    parts: Parts, caller: Caller, name: str, message: str = "Project cannot be found: {arn}"
) -> ProjectRecord:
    """By name or ARN. Raises AwsError (ResourceNotFoundException)."""
    bare = name.rpartition(":project/")[2]
    record = parts.records.get(ProjectRecord, caller.region, bare)
    if record is None:
        raise AwsError("ResourceNotFoundException", message.format(arn=project_arn(caller, bare)))
    return record


def project_named(records: Records, name: str, region: str) -> CodeBuildProject | None:
    """A project as the CodeBuild action of a pipeline needs it; of a region when it has one of that name."""
    bare = name.rpartition(":project/")[2]
    found = records.get(ProjectRecord, region, bare) or next(
        (record for _, each, record in records.everywhere(ProjectRecord) if each == bare), None
    )
    if found is None:
        return None
    environment = found.document["environment"]
    return CodeBuildProject(
        name=bare,
        image=environment["image"],
        privileged_mode=environment.get("privilegedMode", False),
        environment_variables=[
            EnvironmentVariable(name=each["name"], value=each["value"], type=each.get("type", "PLAINTEXT"))
            for each in environment.get("environmentVariables", ())
        ],
        buildspec=found.document["source"].get("buildspec"),
        timeout_in_minutes=found.document["timeoutInMinutes"],
    )


def project_arn(caller: Caller, name: str) -> str:
    return arn("codebuild", caller.region, caller.account, f"project/{name}")


def hundred(entries: list[str], request: dict[str, Any]) -> tuple[list[str], str | None]:
    """A page of a list. Raises AwsError (InvalidInputException)."""
    try:
        return page(entries, str, request.get("nextToken"), PAGE)
    except BadToken:
        raise invalid("Invalid next token provided") from None


def invalid(message: str) -> AwsError:
    return AwsError("InvalidInputException", message)


def _declared(request: dict[str, Any]) -> dict[str, Any]:
    declared = {key: value for key, value in request.items() if key != "badgeEnabled"}
    if "badgeEnabled" in request:
        declared["badge"] = {"badgeEnabled": request["badgeEnabled"]}
    return declared


def _demand_sound(caller: Caller, project: dict[str, Any]) -> None:
    """What the service checks beyond the model. Raises AwsError (InvalidInputException)."""
    source, artifacts = project["source"], project["artifacts"]
    role = _ROLE.fullmatch(project["serviceRole"])
    if source["type"] in _NEEDS_LOCATION and not source.get("location"):
        raise invalid("Project source location is required")
    if source["type"] == "NO_SOURCE" and not source.get("buildspec"):
        raise invalid("Project source type NO_SOURCE requires a buildspec")
    if artifacts["type"] == "NO_ARTIFACTS" and artifacts.get("location"):
        raise invalid("Invalid artifacts: artifact type NO_ARTIFACTS should have null location")
    if artifacts["type"] == "S3" and not artifacts.get("location"):
        raise invalid("Invalid artifacts: artifact type S3 requires a location")
    if (source["type"] == "CODEPIPELINE") != (artifacts["type"] == "CODEPIPELINE"):
        raise invalid("Invalid artifacts: source and artifacts must both, or neither, be CODEPIPELINE")
    if role is None or role["account"] != caller.account:
        raise invalid("Invalid service role: Service role account ID does not match caller's account")
