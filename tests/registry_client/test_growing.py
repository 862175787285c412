"""Blobs that travel while they are still being written."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeyard.errors import RegistryError
from pipeyard.oci import media_types
from pipeyard.registry.blob_files import BlobFiles
from pipeyard.registry.client import Registries
from pipeyard.registry.exchange import Destination, Offer
from pipeyard.registry.followed import FollowedStore
from pipeyard.registry.reference import Reference
from tests.registry_client.faulty_proxy import DAMAGES, Fault, FaultyProxy, Plan, Seen, from_then_on
from tests.registry_client.images import has_all, push, sample

IMAGE = sample(7, sizes=(70_000,))
LAYER, DATA = next(part for part in IMAGE.blobs.values() if part[0].media_type == media_types.OCI_LAYER)
PIECE = 10_000


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeyard.registry.followed.LARGE", PIECE)
    monkeypatch.setattr("pipeyard.registry.followed._TOLD_EVERY", PIECE)
    monkeypatch.setattr("pipeyard.registry.client.uploads._FOLLOWED_PIECE", 2 * PIECE)


@pytest.fixture
def proxy(registry: str) -> Iterator[FaultyProxy]:
    with FaultyProxy(registry) as running:
        yield running


def write(store: FollowedStore, proxy: FaultyProxy, *, wait_for: str = "PATCH") -> None:
    """The layer, piece by piece; in its middle, waits until something of it was sent."""
    with store.writer() as out:
        for at in range(0, len(DATA), PIECE):
            out.write(DATA[at : at + PIECE])
            if at == 5 * PIECE and wait_for:
                until(proxy, wait_for)
        out.commit(LAYER.media_type)


def until(proxy: FaultyProxy, method: str) -> None:
    deadline = time.monotonic() + 20
    while not any(seen.method == method for seen in proxy.seen):
        assert time.monotonic() < deadline, f"no {method} came"
        time.sleep(0.01)


def build(destination: Destination, folder: Path, proxy: FaultyProxy, *, wait_for: str = "PATCH") -> None:
    """Writes the layer and pushes the image, as a build does."""
    store = BlobFiles(folder)
    write(FollowedStore(store, destination.follow), proxy, wait_for=wait_for)
    destination.offer(Offer(descriptor=LAYER, open=lambda start: store.read(LAYER.digest, start)))
    push(IMAGE, destination, ("1",))


def test_a_layer_is_sent_while_it_is_written(
    registry: str, proxy: FaultyProxy, registries: Registries, name: str, tmp_path: Path
) -> None:
    build(registries.destination(Reference(proxy.host, name)), tmp_path, proxy)
    assert has_all(registries.repository(Reference(registry, name)), IMAGE, "1")
    sent = [seen for seen in proxy.seen if seen.method == "PATCH"]
    ranges = [tuple(map(int, seen.headers["content-range"].split("-"))) for seen in sent]
    assert [start for start, _ in ranges] == [0, *(end + 1 for _, end in ranges[:-1])]
    assert ranges[0][1] < ranges[-1][1] == len(DATA) - 1
    named = [seen for seen in proxy.seen if seen.method == "PUT" and LAYER.digest in seen.path]
    assert [seen.headers["content-length"] for seen in named] == ["0"]


def test_a_layer_that_turns_out_to_be_there_is_not_sent_to_its_end(
    registry: str, proxy: FaultyProxy, registries: Registries, name: str, tmp_path: Path
) -> None:
    push(IMAGE, registries.destination(Reference(registry, name)), ("1",))
    build(registries.destination(Reference(proxy.host, name)), tmp_path, proxy)
    assert [seen for seen in proxy.seen if seen.method == "PUT" and LAYER.digest in seen.path] == []
    assert [seen.method for seen in proxy.seen if "/blobs/uploads/" in seen.path][-1] == "DELETE"


def test_nothing_is_left_of_a_layer_that_never_became_whole(
    registry: str, proxy: FaultyProxy, registries: Registries, name: str, tmp_path: Path
) -> None:
    destination = registries.destination(Reference(proxy.host, name))
    store = FollowedStore(BlobFiles(tmp_path), destination.follow)
    with store.writer() as out:
        for at in range(0, 50_000, PIECE):
            out.write(DATA[at : at + PIECE])
        until(proxy, "PATCH")
    until(proxy, "DELETE")
    destination.close()
    assert registries.repository(Reference(registry, name)).blob_size(LAYER.digest) is None


FAULTS = {
    **{str(damage): Fault(damage) for damage in DAMAGES},
    "404": Fault("status", 404),
    "416": Fault("status", 416),
    "429": Fault("status", 429, (("Retry-After", "0"),)),
    "500": Fault("status", 500),
    "405": Fault("status", 405),
}


def at(method: str, number: int, fault: Fault) -> Plan:
    """The fault for one request of the growing layer's upload: nothing else is uploaded before it is whole."""
    met: set[int] = set()

    def plan(seen: Seen) -> Fault | None:
        if seen.method == method and "/blobs/" in seen.path and (method != "PUT" or LAYER.digest in seen.path):
            met.add(seen.number)
            return fault if len(met) == number + 1 else None
        return None

    return plan


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("step", [("POST", 0), ("PATCH", 0), ("PATCH", 1), ("PUT", 0), ("HEAD", 0)])
def test_one_fault_on_the_way_of_a_growing_layer_is_mended_by_sending_it_whole(
    fault: Fault, step: tuple[str, int], our_registry: str, registries: Registries, name: str, tmp_path: Path
) -> None:
    with FaultyProxy(our_registry) as proxy:
        proxy.use(at(*step, fault))
        try:
            build(registries.destination(Reference(proxy.host, name)), tmp_path, proxy, wait_for="POST")
        except RegistryError:
            # Only what a registry may believe, or a refusal of the whole one's own question.
            assert fault.damage == "corrupt request" or step[0] == "HEAD"
        else:
            assert has_all(registries.repository(Reference(our_registry, name)), IMAGE, "1")


def test_a_registry_without_uploads_in_pieces_gets_it_whole(
    our_registry: str, registries: Registries, name: str, tmp_path: Path
) -> None:
    def no_patch(seen: Seen) -> Fault | None:
        return Fault("status", 405) if seen.method == "PATCH" else None

    with FaultyProxy(our_registry) as proxy:
        proxy.use(no_patch)
        build(registries.destination(Reference(proxy.host, name)), tmp_path, proxy)
        assert has_all(registries.repository(Reference(our_registry, name)), IMAGE, "1")


def test_a_registry_that_refuses_everything_is_told_once(
    our_registry: str, registries: Registries, name: str, tmp_path: Path
) -> None:
    with FaultyProxy(our_registry) as proxy:
        proxy.use(from_then_on(0, Fault("status", 403)))
        with pytest.raises(RegistryError):
            build(registries.destination(Reference(proxy.host, name)), tmp_path, proxy, wait_for="")


def test_what_is_small_is_not_followed(tmp_path: Path) -> None:
    store = FollowedStore(BlobFiles(tmp_path), lambda blob: pytest.fail("followed"))
    with store.writer() as out:
        out.write(DATA[: PIECE - 1])
        out.commit()
