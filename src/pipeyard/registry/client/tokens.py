"""Docker's token authentication as a dialogue without I/O: challenges are read, requests come out, answers go in.

Source: distribution's docs/spec/auth (token.md, scope.md, oauth.md).
"""

import re
from base64 import b64encode
from collections.abc import Generator, Mapping, Sequence
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from msgspec import Struct

from pipeyard.errors import RegistryError
from pipeyard.patterns import later
from pipeyard.registry.client.messages import Request, host_of
from pipeyard.registry.credentials import Credential

_CHALLENGE = later(r"[\s,]*([A-Za-z]+)(?:\s+(?=[A-Za-z_-]+=)|\s*(?=,|$))")
_PARAMETER = later(r'[\s,]*([A-Za-z_-]+)=("((?:[^"\\]|\\.)*)"|[^\s,"]+)')
_CLIENT = "pipeyard"
_DEFAULT_LIFE_S = 60  # token.md: a token without expires_in lives for so long
_MARGIN_S = 10


class Challenge(Struct, frozen=True):
    """What a 401 asks for: `scheme` in lower case, parameters such as realm, service and scope."""

    scheme: str
    parameters: dict[str, str]


class Answer(Struct, frozen=True):
    """What the dialogue has to see of a response."""

    status: int
    body: bytes


class Token(Struct, frozen=True, kw_only=True):
    """A bearer token. `refresh` replaces the password in later dialogues, when the server gave one."""

    value: str
    life_s: float
    refresh: str = ""


class _TokenDocument(Struct):
    token: str = ""
    access_token: str = ""
    expires_in: float | None = None
    refresh_token: str = ""


def read_challenges(header: str) -> tuple[Challenge, ...]:
    """The challenges of a WWW-Authenticate header; what cannot be read is left out. Source: RFC 9110, 11.6.1."""
    found: list[Challenge] = []
    place = 0
    while place < len(header) and (scheme := _CHALLENGE.match(header, place)):
        place = scheme.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, place):
            place = parameter.end()
            quoted = parameter[3]
            text = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else parameter[2]
            parameters[parameter[1].lower()] = text
        found.append(Challenge(scheme[1].lower(), parameters))
    return tuple(found)


def basic(login: Credential) -> str:
    """The value of an Authorization header."""
    return "Basic " + b64encode(f"{login.username}:{login.password}".encode()).decode()


def token_dialogue(
    challenge: Challenge, scopes: Sequence[str], login: Credential | None, *, secure: bool
) -> Generator[Request, Answer, Token]:
    """Asks the realm of a challenge for a token that covers `scopes` (or what the challenge names, without any).

    Yields requests and is sent their answers. An identity token is used by OAuth's refresh; name and password by a GET
    with basic authentication, or by a POST where the server takes nothing else. `secure`: the registry itself was
    reached by TLS, and then its realm must be, too. Raises RegistryError.
    """
    realm = challenge.parameters.get("realm", "")
    parts = urlsplit(realm)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise RegistryError(f"the registry's realm {realm[:200]!r} is not a URL", status=401)
    if secure and parts.scheme != "https":
        raise RegistryError(f"the registry asks to log in by plain HTTP at {host_of(realm)}", status=401)
    service = challenge.parameters.get("service", "")
    wanted = list(scopes) or challenge.parameters.get("scope", "").split()
    if login is not None and login.identity_token:
        form = {"grant_type": "refresh_token", "refresh_token": login.identity_token}
        answer = yield _oauth(realm, service, wanted, form)
        return _token(answer, realm)
    answer = yield _get(realm, service, wanted, login)
    if answer.status in (404, 405) and login is not None:
        form = {
            "grant_type": "password",
            "username": login.username,
            "password": login.password,
            "access_type": "offline",
        }
        answer = yield _oauth(realm, service, wanted, form)
    return _token(answer, realm)


def _get(realm: str, service: str, scopes: Sequence[str], login: Credential | None) -> Request:
    query: list[tuple[str, str]] = [("service", service)] if service else []
    query += [("scope", scope) for scope in scopes]
    headers = {}
    if login is not None:
        query += [("account", login.username), ("client_id", _CLIENT), ("offline_token", "true")]
        headers["Authorization"] = basic(login)
    separator = "&" if urlsplit(realm).query else "?"
    text = urlencode(query, quote_via=quote, safe=":/,")
    return Request(method="GET", url=realm + (separator + text if text else ""), headers=headers)


def _oauth(realm: str, service: str, scopes: Sequence[str], form: Mapping[str, str]) -> Request:
    fields = {**form, "client_id": _CLIENT, "service": service, "scope": " ".join(scopes)}
    return Request(
        method="POST",
        url=realm,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body=urlencode({name: value for name, value in fields.items() if value}).encode(),
    )


def _token(answer: Answer, realm: str) -> Token:
    if answer.status in (400, 401, 403):
        raise RegistryError(f"{host_of(realm)} gave no token: {answer.status}", status=401, code="UNAUTHORIZED")
    if answer.status != 200:
        raise RegistryError(f"{host_of(realm)} gave no token: {answer.status}", status=answer.status)
    try:
        document = msgspec.json.decode(answer.body, type=_TokenDocument)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RegistryError(f"{host_of(realm)} answered with something that is no token", status=200) from error
    value = document.token or document.access_token
    if not value or not value.isascii() or not value.isprintable():
        raise RegistryError(f"{host_of(realm)} answered without a token", status=200)
    life_s = document.expires_in if document.expires_in else _DEFAULT_LIFE_S
    return Token(value=value, life_s=max(life_s - _MARGIN_S, life_s / 2), refresh=document.refresh_token)
