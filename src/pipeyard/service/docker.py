"""The engine behind a build's `docker`: our builder, our registry client, the content store, the sandbox of RUN."""

import io
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from shutil import rmtree
from typing import BinaryIO, cast

from msgspec import structs

from pipeyard.buildspec.docker.engine import Container, ImageOrder, LocalImage, LocalImages, Log
from pipeyard.errors import BuildFailed, InputError, PipeyardError
from pipeyard.image.build import BuildRequest, Built, Secret
from pipeyard.image.build.owners import process_identity
from pipeyard.image.build.stacktree import StackTree
from pipeyard.image.sandbox import NO_LIMITS, Command, HostBind, Root
from pipeyard.oci import (
    Descriptor,
    ImageIndex,
    ImageManifest,
    Platform,
    decode_config,
    decode_manifest,
    parse_platform,
)
from pipeyard.oci.platforms import native
from pipeyard.plain_lines import PlainLines
from pipeyard.progress import Observer
from pipeyard.registry.client.copying import Shelf
from pipeyard.registry.client.shelves import StoreShelf
from pipeyard.registry.credentials import Credential
from pipeyard.registry.exchange import (
    Destination,
    Document,
    ImageOrigin,
    Offer,
    Published,
    ResolvedImage,
    descriptor_of,
)
from pipeyard.registry.reference import DEFAULT_HOST, Reference
from pipeyard.registry.store import ContentStore
from pipeyard.service.ecr import PRIVATE_HOST
from pipeyard.service.images import Images, published_reference
from pipeyard.service.machines import image_machine
from pipeyard.threads import StopSignal


