"""Docker's token dialogue, our side: short-lived signed tokens that carry what their bearer may do, and no more.

Source: distribution, "Token Authentication Specification" and "Oauth2 Token Authentication"; RFC 7519 (HS256).
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from pipeyard.registry.reference import is_repository_name
from pipeyard.registry.server.access import ACTIONS, Access, Action, Caller, Right, User

SERVICE = "pipeyard"
TOKEN_S = 300
REFRESH_S = 30 * 24 * 3600
CATALOG = "registry:catalog:*"

_SCOPE = re.compile(r"repository(?:\([a-z]+\))?:(?P<name>[^:]{1,255}):(?P<actions>[a-z*,]{0,100})")
_HEADER = urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")


class Grant(Struct, frozen=True, kw_only=True):
    """One entry of a token's `access` claim."""

    type: str
    name: str
    actions: list[str]


class _Claims(Struct, frozen=True, kw_only=True, omit_defaults=True):
    iss: str
    aud: str
    sub: str
    iat: int
    exp: int
    access: list[Grant] = []
    refresh: str = ""  # of a refresh token: proof that the password is still the one it was made with


class TokenAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    token: str
    access_token: str
    expires_in: int
    issued_at: str
    refresh_token: str = ""


def parse_scope(text: str) -> Grant | None:
    """`repository:team/app:pull,push`, or None for what we know nothing of; `*` is every action."""
    if text == CATALOG:
        return Grant(type="registry", name="catalog", actions=["*"])
    match = _SCOPE.fullmatch(text)
    if match is None or not is_repository_name(match["name"]):
        return None
    wanted = match["actions"].split(",")
    return Grant(
        type="repository", name=match["name"], actions=[each for each in ACTIONS if each in wanted or "*" in wanted]
    )


def issue(access: Access, caller: Caller, scopes: Iterable[str], now_ms: int, *, offline: bool = False) -> TokenAnswer:
    """A token for those of the wanted actions that the caller may do; possibly for none, as the dialogue wants it."""
    from datetime import UTC, datetime

    grants = []
    for scope in scopes:
        wanted = parse_scope(scope)
        if wanted is None:
            continue
        if wanted.type == "registry":
            grants.append(wanted)
            continue
        allowed = [each for each in ACTIONS if each in wanted.actions and caller.may(wanted.name, each)]
        if allowed:
            grants.append(Grant(type=wanted.type, name=wanted.name, actions=list(allowed)))
    now_s = now_ms // 1000
    token = _sign(access.secret, _claims(caller.name, now_s, TOKEN_S, access=grants))
    user = access.known(caller.name)
    refresh = ""
    if offline and user is not None:
        refresh = _sign(access.secret, _claims(user.name, now_s, REFRESH_S, refresh=_proof(access, user)))
    issued_at = datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return TokenAnswer(
        token=token, access_token=token, expires_in=TOKEN_S, issued_at=issued_at, refresh_token=refresh
    )  # fmt: skip


def check_token(access: Access, token: str, now_ms: int) -> tuple[Caller, bool] | None:
    """Whom a bearer token makes its bearer, and whether it may list the catalog; None when it is not good."""
    claims = _verified(access.secret, token, now_ms // 1000)
    if claims is None or claims.refresh or access.has_expired(claims.sub):
        return None
    rights = []
    for grant in claims.access:
        if grant.type == "repository":
            actions: frozenset[Action] = frozenset(each for each in ACTIONS if each in grant.actions)
            rights.append(Right(grant.name, actions))
    catalog = any(grant.type == "registry" and grant.name == "catalog" for grant in claims.access)
    return Caller(name=claims.sub, rights=tuple(rights)), catalog


def check_refresh(access: Access, token: str, now_ms: int) -> Caller | None:
    """The user of a refresh token, unless the password was changed since."""
    claims = _verified(access.secret, token, now_ms // 1000)
    if claims is None or not claims.refresh:
        return None
    user = access.known(claims.sub)
    if user is None or not hmac.compare_digest(claims.refresh, _proof(access, user)):
        return None
    return Caller(name=user.name, rights=user.rights)


def _claims(name: str, now_s: int, lifetime_s: int, access: list[Grant] | None = None, refresh: str = "") -> _Claims:
    return _Claims(
        iss=SERVICE, aud=SERVICE, sub=name, iat=now_s, exp=now_s + lifetime_s, access=access or [], refresh=refresh
    )


def _proof(access: Access, user: User) -> str:
    return hmac.new(access.secret, f"refresh:{user.name}:{user.password}".encode(), hashlib.sha256).hexdigest()


def _sign(secret: bytes, claims: _Claims) -> str:
    body = _HEADER + b"." + urlsafe_b64encode(msgspec.json.encode(claims)).rstrip(b"=")
    return (body + b"." + _signature(secret, body)).decode()


def _signature(secret: bytes, body: bytes) -> bytes:
    return urlsafe_b64encode(hmac.new(secret, body, hashlib.sha256).digest()).rstrip(b"=")


def _verified(secret: bytes, token: str, now_s: int) -> _Claims | None:
    body, dot, signature = token.encode("utf-8", "surrogateescape").rpartition(b".")
    # The header is compared whole, not read: a token cannot choose its own algorithm.
    if not dot or not hmac.compare_digest(_signature(secret, body), signature) or not body.startswith(_HEADER + b"."):
        return None
    payload = body[len(_HEADER) + 1 :]
    try:
        claims = msgspec.json.decode(urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)), type=_Claims)
    except (Base64Error, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return claims if claims.aud == SERVICE and claims.exp > now_s else None
