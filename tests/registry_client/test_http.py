"""HTTP/1.1 on the wire: heads, bodies in any pieces, and what is no HTTP at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pipeyard.registry.client.http11 import BodyReader, Incoming, body_length, parse_head, request_head
from pipeyard.registry.client.messages import ConnectionFailed


def arriving(data: bytes, cuts: list[int]) -> Incoming:
    """A connection that delivers `data` in pieces of the given sizes, then ends."""
    sizes = iter(cuts)
    place = 0

    def receive(limit: int) -> bytes:
        nonlocal place
        size = min(limit, next(sizes, len(data)) or 1)
        out = data[place : place + size]
        place += len(out)
        return out

    return Incoming(receive)


def read_all(reader: BodyReader, size: int) -> bytes:
    pieces = []
    while piece := reader.read(size):
        assert len(piece) <= size
        pieces.append(piece)
    return b"".join(pieces)


CUTS = some.lists(some.integers(1, 50), max_size=30)


@given(some.binary(max_size=400), CUTS, some.integers(1, 300), some.lists(some.integers(1, 60), max_size=8))
def test_a_body_is_the_same_in_whatever_pieces_and_coding_it_arrives(
    body: bytes, cuts: list[int], size: int, chunks: list[int]
) -> None:
    plain = BodyReader(arriving(body + b"HTTP/1.1 next", cuts), len(body))
    assert read_all(plain, size) == body
    assert plain.ended
    assert read_all(BodyReader(arriving(body, cuts), None), size) == body
    coded, rest = b"", body
    for length in [*chunks, len(body)]:
        piece, rest = rest[:length], rest[length:]
        coded += b"%x;note=1\r\n%s\r\n" % (len(piece), piece) if piece else b""
    incoming = arriving(coded + b"0\r\nTrailer: x\r\n\r\nnext", cuts)
    chunked = BodyReader(incoming, -1)
    assert read_all(chunked, size) == body
    assert chunked.ended
    assert incoming.until(b"xt", 100) == b"ne"


@given(some.binary(min_size=1, max_size=100), CUTS, some.integers(0, 99))
def test_a_body_that_ends_too_early_is_never_taken_for_whole(body: bytes, cuts: list[int], kept: int) -> None:
    kept = min(kept, len(body) - 1)
    with pytest.raises(ConnectionFailed):
        read_all(BodyReader(arriving(body[:kept], cuts), len(body)), 64)
    with pytest.raises(ConnectionFailed):
        read_all(BodyReader(arriving(b"%x\r\n%s" % (len(body), body[:kept]), cuts), -1), 64)


@given(some.binary(max_size=200))
def test_any_bytes_are_a_head_or_a_protocol_error(data: bytes) -> None:
    try:
        head = parse_head(data)
        body_length("GET", head)
    except ConnectionFailed as failure:
        complaint = failure.kind
    else:
        complaint = "protocol" if 100 <= head.status < 600 else "broken"
    assert complaint == "protocol"


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x5",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked",
    ],
)
def test_a_length_that_could_be_read_in_two_ways_is_refused(head: bytes) -> None:
    with pytest.raises(ConnectionFailed):
        body_length("GET", parse_head(head))


def test_nothing_can_be_smuggled_into_a_request() -> None:
    with pytest.raises(ValueError, match="request target"):
        request_head("GET", "/a b", "h", {}, None)
    with pytest.raises(ValueError, match="request target"):
        request_head("GET", "/a\r\nX: y", "h", {}, None)
    with pytest.raises(ValueError, match="line break"):
        request_head("GET", "/", "h", {"A": "b\r\nC: d"}, None)


def test_repeated_headers_are_joined_and_old_servers_end_the_connection() -> None:
    head = parse_head(b"HTTP/1.0 200 OK\r\nWWW-Authenticate: Basic\r\nwww-authenticate: Bearer realm=x")
    assert head.headers["www-authenticate"] == "Basic, Bearer realm=x"
    assert not head.keep_alive
