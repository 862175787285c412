"""Garbage collection: what goes, what stays, and that nothing needed goes while everything happens at once."""

import os
import random
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from pipeyard.errors import Stopped
from pipeyard.registry.collection import collect
from pipeyard.registry.embedded import StoreDestination, StoreOrigin
from pipeyard.registry.reference import parse_reference
from pipeyard.registry.store import ContentStore
from tests.registry.running import OCI_MANIFEST, Client, digest_of, manifest, open_registry
from tests.registry.test_store import AMD64, image, keep

HOUR_S = 3600.0


@pytest.fixture
def aged(store: ContentStore) -> Iterator[ContentStore]:
    """A store that thinks that it is two days later than the files."""
    later = ContentStore(store.root, now_ms=lambda: int(time.time() * 1000) + 2 * 24 * 3_600_000)
    yield later
    later.close()


def age(store: ContentStore) -> None:
    """Makes everything that is here look unused for two days."""
    past = time.time() - 2 * 24 * HOUR_S
    for digest, _ in store.files.digests():
        os.utime(store.files.path(digest), (past, past))


def forget_link_times(store: ContentStore) -> None:
    with store.catalog.database.writing() as db:
        db.execute("UPDATE link SET linked_ms = 0")


def test_what_nobody_refers_to_goes_after_the_grace_period(store: ContentStore) -> None:
    unused, fresh = keep(store, b"unused"), keep(store, b"fresh")
    published = image(store, AMD64, b"layer")
    StoreDestination(store, "team/app").publish([published], ["v1"])
    age(store)
    keep(store, b"fresh")
    done = collect(store)
    assert (done.blobs, done.bytes, done.kept) == (1, 6, 3)
    assert store.size(unused.digest) is None
    assert store.size(fresh.digest) == 5
    assert StoreOrigin(store).resolve(parse_reference("localhost/team/app:v1"), AMD64)


def test_blobs_of_a_deleted_image_go_unless_another_needs_them(store: ContentStore, aged: ContentStore) -> None:
    first, second = image(store, AMD64, b"shared", b"own"), image(store, AMD64, b"shared")
    StoreDestination(store, "team/app").publish([first], ["v1"])
    StoreDestination(store, "team/app").publish([second], ["v2"])
    digest = store.catalog.manifest("team/app", "v1")
    assert digest is not None
    store.catalog.delete_manifests("team/app", [digest.digest])
    done = collect(aged)
    assert (done.blobs, done.links) == (1, 1)
    assert StoreOrigin(store).resolve(parse_reference("localhost/team/app:v2"), AMD64)


def test_an_untagged_image_stays(store: ContentStore, aged: ContentStore) -> None:
    document = image(store, AMD64, b"layer")
    StoreDestination(store, "team/app").publish([document], [])
    assert collect(aged).blobs == 0


def test_a_running_build_keeps_what_it_has_used_since_its_start(tmp_path: Path) -> None:
    store = ContentStore(tmp_path, touch_after_s=0.0)
    base = image(store, AMD64, b"base")
    StoreDestination(store, "team/base").publish([base], ["v1"])
    age(store)
    with store.lease():
        found = StoreOrigin(store).resolve(parse_reference("localhost/team/base:v1"), AMD64)
        store.catalog.delete_repository("team/base")
        assert collect(store, grace_s=0).blobs == 0
        with store.read(found.manifest.layers[0].digest) as stream:
            assert stream.read() == b"base"
    age(store)
    assert collect(store, grace_s=0).blobs == 2
    store.close()


def test_an_upload_that_is_under_way_keeps_the_blobs_that_came_before_it(store: ContentStore) -> None:
    """A slow push: its first blob came two days ago, its last one is still coming."""
    with open_registry(store) as client:
        client.push_blob("team/app", b"came first")
        age(store)
        forget_link_times(store)
        long_ago = ContentStore(store.root, now_ms=lambda: int((time.time() - 1.5 * 24 * HOUR_S) * 1000))
        with open_registry(long_ago) as earlier:
            location = earlier("POST", "/v2/team/app/blobs/uploads/").headers["location"]
        assert collect(store).blobs == 0
        assert client("DELETE", location).status == 204
        assert collect(store).blobs == 1


def test_uploads_that_were_given_up_are_removed(store: ContentStore, aged: ContentStore) -> None:
    with open_registry(store) as client:
        location = client("POST", "/v2/team/app/blobs/uploads/").headers["location"]
        client("PATCH", location, b"half")
        collect(aged)
        assert client("GET", location).status == 404
    assert list((store.root / "uploads").iterdir()) == []


def test_a_blob_that_a_client_was_told_to_be_there_stays_until_its_manifest_comes(store: ContentStore) -> None:
    with open_registry(store, sparse=False) as client:
        client.push_blob("team/app", b"{}")
        client.push_blob("team/app", b"layer")
        age(store)
        forget_link_times(store)
        for data in (b"{}", b"layer"):
            assert client("HEAD", f"/v2/team/app/blobs/{digest_of(data)}").status == 200
        assert collect(store).blobs == 0
        reply = client("PUT", "/v2/team/app/manifests/v1", manifest(b"{}", b"layer"), Content_Type=OCI_MANIFEST)
        assert reply.status == 201


