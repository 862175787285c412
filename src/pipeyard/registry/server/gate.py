"""Authorization of requests: Basic or Bearer, the challenge when there is none, and the token endpoint."""

from collections.abc import Callable, Sequence
from urllib.parse import parse_qs

from pipeyard.registry.server.access import Access, Action, Caller, Right
from pipeyard.registry.server.answers import Answer, Refusal, Request, json_answer
from pipeyard.registry.server.tokens import (
    CATALOG,
    SERVICE,
    check_refresh,
    check_token,
    issue,
)

_MAX_FORM = 64 * 1024


class Gate:
    """Every request passes here before anything is looked up."""

    def __init__(self, access: Access, now_ms: Callable[[], int], realm: str) -> None:
        self._access = access
        self._now_ms = now_ms
        self._realm = realm

    def admit(self, request: Request, repository: str, actions: Sequence[Action]) -> Caller:
        """Raises Refusal: 401 with a challenge for who is not known, 403 for who is and may not."""
        scope = f"repository:{repository}:{','.join(sorted(actions))}"
        caller, bearer = self._caller(request, scope)
        if all(caller.may(repository, action) for action in actions):
            return caller
        if bearer or not caller.name:
            # A token for something else: the client gets a new one with the scope that it needs.
            raise self._challenge(request, scope, "insufficient_scope" if bearer else "")
        raise Refusal(403, "DENIED", f"{caller.name} may not {' and '.join(actions)} in {repository}")

    def knock(self, request: Request) -> None:
        """`/v2/`: clients learn here whether, and how, they must sign in; also those who could pull without."""
        caller, bearer = self._caller(request, "")
        if not bearer and not caller.name and not caller.may("a", "push"):
            raise self._challenge(request, "")

    def catalog(self, request: Request) -> Caller:
        """Who lists repositories. A bearer token must have been made for it, and lists what its user may pull."""
        header = request.header(b"authorization")
        if header[:7].lower() == "bearer ":
            checked = check_token(self._access, header[7:].strip(), self._now_ms())
            if checked is None or not checked[1]:
                raise self._challenge(request, CATALOG, "insufficient_scope" if checked else "invalid_token")
            user = self._access.known(checked[0].name)
            return Caller(name=checked[0].name, rights=user.rights if user else self._access.anonymous.rights)
        caller, _ = self._caller(request, CATALOG)
        if not caller.name and not caller.rights:
            raise self._challenge(request, CATALOG)
        return caller

    async def token(self, request: Request) -> Answer:
        """GET with Basic credentials, or POST with a form (password or refresh token)."""
        now_ms = self._now_ms()
        if request.method == "GET":
            header = request.header(b"authorization")
            caller: Caller | None = self._access.anonymous
            if header:
                caller = self._access.check_basic(header[6:]) if header[:6].lower() == "basic " else None
            scopes = [scope for text in request.values("scope") for scope in text.split(" ")]
            offline = request.value("offline_token").lower() in ("1", "true")
        elif request.method == "POST":
            form = parse_qs((await request.body(_MAX_FORM)).decode("utf-8", "replace"), max_num_fields=50)
            one = {key: values[0] for key, values in form.items()}
            if one.get("grant_type") == "refresh_token":
                caller = check_refresh(self._access, one.get("refresh_token", ""), now_ms)
            elif one.get("grant_type") == "password":
                caller = self._access.check_password(one.get("username", ""), one.get("password", ""))
            else:
                raise Refusal(400, "UNSUPPORTED", "grant_type is password or refresh_token")
            scopes = one.get("scope", "").split(" ")
            offline = one.get("access_type") == "offline"
        else:
            raise Refusal(405, "UNSUPPORTED", "tokens come by GET or POST", ((b"allow", b"GET, POST"),))
        if caller is None:
            raise Refusal(
                401,
                "UNAUTHORIZED",
                "the user name or password is wrong",
                ((b"www-authenticate", f'Basic realm="{SERVICE}"'.encode()),),
            )
        answer = issue(self._access, caller, scopes, now_ms, offline=offline)
        return json_answer(200, answer, (b"cache-control", b"no-store"))

    def _caller(self, request: Request, scope: str) -> tuple[Caller, bool]:
        """Who asks, and whether by a bearer token. Raises Refusal (401) for credentials that are not good."""
        header = request.header(b"authorization")
        if not header:
            return self._access.anonymous, False
        kind, _, rest = header.partition(" ")
        if kind.lower() == "bearer":
            checked = check_token(self._access, rest.strip(), self._now_ms())
            if checked is not None:
                return _with_anonymous(checked[0], self._access.anonymous.rights), True
            raise self._challenge(request, scope, "invalid_token")
        found = self._access.check_basic(rest) if kind.lower() == "basic" else None
        if found is None:
            raise self._challenge(request, scope)
        return found, False

    def _challenge(self, request: Request, scope: str, error: str = "") -> Refusal:
        realm = self._realm or f"{request.scheme}://{_host(request)}/token"
        bearer = f'Bearer realm="{realm}",service="{SERVICE}"'
        if scope:
            bearer += f',scope="{scope}"'
        if error:
            bearer += f',error="{error}"'
        headers = (
            (b"www-authenticate", bearer.encode()),
            # Any text is a realm. Clients that make one list of both challenges (oras-py) take the last realm for all.
            (b"www-authenticate", f'Basic realm="{realm}"'.encode()),
            (b"docker-distribution-api-version", b"registry/2.0"),
        )
        return Refusal(401, "UNAUTHORIZED", "authentication required", headers)


def _with_anonymous(caller: Caller, rights: tuple[Right, ...]) -> Caller:
    """A signed-in caller may at least what everybody may."""
    return Caller(name=caller.name, rights=(*caller.rights, *rights)) if rights else caller


def _host(request: Request) -> str:
    host = request.header(b"host")
    return "".join(char for char in host if char.isalnum() or char in ".-:[]_")
