"""The content store: blobs, publications and leases, as builds use them."""

import os
import stat
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeyard.errors import DigestMismatch, InputError, RegistryError
from pipeyard.oci import (
    Descriptor,
    Digest,
    ImageConfig,
    ImageIndex,
    ImageManifest,
    Platform,
    RootFs,
    digest_of,
    encode,
)
from pipeyard.oci.documents import PlatformField
from pipeyard.oci.media_types import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST
from pipeyard.registry.embedded import StoreDestination, StoreOrigin
from pipeyard.registry.exchange import Document, Offer
from pipeyard.registry.leases import oldest_lease_ms
from pipeyard.registry.reference import parse_reference
from pipeyard.registry.store import ContentStore

AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")


def keep(store: ContentStore, data: bytes, media_type: str = OCI_LAYER) -> Descriptor:
    with store.writer() as out:
        out.write(data)
        return out.commit(media_type)


def image(store: ContentStore, platform: Platform, *layers: bytes) -> Document:
    config = ImageConfig(architecture=platform.architecture, os=platform.os, rootfs=RootFs())
    return Document(
        media_type=OCI_MANIFEST,
        data=encode(
            ImageManifest(
                schema_version=2,
                media_type=OCI_MANIFEST,
                config=keep(store, encode(config), OCI_CONFIG),
                layers=[keep(store, layer) for layer in layers],
            )
        ),
    )


def index_of(members: Sequence[tuple[Document, Platform]]) -> Document:
    manifests = [
        Descriptor(
            media_type=document.media_type,
            digest=digest_of(document.data),
            size=len(document.data),
            platform=PlatformField(architecture=platform.architecture, os=platform.os),
        )
        for document, platform in members
    ]
    return Document(
        media_type=OCI_INDEX, data=encode(ImageIndex(schema_version=2, media_type=OCI_INDEX, manifests=manifests))
    )


def contents(store: ContentStore) -> list[Digest]:
    return [digest for digest, _ in store.files.digests()]


def test_a_blob_is_read_back_from_any_offset(store: ContentStore) -> None:
    found = keep(store, b"0123456789")
    assert store.size(found.digest) == 10
    with store.read(found.digest, 4) as stream:
        assert stream.read() == b"456789"


@given(pieces=st.lists(st.binary(max_size=300_000), max_size=6), algorithm=st.sampled_from(["sha256", "sha512"]))
def test_however_a_blob_is_written_its_name_is_its_hash(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], algorithm: str
) -> None:
    store = ContentStore(tmp_path_factory.mktemp("store"))
    with store.writer(algorithm) as out:
        for piece in pieces:
            out.write(piece)
        found = out.commit()
    whole = b"".join(pieces)
    assert (found.digest, found.size) == (digest_of(whole, algorithm), len(whole))
    with store.read(found.digest) as stream:
        assert stream.read() == whole


def test_a_blob_without_commit_or_with_a_wrong_digest_leaves_no_trace(store: ContentStore) -> None:
    with store.writer() as out:
        out.write(b"never finished")
    with pytest.raises(DigestMismatch), store.writer() as out:
        out.write(b"wrong")
        out.commit(expected=digest_of(b"right"))
    with pytest.raises(RegistryError, match="not in the store") as missing, store.read(digest_of(b"wrong")):
        pass
    assert missing.value.code == "BLOB_UNKNOWN"
    assert contents(store) == []
    assert list((store.root / "incoming").iterdir()) == []


def test_the_same_blob_from_many_threads_is_one_file(store: ContentStore) -> None:
    barrier = threading.Barrier(8)

    def write() -> Digest:
        with store.writer() as out:
            out.write(b"x" * 1_000_000)
            barrier.wait()
            return out.commit().digest

    with ThreadPoolExecutor(8) as pool:
        digests = {pool.submit(write).result for _ in range(8)}
    assert len({digest() for digest in digests}) == 1
    assert len(contents(store)) == 1


