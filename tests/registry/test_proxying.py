"""The pull-through cache, with another registry of ours behind it."""

import io
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

    def blob(self, repository: str, digest: Digest) -> AbstractContextManager[BinaryIO]:
        self._ask("blob")
        return self._corrupt() if self.corrupt else self.store.read(digest)

    @contextmanager
    def _corrupt(self) -> Iterator[BinaryIO]:
        yield io.BytesIO(b"something else")


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
