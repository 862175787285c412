"""Policies: who may use a repository or the registry, kept and given back; and which images expire.

Access policies are checked for their form and stored. There are no other accounts here that they could admit.
"""

from typing import Any

import msgspec
from msgspec import Struct

from pipeyard.aws.ecr.repositories import EVERYWHERE, change_note, demand, invalid, named, note_of, paged
from pipeyard.aws.identities import Caller
from pipeyard.aws.parts import Parts
from pipeyard.aws.refusals import AwsError
from pipeyard.errors import InputError
from pipeyard.registry.lifecycle import last_run_ms, parse_policy, preview
from pipeyard.registry.repositories import RepositoryRecord

_REGISTRY_ACTIONS = frozenset({"ecr:CreateRepository", "ecr:ReplicateImage", "ecr:BatchImportUpstreamImage", "ecr:*"})
_VERSIONS = ("2012-10-17", "2008-10-17")


class RegistryPolicy(Struct, frozen=True, kw_only=True):
    text: str


class PreviewedPolicy(Struct, frozen=True, kw_only=True):
    """What StartLifecyclePolicyPreview was asked; its result follows from the images that are there."""

    text: str
    created_ms: int  # of the repository
    at_ms: int


def set_repository_policy(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = demand(parts, caller, request)
    text = request["policyText"]
    if not _is_policy(text, needs_resource=False):
        raise invalid("PolicyText", "Invalid repository policy provided")
    change_note(parts, record, policy=text)
    return {**named(parts, record), "policyText": text}


def get_repository_policy(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = demand(parts, caller, request)
    return {**named(parts, record), "policyText": _policy_of(parts, record)}


def delete_repository_policy(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = demand(parts, caller, request)
    text = _policy_of(parts, record)
    change_note(parts, record, policy=None)
    return {**named(parts, record), "policyText": text}


def put_registry_policy(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    text = request["policyText"]
    if not _is_policy(text, needs_resource=True, actions=_REGISTRY_ACTIONS):
        raise invalid("PolicyText", "Invalid registry policy provided")
    parts.records.put(caller.region, "", RegistryPolicy(text=text))
    return {"registryId": parts.account, "policyText": text}


def get_registry_policy(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    return {"registryId": parts.account, "policyText": _registry_policy(parts, caller)}


def delete_registry_policy(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    text = _registry_policy(parts, caller)
    parts.records.delete(RegistryPolicy, caller.region, "")
    return {"registryId": parts.account, "policyText": text}


def put_lifecycle_policy(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = demand(parts, caller, request)
    text = request["lifecyclePolicyText"]
    _demand_lifecycle(text)
    parts.store.catalog.configure(record.name, lifecycle=text)
    change_note(parts, record, lifecycle_put_ms=parts.now_ms())
    return {**named(parts, record), "lifecyclePolicyText": text}


def get_lifecycle_policy(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = demand(parts, caller, request)
    text, ran_ms = _lifecycle_of(parts, record), last_run_ms(parts.store)
    # The service, too, tells the beginning of time until the policy was carried out.
    evaluated_ms = ran_ms if ran_ms > note_of(parts, record).lifecycle_put_ms else 0
    return {**named(parts, record), "lifecyclePolicyText": text, "lastEvaluatedAt": evaluated_ms}


def delete_lifecycle_policy(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    answer = get_lifecycle_policy(parts, caller, request)
    parts.store.catalog.configure(request["repositoryName"], lifecycle="")
    return answer


def start_lifecycle_policy_preview(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = demand(parts, caller, request)
    text = request.get("lifecyclePolicyText") or _lifecycle_of(parts, record)
    _demand_lifecycle(text)
    asked = PreviewedPolicy(text=text, created_ms=record.created_ms, at_ms=parts.now_ms())
    parts.records.put(EVERYWHERE, record.name, asked)
    return {**named(parts, record), "lifecyclePolicyText": text, "status": "IN_PROGRESS"}


def get_lifecycle_policy_preview(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = demand(parts, caller, request)
    asked = parts.records.get(PreviewedPolicy, EVERYWHERE, record.name)
    if asked is None or asked.created_ms != record.created_ms:
        raise AwsError(
            "LifecyclePolicyPreviewNotFoundException",
            f"Lifecycle policy preview does not exist for the repository with name '{record.name}' in the registry "
            f"with id '{parts.account}'",
        )
    due = preview(parse_policy(asked.text), parts.store.catalog.images(record.name), asked.at_ms)
    wanted = {each.get("imageDigest") or each.get("imageTag") for each in request.get("imageIds", ())}
    status = request.get("filter", {}).get("tagStatus", "ANY")
    results = [
        {
            "imageTags": list(each.image.tags) or None,
            "imageDigest": each.image.digest,
            "imagePushedAt": each.image.pushed_ms,
            "action": {"type": each.action.upper()},
            "appliedRulePriority": each.rule_priority,
        }
        for each in due
        if (not wanted or each.image.digest in wanted or wanted & set(each.image.tags))
        and status in ("ANY", "TAGGED" if each.image.tags else "UNTAGGED")
    ]
    chosen, token = paged(results, lambda each: each["imageDigest"], request, 100)
    return {
        **named(parts, record),
        "lifecyclePolicyText": asked.text,
        "status": "COMPLETE",
        "previewResults": chosen,
        "nextToken": token,
        "summary": {"expiringImageTotalCount": sum(each.action == "expire" for each in due)},
    }


def _policy_of(parts: Parts, record: RepositoryRecord) -> str:
    text = note_of(parts, record).policy
    if text is None:
        raise AwsError(
            "RepositoryPolicyNotFoundException",
            f"Repository policy does not exist for the repository with name '{record.name}' in the registry with id "
            f"'{parts.account}'",
        )
    return text


def _registry_policy(parts: Parts, caller: Caller) -> str:
    kept = parts.records.get(RegistryPolicy, caller.region, "")
    if kept is None:
        raise AwsError(
            "RegistryPolicyNotFoundException",
            f"Registry policy does not exist in the registry with id '{parts.account}'",
        )
    return kept.text


def _lifecycle_of(parts: Parts, record: RepositoryRecord) -> str:
    if not record.lifecycle:
        raise AwsError(
            "LifecyclePolicyNotFoundException",
            f"Lifecycle policy does not exist for the repository with name '{record.name}' in the registry with id "
            f"'{parts.account}'",
        )
    return record.lifecycle


def _demand_lifecycle(text: str) -> None:
    try:
        parse_policy(text)
    except InputError as error:
        told = f"Lifecycle policy validation failure: {error.message}"
        raise invalid("LifecyclePolicyText", told) from error


def _is_policy(text: str, *, needs_resource: bool, actions: frozenset[str] | None = None) -> bool:
    """Whether it has an access policy's form. Source: IAM User Guide, "Grammar of the IAM JSON policy language"."""
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    if not isinstance(document, dict) or document.get("Version", _VERSIONS[1]) not in _VERSIONS:
        return False
    statements = document.get("Statement")
    statements = [statements] if isinstance(statements, dict) else statements
    return (
        isinstance(statements, list)
        and bool(statements)
        and all(_is_statement(each, needs_resource, actions) for each in statements)
    )


def _is_statement(statement: Any, needs_resource: bool, actions: frozenset[str] | None) -> bool:
    if not isinstance(statement, dict) or statement.get("Effect") not in ("Allow", "Deny"):
        return False
    if ("Principal" in statement) == ("NotPrincipal" in statement) or ("Action" in statement) == (
        "NotAction" in statement
    ):
        return False
    named_actions = statement.get("Action", statement.get("NotAction"))
    named_actions = [named_actions] if isinstance(named_actions, str) else named_actions
    if not isinstance(named_actions, list) or not named_actions:
        return False
    if not all(isinstance(each, str) and (each == "*" or each.startswith("ecr:")) for each in named_actions):
        return False
    if actions is not None and not all(each in actions for each in named_actions):
        return False
    return not needs_resource or "Resource" in statement or "NotResource" in statement
