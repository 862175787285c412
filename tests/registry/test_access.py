"""Who may do what: basic and token authentication, rights, and what a stranger can learn."""

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from pipeyard.registry.server.access import Access, Caller, Right, User
from pipeyard.registry.server.app import registry_app
from pipeyard.registry.server.tokens import REFRESH_S, TOKEN_S, check_token, issue
from pipeyard.registry.store import ContentStore
from tests.registry.running import SECRET, Client, digest_of, manifest, serving

READER = User(name="reader", password="read it", rights=(Right("team/*", frozenset({"pull"})),))
WRITER = User(name="writer", password="write:it", rights=(Right("team/app", frozenset({"pull", "push"})),))
ADMIN = User(name="admin", password="all")
NOW_MS = 1_700_000_000_000


def minted(name: str, password: str) -> Caller | None:
    """As ECR's GetAuthorizationToken would."""
    return Caller(name="AWS", rights=ADMIN.rights) if (name, password) == ("AWS", "minted") else None


class Clock:
    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def port(store: ContentStore, clock: Clock) -> Iterator[int]:
    yield from _serve(store, clock)


def _serve(store: ContentStore, clock: Clock, **options: Any) -> Iterator[int]:
    timed = ContentStore(store.root, now_ms=clock)
    access = Access(users=[READER, WRITER, ADMIN], verify=minted, secret=SECRET, **options)
    with serving(registry_app(timed, access)) as port:
        yield port
    timed.close()


def basic(name: str, password: str) -> str:
    return "Basic " + b64encode(f"{name}:{password}".encode()).decode()


def token(port: int, authorization: str, *scopes: str, **more: str) -> dict[str, Any]:
    query = urlencode([("service", "pipeyard"), *(("scope", scope) for scope in scopes), *more.items()])
    reply = Client(port, authorization)("GET", f"/token?{query}")
    assert reply.status == 200, reply
    answer: dict[str, Any] = reply.json
    return answer


def bearer(port: int, user: User, *scopes: str) -> Client:
    return Client(port, "Bearer " + token(port, basic(user.name, user.password), *scopes)["token"])


def test_without_credentials_every_endpoint_challenges(port: int) -> None:
    stranger = Client(port)
    digest = digest_of(b"")
    for method, path in (
        ("GET", "/v2/"),
        ("GET", "/v2/_catalog"),
        ("GET", "/v2/team/app/tags/list"),
        ("GET", "/v2/team/app/manifests/latest"),
        ("PUT", "/v2/team/app/manifests/latest"),
        ("DELETE", "/v2/team/app/manifests/latest"),
        ("HEAD", f"/v2/team/app/blobs/{digest}"),
        ("DELETE", f"/v2/team/app/blobs/{digest}"),
        ("POST", "/v2/team/app/blobs/uploads/"),
        ("PATCH", "/v2/team/app/blobs/uploads/" + "0" * 32),
        ("GET", f"/v2/team/app/referrers/{digest}"),
    ):
        reply = stranger(method, path)
        assert reply.status == 401, (method, path)
        schemes = [value.partition(" ")[0] for name, value in reply.all_headers if name == "www-authenticate"]
        assert schemes == ["Bearer", "Basic"]


def test_a_challenge_names_the_token_endpoint_and_the_scope(port: int) -> None:
    reply = Client(port)("PUT", "/v2/team/app/manifests/latest")
    challenge = next(value for name, value in reply.all_headers if name == "www-authenticate")
    assert f'realm="http://127.0.0.1:{port}/token"' in challenge
    assert 'scope="repository:team/app:pull,push"' in challenge


@pytest.mark.parametrize(
    "authorization",
    [
        basic("admin", "wrong"),
        basic("nobody", "all"),
        basic("admin", ""),
        "Basic !!!",
        "Basic " + b64encode(b"admin").decode(),
        "Bearer x.y.z",
        "Bearer ",
        "Digest x",
    ],
)
def test_wrong_credentials_are_401_everywhere_also_at_the_token_endpoint(port: int, authorization: str) -> None:
    client = Client(port, authorization)
    assert client("GET", "/v2/").status == 401
    assert client("GET", "/v2/team/app/tags/list").status == 401
    assert client("GET", "/token?service=pipeyard").status == 401


