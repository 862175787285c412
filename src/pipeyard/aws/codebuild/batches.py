"""Build batches: several builds of one buildspec's `batch`, each of them a build like any other.

Which build may start when is the buildspec room's to say; here they are started, watched and told of.
"""

from typing import Any

from msgspec import Struct, structs

from pipeyard.aws.arns import arn
from pipeyard.aws.codebuild.asking import refusal_of
from pipeyard.aws.codebuild.builds import (
    TOKEN_MS,
    BuildRecord,
    OfBatch,
    begin_build,
    demand_own_artifacts,
    overridden_environment,
    overridden_source,
    stop_build,
)
from pipeyard.aws.codebuild.phases import ended
from pipeyard.aws.codebuild.projects import demand_project, hundred, invalid
from pipeyard.aws.identities import Caller
from pipeyard.aws.parts import BatchRunner, Parts, StartedBuild
from pipeyard.aws.records import Records
from pipeyard.aws.refusals import AwsError
from pipeyard.buildspec import batch as rules
from pipeyard.buildspec.model import BatchBuild
from pipeyard.errors import PipeyardError, Stopped
from pipeyard.threads import StopSignal

_LOOK_S = 0.1  # between two looks at the builds
_ONLY_BATCH = frozenset({"buildBatchConfigOverride", "reportBuildBatchStatusOverride", "buildTimeoutInMinutesOverride"})


class BatchRecord(Struct, frozen=True, kw_only=True):
    document: dict[str, Any]  # the API's BuildBatch
    request: dict[str, Any] = {}  # the StartBuildBatch that made it
    server: str = ""


