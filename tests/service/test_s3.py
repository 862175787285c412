"""The embedded registry whose blobs are kept by S3: a moto server that is a process, real botocore, real clients."""

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeyard.errors import DigestMismatch, InputError, RegistryError
from pipeyard.oci import Digest, digest_of, parse_digest
from pipeyard.registry.client import Access, open_registries
from pipeyard.registry.collection import collect
from pipeyard.registry.credentials import Anonymous
from pipeyard.registry.reference import Reference
from pipeyard.registry.store import ContentStore
from pipeyard.service.s3 import S3Objects, parse_location
from tests.registry.running import Client, open_registry, registry_process
from tests.registry_client.images import has_all, push, sample
from tests.service.moto_server import KEYS, clients_of, moto_server

LARGE = os.urandom(1 << 20) * 40  # three parts


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def bucket(aws: str, tmp_path: Path) -> str:
    name = f"blobs-{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}"
    clients_of(aws)("s3", "").create_bucket(Bucket=name)
    return name


@pytest.fixture
def objects(aws: str, bucket: str) -> S3Objects:
    return S3Objects(clients_of(aws)("s3", ""), bucket, "registry")


@pytest.fixture
def store(tmp_path: Path, objects: S3Objects) -> Iterator[ContentStore]:
    store = ContentStore(tmp_path / "store", objects=objects, touch_after_s=0)
    yield store
    store.close()


def keys(aws: str, bucket: str) -> list[str]:
    return [each["Key"] for each in clients_of(aws)("s3", "").list_objects_v2(Bucket=bucket).get("Contents", [])]


def key_of(digest: str) -> str:
    return f"registry/blobs/sha256/{digest[7:9]}/{digest[7:]}"


def forget_disk(store: ContentStore) -> None:
    """As on a machine whose disk holds only the catalog and the notes."""
    for file in (store.root / "blobs").rglob("*"):
        if file.is_file():
            file.unlink()


@pytest.mark.parametrize("redirect", [True, False], ids=["redirected", "streamed"])
def test_what_was_pushed_is_in_the_bucket_and_pulled_from_there(
    store: ContentStore, aws: str, bucket: str, redirect: bool
) -> None:
    image = sample(1, (3_000_000, 70_000))
    with open_registry(store, redirect=redirect) as client, open_registries(Access(), Anonymous()) as registries:
        reference = Reference(f"127.0.0.1:{client.port}", "team/app")
        push(image, registries.destination(reference), ("1",))
        assert sorted(keys(aws, bucket)) == sorted(key_of(digest) for digest in image.blobs)
        forget_disk(store)
        assert has_all(registries.repository(reference), image, "1")
        layer = next(part for part, data in image.blobs.values() if len(data) == 3_000_000)
        reply = client("GET", f"/v2/team/app/blobs/{layer.digest}", Range="bytes=1000-1999")
        data = image.blobs[layer.digest][1]
        if redirect:
            assert reply.status == 307
            assert reply.headers["location"].startswith(f"{aws}/{bucket}/{key_of(layer.digest)}?")
        else:
            assert (reply.status, reply.body) == (206, data[1000:2000])
            assert reply.headers["content-range"] == f"bytes 1000-1999/{len(data)}"
        head = client("HEAD", f"/v2/team/app/blobs/{layer.digest}")
        assert (head.status, head.headers["content-length"]) == (200, str(len(data)))


def test_a_large_blob_goes_in_parts_and_is_whole(store: ContentStore, aws: str, bucket: str) -> None:
    with open_registry(store) as client:
        digest = client.push_blob("team/app", LARGE)
        store.make_durable([parse_digest(digest)])
    found = clients_of(aws)("s3", "").head_object(Bucket=bucket, Key=key_of(digest))
    assert found["ETag"].strip('"').endswith("-3")
    forget_disk(store)
    with store.read(parse_digest(digest)) as stream:
        assert digest_of(stream.read()) == digest
    with store.read(parse_digest(digest), len(LARGE) - 5) as stream:
        assert stream.read() == LARGE[-5:]