def test_users_have_their_rights_and_no_more(port: int) -> None:
    writer, reader = Client(port, basic("writer", "write:it")), Client(port, basic("reader", "read it"))
    writer.push_image("team/app", "v1", b"layer")
    assert reader("GET", "/v2/team/app/manifests/v1").status == 200
    for reply in (
        reader("POST", "/v2/team/app/blobs/uploads/"),
        reader("DELETE", "/v2/team/app/manifests/v1"),
        writer("DELETE", "/v2/team/app/manifests/v1"),
        writer("POST", "/v2/team/other/blobs/uploads/"),
    ):
        assert (reply.status, reply.codes) == (403, ["DENIED"])
    assert Client(port, basic("admin", "all"))("DELETE", "/v2/team/app/manifests/v1").status == 202


def test_what_is_hidden_looks_like_what_is_not_there(port: int) -> None:
    Client(port, basic("admin", "all")).push_image("secret/app", "v1", b"layer")
    for client in (Client(port), Client(port, basic("reader", "read it")), bearer(port, READER)):
        there = client("GET", "/v2/secret/app/manifests/v1")
        not_there = client("GET", "/v2/secret/none/manifests/v1")
        assert there.status == not_there.status
        assert there.body.replace(b"secret/app", b"") == not_there.body.replace(b"secret/none", b"")


def test_a_mount_gives_nothing_that_a_pull_would_refuse(port: int) -> None:
    digest = Client(port, basic("admin", "all")).push_blob("secret/app", b"hidden")
    writer = Client(port, basic("writer", "write:it"))
    for query in (f"?mount={digest}&from=secret/app", f"?mount={digest}"):
        assert writer("POST", f"/v2/team/app/blobs/uploads/{query}").status == 202
    assert writer("GET", f"/v2/team/app/blobs/{digest}").status == 404


def test_a_token_carries_what_was_asked_for_and_is_allowed(port: int) -> None:
    writer = bearer(port, WRITER, "repository:team/app:pull,push,delete")
    writer.push_image("team/app", "v1", b"layer")
    refused = writer("DELETE", "/v2/team/app/manifests/v1")
    assert refused.status == 401
    assert "insufficient_scope" in str(refused.all_headers)
    pull_only = bearer(port, WRITER, "repository:team/app:pull")
    assert pull_only("GET", "/v2/team/app/manifests/v1").status == 200
    assert pull_only("POST", "/v2/team/app/blobs/uploads/").status == 401


def test_a_token_for_one_repository_is_nothing_in_another(port: int) -> None:
    admin = bearer(port, ADMIN, "repository:team/app:*")
    admin.push_image("team/app", "v1", b"layer")
    assert admin("GET", "/v2/team/other/tags/list").status == 401
    both = bearer(port, ADMIN, "repository:team/app:pull", "repository:team/other:pull,push")
    assert both("POST", f"/v2/team/other/blobs/uploads/?mount={digest_of(b'layer')}&from=team/app").status == 201


def test_an_expired_or_changed_token_is_refused(port: int, clock: Clock) -> None:
    client = bearer(port, ADMIN, "repository:team/app:pull,push")
    client.push_image("team/app", "v1", b"layer")
    clock.now_ms += TOKEN_S * 1000
    assert "invalid_token" in str(client("GET", "/v2/team/app/tags/list").all_headers)
    clock.now_ms -= TOKEN_S * 1000
    assert client("GET", "/v2/team/app/tags/list").status == 200
    head, claims, signature = client.authorization.removeprefix("Bearer ").split(".")
    none = b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    for forged in (f"{head}.{claims}.{signature[:-2]}AA", f"{none}.{claims}.", f"{head}.{claims[:-4]}AAAA.{signature}"):
        assert Client(port, f"Bearer {forged}")("GET", "/v2/team/app/tags/list").status == 401
    stranger = issue(
        Access(secret=b"another"), Caller(name="admin", rights=ADMIN.rights), ["repository:team/app:pull"], NOW_MS
    )
    assert Client(port, f"Bearer {stranger.token}")("GET", "/v2/team/app/tags/list").status == 401


def test_a_refresh_token_lasts_until_the_password_changes(port: int, clock: Clock) -> None:
    refresh = token(port, basic("writer", "write:it"), offline_token="true")["refresh_token"]
    clock.now_ms += 24 * 3600 * 1000
    form = urlencode(
        {"grant_type": "refresh_token", "refresh_token": refresh, "scope": "repository:team/app:push,pull"}
    )
    fresh = Client(port)("POST", "/token", form, Content_Type="application/x-www-form-urlencoded")
    assert fresh.status == 200
    Client(port, "Bearer " + fresh.json["access_token"]).push_image("team/app", "v1", b"layer")
    assert Client(port, f"Bearer {refresh}")("GET", "/v2/team/app/tags/list").status == 401, "it is no access token"
    clock.now_ms += REFRESH_S * 1000
    assert Client(port)("POST", "/token", form).status == 401