def test_a_collection_can_be_stopped(store: ContentStore) -> None:
    class AtOnce:
        def check(self) -> None:
            raise Stopped("as the test wants it")

        def wait(self, seconds: float) -> bool:
            return True

    keep(store, b"x")
    with pytest.raises(Stopped):
        collect(store, stop=AtOnce())


LEAST = {"pushed": 10, "published": 10, "deleted": 5, "collected": 5}
"""What must have been done beside each other before the stress says anything."""


def test_nothing_needed_goes_while_pushes_deletes_publications_and_collections_run(tmp_path: Path) -> None:
    """Afterwards every manifest that is there has every blob, byte for byte."""
    store = ContentStore(tmp_path, touch_after_s=0.0)
    parts = [bytes([number]) * (1000 + number) for number in range(12)]
    stop = threading.Event()
    failures: list[BaseException] = []
    counts = {"pushed": 0, "published": 0, "deleted": 0, "collected": 0}

    def guarded(work: "threading.Thread | object", *arguments: object) -> None:
        try:
            work(*arguments)  # type: ignore[operator]
        except BaseException as error:
            failures.append(error)
            stop.set()

    def push(client: Client, seed: int) -> None:
        chance = random.Random(seed)
        while not stop.is_set():
            chosen = [b"{}", *chance.sample(parts, 2), chance.randbytes(500)]
            for part in chosen:
                digest = digest_of(part)
                if client("HEAD", f"/v2/team/app/blobs/{digest}").status != 200:
                    client.push_blob("team/app", part)
            reply = client(
                "PUT", f"/v2/team/app/manifests/t{chance.randrange(8)}", manifest(*chosen), Content_Type=OCI_MANIFEST
            )
            assert reply.status == 201, reply
            counts["pushed"] += 1

    def publish(seed: int) -> None:
        chance = random.Random(seed)
        mine = ContentStore(tmp_path, touch_after_s=0.0)
        while not stop.is_set():
            with mine.lease():
                document = image(mine, AMD64, *chance.sample(parts, 3))
                StoreDestination(mine, "team/built").publish([document], [f"t{chance.randrange(8)}"])
            counts["published"] += 1
        mine.close()

    def delete(client: Client) -> None:
        chance = random.Random(0)
        while not stop.is_set():
            repository = chance.choice(["team/app", "team/built"])
            listed = client("GET", f"/v2/{repository}/tags/list")
            tags = listed.json["tags"] if listed.status == 200 else []
            digests = [found.digest for found in store.catalog.images(repository)] if tags else []
            for key in [*chance.sample(tags, len(tags) // 4), *chance.sample(digests, len(digests) // 2)]:
                assert client("DELETE", f"/v2/{repository}/manifests/{key}").status in (202, 404)
                counts["deleted"] += 1
            stop.wait(0.02)

    def collecting() -> None:
        mine = ContentStore(tmp_path, touch_after_s=0.0)
        while not stop.is_set():
            # A push from its first HEAD to its manifest takes well under this, also on a busy machine.
            counts["collected"] += collect(mine, grace_s=3.0).blobs
            stop.wait(0.02)
        mine.close()

    with open_registry(store, sparse=False) as client:
        work = [partial(push, client, 1), partial(push, client, 2), partial(publish, 3), partial(delete, client)]
        threads = [threading.Thread(target=guarded, args=(each,)) for each in (*work, collecting)]
        for thread in threads:
            thread.start()
        began = time.monotonic()
        while not stop.wait(0.2) and time.monotonic() < began + 60:  # a busy machine takes longer to do so much
            enough = all(counts[each] > least for each, least in LEAST.items())
            if enough and time.monotonic() > began + 6:
                break
        stop.set()
        for thread in threads:
            thread.join(60)
        for failure in failures:
            raise failure
        checked = 0
        for repository in ("team/app", "team/built"):
            for found in store.catalog.images(repository):
                reply = client("GET", f"/v2/{repository}/manifests/{found.digest}")
                assert digest_of(reply.body) == found.digest
                for descriptor in [reply.json["config"], *reply.json["layers"]]:
                    blob = client("GET", f"/v2/{repository}/blobs/{descriptor['digest']}")
                    assert (blob.status, digest_of(blob.body)) == (200, descriptor["digest"])
                    checked += 1
    for each, least in LEAST.items():
        assert counts[each] > least
    assert checked > 20
    store.catalog.delete_repository("team/app")
    store.catalog.delete_repository("team/built")
    later = ContentStore(tmp_path, now_ms=lambda: int(time.time() * 1000) + 100_000, touch_after_s=0.0)
    collect(later, grace_s=0.0)
    assert list(later.files.digests()) == [], "and what nobody needs goes"
