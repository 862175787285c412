"""Lists of images for several platforms: `docker manifest` and `docker buildx imagetools`, which make one of parts.

A list that `docker manifest create` makes is the build's own until it is pushed; `imagetools create` pushes at once.
Source: docs.docker.com, "docker manifest" and "docker buildx imagetools".
"""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO

from msgspec import Struct, structs

from pipeyard.buildspec.docker.engine import LocalImage
from pipeyard.errors import InputError, PipeyardError
from pipeyard.oci import Descriptor, ImageIndex, decode_manifest, digest_of, encode, media_types
from pipeyard.oci.documents import PlatformField
from pipeyard.registry.exchange import Document, ResolvedImage, descriptor_of
from pipeyard.registry.reference import Reference


class Part(Struct, frozen=True, kw_only=True):
    """One image of a list."""

    name: Reference
    image: LocalImage
    descriptor: Descriptor  # with its platform


def parts_of(name: Reference, image: LocalImage) -> list[Part]:
    """An image is one part; of a list, all that it lists."""
    root = image.documents[-1]
    document = decode_manifest(root.data)
    if isinstance(document, ImageIndex):
        return [Part(name=name, image=image, descriptor=each) for each in document.manifests]
    config = image.config
    platform = PlatformField(architecture=config.architecture, os=config.os, variant=config.variant)
    descriptor = Descriptor(
        media_type=root.media_type, digest=digest_of(root.data), size=len(root.data), platform=platform
    )
    return [Part(name=name, image=image, descriptor=descriptor)]


def annotated(part: Part, *, os: str = "", architecture: str = "", variant: str = "") -> Part:
    """The part with what is given of its platform; what is empty stays as it was."""
    known = part.descriptor.platform or PlatformField(architecture="", os="")
    platform = structs.replace(
        known,
        os=os or known.os,
        architecture=architecture or known.architecture,
        variant=variant or known.variant,
    )
    return structs.replace(part, descriptor=structs.replace(part.descriptor, platform=platform))


def joined(parts: Sequence[Part]) -> LocalImage:
    """One list of the parts, each named once; its type is that of Docker's lists when all of them are Docker's."""
    if not parts:
        raise InputError("a list needs at least one image")
    members = {part.descriptor.digest: part.descriptor for part in parts}
    docker = all("vnd.docker" in each.media_type for each in members.values())
    media_type = media_types.DOCKER_LIST if docker else media_types.OCI_INDEX
    index = ImageIndex(schema_version=2, media_type=media_type, manifests=list(members.values()))
    root = Document(media_type=media_type, data=encode(index))
    documents: dict[str, Document] = {}
    blobs: dict[str, Descriptor] = {}
    holders: dict[str, LocalImage] = {}
    for part in parts:
        for document in part.image.documents:
            if not isinstance(decode_manifest(document.data), ImageIndex):
                documents[digest_of(document.data)] = document
        for blob in part.image.blobs:
            blobs[blob.digest] = blob
            holders[blob.digest] = part.image
    missing = [digest for digest in members if digest not in documents]
    if missing:
        raise PipeyardError(f"the image {missing[0]} is not complete here", hint="pull or build each platform")
    first = parts[0].image

    def opened(blob: Descriptor, start: int) -> AbstractContextManager[BinaryIO]:
        return holders[blob.digest].open(blob, start)

    image = first.image
    return LocalImage(
        image=ResolvedImage(
            reference=image.reference,
            root=descriptor_of(root),
            descriptor=image.descriptor,
            manifest=image.manifest,
            config=image.config,
        ),
        documents=(*documents.values(), root),
        blobs=tuple(blobs.values()),
        open=opened,
    )


def shown_list(image: LocalImage) -> str:
    """As `docker manifest inspect` prints a list or an image."""
    return json.dumps(json.loads(image.documents[-1].data), indent=3) + "\n"


def shown_tools(name: str, image: LocalImage) -> str:
    """As `docker buildx imagetools inspect` prints a list or an image."""
    root = image.documents[-1]
    lines = [("Name:", name), ("MediaType:", root.media_type), ("Digest:", digest_of(root.data))]
    text = "".join(f"{key:<10} {value}\n" for key, value in lines)
    document = decode_manifest(root.data)
    if isinstance(document, ImageIndex):
        text += "           \nManifests: \n"
        for member in document.manifests:
            text += f"  Name:      {name}@{member.digest}\n  MediaType: {member.media_type}\n"
            if member.platform is not None:
                text += f"  Platform:  {_platform_text(member.platform)}\n"
            text += "             \n"
    return text


def _platform_text(platform: PlatformField) -> str:
    return "/".join(part for part in (platform.os, platform.architecture, platform.variant or "") if part)


class ManifestLists:
    """The lists of one build that are not pushed yet. Not for two threads with the same list."""

    def __init__(self) -> None:
        self._lists: dict[Reference, list[Part]] = {}

    def create(self, name: Reference, parts: Sequence[Part], *, amend: bool) -> None:
        """Raises InputError for a list that is there already, unless it is amended."""
        if name in self._lists and not amend:
            raise InputError(f"refusing to amend an existing manifest list with no --amend flag: {name}")
        kept = [each for each in self._lists.get(name, []) if all(each.name != part.name for part in parts)]
        self._lists[name] = [*kept, *parts]

    def annotate(self, name: Reference, member: Reference, *, os: str, architecture: str, variant: str) -> None:
        found = self.find(name)
        if all(part.name != member for part in found):
            raise InputError(f"manifest for image {member} does not exist in {name}")
        self._lists[name] = [
            annotated(part, os=os, architecture=architecture, variant=variant) if part.name == member else part
            for part in found
        ]

    def find(self, name: Reference) -> list[Part]:
        if name not in self._lists:
            raise InputError(f"No such manifest: {name}")
        return self._lists[name]

    def known(self, name: Reference) -> bool:
        return name in self._lists

    def remove(self, name: Reference) -> None:
        self.find(name)
        del self._lists[name]
