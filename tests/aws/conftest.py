"""A home with the endpoint before its registry, in this process, and real AWS clients of it."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.session import Session
from msgspec import Struct

from pipeyard.aws.opening import open_endpoint
from pipeyard.aws.parts import BuildRunner
from pipeyard.registry.server.access import Access
from pipeyard.registry.server.app import registry_app
from pipeyard.registry.store import ContentStore
from pipeyard.settings import Settings
from tests.registry.running import SECRET, serving

KEY, SECRET_KEY = "AKIAEXAMPLE", "an example's secret"
ACCOUNT = "123456789012"


class Clock:
    """The server's time, which a test may move."""

    def __init__(self) -> None:
        from pipeyard.registry.store import wall_clock_ms

        self.offset_ms = 0
        self._now_ms = wall_clock_ms

    def __call__(self) -> int:
        return self._now_ms() + self.offset_ms


class Yard(Struct, frozen=True):
    """A running endpoint."""

    port: int
    store: ContentStore
    clock: Clock

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, service: str, region: str = "us-east-1", **credentials: str) -> Any:
        keys = credentials or {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET_KEY}
        return Session().create_client(
            service,
            region_name=region,
            endpoint_url=self.url,
            config=Config(retries={"total_max_attempts": 1}),
            **keys,
        )


def open_yard(
    home: Path, lifetime: ExitStack, run_build: BuildRunner | None = None, sparse: bool = True, **more: Any
) -> Yard:
    """`more` are further settings."""
    settings = Settings(home=home, access_keys={KEY: SECRET_KEY}, account_id=ACCOUNT, start_on_create=False, **more)
    clock = Clock()
    store = ContentStore(home / "registry", now_ms=clock)
    lifetime.callback(store.close)
    endpoint = open_endpoint(settings, store, lifetime, run_build=run_build, sparse=sparse)
    access = Access(verify=endpoint.verify, secret=SECRET)
    port = lifetime.enter_context(serving(endpoint.wrap(registry_app(store, access, sparse=sparse))))
    return Yard(port, store, clock)


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    with ExitStack() as lifetime:
        yield open_yard(tmp_path, lifetime)


def code_of(error: Any) -> str:
    """The service's exception name in what a client raised."""
    return str(error.value.response["Error"]["Code"])
