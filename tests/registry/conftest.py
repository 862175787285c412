from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeyard.registry.store import ContentStore
from tests.registry.running import Client, open_registry


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ContentStore]:
    store = ContentStore(tmp_path / "store")
    yield store
    store.close()


@pytest.fixture
def client(store: ContentStore) -> Iterator[Client]:
    """Of a registry that everybody may push into."""
    with open_registry(store) as client:
        yield client
