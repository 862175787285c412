"""Repositories of the home's registry, as ECR shows them: made, listed, configured, tagged, deleted.

The registry's catalog knows which repositories there are, their mutability and their lifecycle policy. What only ECR
has (encryption settings, tags, policies, scanning on push) is a note beside it, which a repository that came by a push
does not have. A home has one registry: its repositories are seen from every region.
"""

import re
import uuid
from typing import Any

from msgspec import Struct, structs

from pipeyard.aws.arns import arn, dns_suffix
from pipeyard.aws.identities import Caller
from pipeyard.aws.pages import BadToken, page
from pipeyard.aws.parts import Parts
from pipeyard.aws.refusals import AwsError
from pipeyard.errors import InputError
from pipeyard.registry.repositories import RepositoryRecord

EVERYWHERE = ""  # the region under which notes are kept: see above
_ARN = re.compile(r"arn:aws[a-z-]*:ecr:[a-z0-9-]+:(?P<account>[0-9]{12}):repository/(?P<name>.+)")


class RepositoryNote(Struct, frozen=True, kw_only=True):
    created_ms: int  # of the repository it is about: one made anew under the name does not inherit it
    scan_on_push: bool = False
    encryption_type: str = "AES256"
    kms_key: str | None = None
    tags: dict[str, str] = {}
    policy: str | None = None
    lifecycle_put_ms: int = 0  # by the API; the policy itself is the catalog's


