"""Damage at every step of a push and of a pull: the result is complete and right, or absent and explained."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from pipeyard.errors import InputError, RegistryError
from pipeyard.oci import ImageManifest, Platform, decode_manifest
from pipeyard.registry.client import Registries
from pipeyard.registry.client.copying import copy_image
from pipeyard.registry.client.shelves import StoreShelf
from pipeyard.registry.embedded import StoreDestination
from pipeyard.registry.reference import Reference
from pipeyard.registry.store import ContentStore
from tests.registry_client.faulty_proxy import DAMAGES, Damage, Fault, FaultyProxy, Seen, from_then_on, harmless, once
from tests.registry_client.images import has_all, push, sample

IMAGE = sample(1)
# What a client can mend alone: nobody told it anything wrong, or the registry noticed.
MENDABLE_IN_A_PUSH = frozenset(DAMAGES) - {"corrupt request"}
FAULTS: dict[str, Fault] = {
    **{str(damage): Fault(damage) for damage in DAMAGES},
    "429": Fault("status", 429, (("Retry-After", "0"),)),
    "500": Fault("status", 500),
    "early 500": Fault("early status", 500),
    "401": Fault("status", 401, (("WWW-Authenticate", 'Basic realm="x"'),)),
    "bare 401": Fault("status", 401),
}


@pytest.fixture(scope="module")
def any_registry(request: pytest.FixtureRequest) -> str:
    host: str = request.getfixturevalue("our_registry")
    return host


@pytest.fixture
def proxy(any_registry: str) -> Iterator[FaultyProxy]:
    with FaultyProxy(any_registry) as running:
        yield running


def _steps_of_a_push(proxy: FaultyProxy, hasty_registries: Registries, name: str) -> int:
    proxy.use(harmless)
    push(IMAGE, hasty_registries.destination(Reference(proxy.host, f"{name}/clean")), ("1", "2"))
    return len(proxy.seen)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_one_fault_at_any_step_of_a_push_leaves_the_image_whole_or_absent(
    fault: Fault, proxy: FaultyProxy, hasty_registries: Registries, any_registry: str, name: str
) -> None:
    for step in range(_steps_of_a_push(proxy, hasty_registries, name)):
        proxy.use(once(step, fault))
        target = Reference(proxy.host, f"{name}/{step}")
        direct = hasty_registries.repository(Reference(any_registry, target.repository))
        try:
            published = push(IMAGE, hasty_registries.destination(target), ("1", "2"))
        except RegistryError:
            assert fault.status == 401 or fault.damage not in MENDABLE_IN_A_PUSH, step
            assert direct.document("2") is None or has_all(direct, IMAGE, "2")
            assert direct.document("1") is None or has_all(direct, IMAGE, "1")
        else:
            assert published.digest == IMAGE.digest
            assert has_all(direct, IMAGE, "1")
            assert direct.document("2") == IMAGE.root


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_registry_that_fails_for_good_at_any_step_of_a_push_is_told_and_leaves_no_wrong_tag(
    fault: Fault, proxy: FaultyProxy, hasty_registries: Registries, any_registry: str, name: str
) -> None:
    steps = _steps_of_a_push(proxy, hasty_registries, name)
    for step in range(0, steps, 3) if fault.damage == "stall" else range(steps):
        proxy.use(from_then_on(step, fault))
        target = Reference(proxy.host, f"{name}/{step}")
        direct = hasty_registries.repository(Reference(any_registry, target.repository))
        try:
            push(IMAGE, hasty_registries.destination(target), ("1", "2"))
        except RegistryError:
            pass
        else:
            # Nothing to damage, or this push had fewer requests: on a busy machine the first one repeats some.
            assert fault.damage in ("corrupt answer", "truncate", "corrupt request") or len(proxy.seen) <= step
        for tag in ("1", "2"):
            assert direct.document(tag) is None or has_all(direct, IMAGE, tag) or fault.damage == "corrupt request"


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_one_fault_at_any_step_of_a_pull_leaves_the_image_whole_or_absent(
    fault: Fault, proxy: FaultyProxy, hasty_registries: Registries, any_registry: str, name: str, tmp_path: Path
) -> None:
    push(IMAGE, hasty_registries.destination(Reference(any_registry, name)), ("1",))
    source = Reference(proxy.host, name, "1")

    def pull(folder: Path) -> ContentStore:
        store = ContentStore(folder)
        destination = StoreDestination(store, "pulled")
        try:
            copy_image(
                hasty_registries.repository(source), source, destination, ("1",), platform=Platform("linux", "amd64")
            )
        finally:
            destination.close()
        return store

    proxy.use(harmless)
    pull(tmp_path / "clean").close()
    for step in range(len(proxy.seen)):
        proxy.use(once(step, fault))
        folder = tmp_path / str(step)
        try:
            store = pull(folder)
        except (RegistryError, InputError):
            assert fault.status == 401 or fault.damage == "corrupt answer", step
            store = ContentStore(folder)
            assert store.catalog.manifest("pulled", "1") is None
        else:
            shelf = StoreShelf(store, "pulled")
            document = shelf.document("1")
            assert document == IMAGE.root
            for descriptor, data in IMAGE.blobs.values():
                with shelf.read(descriptor) as stream:
                    assert stream.read() == data
        store.close()


def test_an_upload_that_broke_goes_on_where_it_was(
    proxy: FaultyProxy, hasty_registries: Registries, any_registry: str, name: str
) -> None:
    """Our registry keeps what arrived; one that does not (docker-registry 2.8) gets the blob again from the start."""
    image = sample(20, (2_000_000,))
    broken: list[int] = []

    def plan(seen: Seen) -> Fault | None:
        large = seen.method == "PUT" and int(seen.headers.get("content-length", "0")) > 1_000_000
        if large and not broken:
            broken.append(seen.number)
            return Fault("drop midway")
        return None

    proxy.use(plan)
    push(image, hasty_registries.destination(Reference(proxy.host, name)), ("1",))
    assert has_all(hasty_registries.repository(Reference(any_registry, name)), image, "1")
    patches = [seen for seen in proxy.seen if seen.method == "PATCH"]
    assert [int(seen.headers["content-length"]) for seen in patches] == [1_000_000]
    assert patches[0].headers["content-range"] == "1000000-1999999"


def test_a_download_that_broke_goes_on_where_it_was(
    proxy: FaultyProxy, hasty_registries: Registries, any_registry: str, name: str
) -> None:
    image = sample(21, (2_000_000,))
    push(image, hasty_registries.destination(Reference(any_registry, name)), ("1",))
    layer = decode_manifest(image.root.data)
    assert isinstance(layer, ImageManifest)
    proxy.use(lambda seen: Fault("truncate") if seen.number < 3 else None)
    with hasty_registries.repository(Reference(proxy.host, name)).read(layer.layers[0]) as stream:
        assert stream.read() == image.blobs[layer.layers[0].digest][1]
    assert [seen.headers.get("range", "") for seen in proxy.seen][:2] == ["", "bytes=999999-"]


def test_the_damages_of_the_proxy_are_all_tried() -> None:
    assert {fault.damage for fault in FAULTS.values()} == set(get_args(Damage))