def test_a_published_blob_is_durable_and_stays_so_when_it_is_written_again(store: ContentStore) -> None:
    document = image(store, AMD64, b"layer")
    path = store.files.path(digest_of(b"layer"))
    assert stat.S_IMODE(path.stat().st_mode) & stat.S_IWUSR, "a build waits for no disk"
    StoreDestination(store, "team/app").publish([document], ["v1"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    keep(store, b"layer")
    assert stat.S_IMODE(path.stat().st_mode) == 0o444


def test_after_a_reboot_what_was_not_durable_is_checked_before_it_is_believed(store: ContentStore) -> None:
    torn, whole, published = keep(store, b"torn"), keep(store, b"whole"), keep(store, b"published")
    store.files.make_durable([published.digest])
    store.files.path(torn.digest).write_bytes(b"\0\0\0\0")
    (store.root / "boot").write_text("another boot")
    again = ContentStore(store.root)
    assert again.size(torn.digest) is None
    assert again.size(whole.digest) == 5
    assert again.size(published.digest) == 9


def test_a_publication_is_resolved_for_the_platform_that_was_asked_for(store: ContentStore) -> None:
    amd, arm = image(store, AMD64, b"amd"), image(store, ARM64, b"arm")
    root = index_of([(amd, AMD64), (arm, ARM64)])
    published = StoreDestination(store, "team/app", "localhost:8470").publish([amd, arm, root], ["v1", "latest"])
    assert published.references == ("localhost:8470/team/app:v1", "localhost:8470/team/app:latest")
    assert published.digest == digest_of(root.data)
    found = StoreOrigin(store).resolve(parse_reference("localhost:8470/team/app:v1"), ARM64)
    assert found.root.digest == published.digest
    assert found.config.architecture == "arm64"
    with StoreOrigin(store).read(found, found.manifest.layers[0], 1) as stream:
        assert stream.read() == b"rm"
    configs = [decoded.config.size for decoded in (found.manifest,)]
    assert published.size > len(root.data) + len(amd.data) + len(arm.data) + sum(configs)


def test_an_image_that_is_not_there_is_an_input_error_that_names_what_is(store: ContentStore) -> None:
    origin = StoreOrigin(store)
    with pytest.raises(InputError, match="not in the embedded registry"):
        origin.resolve(parse_reference("localhost/team/app:v1"), AMD64)
    amd = image(store, AMD64, b"amd")
    StoreDestination(store, "team/app").publish([amd, index_of([(amd, AMD64)])], ["v1"])
    with pytest.raises(InputError) as tag:
        origin.resolve(parse_reference("localhost/team/app:v2"), AMD64)
    assert "v1" in tag.value.hint
    with pytest.raises(InputError) as platform:
        origin.resolve(parse_reference("localhost/team/app:v1"), Platform("linux", "s390x"))
    assert "linux/amd64" in platform.value.hint


def test_a_publication_brings_what_the_store_does_not_have(store: ContentStore, tmp_path: Path) -> None:
    elsewhere = ContentStore(tmp_path / "elsewhere")
    document = image(elsewhere, AMD64, b"base", b"more")
    destination = StoreDestination(store, "team/app")
    for digest in contents(elsewhere):
        descriptor = Descriptor(media_type=OCI_LAYER, digest=digest, size=elsewhere.size(digest) or 0)
        destination.offer(Offer(descriptor=descriptor, open=_opener(elsewhere, digest)))
    destination.publish([document], ["v1"])
    destination.close()
    assert sorted(contents(store)) == sorted(contents(elsewhere))


class _Opener:
    def __init__(self, store: ContentStore, digest: Digest) -> None:
        self.store, self.digest = store, digest

    def __call__(self, start: int) -> AbstractContextManager[BinaryIO]:
        return self.store.read(self.digest, start)


_opener = _Opener


def test_a_blob_that_cannot_be_brought_fails_the_publication_and_sets_no_tag(
    store: ContentStore, tmp_path: Path
) -> None:
    elsewhere = ContentStore(tmp_path / "elsewhere")
    document = image(elsewhere, AMD64, b"base")
    destination = StoreDestination(store, "team/app")
    missing = Descriptor(media_type=OCI_LAYER, digest=digest_of(b"lost"), size=4)
    destination.offer(Offer(descriptor=missing, open=_opener(elsewhere, missing.digest)))
    with pytest.raises(RegistryError):
        destination.publish([document], ["v1"])
    destination.close()
    destination.close()
    assert store.catalog.repository("team/app") is None


def test_all_tags_of_a_publication_are_set_or_none(store: ContentStore) -> None:
    first, second = image(store, AMD64, b"first"), image(store, AMD64, b"second")
    StoreDestination(store, "team/app").publish([first], ["b"])
    store.catalog.configure("team/app", immutable=True)
    with pytest.raises(RegistryError, match="immutable"):
        StoreDestination(store, "team/app").publish([second], ["a", "b", "c"])
    assert store.catalog.tags("team/app") == ("b",)
    assert store.catalog.manifest("team/app", digest_of(second.data)) is None


def test_publishing_twice_is_the_same_as_once(store: ContentStore) -> None:
    document = image(store, AMD64, b"layer")
    results = [StoreDestination(store, "team/app").publish([document], ["v1", "v1"]) for _ in range(2)]
    assert results[0] == results[1]
    assert len(store.catalog.images("team/app")) == 1


def test_images_are_listed_with_their_size_time_tags_and_parents(tmp_path: Path) -> None:
    store = ContentStore(tmp_path, now_ms=lambda: 1234)
    amd = image(store, AMD64, b"x" * 1000)
    root = index_of([(amd, AMD64)])
    StoreDestination(store, "team/app").publish([amd, root], ["v1"])
    listed = {found.digest: found for found in store.catalog.images("team/app")}
    member, top = listed[digest_of(amd.data)], listed[digest_of(root.data)]
    assert (top.tags, top.pushed_ms, member.tags, member.parents) == (("v1",), 1234, (), (top.digest,))
    assert member.image_bytes > 1000
    assert top.image_bytes == member.image_bytes + len(root.data)


def test_two_processes_see_each_others_publications(store: ContentStore) -> None:
    other = ContentStore(store.root)
    StoreDestination(other, "team/app").publish([image(other, AMD64, b"layer")], ["v1"])
    assert store.catalog.tags("team/app") == ("v1",)
    StoreDestination(store, "team/app").publish([image(store, AMD64, b"layer")], ["v2"])
    assert other.catalog.tags("team/app") == ("v1", "v2")


def test_publications_from_many_threads_and_connections_all_arrive(store: ContentStore) -> None:
    others = [store, ContentStore(store.root), ContentStore(store.root)]

    def publish(number: int) -> None:
        mine = others[number % 3]
        StoreDestination(mine, "team/app").publish([image(mine, AMD64, b"%d" % (number % 5))], [f"t{number}"])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(publish, range(30)))
    assert len(store.catalog.tags("team/app")) == 30
    assert len(store.catalog.images("team/app")) == 5


def test_processes_that_open_a_new_store_at_once_all_can_publish(tmp_path: Path) -> None:
    children = []
    for number in range(8):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                store = ContentStore(tmp_path)
                StoreDestination(store, "team/app").publish([image(store, AMD64, b"layer")], [f"t{number}"])
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    assert len(ContentStore(tmp_path).catalog.tags("team/app")) == 8


def test_a_build_that_needs_only_blobs_opens_no_database(store: ContentStore) -> None:
    keep(store, b"layer")
    assert not (store.root / "catalog.sqlite").exists()


def test_a_lease_ends_with_its_holder_however_it_dies(tmp_path: Path) -> None:
    store = ContentStore(tmp_path, now_ms=lambda: 5000)
    folder = store.root / "leases"
    with store.lease():
        assert oldest_lease_ms(folder) == 5000
    assert oldest_lease_ms(folder) is None
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with store.lease():
            os.write(writer, b"held")
            threading.Event().wait(60)
        os._exit(0)
    assert os.read(reader, 4) == b"held"
    assert oldest_lease_ms(folder) == 5000
    os.kill(child, 9)
    os.waitpid(child, 0)
    assert oldest_lease_ms(folder) is None
    assert list(folder.iterdir()) == []
