"""Logging in: the token dialogue without I/O, its transport, and who gets to see a login."""

import threading

import msgspec
import pytest

from pipeyard.errors import RegistryError
from pipeyard.registry.client.authentication import authenticated
from pipeyard.registry.client.messages import Request, Response
from pipeyard.registry.client.routes import redirected
from pipeyard.registry.client.tokens import Answer, Challenge, basic, read_challenges, token_dialogue
from pipeyard.registry.credentials import Anonymous, Credential, FixedKeychain

HOST = "registry.example.com"
REALM = "https://auth.example.com/token"
BEARER = f'Bearer realm="{REALM}",service="{HOST}",scope="repository:app:pull"'
ADA = Credential(username="ada", password="pa:ss", origin="a file")


def test_challenges_are_read_as_the_rfc_writes_them() -> None:
    found = read_challenges('Basic realm="a \\"b\\", c", Bearer realm="https://x/t",service=plain , Negotiate')
    assert found == (
        Challenge("basic", {"realm": 'a "b", c'}),
        Challenge("bearer", {"realm": "https://x/t", "service": "plain"}),
        Challenge("negotiate", {}),
    )
    assert read_challenges("") == ()


def test_the_dialogue_asks_for_every_scope_and_takes_either_name_of_the_token() -> None:
    challenge = read_challenges(BEARER)[0]
    dialogue = token_dialogue(challenge, ["repository:a:pull,push", "repository:b:pull"], ADA, secure=True)
    question = next(dialogue)
    assert question.url.startswith(f"{REALM}?service={HOST}&scope=repository:a:pull,push&scope=repository:b:pull&")
    assert "offline_token=true" in question.url
    assert "pa" not in question.url.partition("?")[2].replace("repository", "")
    assert question.headers["Authorization"] == basic(ADA)
    with pytest.raises(StopIteration) as end:
        dialogue.send(Answer(200, b'{"access_token": "t", "expires_in": 300, "refresh_token": "r"}'))
    assert (end.value.value.value, end.value.value.refresh) == ("t", "r")
    assert 200 < end.value.value.life_s < 300


def test_an_identity_token_is_refreshed_and_a_server_without_get_is_posted_to() -> None:
    challenge = read_challenges(BEARER)[0]
    by_identity = next(token_dialogue(challenge, ["s"], Credential(identity_token="id"), secure=True))
    assert (by_identity.method, by_identity.url) == ("POST", REALM)
    assert b"grant_type=refresh_token" in (by_identity.body if isinstance(by_identity.body, bytes) else b"")
    dialogue = token_dialogue(challenge, ["s"], ADA, secure=True)
    next(dialogue)
    posted = dialogue.send(Answer(405, b""))
    assert posted.method == "POST"
    assert b"grant_type=password" in (posted.body if isinstance(posted.body, bytes) else b"")


@pytest.mark.parametrize("realm", ["http://auth.example.com/token", "ftp://x/y", "token", ""])
def test_a_login_is_never_sent_to_a_realm_that_is_less_safe_than_the_registry(realm: str) -> None:
    with pytest.raises(RegistryError):
        next(token_dialogue(Challenge("bearer", {"realm": realm}), ["s"], ADA, secure=True))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"token": "a\\r\\nX: y"}', b"<html>"])
def test_an_answer_without_a_token_is_refused(body: bytes) -> None:
    dialogue = token_dialogue(read_challenges(BEARER)[0], ["s"], None, secure=True)
    next(dialogue)
    with pytest.raises(RegistryError, match=r"auth\.example\.com"):
        dialogue.send(Answer(200, body))


class TokenServer:
    """A registry and its token server as one Transport; tokens live for `life_s` on the test's clock."""

    def __init__(self, life_s: int = 300) -> None:
        self.now_s = 0.0
        self.life_s = life_s
        self.tokens: dict[str, float] = {}
        self.asked: list[Request] = []
        self.lock = threading.Lock()

    def __call__(self, request: Request) -> Response:
        if request.url.startswith(REALM):
            with self.lock:
                self.asked.append(request)
                token = f"token-{len(self.asked)}"
                self.tokens[token] = self.now_s + self.life_s
            return Response(200, {}, f'{{"token": "{token}", "expires_in": {self.life_s}}}'.encode())
        sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.tokens.get(sent, 0.0) > self.now_s:
            return Response(200, {}, b"content", url=request.url)
        return Response(401, {"www-authenticate": BEARER}, url=request.url)


def wanted(scope: str = "repository:app:pull") -> Request:
    return Request(method="GET", url=f"https://{HOST}/v2/app/manifests/1", registry=HOST, scopes=(scope,))


