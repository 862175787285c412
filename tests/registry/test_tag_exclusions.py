"""Tags that may move, or may not, by their name; and catalogs of the version before."""

import sqlite3
from pathlib import Path

import pytest

from pipeyard.errors import RegistryError
from pipeyard.registry.catalog import Catalog
from pipeyard.registry.manifests import examine
from pipeyard.registry.store import ContentStore

FIRST, SECOND = (
    examine(
        b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"annotations":{"n":"%d"}}'
        % number
    )
    for number in (1, 2)
)


@pytest.mark.parametrize(("immutable", "moves", "stays"), [(True, "dev-1", "v1"), (False, "v1", "dev-1")])
def test_an_excluded_tag_has_the_opposite_of_the_repositorys_mutability(
    tmp_path: Path, immutable: bool, moves: str, stays: str
) -> None:
    store = ContentStore(tmp_path)
    store.put("app", [FIRST], [moves, stays], adopt=False)
    store.catalog.configure("app", immutable=immutable, exclusions=["dev-*"])
    store.put("app", [SECOND], [moves], adopt=False)
    with pytest.raises(RegistryError, match="immutable"):
        store.put("app", [SECOND], [stays], adopt=False)
    assert dict(store.catalog.tagged("app")) == {moves: SECOND.digest, stays: FIRST.digest}


def test_tags_are_listed_in_the_order_in_which_they_were_set(tmp_path: Path) -> None:
    now = iter(range(1000, 2000))
    store = ContentStore(tmp_path, now_ms=lambda: next(now))
    for tag in ("v1", "latest", "a"):
        store.put("app", [FIRST], [tag], adopt=False)
    assert [tag for tag, _ in store.catalog.tagged("app")] == ["v1", "latest", "a"]


@pytest.mark.parametrize("version", [1, 2])
def test_a_catalog_of_a_version_before_is_brought_up_to_date(tmp_path: Path, version: int) -> None:
    catalog = Catalog(tmp_path / "catalog.sqlite")
    catalog.create_repository("app", 5)
    catalog.close()
    db = sqlite3.connect(tmp_path / "catalog.sqlite")
    db.execute("DROP TABLE announcement")
    if version == 1:
        db.execute("ALTER TABLE repository DROP COLUMN exclusions")
    db.execute(f"PRAGMA user_version = {version}")
    db.close()
    newer = Catalog(tmp_path / "catalog.sqlite")
    found = newer.repository("app")
    assert newer.announcements() == ()
    assert found is not None
    assert (found.created_ms, found.exclusions) == (5, ())