def test_a_wrong_digest_puts_nothing_into_the_bucket(store: ContentStore, aws: str, bucket: str) -> None:
    with open_registry(store) as client:
        wrong = digest_of(b"other")
        assert client("POST", f"/v2/team/app/blobs/uploads/?digest={wrong}", b"content").status == 400
    with pytest.raises(DigestMismatch), store.writer() as out:
        out.write(b"content")
        out.commit(expected=wrong)
    assert keys(aws, bucket) == []


class Failing:
    """S3's client, one of whose operations fails."""

    def __init__(self, client: Any, operation: str) -> None:
        self._client = client
        self.operation = operation

    def __getattr__(self, name: str) -> Any:
        if name != self.operation:
            return getattr(self._client, name)

        def fail(**_: Any) -> None:
            from botocore.exceptions import EndpointConnectionError

            raise EndpointConnectionError(endpoint_url="http://s3.example.com")

        return fail


@pytest.mark.parametrize("operation", ["upload_part", "complete_multipart_upload", "create_multipart_upload"])
def test_while_the_bucket_fails_no_manifest_is_stored_and_later_it_is(
    tmp_path: Path, aws: str, bucket: str, operation: str
) -> None:
    client_of_s3 = Failing(clients_of(aws)("s3", ""), operation)
    store = ContentStore(tmp_path / "store", objects=S3Objects(client_of_s3, bucket, "registry"))
    with open_registry(store) as client:
        with pytest.raises(AssertionError, match="500"):
            client.push_image("team/app", "v1", LARGE)
        assert client("GET", "/v2/team/app/manifests/v1").status == 404
        unfinished = clients_of(aws)("s3", "").list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        assert (unfinished, key_of(digest_of(LARGE)) in keys(aws, bucket)) == ([], False)
        client_of_s3.operation = ""
        client.push_image("team/app", "v1", LARGE)
        assert key_of(digest_of(LARGE)) in keys(aws, bucket)
    store.close()


def keep(store: ContentStore, repository: str, data: bytes) -> Digest:
    with store.writer() as out:
        out.write(data)
        digest = out.commit().digest
    store.make_durable([digest])
    if repository:
        store.mount(repository, digest)
    return digest


def age(store: ContentStore) -> None:
    for folder in ("blobs", "remote"):
        for file in (store.root / folder).rglob("*"):
            if file.is_file():
                os.utime(file, (1, 1))


def test_the_collection_deletes_what_nothing_needs_and_evicts_the_disk(
    store: ContentStore, aws: str, bucket: str
) -> None:
    with open_registry(store) as client:
        client.push_image("team/app", "v1", b"needed")
    unused, fresh = keep(store, "", b"unused"), keep(store, "", b"fresh")
    age(store)
    assert store.size(fresh) == 5
    done = collect(store, grace_s=3600)
    assert done.blobs == 1
    assert key_of(unused) not in keys(aws, bucket)
    assert store.size(unused) is None
    assert not store.files.path(parse_digest(digest_of(b"needed"))).exists()
    for data in (b"needed", b"fresh"):
        with store.read(parse_digest(digest_of(data))) as stream:
            assert stream.read() == data


def test_an_object_that_is_wanted_again_before_it_was_deleted_stays(store: ContentStore, aws: str, bucket: str) -> None:
    """A collection was killed between giving up a blob and deleting its object; then the blob was pushed again."""
    digest = keep(store, "", b"again")
    age(store)
    assert store.remote is not None
    assert store.remote.release(digest, time.time() - 60) == 5
    assert store.remote.size(digest) is None
    assert keep(store, "", b"again") == digest
    store.remote.sweep()
    assert key_of(digest) in keys(aws, bucket)
    age(store)
    store.remote.release(digest, time.time() - 60)
    store.remote.sweep()
    assert key_of(digest) not in keys(aws, bucket)