def test_one_token_serves_many_requests_and_is_renewed_when_it_has_expired() -> None:
    server = TokenServer()
    send = authenticated(server, FixedKeychain({HOST: ADA}), monotonic_s=lambda: server.now_s)
    assert [send(wanted()).status for _ in range(3)] == [200, 200, 200]
    assert len(server.asked) == 1
    server.now_s = 1000.0
    assert send(wanted()).status == 200
    assert len(server.asked) == 2
    assert send(wanted("repository:app:pull,push")).status == 200
    assert len(server.asked) == 3


def test_a_token_that_the_registry_forgot_is_replaced_at_once() -> None:
    server = TokenServer()
    send = authenticated(server, Anonymous(), monotonic_s=lambda: server.now_s)
    send(wanted())
    server.tokens.clear()
    assert send(wanted()).status == 200


def test_many_threads_log_in_once() -> None:
    server = TokenServer()
    send = authenticated(server, Anonymous(), monotonic_s=lambda: server.now_s)
    together = threading.Barrier(8)
    statuses: list[int] = []

    def ask() -> None:
        together.wait()
        statuses.append(send(wanted()).status)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 8
    assert len(server.asked) == 1


def test_a_redirect_to_another_host_carries_no_login() -> None:
    seen: list[Request] = []

    def world(request: Request) -> Response:
        seen.append(request)
        if "storage" in request.url:
            return Response(200, {}, b"blob", url=request.url)
        if "Authorization" not in request.headers:
            return Response(401, {"www-authenticate": "Basic realm=x"}, url=request.url)
        return Response(307, {"location": "https://storage.example.net/blob?signature=1"}, url=request.url)

    send = redirected(authenticated(world, FixedKeychain({HOST: ADA})))
    with send(wanted()) as response:
        assert response.read_all() == b"blob"
    assert "Authorization" in seen[1].headers
    assert seen[-1].url.startswith("https://storage.example.net/")
    assert "Authorization" not in seen[-1].headers
    assert seen[-1].registry == ""


def test_a_storage_that_asks_for_a_login_does_not_get_it() -> None:
    def world(request: Request) -> Response:
        if "evil" in request.url:
            assert "Authorization" not in request.headers
            return Response(401, {"www-authenticate": "Basic realm=x"}, url=request.url)
        return Response(307, {"location": "https://evil.example.net/"}, url=request.url)

    assert redirected(authenticated(world, FixedKeychain({HOST: ADA})))(wanted()).status == 401


def test_a_redirect_from_tls_to_plain_http_is_refused() -> None:
    send = redirected(lambda request: Response(302, {"location": "http://storage.example.net/"}, url=request.url))
    with pytest.raises(RegistryError, match="plain HTTP"):
        send(wanted())


def test_no_secret_is_in_what_is_printed_of_a_login() -> None:
    assert "pa:ss" not in repr(ADA)
    assert "pa:ss" not in f"{[ADA]}"


class RefreshingServer:
    """A registry whose token server hands out a refresh token to whoever asks for one, and then takes it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.refresh = "refresh-1"
        self.asked: list[Request] = []

    def __call__(self, request: Request) -> Response:
        if not request.url.startswith(REALM):
            sent = request.headers.get("Authorization", "")
            if sent == f"Bearer token-{int(self.now_s)}":
                return Response(200, url=request.url)
            return Response(401, {"www-authenticate": BEARER}, url=request.url)
        self.asked.append(request)
        if request.method == "POST" and f"refresh_token={self.refresh}".encode() not in bytes(request.body or b""):  # type: ignore[arg-type]
            return Response(401)
        document = {"token": f"token-{int(self.now_s)}", "expires_in": 60, "refresh_token": self.refresh}
        return Response(200, {}, msgspec.json.encode(document))


def test_a_refresh_token_takes_the_passwords_place_until_it_is_refused() -> None:
    server = RefreshingServer()
    send = authenticated(server, FixedKeychain({HOST: ADA}), monotonic_s=lambda: server.now_s)
    assert send(wanted()).status == 200
    (first,) = server.asked
    assert "offline_token=true" in first.url
    assert "Authorization" in first.headers
    server.now_s = 1000.0
    assert send(wanted()).status == 200
    second = server.asked[-1]
    assert (second.method, "Authorization" in second.headers) == ("POST", False)
    assert b"pa%3Ass" not in bytes(second.body or b"")  # type: ignore[arg-type]
    server.now_s, server.refresh = 2000.0, "refresh-2"
    assert send(wanted()).status == 200
    assert [request.method for request in server.asked[2:]] == ["POST", "GET"]
