"""The transport that logs in: it answers challenges, keeps tokens while they live, and shows them to nobody else."""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from pipeyard.errors import RegistryError
from pipeyard.registry.client.messages import Request, Response, Transport, host_of

if TYPE_CHECKING:  # imported once a registry has asked for a login
    from pipeyard.registry.client.tokens import Challenge, Token
    from pipeyard.registry.credentials import Credential, Keychain

_MAX_TOKEN_DOCUMENT = 1024 * 1024


class _Kept(Struct, frozen=True):
    header: str
    until_s: float


class _Session:
    """What was learned of one server: its challenge, and what opened it so far."""

    def __init__(self) -> None:
        self.lock = threading.Lock()  # guards all below; held over a dialogue, so that many threads log in once
        self.challenge: Challenge | None = None
        self.secure = True  # whether TLS was spoken when it came
        self.kept: dict[tuple[str, ...], _Kept] = {}
        self.identities: dict[str, str] = {}  # account -> refresh token


def authenticated(
    send: Transport, keychain: "Keychain", *, monotonic_s: Callable[[], float] = time.monotonic
) -> Transport:
    """Adds what the server asks for: nothing before its first challenge, and only to requests that name a registry."""
    sessions: dict[str, _Session] = {}
    guard = threading.Lock()  # guards sessions

    def send_logged_in(request: Request) -> Response:
        if not request.registry:
            return send(request)
        server = host_of(request.url)
        with guard:
            session = sessions.setdefault(server, _Session())
        header = _header(session, request, "", send, keychain, monotonic_s) if session.challenge else ""
        response = send(_with(request, header))
        if response.status != 401:
            return response
        from pipeyard.registry.client.tokens import read_challenges

        challenge = _choose(read_challenges(response.headers.get("www-authenticate", "")))
        if challenge is None:
            return response
        secure = (response.url or request.url).startswith("https://")
        response.close()
        with session.lock:
            session.challenge, session.secure = challenge, secure
        fresh = _header(session, request, header, send, keychain, monotonic_s)
        response = send(_with(request, fresh))
        if response.status == 401 and challenge.scheme == "basic":
            response.close()
            with session.lock:
                session.kept.clear()
            raise _denied(request.registry, keychain.credential(request.registry, _repository(request.scopes)))
        return response

    return send_logged_in


def _with(request: Request, header: str) -> Request:
    return structs.replace(request, headers={**request.headers, "Authorization": header}) if header else request


def _choose(challenges: "tuple[Challenge, ...]") -> "Challenge | None":
    known = [challenge for challenge in challenges if challenge.scheme in ("bearer", "basic")]
    return min(known, key=lambda challenge: challenge.scheme == "basic", default=None)


def _header(
    session: _Session,
    request: Request,
    refused: str,
    send: Transport,
    keychain: "Keychain",
    monotonic_s: Callable[[], float],
) -> str:
    """The Authorization for a request; `refused` is the one that was just turned down. Raises RegistryError (401)."""
    with session.lock:
        challenge = session.challenge
        if challenge is None:
            return ""
        key = tuple(sorted(request.scopes)) if challenge.scheme == "bearer" else ()
        kept = session.kept.get(key)
        if kept is not None and kept.header != refused and kept.until_s > monotonic_s():
            return kept.header
        session.kept.pop(key, None)
        repository = _repository(request.scopes)
        login = keychain.credential(request.registry, repository)
        if challenge.scheme == "basic" or (login is not None and login.registry_token):
            header = _direct(request.registry, login)
            if header == refused:
                raise _denied(request.registry, login)
            session.kept[key] = _Kept(header, monotonic_s() + 3600)
            return header
        account = login.username if login is not None else ""
        identity = session.identities.get(account, "")
        try:
            token = _converse(session, challenge, request, _by_identity(login, identity), send)
        except RegistryError as error:
            if not identity or error.status != 401:
                raise _explained(error, request.registry, login) from error
            del session.identities[account]
            try:
                token = _converse(session, challenge, request, login, send)
            except RegistryError as again:
                raise _explained(again, request.registry, login) from again
        if token.refresh:
            session.identities[account] = token.refresh
        header = f"Bearer {token.value}"
        session.kept[key] = _Kept(header, monotonic_s() + token.life_s)
        return header


def _by_identity(login: "Credential | None", identity: str) -> "Credential | None":
    return structs.replace(login, identity_token=identity) if login is not None and identity else login


def _direct(registry: str, login: "Credential | None") -> str:
    from pipeyard.registry.client.tokens import basic

    if login is None:
        raise _denied(registry, None)
    return f"Bearer {login.registry_token}" if login.registry_token else basic(login)


def _converse(
    session: _Session, challenge: "Challenge", request: Request, login: "Credential | None", send: Transport
) -> "Token":
    from pipeyard.registry.client.tokens import Answer, token_dialogue

    dialogue = token_dialogue(challenge, request.scopes, login, secure=session.secure)
    try:
        question = next(dialogue)
        while True:
            with send(structs.replace(question, stop=request.stop)) as response:
                answer = Answer(response.status, response.read_all(_MAX_TOKEN_DOCUMENT))
            question = dialogue.send(answer)
    except StopIteration as end:
        token: Token = end.value
        return token


def _repository(scopes: tuple[str, ...]) -> str:
    """The repository that a request is about: the first scope's."""
    parts = scopes[0].split(":") if scopes else []
    return parts[1] if len(parts) == 3 else ""


def _denied(registry: str, login: "Credential | None") -> RegistryError:
    return _explained(RegistryError("", status=401, code="UNAUTHORIZED"), registry, login)


def _explained(error: RegistryError, registry: str, login: "Credential | None") -> RegistryError:
    if error.status != 401:
        return error
    if login is None:
        return RegistryError(
            f"{registry} wants a login, and there is none for it",
            status=401,
            code="UNAUTHORIZED",
            hint=f"log in with `docker login {registry}` or `podman login {registry}`, or set REGISTRY_AUTH_FILE",
        )
    return RegistryError(
        f"{registry} refused the login of {login.username or 'the identity token'}",
        status=401,
        code="UNAUTHORIZED",
        hint=f"the login from {login.origin or 'the keychain'} is wrong or has expired; log in again",
    )
