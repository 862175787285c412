"""What a registry must know about a manifest: its digest, what it refers to, its subject. Its bytes never change."""

from msgspec import Struct

from pipeyard.errors import InputError, RegistryError
from pipeyard.oci import Descriptor, Digest, ImageIndex, ImageManifest, decode_manifest, digest_of, parse_digest
from pipeyard.oci.media_types import DOCKER_FOREIGN_LAYER, INDEXES, MANIFESTS

MAX_IMAGE = 1 << 50
"""Bytes of all that a manifest refers to; sums of many such numbers are still numbers for a database."""

_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+"
_ELSEWHERE = ("application/vnd.oci.image.layer.nondistributable.", DOCKER_FOREIGN_LAYER)


class ManifestFacts(Struct, frozen=True, kw_only=True):
    digest: Digest
    media_type: str
    data: bytes
    blobs: tuple[Digest, ...]  # that must be in the repository
    manifests: tuple[Digest, ...]  # members of an index
    subject: Digest | None
    artifact_type: str  # as the referrers API gives it; empty when it must be left out
    own_bytes: int  # the manifest, its configuration and its layers; the members of an index not counted


def examine(data: bytes, media_type: str = "", expected: Digest | None = None) -> ManifestFacts:
    """`media_type` as announced by the client, or empty. Raises RegistryError (MANIFEST_INVALID, DIGEST_INVALID)."""
    digest = digest_of(data, expected.partition(":")[0] if expected else "sha256")
    if expected is not None and expected != digest:
        raise RegistryError(f"the content is {digest}, not {expected}", status=400, code="DIGEST_INVALID")
    announced = media_type.partition(";")[0].strip()
    if announced.startswith(_SCHEMA_1):
        raise RegistryError(
            "Docker's schema 1 is no longer in use: push the image again with a current client",
            status=400,
            code="MANIFEST_INVALID",
        )
    known = announced in MANIFESTS or announced in INDEXES
    if announced and not known and not announced.endswith("json"):
        raise RegistryError(f"{announced[:200]} is not a manifest's media type", status=400, code="MANIFEST_INVALID")
    try:
        found = decode_manifest(data, announced if known else "")
        if found.subject is not None:
            parse_digest(found.subject.digest)
    except InputError as error:
        raise RegistryError(error.message, status=400, code="MANIFEST_INVALID") from error
    except RecursionError:
        raise RegistryError("the manifest is nested too deeply", status=400, code="MANIFEST_INVALID") from None
    if found.media_type and found.media_type not in (*MANIFESTS, *INDEXES):
        raise RegistryError(
            f"{found.media_type[:200]!r} is not a manifest's media type", status=400, code="MANIFEST_INVALID"
        )
    if found.media_type and announced and found.media_type != announced:
        raise RegistryError(
            f"the manifest calls itself {found.media_type[:200]}, but was sent as {announced[:200]}",
            status=400,
            code="MANIFEST_INVALID",
        )
    artifact_type = found.artifact_type or ""
    if isinstance(found, ImageManifest):
        artifact_type = artifact_type or found.config.media_type
        layers = [found.config, *found.layers]
        blobs = [layer.digest for layer in layers if not _is_elsewhere(layer)]
        members: list[Digest] = []
    else:
        # An index may also list what is no manifest; BuildKit's cache exports list their layers so.
        layers = [member for member in found.manifests if member.media_type not in (*MANIFESTS, *INDEXES)]
        blobs = [layer.digest for layer in layers]
        members = [member.digest for member in found.manifests if member.media_type in (*MANIFESTS, *INDEXES)]
    sizes = {layer.digest: layer.size for layer in layers}
    if sum(sizes.values()) > MAX_IMAGE:
        raise RegistryError("the sizes are more than any image has", status=400, code="MANIFEST_INVALID")
    return ManifestFacts(
        digest=digest,
        media_type=found.media_type or (announced if known else _kind(found)),
        data=data,
        blobs=tuple(dict.fromkeys(blobs)),
        manifests=tuple(dict.fromkeys(members)),
        subject=found.subject.digest if found.subject else None,
        artifact_type=artifact_type,
        own_bytes=len(data) + sum(sizes.values()),
    )


def referrer(data: bytes, media_type: str, digest: Digest, artifact_type: str) -> Descriptor:
    """A manifest in the answer of the referrers API. Source: distribution-spec, "Listing Referrers"."""
    found = decode_manifest(data, media_type)
    return Descriptor(
        media_type=media_type,
        digest=digest,
        size=len(data),
        artifact_type=artifact_type or None,
        annotations=found.annotations,
    )


def _is_elsewhere(layer: Descriptor) -> bool:
    """Layers that a registry need not have: image-spec, "Non-Distributable Layers"; Docker's foreign layers."""
    return bool(layer.urls) or layer.media_type.startswith(_ELSEWHERE)


def _kind(found: ImageManifest | ImageIndex) -> str:
    return INDEXES[0] if isinstance(found, ImageIndex) else MANIFESTS[0]