def start_build_batch(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    if parts.batches is None:
        raise invalid("this server was started without anything that runs builds")
    runner = parts.batches
    with parts.records.changing():
        project = demand_project(parts, caller, request["projectName"])
        if earlier := _of_token(parts, caller, request):
            return {"buildBatch": earlier}
        name = project.document["name"]
        demand_own_artifacts(request, project.document)
        batch_id = f"{name}:{parts.new_id()}"
        document = _begun(parts, caller, request, project.document, batch_id, project.batches + 1)
        numbered = structs.replace(project, batches=project.batches + 1)
        parts.records.put(caller.region, name, numbered)
        parts.records.put(caller.region, batch_id, BatchRecord(document=document, request=request, server=parts.server))
    following = _Following(parts, caller, request, document, runner)
    parts.running.add(caller.region, batch_id, runner.aside(following.run, batch_id))
    if _demand(parts, caller, batch_id).document["complete"]:  # it was over before we could note its stop
        parts.running.forget(batch_id)
    return {"buildBatch": document}


def batch_get_build_batches(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    found, missing = [], []
    for asked in request["ids"]:
        record = parts.records.get(BatchRecord, caller.region, _bare(asked))
        if record is None:
            missing.append(asked)
        else:
            found.append(record.document)
    return {"buildBatches": found, "buildBatchesNotFound": missing}


def list_build_batches(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    return _listed(parts, caller, request, None)


def list_build_batches_for_project(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    project = request.get("projectName")
    if project is None:
        raise invalid("Project name is required")
    return _listed(parts, caller, request, demand_project(parts, caller, project).document["name"])


def stop_build_batch(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Its running builds are stopped, too. A batch that has ended stays as it ended."""
    record = _demand(parts, caller, request["id"])
    parts.running.stop(record.document["id"])
    for group in record.document["buildGroups"]:
        summary = group.get("currentBuildSummary", {})
        if summary.get("buildStatus") == "IN_PROGRESS":
            stop_build(parts, caller, {"id": summary["arn"]})
    _finish(parts, caller.region, record.document["id"], "STOPPED")
    return {"buildBatch": _demand(parts, caller, request["id"]).document}


def retry_build_batch(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """All of its builds again, as a batch of its own."""
    if "id" not in request:
        raise invalid("Invalid build batch ID provided")
    if request.get("retryType") == "RETRY_FAILED_BUILDS":
        raise invalid("Only RETRY_ALL_BUILDS can be done here")
    again = {**_demand(parts, caller, request["id"]).request, "idempotencyToken": request.get("idempotencyToken")}
    return start_build_batch(parts, caller, {key: value for key, value in again.items() if value is not None})


def delete_build_batch(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """With its builds. No complaint when there is none: the service has none either."""
    record = parts.records.get(BatchRecord, caller.region, _bare(request["id"]))
    if record is None:
        return {"statusCode": "BATCH_NOT_FOUND", "buildsDeleted": [], "buildsNotDeleted": []}
    if not record.document["complete"]:
        return {"statusCode": "BATCH_IN_PROGRESS", "buildsDeleted": [], "buildsNotDeleted": []}
    gone = []
    for group in record.document["buildGroups"]:
        told = group.get("currentBuildSummary", {}).get("arn", "")
        if told and parts.records.delete(BuildRecord, caller.region, told.rpartition(":build/")[2]):
            gone.append(told)
    parts.records.delete(BatchRecord, caller.region, record.document["id"])
    return {"statusCode": "BATCH_DELETED", "buildsDeleted": gone, "buildsNotDeleted": []}


class _Following:
    """Follows one batch from its buildspec to its end, in a thread of its own."""

    def __init__(
        self, parts: Parts, caller: Caller, request: dict[str, Any], document: dict[str, Any], runner: BatchRunner
    ) -> None:
        self._parts = parts
        self._caller = caller
        self._request = request
        self._document = document
        self._runner = runner
        self._started: dict[str, str] = {}  # builds by their identifiers

    def run(self, stop: StopSignal) -> None:
        batch_id = self._document["id"]
        try:
            plan = self._runner.plan(self._as_build(), stop)
            builds = rules.expand(plan.batch)
            groups = {
                build.identifier: {
                    "identifier": build.identifier,
                    "dependsOn": list(build.depend_on),
                    "ignoreFailure": build.ignore_failure,
                }
                for build in builds
            }
            resolved = {"resolvedSourceVersion": plan.resolved_version} if plan.resolved_version else {}
            self._enter("IN_PROGRESS", {"buildGroups": list(groups.values()), **resolved})
            good = self._follow(builds, groups, plan.resolved_version, stop, fast_fail=plan.batch.fast_fail)
            _finish(self._parts, self._caller.region, batch_id, "SUCCEEDED" if good else "FAILED")
        except Stopped:
            _finish(self._parts, self._caller.region, batch_id, "STOPPED")
        except PipeyardError as error:
            _finish(self._parts, self._caller.region, batch_id, "FAILED", refusal_of(error))
        except AwsError as error:
            _finish(self._parts, self._caller.region, batch_id, "FAILED", error.message)
        except Exception as error:  # noqa: BLE001 - the thread's boundary: the batch's document tells of it
            _finish(self._parts, self._caller.region, batch_id, "FAULT", f"{type(error).__name__}: {error}")
        finally:
            for build_id in self._started.values():  # one that began while the batch was stopped, for instance
                if self._parts.records.get(BuildRecord, self._caller.region, build_id) is not None:
                    stop_build(self._parts, self._caller, {"id": build_id})

    def _follow(
        self,
        builds: tuple[BatchBuild, ...],
        groups: dict[str, dict[str, Any]],
        resolved: str,
        stop: StopSignal,
        *,
        fast_fail: bool,
    ) -> bool:
        started = self._started
        verdicts: dict[str, rules.Verdict] = {}
        shown: list[dict[str, Any]] = []
        while True:
            step = rules.advance(builds, frozenset(started), verdicts, fast_fail=fast_fail)
            for build in step.start:
                begun = begin_build(self._parts, self._caller, self._request_for(build, resolved), self._of(build))
                started[build.identifier] = begun["build"]["id"]
            if step.over:
                return rules.batch_succeeded(builds, verdicts)
            stop.wait(_LOOK_S)
            stop.check()
            for identifier, build_id in started.items():
                record = self._parts.records.get(BuildRecord, self._caller.region, build_id)
                status = record.document["buildStatus"] if record else "FAULT"
                told = record.document if record else {}
                groups[identifier]["currentBuildSummary"] = {
                    "arn": arn("codebuild", self._caller.region, self._caller.account, f"build/{build_id}"),
                    "requestedOn": told.get("startTime", self._document["startTime"]),
                    "buildStatus": status,
                }
                if status != "IN_PROGRESS":
                    verdicts[identifier] = "SUCCEEDED" if status == "SUCCEEDED" else "FAILED"
            listed = [{**group} for group in groups.values()]
            if listed != shown:  # a look that finds nothing new writes nothing
                _update(self._parts, self._caller.region, self._document["id"], {"buildGroups": listed})
                shown = listed

    def _request_for(self, build: BatchBuild, resolved: str) -> dict[str, Any]:
        """The StartBuild of one of its builds: the batch's own overrides, then those of the buildspec."""
        kept = {
            key: value
            for key, value in self._request.items()
            if key not in _ONLY_BATCH and key not in ("idempotencyToken", "sourceVersion")
        }
        if "buildTimeoutInMinutesOverride" in self._request:
            kept["timeoutInMinutesOverride"] = self._request["buildTimeoutInMinutesOverride"]
        if version := resolved or self._request.get("sourceVersion"):
            kept["sourceVersion"] = version
        env = build.env
        variables = [
            *kept.get("environmentVariablesOverride", ()),
            *({"name": name, "value": value, "type": "PLAINTEXT"} for name, value in env.variables.items()),
        ]
        wanted = {
            "buildspecOverride": build.buildspec or None,
            "imageOverride": env.image or None,
            "computeTypeOverride": env.compute_type or None,
            "environmentTypeOverride": env.type or None,
            "privilegedModeOverride": env.privileged_mode,
            "environmentVariablesOverride": variables or None,
        }
        return {**kept, **{key: value for key, value in wanted.items() if value is not None}}

    def _of(self, build: BatchBuild) -> OfBatch:
        return OfBatch(arn=self._document["arn"], identifier=build.identifier, shard=build.shard)

    def _as_build(self) -> StartedBuild:
        """The batch as if it were one build: that is how its buildspec is found."""
        document = {
            **self._document,
            "timeoutInMinutes": self._document["buildTimeoutInMinutes"],
            "buildNumber": self._document["buildBatchNumber"],
        }
        return StartedBuild(
            build=document,
            project={},
            region=self._caller.region,
            artifacts={"type": "NO_ARTIFACTS"},
            update=lambda changes: None,
        )

    def _enter(self, phase: str, changes: dict[str, Any]) -> None:
        now_ms = self._parts.now_ms()
        phases = _closed(self._document["phases"], now_ms, "SUCCEEDED")
        self._document["phases"] = [*phases, {"phaseType": phase, "startTime": now_ms}]
        changes = {**changes, "currentPhase": phase, "phases": self._document["phases"]}
        _update(self._parts, self._caller.region, self._document["id"], changes)


def _begun(
    parts: Parts, caller: Caller, request: dict[str, Any], project: dict[str, Any], batch_id: str, number: int
) -> dict[str, Any]:
    now_ms = parts.now_ms()
    document = {
        "id": batch_id,
        "arn": arn("codebuild", caller.region, caller.account, f"build-batch/{batch_id}"),
        "startTime": now_ms,
        "currentPhase": "DOWNLOAD_BATCHSPEC",
        "buildBatchStatus": "IN_PROGRESS",
        "sourceVersion": request.get("sourceVersion", project.get("sourceVersion")),
        "projectName": project["name"],
        "phases": [
            {
                "phaseType": "SUBMITTED",
                "phaseStatus": "SUCCEEDED",
                "startTime": now_ms,
                **ended(now_ms, now_ms),
            },
            {"phaseType": "DOWNLOAD_BATCHSPEC", "startTime": now_ms},
        ],
        "source": overridden_source(project, request),
        "artifacts": {"location": ""},
        "environment": overridden_environment(project, request),
        "serviceRole": request.get("serviceRoleOverride", project["serviceRole"]),
        "buildTimeoutInMinutes": request.get("buildTimeoutInMinutesOverride", project["timeoutInMinutes"]),
        "queuedTimeoutInMinutes": request.get("queuedTimeoutInMinutesOverride", project["queuedTimeoutInMinutes"]),
        "complete": False,
        "initiator": caller.identity.arn_resource,
        "encryptionKey": request.get("encryptionKeyOverride", project["encryptionKey"]),
        "buildBatchNumber": number,
        "buildBatchConfig": request.get("buildBatchConfigOverride", project.get("buildBatchConfig")),
        "buildGroups": [],
    }
    return {key: value for key, value in document.items() if value is not None}


def _of_token(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any] | None:
    """The batch that the same request began already. Raises AwsError (InvalidInputException) for another request."""
    token, since_ms = request.get("idempotencyToken"), parts.now_ms() - TOKEN_MS
    if token is None:
        return None
    for _, record in parts.records.all(BatchRecord, caller.region):
        if record.request.get("idempotencyToken") == token and record.document["startTime"] >= since_ms:
            if record.request != request:
                raise invalid("The idempotency token was used with other parameters")
            return record.document
    return None


def _closed(phases: list[dict[str, Any]], now_ms: int, status: str, message: str = "") -> list[dict[str, Any]]:
    """The last phase with its end."""
    *before, last = phases
    if "endTime" in last:
        return phases
    contexts = {"contexts": [{"statusCode": "CLIENT_ERROR", "message": message}]} if message else {}
    return [*before, {**last, "phaseStatus": status, **ended(last["startTime"], now_ms), **contexts}]


def _finish(parts: Parts, region: str, batch_id: str, status: str, message: str = "") -> None:
    record = parts.records.get(BatchRecord, region, batch_id)
    if record is None or record.document["complete"]:
        return
    _update(parts, region, batch_id, _completed(record.document, parts.now_ms(), status, message))
    parts.running.forget(batch_id)


def _completed(document: dict[str, Any], now_ms: int, status: str, message: str) -> dict[str, Any]:
    """What changes in a batch's document when it is over."""
    final = status if status in ("SUCCEEDED", "STOPPED") else "FAILED"
    phases = _closed(document["phases"], now_ms, status, message)
    return {
        "buildBatchStatus": status,
        "complete": True,
        "currentPhase": final,
        "endTime": now_ms,
        "phases": [*phases, {"phaseType": final, "startTime": now_ms}],
    }


def _update(parts: Parts, region: str, batch_id: str, changes: dict[str, Any]) -> None:
    """What is complete does not change."""
    with parts.records.changing():
        record = parts.records.get(BatchRecord, region, batch_id)
        if record is not None and not record.document["complete"]:
            parts.records.put(region, batch_id, structs.replace(record, document={**record.document, **changes}))


def _listed(parts: Parts, caller: Caller, request: dict[str, Any], project: str | None) -> dict[str, Any]:
    """The newest first unless asked otherwise."""
    batches = [record.document for _, record in parts.records.all(BatchRecord, caller.region)]
    wanted = request.get("filter", {}).get("status")
    mine = [
        each
        for each in batches
        if project in (None, each["projectName"]) and wanted in (None, each["buildBatchStatus"])
    ]
    mine.sort(key=lambda each: each["startTime"], reverse=request.get("sortOrder") != "ASCENDING")
    chosen, token = hundred([each["id"] for each in mine], request)
    return {"ids": chosen, "nextToken": token}


def _bare(asked: str) -> str:
    batch_id = asked.rpartition(":build-batch/")[2]
    if ":" not in batch_id:
        raise invalid("Invalid build batch ID provided")
    return batch_id


def _demand(parts: Parts, caller: Caller, asked: str) -> BatchRecord:
    record = parts.records.get(BatchRecord, caller.region, _bare(asked))
    if record is None:
        raise AwsError("ResourceNotFoundException", f"Build batch {_bare(asked)} does not exist")
    return record


def end_batches_of(records: Records, server: str, now_ms: int) -> None:
    """The batches that a server was killed in are over."""
    for region, name, record in records.everywhere(BatchRecord):
        if record.document["complete"] or record.server != server:
            continue
        over = _completed(record.document, now_ms, "FAULT", "the server that ran it has ended")
        records.put(region, name, structs.replace(record, document={**record.document, **over}))
