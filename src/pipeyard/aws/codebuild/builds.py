"""Builds: started from a project and overrides, watched, stopped. Who carries them out is `parts.run_build`."""

from collections.abc import Iterable
from typing import Any

from msgspec import Struct, structs

from pipeyard.aws.arns import arn
from pipeyard.aws.codebuild.phases import ended
from pipeyard.aws.codebuild.projects import ProjectRecord, demand_project, hundred, invalid
from pipeyard.aws.identities import Caller
from pipeyard.aws.parts import Parts, StartedBuild
from pipeyard.aws.records import Records
from pipeyard.aws.refusals import AwsError

TOKEN_MS = (
    5 * 60 * 1000
)  # API, StartBuild: "The token is included in the StartBuild request and is valid for 5 minutes"
_SOURCE = {
    "sourceTypeOverride": "type",
    "sourceLocationOverride": "location",
    "sourceAuthOverride": "auth",
    "gitCloneDepthOverride": "gitCloneDepth",
    "gitSubmodulesConfigOverride": "gitSubmodulesConfig",
    "buildspecOverride": "buildspec",
    "insecureSslOverride": "insecureSsl",
    "reportBuildStatusOverride": "reportBuildStatus",
    "buildStatusConfigOverride": "buildStatusConfig",
}
_ENVIRONMENT = {
    "environmentTypeOverride": "type",
    "imageOverride": "image",
    "computeTypeOverride": "computeType",
    "certificateOverride": "certificate",
    "privilegedModeOverride": "privilegedMode",
    "registryCredentialOverride": "registryCredential",
    "imagePullCredentialsTypeOverride": "imagePullCredentialsType",
    "fleetOverride": "fleet",
}
_BUILD = {  # member of the build: override, then member of the project
    "cache": "cacheOverride",
    "serviceRole": "serviceRoleOverride",
    "timeoutInMinutes": "timeoutInMinutesOverride",
    "queuedTimeoutInMinutes": "queuedTimeoutInMinutesOverride",
    "encryptionKey": "encryptionKeyOverride",
    "secondarySources": "secondarySourcesOverride",
    "secondarySourceVersions": "secondarySourcesVersionOverride",
}


class BuildRecord(Struct, frozen=True, kw_only=True):
    document: dict[str, Any]  # the API's Build
    request: dict[str, Any] = {}  # the StartBuild that made it, for RetryBuild
    server: str = ""  # the process that carries it out


class OfBatch(Struct, frozen=True, kw_only=True):
    """Which build of which batch."""

    arn: str
    identifier: str
    shard: tuple[int, int]


