"""Registries that mean harm: they get no login that is not theirs, no endless patience, and no terminal."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO

import pytest

from pipeyard.errors import InputError, RegistryError
from pipeyard.oci import Descriptor, digest_of
from pipeyard.registry.client import Repository, Request, Response
from pipeyard.registry.client.authentication import authenticated
from pipeyard.registry.client.http11 import MAX_HEAD, BodyReader, Incoming, parse_head
from pipeyard.registry.client.messages import ConnectionFailed, host_of
from pipeyard.registry.client.routes import redirected
from pipeyard.registry.client.tokens import read_challenges
from pipeyard.registry.client.uploads import Patience, push_blob
from pipeyard.registry.client.wire import Network, Wire
from pipeyard.registry.credentials import Credential, FixedKeychain
from pipeyard.registry.exchange import Offer
from pipeyard.threads import NEVER

HOST = "registry.example.com"
ADA = FixedKeychain({HOST: Credential(username="ada", password="pa:ss")})
Send = Callable[[Request], Response]


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Gives the URL of a server that answers the first request of each connection so."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    try:
                        answer(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v2/"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def ask(url: str) -> bytes:
    wire = Wire(Network())
    try:
        with wire(Request(method="GET", url=url)) as response:
            return response.read_all()
    finally:
        wire.close()


def endless(first: bytes, again: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.sendall(first)
        for _ in range(200_000):
            connection.sendall(again)

    return answer


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Trailer: more\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 0x10000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999\r\n\r\n", b"x" * 65536),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1", b"0" * 1000),
    ],
    ids=["100", "103", "headers", "trailers", "chunks", "until close", "a long body", "a chunk's size"],
)
def test_an_answer_without_an_end_is_not_waited_for(first: bytes, again: bytes) -> None:
    began = time.monotonic()
    with server(endless(first, again)) as url, pytest.raises(RegistryError):
        ask(url)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    "place",
    ["file:///etc/passwd", "ftp://a/b", "", "//", "javascript:1", "http:/v2/", "https://", "gopher://a", "data:,x"],
)
def test_a_redirect_to_what_is_no_web_address_is_refused(place: str) -> None:
    def send(request: Request) -> Response:
        assert request.url == f"https://{HOST}/v2/app/manifests/1", "nothing else may be asked for"
        return Response(307, {"location": place}, url=request.url)

    with pytest.raises((RegistryError, ValueError)) as caught:
        redirected(send)(Request(method="GET", url=f"https://{HOST}/v2/app/manifests/1", registry=HOST))
    assert isinstance(caught.value, RegistryError)


def test_a_redirect_in_a_circle_ends() -> None:
    count = 0

    def send(request: Request) -> Response:
        nonlocal count
        count += 1
        return Response(302, {"location": f"/v2/{count}"}, url=request.url)

    with pytest.raises(RegistryError, match="circle"):
        redirected(send)(Request(method="GET", url=f"https://{HOST}/v2/"))
    assert count < 20


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://evil.example.net#@registry.example.com/v2/", "evil.example.net"),
        ("https://evil.example.net?@registry.example.com/v2/", "evil.example.net"),
        ("https://evil.example.net\\@registry.example.com/v2/", "evil.example.net"),
        ("https://registry.example.com@evil.example.net/v2/", "evil.example.net"),
        ("https://u:p@evil.example.net:5000/v2/", "evil.example.net:5000"),
    ],
)
def test_whose_login_goes_along_is_decided_by_the_host_that_is_connected_to(url: str, host: str) -> None:
    assert host_of(url) == host
    seen: list[Request] = []

    def send(request: Request) -> Response:
        seen.append(request)
        if len(seen) == 1:
            return Response(202, {"location": url}, url=request.url)
        return Response(201, url=request.url)

    repository = Repository(HOST, "app", send)
    with repository.request("POST", "blobs/uploads/") as response:
        place = response.headers["location"]
    with repository.request("PUT", place):
        pass
    assert seen[-1].registry == ""


def test_a_challenge_of_any_length_is_read_at_once() -> None:
    began = time.monotonic()
    for header in ("Bearer" + " " * 60_000 + "=", "," * 60_000 + "=", 'Basic realm="' + "\\" * 60_000, "a" * 60_000):
        read_challenges(header)
    assert time.monotonic() - began < 2


def test_a_password_is_not_sent_to_a_realm_by_plain_http_nor_to_what_is_no_address() -> None:
    for realm in ("http://auth.example.net/token", "file:///etc/passwd", "//auth.example.net/token", ""):
        asked: list[str] = []

        def send(request: Request, realm: str = realm, asked: list[str] = asked) -> Response:
            asked.append(request.url)
            return Response(401, {"www-authenticate": f'Bearer realm="{realm}"'}, url=request.url)

        with pytest.raises(RegistryError):
            authenticated(send, ADA)(Request(method="GET", url=f"https://{HOST}/v2/", registry=HOST))
        assert asked == [f"https://{HOST}/v2/"]


def test_a_realm_that_sends_on_gets_nobody_there() -> None:
    """As with Docker a realm may be another host, which then has the login; but a token server is not followed."""
    asked: list[str] = []

    def send(request: Request) -> Response:
        asked.append(host_of(request.url))
        if host_of(request.url) == "auth.example.net":
            return Response(307, {"location": "https://evil.example.net/"}, url=request.url)
        return Response(401, {"www-authenticate": 'Bearer realm="https://auth.example.net/token"'}, url=request.url)

    with pytest.raises(RegistryError, match="gave no token"):
        redirected(authenticated(send, ADA))(Request(method="GET", url=f"https://{HOST}/v2/", registry=HOST))
    assert asked == [HOST, "auth.example.net"]


def pages(link: Callable[[int], str], body: bytes) -> Send:
    count = 0

    def send(request: Request) -> Response:
        nonlocal count
        count += 1
        return Response(200, {"link": f'<{link(count)}>; rel="next"'}, body, url=request.url)

    return send


def test_a_list_without_an_end_is_not_read_for_ever() -> None:
    tags = b'{"tags":["a"]}'
    assert list(Repository(HOST, "app", pages(lambda count: "/v2/app/tags/list?last=a", tags)).tags()) == ["a", "a"]
    with pytest.raises(RegistryError, match="without an end"):
        list(Repository(HOST, "app", pages(lambda count: f"/v2/app/tags/list?last={count}", tags)).tags())
    index = b'{"schemaVersion":2,"manifests":[]}'
    with pytest.raises(RegistryError, match="without an end"):
        Repository(HOST, "app", pages(lambda count: f"?last={count}", index)).referrers(digest_of(b""))
    with pytest.raises(RegistryError, match="another host"):
        list(Repository(HOST, "app", pages(lambda count: "https://evil.example.net/", tags)).tags())


def test_nothing_that_a_registry_says_reaches_the_terminal_as_a_command() -> None:
    head = parse_head(b"HTTP/1.1 200 OK\r\nLocation: \x1b[2Jhttps://a\x9bb\x00\r\nX: \xc2\x9b")
    assert all(value.isprintable() for value in head.headers.values())
    tags = b'{"tags":["ok", "\\u001b[2J", "a b", "../x", "v1"]}'
    assert list(Repository(HOST, "app", lambda request: Response(200, {}, tags, url=request.url)).tags()) == [
        "ok",
        "v1",
    ]
    lying = b'{"schemaVersion":2,"mediaType":"\\u001b[2Jx","manifests":[]}'
    served = {"content-type": "application/vnd.oci.image.index.v1+json"}
    with pytest.raises(InputError) as caught:
        Repository(HOST, "app", lambda request: Response(200, served, lying, url=request.url)).document("1")
    assert caught.value.message.isprintable()
    fault = b'{"errors":[{"code":"\\u001b[2J","message":"a\\u009bb\\u202ec"}]}'
    with pytest.raises(RegistryError) as refused:
        Repository(HOST, "app", lambda request: Response(403, {}, fault, url=request.url)).document("1")
    assert refused.value.message.isprintable()


def test_a_blob_is_not_sent_by_plain_http_where_the_registry_was_reached_by_tls() -> None:
    data = b"a secret layer"
    blob = Descriptor(media_type="x", digest=digest_of(data), size=len(data))

    def send(request: Request) -> Response:
        assert request.url.startswith("https://"), "nothing goes out in the clear"
        if request.method == "POST":
            return Response(202, {"location": "http://storage.example.net/upload"}, url=request.url)
        return Response(404, url=request.url)

    def unread(start: int) -> AbstractContextManager[BinaryIO]:
        raise AssertionError("nothing is read that is not sent")

    offer = Offer(descriptor=blob, open=unread)
    with pytest.raises(RegistryError, match=r"plain HTTP at storage\.example\.net"):
        push_blob(Repository(HOST, "app", send), offer, stop=NEVER, progress=lambda count: None, patience=Patience())


def test_a_chunked_answer_with_endless_trailers_is_a_protocol_error() -> None:
    body = BodyReader(Incoming(lambda size: b"0\r\n" + b"X: y\r\n" * (MAX_HEAD // 4)), -1)
    with pytest.raises(ConnectionFailed, match="trailers"):
        body.read(10)
