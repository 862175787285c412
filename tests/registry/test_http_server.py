"""The HTTP server: what it takes, what it refuses, and what a client's silence leads to."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeyard.registry.server.asgi import Message, Receive, Send
from pipeyard.registry.server.http_requests import BadRequest, ChunkedBody, parse_head
from pipeyard.registry.server.http_server import Limits
from tests.registry.running import digest_of, registry_process, serving


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    """Answers with the method, the path and the body."""
    body = b""
    if scope["path"] != "/unread":
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
    if scope["path"] == "/broken":
        raise ValueError("as the test wants it")
    text = f"{scope['method']} {scope['path']} ".encode() + body
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/stream":
        for byte in text:
            await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
        text = b""
    await send({"type": "http.response.body", "body": text})


@contextmanager
def talking(limits: Limits = Limits()) -> Iterator[socket.socket]:  # noqa: B008
    with serving(echo, limits) as port, socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        yield connection


def everything(connection: socket.socket) -> bytes:
    """Until the server closes."""
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def until(connection: socket.socket, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        piece = connection.recv(65536)
        assert piece, data
        data += piece
    return data


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1",  # no Host
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked",
        b"GET / HTTP/1.1\r\nHost: a\r\nX : b",
        b"GET / HTTP/1.1\r\nHost: a\r\n X: folded",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b",
        b"GET / HTTP/1.1\r\nHost: a\nX: b",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb",
        b"GET  / HTTP/1.1\r\nHost: a",
        b"GET http://a/ HTTP/1.1\r\nHost: b",
        b"GET http://u@a/ HTTP/1.1\r\nHost: a",
        b"GET ftp://a/ HTTP/1.1\r\nHost: a",
        b"GET /a b HTTP/1.1\r\nHost: a",
        b"GET / HTTP/2.0\r\nHost: a",
        b"G(T / HTTP/1.1\r\nHost: a",
        b"",
    ],
)
def test_a_head_that_two_programs_could_read_differently_is_refused(head: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_head(head)


@given(st.binary(max_size=200))
def test_no_head_makes_the_parser_fail_otherwise(data: bytes) -> None:
    try:
        parse_head(data)
    except BadRequest:
        pass


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=60), max_size=8),
    cuts=st.lists(st.integers(min_value=1, max_value=20), min_size=1, max_size=10),
    trailer=st.sampled_from([b"", b"X-Checksum: 1\r\n"]),
)
def test_a_chunked_body_is_the_same_however_the_network_cuts_it(
    chunks: list[bytes], cuts: list[int], trailer: bytes
) -> None:
    raw = b"".join(b"%x;extension=1\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    raw += b"0\r\n" + trailer + b"\r\n" + b"the next request"
    body, out, position, turn = ChunkedBody(), b"", 0, 0
    while not body.ended:
        piece = raw[position : position + cuts[turn % len(cuts)]]
        content, used = body.feed(memoryview(piece))
        out += content
        position += used
        turn += 1
    assert (out, raw[position:]) == (b"".join(chunks), b"the next request")


@pytest.mark.parametrize(
    "raw",
    [b"x\r\n", b"-1\r\n", b"1\r\nabc\r\n", b"1\n", b"1\r\na\r\n" + b"0" * 5000, b"\r\n", b" 1\r\n", b"1;a\rb\r\n"],
)
def test_a_chunked_body_that_is_wrong_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        ChunkedBody().feed(memoryview(raw))


def test_a_client_that_tries_tls_is_told_at_once_that_this_is_http() -> None:
    with talking() as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        connection.settimeout(5)
        assert everything(connection).startswith(b"HTTP/1.1 400 ")


def test_requests_that_come_at_once_are_answered_in_order() -> None:
    with talking() as connection:
        connection.sendall(
            b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
            b"\r\nPUT /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n"
            b"GET /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        data = everything(connection)
    assert [data.index(text) for text in (b"POST /a abc", b"PUT /b def", b"GET /c ")] == sorted(
        data.index(text) for text in (b"POST /a abc", b"PUT /b def", b"GET /c ")
    )
    assert data.count(b"HTTP/1.1 200") == 3


def test_a_large_body_arrives_whole(tmp_path: Path) -> None:
    body = bytes(range(256)) * 20_000
    with talking() as connection:
        head = b"POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        sender = threading.Thread(target=connection.sendall, args=(head + body,))
        sender.start()
        data = everything(connection)
        sender.join()
    assert data.endswith(b"POST /a " + body)


def test_a_client_that_waits_for_leave_to_send_gets_it() -> None:
    with talking() as connection:
        connection.sendall(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert until(connection, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        assert b"POST /a abc" in until(connection, b"abc")


def test_an_answer_before_the_body_ends_the_connection_and_still_arrives() -> None:
    with talking() as connection:
        connection.sendall(b"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 100_000)
        data = everything(connection)
    assert b"connection: close" in data
    assert data.endswith(b"POST /unread ")


def test_a_small_unread_body_does_not_cost_the_connection() -> None:
    with talking() as connection:
        connection.sendall(b"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
        until(connection, b"POST /unread ")
        connection.sendall(b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in until(connection, b"GET /next ")


def test_an_answer_of_unknown_length_is_chunked_or_ends_with_the_connection() -> None:
    with talking() as connection:
        connection.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"transfer-encoding: chunked" in until(connection, b"0\r\n\r\n")
    with talking() as connection:
        connection.sendall(b"GET /stream HTTP/1.0\r\n\r\n")
        assert everything(connection).endswith(b"\r\n\r\nGET /stream ")


def test_head_gets_no_body() -> None:
    with talking() as connection:
        connection.sendall(b"HEAD /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = everything(connection)
    assert b"content-length: 8\r\n" in data
    assert data.endswith(b"\r\n\r\n")


def test_an_application_that_fails_gives_500_and_the_server_lives() -> None:
    with serving(echo) as port:
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n")
                assert everything(connection).startswith(b"HTTP/1.1 500 ")


def test_an_application_cannot_be_made_to_split_its_answer() -> None:
    async def splitting(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"a\r\nSet-Cookie: b")]})
        await send({"type": "http.response.body", "body": b""})

    with serving(splitting) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        data = everything(connection)
    assert data.startswith(b"HTTP/1.1 500 ")
    assert b"Set-Cookie" not in data


def test_a_head_that_never_ends_is_refused() -> None:
    with talking() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        for _ in range(40):
            connection.sendall(b"X: " + b"x" * 1000 + b"\r\n")
        assert everything(connection).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"])
def test_a_silent_client_is_cut_off(sent: bytes) -> None:
    with talking(Limits(idle_s=0.2)) as connection:
        connection.sendall(sent)
        try:
            assert everything(connection) == b""
        except ConnectionResetError:
            pass


def test_tls_by_certificate_files(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    options = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    made = subprocess.run(["openssl", "req", *options.split(), *names, *files], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("openssl is not installed")
    arguments = ("--anonymous", "push", "--tls-cert", str(certificate), "--tls-key", str(key))
    with registry_process(tmp_path / "home", *arguments) as server:
        context = ssl.create_default_context(cafile=str(certificate))
        with (
            socket.create_connection(("127.0.0.1", server.port)) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            body = b"x" * 3_000_000
            digest = digest_of(body)
            connection.sendall(
                f"POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: localhost\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            assert b" 201 " in until(connection, b"\r\n\r\n")
            connection.sendall(
                f"GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
            )
            assert everything(connection).endswith(b"\r\n\r\n" + body)


def test_a_slow_client_that_goes_on_is_not_cut_off(tmp_path: Path) -> None:
    size = 6_000_000
    (tmp_path / "file").write_bytes(bytes(size))

    async def giving(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
        with open(tmp_path / "file", "rb") as file:
            await send({"type": "http.response.zerocopysend", "file": file, "offset": 0, "count": size})

    with serving(giving, Limits(idle_s=1.5)) as port, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        connection.connect(("127.0.0.1", port))
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        taken, pause = 0, threading.Event()
        while piece := connection.recv(40_000):
            taken += len(piece)
            pause.wait(0.01)  # about 3 MB/s: the whole takes far longer than a client may be silent
    assert taken > size
