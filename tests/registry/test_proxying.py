"""The pull-through cache, with another registry of ours behind it."""

import http.client
import io
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from pipeyard.errors import RegistryError
from pipeyard.oci import Digest
from pipeyard.registry.exchange import Document
from pipeyard.registry.store import ContentStore
from tests.registry.running import Client, digest_of, open_registry, registry_process, until


class Behind:
    """An Upstream over a store; counts what it is asked for."""

    def __init__(self, store: ContentStore) -> None:
        self.store = store
        self.asked: list[str] = []
        self.down = False
        self.corrupt = False
        self.slow: threading.Event | None = None  # the second half of a blob comes after it

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.down:
            raise RegistryError("connection refused")

    def digest(self, repository: str, tag: str) -> Digest | None:
        self._ask(tag)
        found = self.store.catalog.manifest(repository, tag)
        return found.digest if found else None

    def manifest(self, repository: str, digest: Digest) -> Document | None:
        self._ask("manifest")
        found = self.store.catalog.manifest(repository, digest)
        return Document(media_type=found.media_type, data=found.data) if found else None

    def blob_size(self, repository: str, digest: Digest) -> int | None:
        return self.store.size(digest)

    def blob(self, repository: str, digest: Digest, size: int) -> AbstractContextManager[BinaryIO]:
        self._ask("blob")
        if self.slow is not None:
            return self._slowly(digest, self.slow)
        return self._corrupt() if self.corrupt else self.store.read(digest)

    @contextmanager
    def _corrupt(self) -> Iterator[BinaryIO]:
        yield io.BytesIO(b"something else")

    @contextmanager
    def _slowly(self, digest: Digest, event: threading.Event) -> Iterator[BinaryIO]:
        with self.store.read(digest) as stream:
            data = stream.read()
        half = len(data) // 2
        rest = b"\0" * (len(data) - half) if self.corrupt else data[half:]
        yield io.BufferedReader(Halves([data[:half], rest], event), 1)


class Halves(io.RawIOBase):
    def __init__(self, pieces: list[bytes], event: threading.Event) -> None:
        self._pieces = pieces
        self._event = event

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]  # typeshed has no public name for a writable buffer here
        if not self._pieces:
            return 0
        if len(self._pieces) == 1:
            assert self._event.wait(20)
        piece = self._pieces.pop(0)
        count = min(len(view), len(piece))
        view[:count] = piece[:count]
        if count < len(piece):
            self._pieces.insert(0, piece[count:])
        return count


class Clock:
    now_ms = 1_000_000_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Behind]:
    store = ContentStore(tmp_path / "behind")
    with open_registry(store) as client:
        client.push_image("library/app", "v1", b"layer")
    yield Behind(store)
    store.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(tmp_path: Path, behind: Behind, clock: Clock) -> Iterator[Client]:
    store = ContentStore(tmp_path / "cache", now_ms=clock)
    with open_registry(store, upstreams={"docker.io": behind}) as client:
        yield client
    store.close()


@pytest.mark.parametrize(
    ("name", "query"), [("docker.io/library/app", ""), ("library/app", "?ns=docker.io")], ids=["by name", "as mirror"]
)
def test_what_upstream_has_is_pulled_and_kept(cache: Client, behind: Behind, name: str, query: str) -> None:
    layer = digest_of(b"layer")
    for _ in range(2):
        assert cache("GET", f"/v2/{name}/manifests/v1{query}").status == 200
        assert cache("GET", f"/v2/{name}/blobs/{layer}{query}").body == b"layer"
    assert behind.asked == ["v1", "manifest", "blob"]


def test_a_tag_that_moved_upstream_moves_here_once_it_is_not_fresh(cache: Client, behind: Behind, clock: Clock) -> None:
    path = "/v2/docker.io/library/app/manifests/v1"
    old = cache("GET", path).body
    with open_registry(behind.store) as client:
        _, new = client.push_image("library/app", "v1", b"newer layer")
    assert cache("GET", path).body == old
    clock.now_ms += 301_000
    assert cache("GET", path).body == new


def test_while_upstream_is_down_what_is_here_is_served(cache: Client, behind: Behind, clock: Clock) -> None:
    path = "/v2/docker.io/library/app/manifests/v1"
    assert cache("GET", path).status == 200
    behind.down = True
    clock.now_ms += 301_000
    assert cache("GET", path).status == 200
    assert cache("GET", "/v2/docker.io/library/app/manifests/v2").status == 502


def test_content_that_is_not_its_digest_is_neither_given_nor_kept(cache: Client, behind: Behind) -> None:
    assert cache("GET", "/v2/docker.io/library/app/manifests/v1").status == 200
    behind.corrupt = True
    path = f"/v2/docker.io/library/app/blobs/{digest_of(b'layer')}"
    assert cache("GET", path).status == 502
    behind.corrupt = False
    assert cache("GET", path).body == b"layer"