def test_many_pushes_beside_collections_lose_nothing(store: ContentStore) -> None:
    """Each manifest that was acknowledged has all its blobs, whatever was given up and pushed again meanwhile."""
    stop = threading.Event()
    done: list[tuple[str, bytes]] = []
    failures: list[AssertionError] = []

    def pushing(client: Client, worker: int) -> None:
        for number in range(8):
            layers = (b"shared %d" % (number % 3), b"own %d %d" % (worker, number))
            try:
                done.append((f"t{worker}-{number}", client.push_image("team/app", f"t{worker}-{number}", *layers)[1]))
            except AssertionError as error:  # refused: the grace period is far too short for a busy machine
                failures.append(error)

    def collecting() -> None:
        while not stop.is_set():
            collect(store, grace_s=0.2)

    with open_registry(store, sparse=False) as client:
        collector = threading.Thread(target=collecting)
        pushers = [threading.Thread(target=pushing, args=(client, worker)) for worker in range(3)]
        for thread in (collector, *pushers):
            thread.start()
        for thread in pushers:
            thread.join(120)
        stop.set()
        collector.join(60)
        for tag, data in done:
            reply = client("GET", f"/v2/team/app/manifests/{tag}")
            assert reply.body == data
            for part in [reply.json["config"], *reply.json["layers"]]:
                with store.read(parse_digest(part["digest"])) as stream:
                    assert digest_of(stream.read()) == part["digest"]
    assert len(done) + len(failures) == 24
    assert done, failures
    assert all("MANIFEST_BLOB_UNKNOWN" in str(failure) for failure in failures)


def test_a_server_process_keeps_its_blobs_in_the_bucket_of_the_settings(tmp_path: Path, aws: str, bucket: str) -> None:
    settings: dict[str, Any] = {
        **KEYS,
        "AWS_ENDPOINT_URL": aws,
        "PIPEYARD_REGISTRY_STORAGE": f"s3://{bucket}/deep/prefix",
    }
    with registry_process(tmp_path, "--anonymous", "push", **settings) as server:
        Client(server.port).push_image("team/app", "v1", b"layer")
        assert len(keys(aws, bucket)) == 2
        assert all(key.startswith("deep/prefix/blobs/sha256/") for key in keys(aws, bucket))
        server.kill()
    for file in (tmp_path / "registry/blobs").rglob("*"):
        if file.is_file():
            file.unlink()
    with registry_process(tmp_path, "--anonymous", "push", PIPEYARD_REGISTRY_REDIRECT="false", **settings) as server:
        client = Client(server.port)
        assert client("GET", f"/v2/team/app/blobs/{digest_of(b'layer')}").body == b"layer"


def test_a_bucket_that_is_not_there_is_said_to_the_client_and_nothing_is_stored(tmp_path: Path, aws: str) -> None:
    store = ContentStore(tmp_path / "store", objects=S3Objects(clients_of(aws)("s3", ""), "no-such-bucket", ""))
    with open_registry(store) as client, pytest.raises(AssertionError, match="NoSuchBucket"):
        client.push_image("team/app", "v1", b"layer")
    with pytest.raises(RegistryError):
        store.make_durable([parse_digest(digest_of(b"layer"))])
    store.close()


@pytest.mark.parametrize(
    ("text", "found"),
    [("s3://bucket", ("bucket", "")), ("s3://bucket/", ("bucket", "")), ("s3://my.bucket/a/b/", ("my.bucket", "a/b"))],
)
def test_a_location_is_a_bucket_and_a_prefix(text: str, found: tuple[str, str]) -> None:
    assert parse_location(text) == found


@pytest.mark.parametrize("text", ["bucket", "http://bucket/a", "s3://", "s3:///a", "s3://BUCKET", "s3://b/a?x"])
def test_what_is_no_location_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no place for blobs"):
        parse_location(text)
