"""AWS STS: who the caller is, and temporary credentials. Source: AWS STS API Reference.

The operator's keys stand for the account's root user; there is no IAM here, so a role is its name, and a session may do
what its maker may. Federation from outside needs a provider whose word can be checked: of OpenID Connect those that the
settings name with their keys, of SAML none.
"""

import re
from typing import Any

from pipeyard.aws.identities import Caller, Identity, Session, derived_id
from pipeyard.aws.parts import Parts
from pipeyard.aws.refusals import AwsError
from pipeyard.aws.web_identity import keys_of, verified_claims

_ROLE = re.compile(r"arn:(?P<partition>aws[a-z-]*):iam::(?P<account>[0-9]{12}):role/(?:.*/)?(?P<name>[\w+=,.@-]{1,64})")
_DAY_HALF_S = 43200
_MAX_POLICY = 2048


def get_caller_identity(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    return {"UserId": caller.identity.user_id, "Account": caller.account, "Arn": caller.arn}


def get_access_key_info(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    account = parts.keys.account_of(request["AccessKeyId"])
    if account is None:
        raise AwsError("ValidationError", f"the id {request['AccessKeyId']} tells no account")
    return {"Account": account}


def get_session_token(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    return {"Credentials": _credentials(_start(parts, caller.identity, request.get("DurationSeconds", _DAY_HALF_S)))}


def get_federation_token(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    _demand_short_policy(request)
    identity = Identity(
        account=caller.account,
        user_id=f"{caller.account}:{request['Name']}",
        arn_service="sts",
        arn_resource=f"federated-user/{request['Name']}",
    )
    session = _start(parts, identity, request.get("DurationSeconds", _DAY_HALF_S))
    return {
        "Credentials": _credentials(session),
        "FederatedUser": {"FederatedUserId": identity.user_id, "Arn": identity.arn(caller.region)},
    }


def assume_role(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    answer = _assumed(parts, caller, request)
    if "SourceIdentity" in request:
        answer["SourceIdentity"] = request["SourceIdentity"]
    return answer


def _assumed(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    role = _ROLE.fullmatch(request["RoleArn"])
    if role is None:
        raise AwsError("ValidationError", f"{request['RoleArn'][:200]} is invalid")
    _demand_short_policy(request)
    name = request["RoleSessionName"]
    identity = Identity(
        account=role["account"],
        user_id=f"{derived_id('AROA', request['RoleArn'])}:{name}",
        arn_service="sts",
        arn_resource=f"assumed-role/{role['name']}/{name}",
    )
    session = _start(parts, identity, request.get("DurationSeconds", 3600))
    return {
        "Credentials": _credentials(session),
        "AssumedRoleUser": {"AssumedRoleId": identity.user_id, "Arn": identity.arn(caller.region)},
    }


def assume_role_with_saml(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Anybody may call this one: without a provider that signed it, an assertion is only what somebody says."""
    raise AwsError("InvalidIdentityToken", f"There is no SAML provider {request['PrincipalArn'][:200]} in this account")


def assume_role_with_web_identity(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Of an issuer in the settings' `oidc_providers`, whose keys verify the token. Nobody else's word counts."""
    claims = verified_claims(request["WebIdentityToken"], parts.oidc_providers, keys_of, parts.now_ms() / 1000)
    audience = claims["aud"]
    return {
        **_assumed(parts, caller, request),
        "SubjectFromWebIdentityToken": claims["sub"],
        "Provider": claims["iss"],
        "Audience": audience if isinstance(audience, str) else audience[0],
    }


def _start(parts: Parts, identity: Identity, duration_s: int) -> Session:
    # Whole seconds, for that is what the protocol carries.
    return parts.keys.start_session(identity, (parts.now_ms() // 1000 + duration_s) * 1000)


def _credentials(session: Session) -> dict[str, Any]:
    return {
        "AccessKeyId": session.access_key,
        "SecretAccessKey": session.secret_key,
        "SessionToken": session.token,
        "Expiration": session.expires_ms,
    }


def _demand_short_policy(request: dict[str, Any]) -> None:
    if len(request.get("Policy", "")) > _MAX_POLICY:
        raise AwsError(
            "ValidationError",
            f"1 validation error detected: Value '{request['Policy']}' at 'policy' failed to satisfy constraint: "
            f"Member must have length less than or equal to {_MAX_POLICY}",
        )
