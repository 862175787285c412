"""Which image of an index fits a platform, and how large what a reference names is: the same here and elsewhere."""

from collections.abc import Callable, Sequence

from pipeyard.errors import InputError
from pipeyard.oci import Descriptor, Digest, ImageIndex, Platform, decode_manifest
from pipeyard.oci.documents import PlatformField
from pipeyard.oci.media_types import INDEXES, MANIFESTS
from pipeyard.registry.exchange import Document


def choose(
    index: ImageIndex, platform: Platform, name: str, is_here: Callable[[Digest], bool] = lambda digest: True
) -> Descriptor:
    """The image of an index that fits a platform best: its very variant, else the highest that runs, else the first.

    Attestations and entries without a platform are no candidates, unless there is nothing but one image; of those
    that fit, the ones that `is_here` knows go before the others. Raises InputError that names what exists.
    """
    candidates = [
        (descriptor, platform_of(descriptor.platform))
        for descriptor in index.manifests
        if descriptor.platform is not None and not is_attestation(descriptor)
    ]
    fitting = [(descriptor, own) for descriptor, own in candidates if platform.runs(own)]
    if fitting:
        fitting.sort(key=lambda pair: (pair[1].variant == platform.variant, pair[1].variant), reverse=True)
        return next((descriptor for descriptor, _ in fitting if is_here(descriptor.digest)), fitting[0][0])
    plain = [descriptor for descriptor in index.manifests if not is_attestation(descriptor)]
    if len(plain) == 1 and plain[0].platform is None:
        return plain[0]
    known = ", ".join(sorted({str(own) for _, own in candidates})) or "none"
    raise InputError(f"{name} is not for {platform}", hint=f"it exists for {known}")


def platform_of(field: PlatformField) -> Platform:
    """As written in an index, normalised as far as choosing needs it."""
    variant = field.variant
    if (field.architecture, variant) in (("arm64", "v8"), ("amd64", "v1")):
        variant = ""
    return Platform(field.os, field.architecture, variant)


def is_attestation(descriptor: Descriptor) -> bool:
    """BuildKit's SBOM and provenance stand in an index as if they were images of the platform unknown/unknown."""
    field = descriptor.platform
    return "vnd.docker.reference.type" in descriptor.annotations or (field is not None and field.os == "unknown")


def image_size(documents: Sequence[Document]) -> int:
    """Bytes of manifests, configurations and layers together; a layer that two platforms share counts once.

    What an index lists besides manifests counts as its layers, as in BuildKit's cache exports.
    """
    blobs: dict[Digest, int] = {}
    total = 0
    for document in documents:
        total += len(document.data)
        manifest = decode_manifest(document.data, document.media_type)
        if isinstance(manifest, ImageIndex):
            parts = [part for part in manifest.manifests if part.media_type not in (*MANIFESTS, *INDEXES)]
        else:
            parts = [manifest.config, *manifest.layers]
        blobs.update((part.digest, part.size) for part in parts)
    return total + sum(blobs.values())