class BuildLogins:
    """A Keychain of what `docker login` told during one build. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards _known
        self._known: dict[str, Credential] = {}

    def remember(self, host: str, username: str, password: str) -> None:
        with self._lock:
            if username:
                self._known[host] = Credential(username=username, password=password)
            else:
                self._known.pop(host, None)

    def credential(self, host: str, repository: str) -> Credential | None:
        del repository
        with self._lock:
            return self._known.get(host)


class LocalFirst:
    """An ImageOrigin: what this build's docker made or pulled, then everything else.

    Where the embedded registry stands for ECR, it does so for every account's: none of their hosts answers here.
    """

    def __init__(self, images: LocalImages, others: ImageOrigin, own_host: str, *, embedded: bool) -> None:
        self._images = images
        self._others = others
        self._own_host = own_host
        self._embedded = embedded

    def resolve(self, reference: Reference, platform: Platform) -> ResolvedImage:
        found = self._images.named(reference)
        if found is not None:
            return structs.replace(found.image, reference=reference)
        if self._embedded and PRIVATE_HOST.fullmatch(reference.host):
            return self._others.resolve(structs.replace(reference, host=self._own_host), platform)
        return self._others.resolve(reference, platform)

    def read(self, image: ResolvedImage, blob: Descriptor, start: int = 0) -> AbstractContextManager[BinaryIO]:
        found = self._images.named(image.reference)
        if found is not None:
            return found.open(blob, start)
        return self._others.read(image, blob, start)


class DockerEngine:
    """An Engine. `publish` says where images of ECR go; `published` is what was pushed, in order. Thread-safe."""

    def __init__(self, images: Images, publish: str, epoch_s: int, stop: StopSignal, logins: BuildLogins) -> None:
        self._images = images
        self._publish = publish
        self._epoch_s = epoch_s
        self._stop = stop
        self._logins = logins
        self.published: list[Published] = []

    def login(self, host: str, username: str, password: str) -> None:
        if not PRIVATE_HOST.fullmatch(host) or self._publish == "ecr":
            self._logins.remember(host, username, password)

    def build(self, order: ImageOrder, images: LocalImages, log: Log) -> LocalImage:
        request = BuildRequest(
            context=order.context,
            dockerfile=order.dockerfile,
            dockerfile_text=order.dockerfile_text,
            target=order.target,
            arguments=order.arguments,
            labels=order.labels,
            contexts=order.contexts,
            platforms=tuple(parse_platform(text) for text in order.platforms),
            secrets={name: Secret(value=value) for name, value in order.secrets.items()},
            epoch_s=self._epoch_s,
            network="none" if order.network == "none" else "default",
            add_hosts=order.hosts,
            no_cache=order.no_cache,
        )
        observe, finish = _lines(log)
        origin = LocalFirst(
            images, self._images.origin(self._stop, observe), self._images.own_host, embedded=self._embedded
        )
        try:
            built = self._images.build(request, (), observe, self._stop, origin=origin)
        except BuildFailed as error:
            raise PipeyardError(f"failed to solve: {error.message}", place=error.place, hint=error.hint) from error
        finally:
            finish()
        return _local_image(built, self._images)

    def pull(self, reference: Reference, log: Log) -> LocalImage:
        observe, finish = _lines(log)
        try:
            origin = LocalFirst(
                LocalImages(),
                self._images.origin(self._stop, observe),
                self._images.own_host,
                embedded=self._embedded,
            )
            image = origin.resolve(reference, native())
            document = self._document(image)
        finally:
            finish()

        def opened(blob: Descriptor, start: int) -> AbstractContextManager[BinaryIO]:
            return origin.read(image, blob, start)

        blobs = (image.manifest.config, *image.manifest.layers)
        return LocalImage(image=image, documents=(document,), blobs=blobs, open=opened)

    @property
    def blobs(self) -> ContentStore:
        return self._images.store

    def whole(self, reference: Reference) -> LocalImage:
        shelf = self._shelf(reference)
        root = shelf.document(reference.key)
        if root is None:
            raise PipeyardError(f"no such manifest: {reference}")
        found = decode_manifest(root.data, root.media_type)
        children = []
        if isinstance(found, ImageIndex):
            for member in found.manifests:
                document = shelf.document(member.digest)
                if document is None:
                    raise PipeyardError(f"{reference} is not complete: its registry has no {member.digest}")
                children.append(document)
        images = [(each, decode_manifest(each.data, each.media_type)) for each in children or [root]]
        manifests = [(document, one) for document, one in images if isinstance(one, ImageManifest)]
        if not manifests:
            raise PipeyardError(f"{reference} is no image")
        first, manifest = manifests[0]
        with shelf.read(manifest.config) as stream:
            config = decode_config(stream.read())
        blobs = {each.digest: each for _, one in manifests for each in (one.config, *one.layers)}
        return LocalImage(
            image=ResolvedImage(
                reference=reference,
                root=descriptor_of(root),
                descriptor=descriptor_of(first),
                manifest=manifest,
                config=config,
            ),
            documents=(*children, root),
            blobs=tuple(blobs.values()),
            open=shelf.read,
        )

    def push(self, image: LocalImage, reference: Reference, tags: Sequence[str], log: Log) -> str:
        observe, finish = _lines(log)
        destination = self._destination(reference, observe)
        try:
            for blob in image.blobs:
                destination.offer(Offer(descriptor=blob, open=_opener(image, blob)))
            published = destination.publish(image.documents, tags)
        finally:
            destination.close()
            finish()
        self.published.append(published)
        return published.digest

    def run(self, container: Container, log: Log) -> int:
        scratch = self._images.settings.home / "work" / uuid.uuid4().hex
        local = LocalImages()
        reference = container.image.image.reference
        local.add(container.image, [reference])
        origin = LocalFirst(local, self._images.origin(self._stop), self._images.own_host, embedded=self._embedded)
        config = container.image.config.config
        with image_machine(self._images, reference, origin, self._stop) as machine:
            entrypoint = container.entrypoint
            if entrypoint is None:
                entrypoint = tuple((config and config.entrypoint) or ())
                words = container.command or tuple((config and config.cmd) or ())
            else:
                words = container.command
            if not (*entrypoint, *words):
                raise InputError("docker: no command specified")
            who = process_identity(container.user or (config.user if config else ""), StackTree(machine.lowers))
            try:
                (scratch / "upper").mkdir(parents=True)
                (scratch / "work").mkdir()
                ended = machine.sandbox.run(
                    Command(
                        arguments=(*entrypoint, *words),
                        environment={**machine.environment, "HOME": who.home, **container.environment},
                        folder=container.folder or (config.working_dir if config else "") or "/",
                        uid=who.uid,
                        gid=who.gid,
                        groups=who.groups,
                        stdin=container.stdin,
                        network="none" if container.network == "none" else "host",
                        hostname="container",
                    ),
                    Root(lowers=machine.lowers, upper=scratch / "upper", work=scratch / "work"),
                    mounts=(
                        *machine.mounts,
                        *(HostBind(target=to, source=source, writable=open_) for source, to, open_ in container.shared),
                    ),
                    limits=NO_LIMITS,
                    output=log,
                    stop=self._stop,
                )
            finally:
                rmtree(scratch, ignore_errors=True)
        return ended.status

    @property
    def _embedded(self) -> bool:
        return self._publish == "embedded"

    def _destination(self, reference: Reference, observe: Observer) -> Destination:
        """ECR's names go where the pipeline publishes; other registries are meant as they are written."""
        if PRIVATE_HOST.fullmatch(reference.host) and self._publish != "ecr":
            return self._images.destination(self._publish, reference.repository, stop=self._stop, observe=observe)
        bare = Reference(reference.host, reference.repository)
        return self._images.registries.destination(bare, self._stop, observe, "push")

    def _shelf(self, reference: Reference) -> Shelf:
        """Where a name is read from: as `_destination`, from the other side."""
        if PRIVATE_HOST.fullmatch(reference.host) and self._publish != "ecr":
            if self._embedded:
                return StoreShelf(self._images.store, reference.repository)
            return self._images.registries.repository(
                published_reference(self._publish, reference.repository), stop=self._stop
            )
        return self._images.registries.repository(reference, stop=self._stop)

    def _document(self, image: ResolvedImage) -> Document:
        """The exact bytes of an image's manifest."""
        host = image.reference.host
        key = image.descriptor.digest
        found = None
        if host in (self._images.own_host, DEFAULT_HOST):
            name = image.reference.repository.removeprefix("library/")
            found = StoreShelf(self._images.store, name).document(key)
        if found is None:
            found = self._images.registries.repository(image.reference, stop=self._stop).document(key)
        if found is None:
            raise InputError(f"there is no image {image.reference}")
        return found


