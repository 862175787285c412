"""The bill of materials of an image: its layers as files for the scan, what was found as an SPDX document."""

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

from pipeyard import __version__
from pipeyard.oci import Digest, Platform
from pipeyard.registry.embedded import StoreOrigin
from pipeyard.registry.exchange import ImageOrigin
from pipeyard.registry.reference import Reference
from pipeyard.threads import NEVER, Stop

if TYPE_CHECKING:
    from pipeyard.image.build import BuiltPlatform
    from pipeyard.image.layers import Entry
    from pipeyard.scan import ScannedFile
    from pipeyard.service.images import Images

OpenLayer = Callable[[], AbstractContextManager[BinaryIO]]
_MAX_NAMES = 4  # of one file that are looked at


def bill_of_image(
    images: "Images", reference: Reference, platform: Platform, stop: Stop = NEVER
) -> tuple[bytes, tuple[str, ...]]:
    """The SPDX document of an image that exists, and what could not be read of it. Nothing of it is kept.

    An empty host is the embedded registry. Raises InputError when there is no such image, RegistryError, BadArchive.
    """
    origin: ImageOrigin = images.registries.origin(stop) if reference.host else StoreOrigin(images.store)
    image = origin.resolve(reference, platform)
    created = _seconds(image.config.created)
    return bill_of_layers(
        [(layer.digest, partial(origin.read, image, layer)) for layer in image.manifest.layers],
        name=image.reference.name,
        digest=image.descriptor.digest,
        created_s=created,
        stop=stop,
    )


def bill_of_built(image: "BuiltPlatform") -> bytes:
    """The SPDX document of an image that is not published yet; it has no name, as it may get several."""
    layers = [(layer.descriptor.digest, partial(layer.open, 0)) for layer in image.layers]
    created = _seconds(image.config.created)
    return bill_of_layers(layers, name="image", digest=image.descriptor.digest, created_s=created)[0]


def bill_of_layers(
    layers: Sequence[tuple[Digest, OpenLayer]],
    *,
    name: str,
    digest: Digest,
    created_s: int,
    stop: Stop = NEVER,
) -> tuple[bytes, tuple[str, ...]]:
    """The SPDX document of an image by its layers' blobs, the lowest first, and what could not be read."""
    from pipeyard.scan import Subject, encode_spdx, inventory, spdx_document

    sbom = inventory(_files(layers, stop))
    subject = Subject(name=name, digest=digest, created_s=created_s, tool=f"pipeyard-{__version__}")
    return encode_spdx(spdx_document(sbom, subject)), sbom.notes


def _files(layers: Sequence[tuple[Digest, OpenLayer]], stop: Stop) -> Iterator["ScannedFile"]:
    from pipeyard.image.layers.visible import visible_entries
    from pipeyard.scan import tells_of_packages

    linked: dict[int, dict[str, list[str]]] = {}  # of a layer: other names of a file that tell of packages
    for count, (at, entry) in enumerate(visible_entries([opener for _, opener in layers])):
        if count % 1000 == 0:
            stop.check()
        path = entry.path.lstrip("/")
        if entry.kind == "file":
            yield _file(entry, path, layers[at][0])
        elif entry.kind == "hardlink" and tells_of_packages(path):
            linked.setdefault(at, {}).setdefault(entry.link.lstrip("/"), []).append(path)
    for at, names in linked.items():
        yield from _linked_files(layers[at], names, stop)


def _linked_files(
    layer: tuple[Digest, OpenLayer], names: Mapping[str, Sequence[str]], stop: Stop
) -> Iterator["ScannedFile"]:
    """Files of a layer under their other names. The content comes by once, so a further name needs a further pass."""
    from pipeyard.image.layers import read_entries

    digest, opened = layer
    for nth in range(min(_MAX_NAMES, max(len(paths) for paths in names.values()))):
        stop.check()
        with opened() as stream:
            for entry in read_entries(stream.read):
                paths = names.get(entry.path.lstrip("/"), ())
                if entry.kind == "file" and nth < len(paths):
                    yield _file(entry, paths[nth], digest)


def _file(entry: "Entry", path: str, layer: Digest) -> "ScannedFile":
    from pipeyard.scan import ScannedFile

    return ScannedFile(
        path=path,
        size=entry.size,
        executable=bool(entry.mode & 0o111),
        layer=layer,
        open=entry.content if callable(entry.content) else BytesIO,
    )


def _seconds(created: str | None) -> int:
    """RFC 3339 as an image's configuration has it; its beginning of time when it says nothing sound."""
    try:
        return max(0, int(datetime.datetime.fromisoformat(created or "").timestamp()))
    except (ValueError, OverflowError):
        return 0
