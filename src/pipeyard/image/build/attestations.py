"""What is attested of an image: statements of in-toto in a manifest beside the image's own, as BuildKit stores them.

Source: BuildKit, docs/attestations/attestation-storage.md; in-toto attestation framework, "Statement".
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from pipeyard.image.build.request import BuiltAttestation
from pipeyard.oci import Descriptor, ImageManifest, digest_of, encode, media_types
from pipeyard.oci.documents import PlatformField

SPDX = "https://spdx.dev/Document"
PROVENANCE = "https://slsa.dev/provenance/v1"

_STATEMENT = "https://in-toto.io/Statement/v1"
_ARTIFACT = "application/vnd.docker.attestation.manifest.v1+json"
_IN_TOTO = "application/vnd.in-toto+json"
_EMPTY = "application/vnd.oci.empty.v1+json"


class Predicate(Struct, frozen=True):
    """What a statement says, as JSON."""

    kind: str  # a URI
    data: bytes


def attested(image: Descriptor, predicates: Sequence[Predicate]) -> BuiltAttestation:
    """The manifest with a statement about `image`, a manifest of one platform, for each predicate.

    Its descriptor is that of a member of the index: a platform that nothing runs keeps clients from pulling it.
    """
    blobs = []
    for predicate in predicates:
        data = _statement(image, predicate)
        blobs.append((_described(_IN_TOTO, data, {"in-toto.io/predicate-type": predicate.kind}), data))
    empty = b"{}"
    config = msgspec.structs.replace(_described(_EMPTY, empty, {}), data="e30=")
    manifest = ImageManifest(
        schema_version=2,
        media_type=media_types.OCI_MANIFEST,
        artifact_type=_ARTIFACT,
        config=config,
        layers=[descriptor for descriptor, _ in blobs],
        subject=Descriptor(media_type=image.media_type, digest=image.digest, size=image.size),
    )
    data = encode(manifest)
    notes = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image.digest}
    descriptor = msgspec.structs.replace(
        _described(media_types.OCI_MANIFEST, data, notes), platform=PlatformField(architecture="unknown", os="unknown")
    )
    return BuiltAttestation(descriptor=descriptor, data=data, blobs=((config, empty), *blobs))


def _statement(image: Descriptor, predicate: Predicate) -> bytes:
    algorithm, _, hexadecimal = image.digest.partition(":")
    statement: dict[str, Any] = {
        "_type": _STATEMENT,
        "predicateType": predicate.kind,
        # No name: the same image is the same bytes under all names that it is published under.
        "subject": [{"name": "_", "digest": {algorithm: hexadecimal}}],
        "predicate": msgspec.Raw(predicate.data),
    }
    return encode(statement)


def _described(media_type: str, data: bytes, annotations: dict[str, str]) -> Descriptor:
    return Descriptor(media_type=media_type, digest=digest_of(data), size=len(data), annotations=annotations)
