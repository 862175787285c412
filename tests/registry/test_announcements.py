"""A tag that moves is announced while somebody listens: with the move, or not at all."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from pipeyard.errors import RegistryError
from pipeyard.registry.announcements import listening
from pipeyard.registry.manifests import ManifestFacts, examine
from pipeyard.registry.store import ContentStore
from tests.registry.running import OCI_MANIFEST, manifest

CONFIG = b"{}"


def image(store: ContentStore, name: str) -> ManifestFacts:
    with store.writer() as out:
        out.write(CONFIG)
        out.commit("application/vnd.oci.image.config.v1+json")
    return examine(manifest(CONFIG, annotations={"name": name}), OCI_MANIFEST)


def announced(store: ContentStore) -> list[tuple[str, str, str]]:
    return [(each.repository, each.tag, each.digest) for each in store.catalog.announcements()]


def test_each_move_of_a_tag_is_announced_once_and_a_push_of_the_same_image_is_no_move(store: ContentStore) -> None:
    first, second = image(store, "first"), image(store, "second")
    with listening(store.root, 1):
        for facts, tags in ((first, ["1", "latest"]), (first, ["latest"]), (second, ["latest"]), (first, ["latest"])):
            store.put("app", [facts], tags, adopt=True)
        store.put("app", [second], [], adopt=True)
    assert announced(store) == [
        ("app", "1", first.digest),
        ("app", "latest", first.digest),
        ("app", "latest", second.digest),
        ("app", "latest", first.digest),
    ]


def test_nothing_is_announced_to_nobody_and_nothing_is_announced_late(store: ContentStore) -> None:
    store.put("app", [image(store, "before")], ["latest"], adopt=True)
    with listening(store.root, 1):
        assert announced(store) == []
    store.put("app", [image(store, "after")], ["latest"], adopt=True)
    assert announced(store) == []


def _listen_until_killed(root: Path, ready: "multiprocessing.synchronize.Event") -> None:
    with listening(root, 1):
        ready.set()
        signal.pause()


def test_a_listener_of_another_process_counts_until_it_dies(store: ContentStore) -> None:
    ready = multiprocessing.get_context("spawn").Event()
    listener = multiprocessing.get_context("spawn").Process(target=_listen_until_killed, args=(store.root, ready))
    listener.start()
    try:
        assert ready.wait(20)
        heard = image(store, "heard")
        store.put("app", [heard], ["latest"], adopt=True)
    finally:
        os.kill(listener.pid or 0, signal.SIGKILL)
        listener.join()
    store.put("app", [image(store, "unheard")], ["latest"], adopt=True)
    assert announced(store) == [("app", "latest", heard.digest)]


def test_a_push_that_is_refused_announces_nothing(store: ContentStore) -> None:
    with listening(store.root, 1):
        store.catalog.create_repository("app", 1)
        store.catalog.configure("app", immutable=True)
        store.put("app", [image(store, "first")], ["fixed"], adopt=True)
        with pytest.raises(RegistryError):
            store.put("app", [image(store, "second")], ["free", "fixed"], adopt=True)
    assert [tag for _, tag, _ in announced(store)] == ["fixed"]


def test_what_was_acted_on_is_gone_and_its_number_is_never_used_again(store: ContentStore) -> None:
    with listening(store.root, 1):
        store.put("app", [image(store, "first")], ["latest"], adopt=True)
        (one,) = store.catalog.announcements()
        for _ in range(2):
            store.catalog.settle(one)
        store.put("app", [image(store, "second")], ["latest"], adopt=True)
        (other,) = store.catalog.announcements()
    assert other.number > one.number