@contextmanager
def docker_engine(images: Images, publish: str, epoch_s: int, stop: StopSignal) -> Iterator[DockerEngine]:
    """For one build: logins that it makes are gone with the block."""
    logins = BuildLogins()
    with ExitStack() as held:
        own = held.enter_context(images.with_logins(logins))
        held.enter_context(images.store.lease())
        yield DockerEngine(own, publish, epoch_s, stop, logins)


def _lines(log: Log) -> tuple[Observer, Callable[[], None]]:
    lines = PlainLines(lambda text: log(text.encode()), time.monotonic)
    return lines.observe, lines.finish


def _opener(image: LocalImage, blob: Descriptor) -> Callable[[int], AbstractContextManager[BinaryIO]]:
    return lambda start: image.open(blob, start)


def _local_image(built: Built, images: Images) -> LocalImage:
    first = built.platforms[0]
    layers = {layer.descriptor.digest: layer for one in built.platforms for layer in one.layers}
    configs = {one.manifest.config.digest: one.config_data for one in built.platforms}
    documents = [
        Document(media_type=one.descriptor.media_type, data=one.manifest_data)
        for one in built.platforms
        if one.descriptor.digest != built.root.digest
    ]
    documents.append(Document(media_type=built.root.media_type, data=built.root_data))

    def opened(blob: Descriptor, start: int) -> AbstractContextManager[BinaryIO]:
        if blob.digest in configs:
            return nullcontext(cast(BinaryIO, io.BytesIO(configs[blob.digest][start:])))
        if images.store.size(blob.digest) is not None:
            return images.store.read(blob.digest, start)
        return layers[blob.digest].open(start)

    blobs = {blob.digest: blob for one in built.platforms for blob in (one.manifest.config, *one.manifest.layers)}
    return LocalImage(
        image=ResolvedImage(
            reference=Reference(DEFAULT_HOST, f"local/{first.descriptor.digest.partition(':')[2]}", "latest"),
            root=built.root,
            descriptor=first.descriptor,
            manifest=first.manifest,
            config=first.config,
        ),
        documents=tuple(documents),
        blobs=tuple(blobs.values()),
        open=opened,
    )
