"""Real registries for a test session, and a client that does not wait long."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from pipeyard.registry.client import Access, Registries, open_registries
from pipeyard.registry.client.retries import Backoff
from pipeyard.registry.client.wire import Network
from pipeyard.registry.credentials import Anonymous
from tests.registry_client.processes import docker_registry, own_registry

QUICK = Access(
    backoff=Backoff(attempts=4, first_s=0.002, longest_s=0.01),
    network=Network(silence_timeout_s=0.15, connect_timeout_s=0.5),
    uploads=3,
)
PATIENT = structs.replace(QUICK, network=Network(silence_timeout_s=20.0))


@pytest.fixture(scope="session")
def debian_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with docker_registry(tmp_path_factory.mktemp("docker-registry")) as host:
        yield host


@pytest.fixture(scope="session")
def our_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with own_registry(tmp_path_factory.mktemp("registry"), "--anonymous", "push") as host:
        yield host


@pytest.fixture(params=["docker-registry", "pipeyard"])
def registry(request: pytest.FixtureRequest) -> str:
    """HOST:PORT of a registry that anybody may write to; each test runs against every kind."""
    kind = "debian_registry" if request.param == "docker-registry" else "our_registry"
    host: str = request.getfixturevalue(kind)
    return host


@pytest.fixture
def registries() -> Iterator[Registries]:
    with open_registries(PATIENT, Anonymous()) as opened:
        yield opened


@pytest.fixture
def hasty_registries() -> Iterator[Registries]:
    """For servers that fall silent on purpose; an honest one on a busy machine may be as slow."""
    with open_registries(QUICK, Anonymous()) as opened:
        yield opened


@pytest.fixture
def name(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A repository of this test's own."""
    del request
    return f"test/{tmp_path.name.lower().replace('[', '').replace(']', '').strip('_-')}"