def test_a_changed_password_ends_refresh_tokens(store: ContentStore) -> None:
    from pipeyard.registry.server.tokens import check_refresh

    before = Access(users=[WRITER], secret=SECRET)
    refresh = issue(before, Caller(name="writer", rights=()), [], NOW_MS, offline=True).refresh_token
    assert check_refresh(before, refresh, NOW_MS) is not None
    after = Access(users=[User(name="writer", password="new")], secret=SECRET)
    assert check_refresh(after, refresh, NOW_MS) is None
    assert check_token(before, refresh, NOW_MS) is None


def test_the_password_grant_gives_a_token(port: int) -> None:
    form = {"grant_type": "password", "username": "writer", "password": "write:it", "scope": "repository:team/app:push"}
    assert Client(port)("POST", "/token", urlencode(form)).status == 200
    assert Client(port)("POST", "/token", urlencode({**form, "password": "x"})).status == 401
    assert Client(port)("POST", "/token", urlencode({"grant_type": "other"})).status == 400


def test_a_minted_password_is_good_where_the_hook_says_so(port: int) -> None:
    Client(port, basic("AWS", "minted")).push_image("team/app", "v1", b"layer")
    assert Client(port, basic("AWS", "expired"))("GET", "/v2/").status == 401
    with_token = token(port, basic("AWS", "minted"), "repository:team/app:pull")["token"]
    assert Client(port, f"Bearer {with_token}")("GET", "/v2/team/app/tags/list").status == 200


def test_anonymous_pull_is_only_that_and_still_offers_to_sign_in(store: ContentStore, clock: Clock) -> None:
    for port in _serve(store, clock, anonymous="pull"):
        Client(port, basic("admin", "all")).push_image("team/app", "v1", b"layer")
        stranger = Client(port)
        assert stranger("GET", "/v2/").status == 401, "else Docker would never send its credentials"
        assert stranger("GET", "/v2/team/app/manifests/v1").status == 200
        assert stranger("POST", "/v2/team/app/blobs/uploads/").status == 401
        assert stranger("DELETE", "/v2/team/app/manifests/v1").status == 401
        guest = Client(port, "Bearer " + token(port, "", "repository:team/app:pull,push")["token"])
        assert guest("GET", "/v2/").status == 200
        assert guest("GET", "/v2/team/app/manifests/v1").status == 200
        assert guest("POST", "/v2/team/app/blobs/uploads/").status == 401


def test_the_catalog_shows_what_the_caller_may_pull(port: int) -> None:
    admin = Client(port, basic("admin", "all"))
    for name in ("secret/app", "team/app", "team/other"):
        admin.push_image(name, "v1", b"layer")
    assert admin("GET", "/v2/_catalog").json["repositories"] == ["secret/app", "team/app", "team/other"]
    for client in (Client(port, basic("reader", "read it")), bearer(port, READER, "registry:catalog:*")):
        assert client("GET", "/v2/_catalog").json["repositories"] == ["team/app", "team/other"]
    assert bearer(port, READER, "repository:team/app:pull")("GET", "/v2/_catalog").status == 401


def test_errors_are_json_with_the_specifications_codes(port: int) -> None:
    reply = Client(port)("PUT", "/v2/team/app/manifests/x", manifest(b"{}"))
    assert json.loads(reply.body) == {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}


def test_an_expired_user_is_nobody_also_with_a_token_of_before(store: ContentStore, clock: Clock) -> None:
    timed = ContentStore(store.root, now_ms=clock)
    user = User(name="ci", password="x", expires_ms=NOW_MS + 60_000)
    with serving(registry_app(timed, Access(users=[user], secret=SECRET, now_ms=clock))) as port:
        asked = token(port, basic("ci", "x"), "repository:team/app:pull,push", offline_token="true")
        by_token, by_password = Client(port, f"Bearer {asked['token']}"), Client(port, basic("ci", "x"))
        by_token.push_image("team/app", "v1", b"layer")
        assert by_password("GET", "/v2/team/app/tags/list").status == 200
        clock.now_ms += 60_000
        assert by_token("GET", "/v2/team/app/tags/list").status == 401
        assert by_password("GET", "/v2/team/app/tags/list").status == 401
        form = urlencode({"grant_type": "refresh_token", "refresh_token": asked["refresh_token"]})
        assert Client(port)("POST", "/token", form).status == 401
    timed.close()
