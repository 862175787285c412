"""Scanning: what is to be scanned, what a scan found. A finding is only ever one that a scanner made.

Without a scanner a scan that was asked for ends as FAILED and says why.
"""

from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct

from pipeyard.aws.ecr.images import demand_image, identifier
from pipeyard.aws.ecr.repositories import EVERYWHERE, demand, invalid, named, note_of, repository_arn
from pipeyard.aws.identities import Caller
from pipeyard.aws.parts import Parts
from pipeyard.aws.refusals import AwsError
from pipeyard.oci import Digest
from pipeyard.registry.repositories import RepositoryRecord

_DAY_MS = 24 * 3600 * 1000
_NO_SCANNER = "no vulnerability scanner is set up for this registry"


class ScanRequest(Struct, frozen=True, kw_only=True):
    asked_ms: int


class ScanningRules(Struct, frozen=True, kw_only=True):
    scan_type: str = "BASIC"
    rules: list[dict[str, Any]] = []


def start_image_scan(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = demand(parts, caller, request)
    digest = demand_image(parts, record, request["imageId"])
    with parts.records.changing():
        last = parts.records.get(ScanRequest, EVERYWHERE, _key(record, digest))
        if last is not None and parts.now_ms() - last.asked_ms < _DAY_MS:
            raise AwsError("LimitExceededException", "The scan quota per image has been exceeded. Wait and try again.")
        parts.records.put(EVERYWHERE, _key(record, digest), ScanRequest(asked_ms=parts.now_ms()))
    return {
        **named(parts, record),
        "imageId": {**request["imageId"], "imageDigest": digest},
        "imageScanStatus": {"status": "IN_PROGRESS"},
    }


def describe_image_scan_findings(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = demand(parts, caller, request)
    digest = demand_image(parts, record, request["imageId"])
    if parts.records.get(ScanRequest, EVERYWHERE, _key(record, digest)) is None:
        raise AwsError(
            "ScanNotFoundException",
            f"Image scan does not exist for the image with '{identifier(request['imageId'])}' in the repository with "
            f"name '{record.name}' in the registry with id '{parts.account}'",
        )
    return {
        **named(parts, record),
        "imageId": {**request["imageId"], "imageDigest": digest},
        "imageScanStatus": {"status": "FAILED", "description": _NO_SCANNER},
    }


def put_registry_scanning_configuration(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    kept = ScanningRules(scan_type=request.get("scanType", "BASIC"), rules=request.get("rules", []))
    allowed = ("SCAN_ON_PUSH", "MANUAL") if kept.scan_type == "BASIC" else ("SCAN_ON_PUSH", "CONTINUOUS_SCAN", "MANUAL")
    if any(rule["scanFrequency"] not in allowed for rule in kept.rules):
        raise invalid(
            "rules", f"Only scan frequencies {', '.join(allowed)} are supported for {kept.scan_type} scanning"
        )
    parts.records.put(caller.region, "", kept)
    return {"registryScanningConfiguration": _rules(kept)}


def get_registry_scanning_configuration(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    return {"registryId": parts.account, "scanningConfiguration": _rules(_kept(parts, caller))}


def batch_get_repository_scanning_configuration(
    parts: Parts, caller: Caller, request: dict[str, Any]
) -> dict[str, Any]:
    rules = _kept(parts, caller).rules
    found, failures = [], []
    for name in request["repositoryNames"]:
        record = parts.store.catalog.repository(name)
        if record is None:
            code = "REPOSITORY_NOT_FOUND"
            failures.append({"repositoryName": name, "failureCode": code, "failureReason": code})
            continue
        on_push = note_of(parts, record).scan_on_push
        applied = [
            (rule["scanFrequency"], each)
            for rule in rules
            for each in rule["repositoryFilters"]
            if _matches(each["filter"], name)
        ]
        found.append(
            {
                "repositoryArn": repository_arn(parts, caller, name),
                "repositoryName": name,
                "scanOnPush": on_push,
                "scanFrequency": applied[0][0] if applied else "SCAN_ON_PUSH" if on_push else "MANUAL",
                "appliedScanFilters": [each for _, each in applied],
            }
        )
    return {"scanningConfigurations": found, "failures": failures}


def _key(record: RepositoryRecord, digest: Digest) -> str:
    """A repository made anew under the name has no scans."""
    return f"{record.name}@{record.created_ms}@{digest}"


def _kept(parts: Parts, caller: Caller) -> ScanningRules:
    return parts.records.get(ScanningRules, caller.region, "") or ScanningRules()


def _rules(kept: ScanningRules) -> dict[str, Any]:
    return {"scanType": kept.scan_type, "rules": kept.rules}


def _matches(pattern: str, name: str) -> bool:
    """A filter without a wildcard matches every name that contains it. Source: ECR User Guide, "Filters"."""
    return fnmatchcase(name, pattern if "*" in pattern else f"*{pattern}*")
