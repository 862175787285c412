"""Our registry is killed, with SIGKILL, in the middle of our client's upload; the next one on that port goes on."""

import io
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pipeyard.oci import Descriptor, ImageManifest, digest_of, encode, media_types
from pipeyard.registry.client import Access, open_registries
from pipeyard.registry.credentials import Anonymous
from pipeyard.registry.exchange import Document, Offer, Published
from pipeyard.registry.reference import Reference
from tests.registry.running import Client, free_port, registry_process, until
from tests.registry_client.images import from_memory

DATA = random.Random(6).randbytes(12_000_000)


class Paused:
    """A source that waits at `at` bytes, once; it notes from where it was read."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.starts: list[int] = []

    @contextmanager
    def open(self, start: int) -> Iterator[BinaryIO]:
        self.starts.append(start)
        yield _PausedStream(self, start)


class _PausedStream(io.BytesIO):
    def __init__(self, source: Paused, start: int) -> None:
        super().__init__(source.data)
        self.seek(start)
        self._source = source

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= self._source.at and not self._source.reached.is_set():
            self._source.reached.set()
            assert self._source.go_on.wait(60)
        return super().read(size)


def test_an_upload_goes_on_after_the_server_was_killed_and_started_again(tmp_path: Path) -> None:
    port = free_port()
    source = Paused(DATA, 6_000_000)
    layer = Descriptor(media_type=media_types.OCI_LAYER, digest=digest_of(DATA), size=len(DATA))
    config = Descriptor(media_type=media_types.OCI_EMPTY, digest=digest_of(b"{}"), size=2)
    manifest = ImageManifest(schema_version=2, media_type=media_types.OCI_MANIFEST, config=config, layers=[layer])
    published: list[Published] = []

    def publish() -> None:
        with open_registries(Access(), Anonymous()) as registries:
            destination = registries.destination(Reference(f"127.0.0.1:{port}", "team/app"))
            destination.offer(Offer(descriptor=layer, open=source.open))
            destination.offer(Offer(descriptor=config, open=from_memory(b"{}")))
            document = Document(media_type=media_types.OCI_MANIFEST, data=encode(manifest))
            published.append(destination.publish([document], ("1",)))
            destination.close()

    pusher = threading.Thread(target=publish)
    with registry_process(tmp_path, "--anonymous", "push", port=port) as server:
        pusher.start()
        assert source.reached.wait(60)
        # A server that does not even answer is given up after a second: only the large blob shall be under way.
        until(lambda: Client(port)("HEAD", f"/v2/team/app/blobs/{config.digest}").status == 200)
        server.kill()
    with registry_process(tmp_path, "--anonymous", "push", port=port):
        source.go_on.set()
        pusher.join(120)
        assert [each.tags for each in published] == [("1",)]
        assert Client(port)("GET", f"/v2/team/app/blobs/{layer.digest}").body == DATA
        assert Client(port)("GET", "/v2/team/app/manifests/1").body == encode(manifest)
    assert source.starts[0] == 0
    assert len(source.starts) > 1
    assert min(source.starts[1:]) > 1_000_000, "it went on where the killed server's bytes end"
