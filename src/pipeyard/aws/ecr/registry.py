"""The registry as a whole: its login, and settings that are kept for each region."""

from base64 import b64encode
from typing import Any

from msgspec import Struct

from pipeyard.aws.arns import dns_suffix
from pipeyard.aws.ecr.images import demand_image
from pipeyard.aws.ecr.repositories import demand, invalid, named
from pipeyard.aws.identities import Caller
from pipeyard.aws.parts import Parts

TOKEN_MS = 12 * 3600 * 1000  # API: "valid for 12 hours"


class Replication(Struct, frozen=True, kw_only=True):
    rules: list[dict[str, Any]] = []


class AccountSetting(Struct, frozen=True, kw_only=True):
    value: str


_SETTINGS = {"BASIC_SCAN_TYPE_VERSION": "AWS_NATIVE", "REGISTRY_POLICY_SCOPE": "V2", "BLOB_MOUNTING": "ENABLED"}


def get_authorization_token(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """A password for the user AWS, which the registry at this address takes for twelve hours."""
    expires_ms = parts.now_ms() + TOKEN_MS
    data = []
    for registry in request.get("registryIds", [parts.account]):
        login = f"AWS:{parts.keys.password(registry, expires_ms)}"
        host = f"https://{registry}.dkr.ecr.{caller.region}.{dns_suffix(caller.region)}"
        data.append(
            {
                "authorizationToken": b64encode(login.encode()).decode(),
                "expiresAt": expires_ms,
                "proxyEndpoint": host,
            }
        )
    return {"authorizationData": data}


def describe_registry(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    kept = parts.records.get(Replication, caller.region, "") or Replication()
    return {"registryId": parts.account, "replicationConfiguration": {"rules": kept.rules}}


def put_replication_configuration(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Kept and given back; nothing is copied anywhere."""
    wanted = request["replicationConfiguration"]
    for rule in wanted["rules"]:
        for destination in rule["destinations"]:
            if (destination["region"], destination["registryId"]) == (caller.region, parts.account):
                told = "Replication destination cannot be the same as the source registry"
                raise invalid("replicationConfiguration", told)
    parts.records.put(caller.region, "", Replication(rules=wanted["rules"]))
    return {"replicationConfiguration": {"rules": wanted["rules"]}}


def describe_image_replication_status(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = demand(parts, caller, request)
    digest = demand_image(parts, record, request["imageId"])
    return {
        "repositoryName": named(parts, record)["repositoryName"],
        "imageId": {**request["imageId"], "imageDigest": digest},
        "replicationStatuses": [],
    }


def get_account_setting(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    name = _setting(request)
    kept = parts.records.get(AccountSetting, caller.region, name)
    return {"name": name, "value": kept.value if kept else _SETTINGS[name]}


def put_account_setting(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    name = _setting(request)
    parts.records.put(caller.region, name, AccountSetting(value=request["value"]))
    return {"name": name, "value": request["value"]}


def _setting(request: dict[str, Any]) -> str:
    name: str = request["name"]
    if name not in _SETTINGS:
        raise invalid("name", f"must be one of {', '.join(_SETTINGS)}")
    return name