def start_build(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    return begin_build(parts, caller, request, None)


def begin_build(parts: Parts, caller: Caller, request: dict[str, Any], batch: OfBatch | None) -> dict[str, Any]:
    """StartBuild, also for a build of a batch. Raises AwsError."""
    with parts.records.changing():
        record = demand_project(parts, caller, request["projectName"])
        if earlier := _of_token(parts, caller, request):
            return {"build": earlier}
        name = record.document["name"]
        _demand_startable(parts, caller, record, request)
        parts.records.put(caller.region, name, structs.replace(record, builds=record.builds + 1))
        build = _begun(parts, caller, request, record)
        if batch is not None:
            build["buildBatchArn"] = batch.arn
        parts.records.put(caller.region, build["id"], BuildRecord(document=build, request=request, server=parts.server))
    if parts.run_build is None:
        _update(parts, caller.region, build["id"], _without_runner(build, parts.now_ms()))
        return {"build": build}
    started = StartedBuild(
        build=build,
        project=record.document,
        region=caller.region,
        artifacts=request.get("artifactsOverride", record.document["artifacts"]),
        secondary_artifacts=request.get("secondaryArtifactsOverride", record.document.get("secondaryArtifacts", [])),
        batch_identifier=batch.identifier if batch else "",
        shard=batch.shard if batch else (0, 1),
        update=lambda changes: _update(parts, caller.region, build["id"], changes),
    )
    try:
        parts.running.add(caller.region, build["id"], parts.run_build(started))
    except Exception:
        fault = {"buildStatus": "FAULT", "buildComplete": True, "currentPhase": "COMPLETED", "endTime": parts.now_ms()}
        _update(parts, caller.region, build["id"], fault)
        raise
    if _demand(parts, caller, build["id"]).document["buildComplete"]:  # it was over before we could note its stop
        parts.running.forget(build["id"])
    return {"build": build}


def retry_build(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    if "id" not in request:
        raise invalid("Invalid build ID provided")
    again = {**_demand(parts, caller, request["id"]).request, "idempotencyToken": request.get("idempotencyToken")}
    return start_build(parts, caller, {key: value for key, value in again.items() if value is not None})


def stop_build(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """A build that has ended stays as it ended."""
    record = _demand(parts, caller, request["id"])
    build_id = record.document["id"]
    parts.running.stop(build_id)
    now_ms = parts.now_ms()
    phases = [
        phase if "endTime" in phase else {**phase, "phaseStatus": "STOPPED", **ended(phase["startTime"], now_ms)}
        for phase in record.document["phases"]
    ]
    _update(
        parts,
        caller.region,
        build_id,
        {
            "buildStatus": "STOPPED",
            "buildComplete": True,
            "currentPhase": "COMPLETED",
            "endTime": now_ms,
            "phases": [*phases, {"phaseType": "COMPLETED", "startTime": now_ms}],
        },
    )
    return {"build": _demand(parts, caller, build_id).document}


def batch_get_builds(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    found, missing = [], []
    for asked in request["ids"]:
        record = parts.records.get(BuildRecord, caller.region, _bare(asked))
        if record is None:
            missing.append(asked)
        else:
            found.append(record.document)
    return {"builds": found, "buildsNotFound": missing}


def batch_delete_builds(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    gone, kept = [], []
    for asked in request["ids"]:
        record = parts.records.get(BuildRecord, caller.region, _bare(asked))
        if record is not None and not record.document["buildComplete"]:
            kept.append({"id": asked, "statusCode": "BUILD_IN_PROGRESS"})
        elif record is not None:
            parts.records.delete(BuildRecord, caller.region, _bare(asked))
            gone.append(record.document["arn"])
    return {"buildsDeleted": gone, "buildsNotDeleted": kept}


def list_builds(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """By their ids, as the API says."""
    ids = sorted(name for name, _ in parts.records.all(BuildRecord, caller.region))
    chosen, token = hundred(ids[::-1] if request.get("sortOrder") == "DESCENDING" else ids, request)
    return {"ids": chosen, "nextToken": token}


def list_builds_for_project(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """By their numbers, the newest first unless asked otherwise."""
    told = "The provided project {arn} does not exist"
    project = demand_project(parts, caller, request["projectName"], told).document["name"]
    builds = [record.document for _, record in parts.records.all(BuildRecord, caller.region)]
    mine = [build for build in builds if build["projectName"] == project]
    mine.sort(key=lambda build: build["buildNumber"], reverse=request.get("sortOrder") != "ASCENDING")
    chosen, token = hundred([build["id"] for build in mine], request)
    return {"ids": chosen, "nextToken": token}


def _begun(parts: Parts, caller: Caller, request: dict[str, Any], record: ProjectRecord) -> dict[str, Any]:
    project = record.document
    build_id = f"{project['name']}:{parts.new_id()}"
    now_ms = parts.now_ms()
    artifacts = request.get("artifactsOverride", project["artifacts"])
    environment = overridden_environment(project, request)
    variables = {each["name"]: each for each in environment.get("environmentVariables", ())}
    variables |= {each["name"]: each for each in request.get("environmentVariablesOverride", ())}
    build = {
        "id": build_id,
        "arn": arn("codebuild", caller.region, caller.account, f"build/{build_id}"),
        "buildNumber": record.builds + 1,
        "startTime": now_ms,
        "currentPhase": "QUEUED",
        "buildStatus": "IN_PROGRESS",
        "buildComplete": False,
        "sourceVersion": request.get("sourceVersion", project.get("sourceVersion")),
        "projectName": project["name"],
        "phases": [
            {"phaseType": "SUBMITTED", "phaseStatus": "SUCCEEDED", "startTime": now_ms, **ended(now_ms, now_ms)},
            {"phaseType": "QUEUED", "startTime": now_ms},
        ],
        "source": overridden_source(project, request),
        "artifacts": {"location": _artifact_location(caller, artifacts)},
        "logs": _logs(caller, request.get("logsConfigOverride", project.get("logsConfig", {})), build_id),
        "environment": {**environment, "environmentVariables": list(variables.values())},
        "initiator": caller.identity.arn_resource,
        "vpcConfig": project.get("vpcConfig"),
        "fileSystemLocations": project.get("fileSystemLocations"),
        **{key: request.get(override, project.get(key)) for key, override in _BUILD.items()},
    }
    return {key: value for key, value in build.items() if value is not None}


def _logs(caller: Caller, config: dict[str, Any], build_id: str) -> dict[str, Any]:
    """Where the build's lines are: a stream that GetLogEvents knows, whatever else the project wants."""
    project, _, own = build_id.partition(":")
    wanted = config.get("cloudWatchLogs", {})
    group = wanted.get("groupName", f"/aws/codebuild/{project}")
    stream = f"{wanted['streamName']}/{own}" if wanted.get("streamName") else own
    return {
        "groupName": group,
        "streamName": stream,
        "cloudWatchLogsArn": arn("logs", caller.region, caller.account, f"log-group:{group}:log-stream:{stream}"),
        "cloudWatchLogs": {"status": "ENABLED", "groupName": group, "streamName": stream},
    }


def _demand_startable(parts: Parts, caller: Caller, record: ProjectRecord, request: dict[str, Any]) -> None:
    """What the service refuses to start. Raises AwsError (InvalidInputException, AccountLimitExceededException)."""
    project = record.document
    source = request.get("sourceTypeOverride", project["source"]["type"])
    demand_own_artifacts(request, project)
    if source == "CODEPIPELINE":
        raise invalid("SourceTypeOverride must be set when using source type CodePipelines")
    if source == "NO_SOURCE" and not request.get("buildspecOverride", project["source"].get("buildspec")):
        raise invalid("Project source type NO_SOURCE requires a buildspec")
    limit = project.get("concurrentBuildLimit")
    if limit is not None and sum(_in_progress(parts, caller.region, project["name"])) >= limit:
        raise AwsError(
            "AccountLimitExceededException", f"Cannot have more than {limit} builds in queue for the project"
        )


def demand_own_artifacts(request: dict[str, Any], project: dict[str, Any]) -> None:
    """Raises AwsError (InvalidInputException) for artifacts that only a pipeline could keep."""
    if request.get("artifactsOverride", project["artifacts"])["type"] == "CODEPIPELINE":
        raise invalid("ArtifactsOverride must be set when using artifacts type CodePipelines")


def _in_progress(parts: Parts, region: str, project: str) -> Iterable[bool]:
    for _, build in parts.records.all(BuildRecord, region):
        yield build.document["projectName"] == project and not build.document["buildComplete"]


def end_builds_of(records: Records, server: str, now_ms: int) -> None:
    """The builds that a server was killed in are over: nobody knows how far they came."""
    for region, name, record in records.everywhere(BuildRecord):
        if record.document["buildComplete"] or record.server != server:
            continue
        phases = [
            phase
            if "endTime" in phase
            else {
                **phase,
                "phaseStatus": "FAULT",
                **ended(phase["startTime"], now_ms),
                "contexts": [{"statusCode": "INTERNAL_SERVICE_ERROR", "message": "the server that ran it has ended"}],
            }
            for phase in record.document["phases"]
        ]
        over = {
            "buildStatus": "FAULT",
            "buildComplete": True,
            "currentPhase": "COMPLETED",
            "endTime": now_ms,
            "phases": [*phases, {"phaseType": "COMPLETED", "startTime": now_ms}],
        }
        records.put(region, name, structs.replace(record, document={**record.document, **over}))


def _of_token(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any] | None:
    """The build that the same request began already. Raises AwsError (InvalidInputException) for another request."""
    token, since_ms = request.get("idempotencyToken"), parts.now_ms() - TOKEN_MS
    if token is None:
        return None
    for _, record in parts.records.all(BuildRecord, caller.region):
        if record.request.get("idempotencyToken") == token and record.document["startTime"] >= since_ms:
            if record.request != request:
                raise invalid("The idempotency token was used with other parameters")
            return record.document
    return None


def overridden_source(project: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """The project's source with what a StartBuild or StartBuildBatch puts in its place."""
    return _overridden(project["source"], _SOURCE, request)


def overridden_environment(project: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """Likewise of the environment; its variables are the project's."""
    return _overridden(project["environment"], _ENVIRONMENT, request)


def _overridden(declared: dict[str, Any], names: dict[str, str], request: dict[str, Any]) -> dict[str, Any]:
    return {**declared, **{member: request[override] for override, member in names.items() if override in request}}


def _artifact_location(caller: Caller, artifacts: dict[str, Any]) -> str:
    if artifacts["type"] != "S3":
        return ""
    path = "/".join(part.strip("/") for key in ("location", "path", "name") if (part := artifacts.get(key)))
    return arn("s3", caller.region, "", path, is_global=True)


def _without_runner(build: dict[str, Any], now_ms: int) -> dict[str, Any]:
    message = "this server was started without anything that runs builds"
    submitted, queued = build["phases"]
    provisioning = {
        "phaseType": "PROVISIONING",
        "phaseStatus": "FAILED",
        "startTime": now_ms,
        **ended(now_ms, now_ms),
        "contexts": [{"statusCode": "INTERNAL_SERVICE_ERROR", "message": message}],
    }
    return {
        "buildStatus": "FAILED",
        "buildComplete": True,
        "currentPhase": "COMPLETED",
        "endTime": now_ms,
        "phases": [
            submitted,
            {**queued, "phaseStatus": "SUCCEEDED", **ended(build["startTime"], now_ms)},
            provisioning,
            {"phaseType": "COMPLETED", "startTime": now_ms},
        ],
    }


def _update(parts: Parts, region: str, build_id: str, changes: dict[str, Any]) -> None:
    """What is complete does not change: a runner may still report when the build was stopped already."""
    with parts.records.changing():
        record = parts.records.get(BuildRecord, region, build_id)
        if record is None or record.document["buildComplete"]:
            return
        parts.records.put(region, build_id, structs.replace(record, document={**record.document, **changes}))
    if changes.get("buildComplete"):
        parts.running.forget(build_id)


def _bare(asked: str) -> str:
    """An id from an id or an ARN. Raises AwsError (InvalidInputException)."""
    build_id = asked.rpartition(":build/")[2]
    if ":" not in build_id:
        raise invalid("Invalid build ID provided")
    return build_id


def _demand(parts: Parts, caller: Caller, asked: str) -> BuildRecord:
    build_id = _bare(asked)
    record = parts.records.get(BuildRecord, caller.region, build_id)
    if record is None:
        raise AwsError("ResourceNotFoundException", f"Build {build_id} does not exist")
    return record