def create_repository(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    name = request["repositoryName"]
    registry = request.get("registryId", caller.account)
    if registry != parts.account:
        resource = arn("ecr", caller.region, registry, f"repository/{name}")
        raise AwsError(
            "AccessDeniedException",
            f"User: {caller.arn} is not authorized to perform: ecr:CreateRepository on resource: {resource}",
        )
    immutable, exclusions = read_mutability(request)
    encryption = request.get("encryptionConfiguration", {})
    kms_key = encryption.get("kmsKey")
    if encryption.get("encryptionType") in ("KMS", "KMS_DSSE") and kms_key is None:
        kms_key = _managed_key(caller)
    now_ms = parts.now_ms()
    try:
        created = parts.store.catalog.create_repository(name, now_ms)
    except InputError as error:
        raise invalid("repositoryName", error.message) from error
    if not created:
        raise AwsError(
            "RepositoryAlreadyExistsException",
            f"The repository with name '{name}' already exists in the registry with id '{registry}'",
        )
    parts.store.catalog.configure(name, immutable=immutable, exclusions=exclusions)
    note = RepositoryNote(
        created_ms=now_ms,
        scan_on_push=request.get("imageScanningConfiguration", {}).get("scanOnPush", False),
        encryption_type=encryption.get("encryptionType", "AES256"),
        kms_key=kms_key,
        tags={tag["Key"]: tag["Value"] for tag in request.get("tags", ())},
    )
    parts.records.put(EVERYWHERE, name, note)
    return {"repository": _shown(parts, caller, demand(parts, caller, request))}


def describe_repositories(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    if names := request.get("repositoryNames"):
        if "maxResults" in request or "nextToken" in request:
            raise invalid("maxResults", "cannot be used together with repositoryNames")
        found = [demand(parts, caller, {**request, "repositoryName": name}) for name in names]
        return {"repositories": [_shown(parts, caller, record) for record in found]}
    mine = request.get("registryId", caller.account) == parts.account
    records = parts.store.catalog.repositories() if mine else ()
    chosen, token = paged(records, lambda record: record.name, request, 100)
    return {"repositories": [_shown(parts, caller, record) for record in chosen], "nextToken": token}


def delete_repository(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = demand(parts, caller, request)
    if not request.get("force") and parts.store.catalog.images(record.name):
        raise AwsError(
            "RepositoryNotEmptyException",
            f"The repository with name '{record.name}' in registry with id '{parts.account}' cannot be deleted because "
            "it still contains images",
        )
    shown = _shown(parts, caller, record)
    parts.store.catalog.delete_repository(record.name)
    parts.records.delete(RepositoryNote, EVERYWHERE, record.name)
    return {"repository": {key: value for key, value in shown.items() if key not in _NOT_OF_THE_DELETED}}


def put_image_tag_mutability(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = demand(parts, caller, request)
    immutable, exclusions = read_mutability(request)
    parts.store.catalog.configure(record.name, immutable=immutable, exclusions=exclusions)
    return {**named(parts, record), **_mutability(demand(parts, caller, request))}


def put_image_scanning_configuration(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = demand(parts, caller, request)
    wanted = request["imageScanningConfiguration"].get("scanOnPush", False)
    change_note(parts, record, scan_on_push=wanted)
    return {**named(parts, record), "imageScanningConfiguration": {"scanOnPush": wanted}}


def tag_resource(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = _of_arn(parts, caller, request)
    with parts.records.changing():
        tags = {**note_of(parts, record).tags, **{tag["Key"]: tag["Value"] for tag in request["tags"]}}
        change_note(parts, record, tags=tags)
    return {}


def untag_resource(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = _of_arn(parts, caller, request)
    with parts.records.changing():
        kept = {key: value for key, value in note_of(parts, record).tags.items() if key not in request["tagKeys"]}
        change_note(parts, record, tags=kept)
    return {}


def list_tags_for_resource(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    tags = note_of(parts, _of_arn(parts, caller, request)).tags
    return {"tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def demand(parts: Parts, caller: Caller, request: dict[str, Any]) -> RepositoryRecord:
    """The repository that a request names. Raises AwsError (RepositoryNotFoundException)."""
    name, registry = request["repositoryName"], request.get("registryId", caller.account)
    record = parts.store.catalog.repository(name) if registry == parts.account else None
    if record is None:
        raise AwsError(
            "RepositoryNotFoundException",
            f"The repository with name '{name}' does not exist in the registry with id '{registry}'",
        )
    return record


def named(parts: Parts, record: RepositoryRecord) -> dict[str, Any]:
    """What nearly every answer about a repository begins with."""
    return {"registryId": parts.account, "repositoryName": record.name}


def note_of(parts: Parts, record: RepositoryRecord) -> RepositoryNote:
    found = parts.records.get(RepositoryNote, EVERYWHERE, record.name)
    if found is None or found.created_ms != record.created_ms:
        return RepositoryNote(created_ms=record.created_ms)
    return found


def change_note(parts: Parts, record: RepositoryRecord, **changes: Any) -> None:
    """Also within `records.changing()`, which it does not begin."""
    parts.records.put(EVERYWHERE, record.name, structs.replace(note_of(parts, record), **changes))


def invalid(parameter: str, constraint: str) -> AwsError:
    return AwsError(
        "InvalidParameterException",
        f"Invalid parameter at '{parameter}' failed to satisfy constraint: '{constraint}'",
    )


def paged(entries: Any, key: Any, request: dict[str, Any], usual: int) -> tuple[list[Any], str | None]:
    """A page as the request asks. Raises AwsError (InvalidParameterException)."""
    try:
        return page(entries, key, request.get("nextToken"), request.get("maxResults", usual))
    except BadToken:
        raise invalid("nextToken", "Invalid token") from None


def read_mutability(request: dict[str, Any]) -> tuple[bool, list[str]]:
    """Whether tags stay, and the patterns of those that do otherwise. Raises AwsError (InvalidParameterException)."""
    wanted = request.get("imageTagMutability", "MUTABLE")
    exclusions = [each["filter"] for each in request.get("imageTagMutabilityExclusionFilters", ())]
    if wanted.endswith("_WITH_EXCLUSION") != bool(exclusions):
        raise invalid(
            "imageTagMutabilityExclusionFilters",
            f"ImageTagMutabilityExclusionFilters {'cannot' if exclusions else 'must'} be given when "
            f"imageTagMutability is set as {wanted}",
        )
    if any(pattern.count("*") > 2 for pattern in exclusions):
        raise invalid("imageTagMutabilityExclusionFilters", "a filter has at most two wildcards")
    return wanted.startswith("IMMUTABLE"), exclusions


_NOT_OF_THE_DELETED = ("encryptionConfiguration", "imageScanningConfiguration")


def _shown(parts: Parts, caller: Caller, record: RepositoryRecord) -> dict[str, Any]:
    note = note_of(parts, record)
    host = f"{parts.account}.dkr.ecr.{caller.region}.{dns_suffix(caller.region)}"
    return {
        "repositoryArn": repository_arn(parts, caller, record.name),
        **named(parts, record),
        "repositoryUri": f"{host}/{record.name}",
        "createdAt": record.created_ms,
        **_mutability(record),
        "imageScanningConfiguration": {"scanOnPush": note.scan_on_push},
        "encryptionConfiguration": {"encryptionType": note.encryption_type, "kmsKey": note.kms_key},
    }


def repository_arn(parts: Parts, caller: Caller, name: str) -> str:
    return arn("ecr", caller.region, parts.account, f"repository/{name}")


def _mutability(record: RepositoryRecord) -> dict[str, Any]:
    word = "IMMUTABLE" if record.immutable else "MUTABLE"
    if not record.exclusions:
        return {"imageTagMutability": word}
    filters = [{"filterType": "WILDCARD", "filter": pattern} for pattern in record.exclusions]
    return {"imageTagMutability": f"{word}_WITH_EXCLUSION", "imageTagMutabilityExclusionFilters": filters}


def _managed_key(caller: Caller) -> str:
    """The account's own key for ECR. Nothing is encrypted with it here; its name is the same each time it is asked."""
    alias = arn("kms", caller.region, caller.account, "alias/aws/ecr")
    return arn("kms", caller.region, caller.account, f"key/{uuid.uuid5(uuid.NAMESPACE_URL, alias)}")


def _of_arn(parts: Parts, caller: Caller, request: dict[str, Any]) -> RepositoryRecord:
    match = _ARN.fullmatch(request["resourceArn"])
    if match is None:
        raise invalid("resourceArn", "Invalid ARN")
    return demand(parts, caller, {"repositoryName": match["name"], "registryId": match["account"]})