def test_what_is_nowhere_is_404_and_nobody_pushes_into_a_cache(cache: Client) -> None:
    assert cache("GET", "/v2/docker.io/library/none/manifests/v1").status == 404
    assert cache("POST", "/v2/docker.io/library/app/blobs/uploads/").status == 403


def test_upstream_is_not_asked_for_what_is_no_name(cache: Client, behind: Behind) -> None:
    for key in ("%FF", "..%2f..%2fv2", "a%20b", "sha256:abc", "a" * 129):
        assert cache("GET", f"/v2/docker.io/library/app/manifests/{key}").status in (400, 404)
    assert behind.asked == []


def test_a_pull_is_noted_for_lifecycle_policies(store: ContentStore) -> None:
    timed = ContentStore(store.root, now_ms=lambda: 5_000_000)
    with open_registry(timed) as client:
        client.push_image("team/app", "v1", b"layer")
        assert timed.catalog.images("team/app")[0].pulled_ms == 0
        client("GET", "/v2/team/app/manifests/v1")
        until(lambda: timed.catalog.images("team/app")[0].pulled_ms == 5_000_000)
    timed.close()


def test_a_registry_process_is_the_cache_of_another_one(tmp_path: Path) -> None:
    with registry_process(tmp_path / "behind", "--anonymous", "push") as upstream:
        host = f"127.0.0.1:{upstream.port}"
        _, data = Client(upstream.port).push_image("library/app", "v1", b"layer")
        (tmp_path / "cache").mkdir()
        (tmp_path / "cache/pipeyard.toml").write_text(f'[registries."{host}"]\nproxy = true\n')
        with registry_process(tmp_path / "cache", "--anonymous", "push") as server:
            client = Client(server.port)
            assert client("GET", f"/v2/library/app/manifests/v1?ns={host}").body == data
            upstream.kill()
            assert client("GET", f"/v2/library/app/manifests/v1?ns={host}").body == data
            assert client("GET", f"/v2/library/app/blobs/{digest_of(b'layer')}?ns={host}").status == 502


LARGE = bytes(range(256)) * 8192  # 2 MiB


@pytest.fixture
def slow(behind: Behind) -> Behind:
    with open_registry(behind.store) as client:
        client.push_image("library/app", "large", LARGE)
    behind.slow = threading.Event()
    return behind


def asked(cache: Client, **headers: str) -> http.client.HTTPResponse:
    """The answer to a GET of the large blob, whose body is not read yet."""
    connection = http.client.HTTPConnection("127.0.0.1", cache.port, timeout=20)
    connection.request("GET", f"/v2/docker.io/library/app/blobs/{digest_of(LARGE)}", headers=headers)
    return connection.getresponse()


def test_a_client_reads_what_has_come_while_the_rest_is_under_way(cache: Client, slow: Behind) -> None:
    assert slow.slow is not None
    cache("GET", "/v2/docker.io/library/app/manifests/large")
    first, ranged = asked(cache), asked(cache, Range="bytes=1000-1999")
    assert first.headers["content-length"] == str(len(LARGE))
    assert first.read(500_000) == LARGE[:500_000]
    assert ranged.read() == LARGE[1000:2000]
    second = asked(cache)
    assert second.read(1000) == LARGE[:1000]
    slow.slow.set()
    assert first.read() == LARGE[500_000:]
    assert second.read() == LARGE[1000:]
    assert cache("GET", f"/v2/docker.io/library/app/blobs/{digest_of(LARGE)}").body == LARGE
    assert slow.asked.count("blob") == 1


def test_a_client_that_goes_away_does_not_stop_the_blob(cache: Client, slow: Behind) -> None:
    assert slow.slow is not None
    cache("GET", "/v2/docker.io/library/app/manifests/large")
    answer = asked(cache)
    answer.read(1000)
    answer.close()
    slow.slow.set()
    assert asked(cache).read() == LARGE
    assert slow.asked.count("blob") == 1


def test_a_blob_that_turns_out_wrong_is_never_whole_at_the_client(cache: Client, slow: Behind) -> None:
    assert slow.slow is not None
    slow.corrupt = True
    cache("GET", "/v2/docker.io/library/app/manifests/large")
    answer = asked(cache)
    assert answer.read(1000) == LARGE[:1000]
    slow.slow.set()
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        answer.read()
    slow.corrupt = False
    assert asked(cache).read() == LARGE, "nothing of it was kept"


def test_asking_for_the_size_of_a_blob_fetches_nothing(cache: Client, slow: Behind) -> None:
    cache("GET", "/v2/docker.io/library/app/manifests/large")
    reply = cache("HEAD", f"/v2/docker.io/library/app/blobs/{digest_of(LARGE)}")
    assert (reply.status, reply.headers["content-length"]) == (200, str(len(LARGE)))
    assert "blob" not in slow.asked
