"""Images of a repository: put, got, described, listed, deleted. All of it is the registry's own content."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from pipeyard.aws.ecr.repositories import demand, invalid, named, paged
from pipeyard.aws.identities import Caller
from pipeyard.aws.parts import Parts
from pipeyard.aws.refusals import AwsError
from pipeyard.errors import RegistryError
from pipeyard.oci import Digest
from pipeyard.oci.media_types import INDEXES
from pipeyard.registry.images import ImageRecord
from pipeyard.registry.manifests import ManifestFacts, examine
from pipeyard.registry.reference import is_tag
from pipeyard.registry.repositories import RepositoryRecord

_DIGEST = re.compile(r"[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+")
_WELL_FORMED = re.compile(r"sha256:[a-f0-9]{64}")
Identifier = dict[str, str]


def put_image(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = demand(parts, caller, request)
    name, tag = record.name, request.get("imageTag")
    facts = _examined(request)
    if tag is not None and not is_tag(tag):
        raise invalid("imageTag", "must satisfy regular expression '[a-zA-Z0-9_][a-zA-Z0-9-_.]{0,127}'")
    if request.get("imageDigest", facts.digest) != facts.digest:
        raise AwsError(
            "ImageDigestDoesNotMatchException",
            f"The specified image digest '{request['imageDigest']}' does not match the digest '{facts.digest}' of the "
            "image manifest",
        )
    tags = dict(parts.store.catalog.tagged(name))
    if tag is not None and tags.get(tag) == facts.digest:
        raise AwsError(
            "ImageAlreadyExistsException",
            f"Image with digest '{facts.digest}' and tag '{tag}' already exists in the repository with name '{name}' "
            f"in registry with id '{parts.account}'",
        )
    try:
        parts.store.put(name, [facts], [tag] if tag is not None else [], adopt=False, sparse=parts.sparse)
    except RegistryError as error:
        raise _refused(parts, name, tag, facts, error) from error
    return {"image": _image(parts, record, facts.digest, tag, facts.data, facts.media_type)}


def batch_get_image(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = demand(parts, caller, request)
    tags = dict(parts.store.catalog.tagged(record.name))
    images, failures = [], []
    for asked in request["imageIds"]:
        failure, digest = _find(parts, record, tags, asked)
        stored = parts.store.catalog.manifest(record.name, digest) if digest else None
        if stored is None:
            failures.append(failure or _failure(asked, "ImageNotFound", "Requested image not found"))
            continue
        parts.store.catalog.note_pull(record.name, stored.digest, parts.now_ms())
        images.append(_image(parts, record, stored.digest, asked.get("imageTag"), stored.data, stored.media_type))
    return {"images": images, "failures": failures}


def describe_images(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = demand(parts, caller, request)
    tagged = parts.store.catalog.tagged(record.name)
    tags = dict(tagged)
    images = _oldest_first(parts, record)
    if asked := request.get("imageIds"):
        wanted = {_demanded(parts, record, tags, each) for each in asked}
        images = [image for image in images if image.digest in wanted]
    images = [image for image in images if _passes(request, tagged=bool(image.tags))]
    chosen, token = paged(images, lambda image: image.digest, request, 100)
    sizes = {image.digest: image.image_bytes for image in images}
    details = [
        {
            **named(parts, record),
            "imageDigest": image.digest,
            "imageTags": [tag for tag, digest in tagged if digest == image.digest] or None,
            "imageSizeInBytes": _size(parts, record, image, sizes),
            "imagePushedAt": image.pushed_ms,
            "imageManifestMediaType": image.media_type,
            "artifactMediaType": image.artifact_type or None,
            "lastRecordedPullTime": image.pulled_ms or None,
            "subjectManifestDigest": image.subject,
            "imageStatus": "ACTIVE",
        }
        for image in chosen
    ]
    return {"imageDetails": details, "nextToken": token}


def list_images(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = demand(parts, caller, request)
    found: list[Identifier] = [
        {"imageDigest": digest, "imageTag": tag} for tag, digest in parts.store.catalog.tagged(record.name)
    ]
    found += [{"imageDigest": image.digest} for image in _oldest_first(parts, record) if not image.tags]
    found = [each for each in found if _passes(request, tagged="imageTag" in each)]
    chosen, token = paged(found, lambda each: f"{each.get('imageTag', '')}@{each['imageDigest']}", request, 100)
    return {"imageIds": chosen, "nextToken": token}


def batch_delete_image(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = demand(parts, caller, request)
    gone: list[Identifier] = []
    failures = []
    for asked in request["imageIds"]:
        tagged = parts.store.catalog.tagged(record.name)
        failure, digest = _find(parts, record, dict(tagged), asked)
        if failure is not None or digest is None:
            failures.append(failure)
            continue
        tags = [tag for tag, each in tagged if each == digest]
        if "imageDigest" not in asked and len(tags) > 1:
            parts.store.catalog.delete_tag(record.name, asked["imageTag"])
            gone.append({"imageDigest": digest, "imageTag": asked["imageTag"]})
            continue
        try:
            parts.store.catalog.delete_manifests(record.name, [digest])
        except RegistryError as error:
            failures.append(_failure(asked, "ImageReferencedByManifestList", error.message))
            continue
        gone += [{"imageDigest": digest, "imageTag": tag} for tag in tags] or [{"imageDigest": digest}]
    return {"imageIds": gone, "failures": failures}


def list_image_referrers(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = demand(parts, caller, request)
    subject = request["subjectId"]["imageDigest"]
    if not _WELL_FORMED.fullmatch(subject):
        raise invalid("subjectId", "Invalid image digest")
    wanted = request.get("filter", {}).get("artifactTypes", ())
    found: list[dict[str, Any]] = []
    for stored in parts.store.catalog.referrers(record.name, Digest(subject)):
        facts = examine(stored.data, stored.media_type, stored.digest)
        if not wanted or facts.artifact_type in wanted:
            annotations = msgspec.json.decode(stored.data).get("annotations") or None
            found.append(
                {
                    "digest": stored.digest,
                    "mediaType": stored.media_type,
                    "artifactType": facts.artifact_type or None,
                    "size": len(stored.data),
                    "annotations": annotations,
                    "artifactStatus": "ACTIVE",
                }
            )
    chosen, token = paged(found, lambda each: each["digest"], request, 50)
    return {"referrers": chosen, "nextToken": token}


def demand_image(parts: Parts, record: RepositoryRecord, asked: Identifier) -> Digest:
    """The image that an identifier names. Raises AwsError (ImageNotFoundException)."""
    return _demanded(parts, record, dict(parts.store.catalog.tagged(record.name)), asked)


def identifier(asked: Identifier) -> str:
    """As the service repeats it in its sentences."""
    return f"{{imageDigest:'{asked.get('imageDigest', 'null')}', imageTag:'{asked.get('imageTag', 'null')}'}}"


def _examined(request: dict[str, Any]) -> ManifestFacts:
    text = request["imageManifest"]
    try:
        document = msgspec.json.decode(text)
        media_type = document.get("mediaType") or request.get("imageManifestMediaType", "")
    except (msgspec.DecodeError, UnicodeDecodeError, AttributeError) as error:
        raise invalid("ImageManifest", "Invalid JSON syntax") from error
    if not media_type:
        raise AwsError("InvalidParameterException", "image manifest mediatype not provided in manifest or parameter")
    try:
        return examine(text.encode(), media_type)
    except RegistryError as error:
        raise invalid("ImageManifest", error.message) from error


def _refused(parts: Parts, name: str, tag: str | None, facts: ManifestFacts, error: RegistryError) -> AwsError:
    where = f"in the repository with name '{name}' in registry with id '{parts.account}'"
    if error.code == "DENIED":
        return AwsError(
            "ImageTagAlreadyExistsException",
            f"The image tag '{tag}' already exists {where} and cannot be overwritten because the tag is immutable.",
        )
    if error.code != "MANIFEST_BLOB_UNKNOWN":
        return invalid("ImageManifest", error.message)
    missing = [
        digest
        for digest in facts.blobs
        if parts.store.size(digest) is None or not parts.store.catalog.linked(name, digest)
    ]
    if missing:
        return AwsError("LayersNotFoundException", f"Layers with digests '[{', '.join(missing)}]' do not exist {where}")
    members = [digest for digest in facts.manifests if parts.store.catalog.manifest(name, digest) is None]
    return AwsError(
        "ReferencedImagesNotFoundException", f"Images with digests '[{', '.join(members)}]' do not exist {where}"
    )


def _image(
    parts: Parts, record: RepositoryRecord, digest: Digest, tag: str | None, data: bytes, media_type: str
) -> dict[str, Any]:
    return {
        **named(parts, record),
        "imageId": {"imageDigest": digest, "imageTag": tag},
        "imageManifest": data.decode(),
        "imageManifestMediaType": media_type,
    }


def _find(
    parts: Parts, record: RepositoryRecord, tags: dict[str, Digest], asked: Identifier
) -> tuple[dict[str, Any] | None, Digest | None]:
    """The failure, or the digest of the image that is there."""
    digest, tag = asked.get("imageDigest"), asked.get("imageTag")
    if digest is None and tag is None:
        reason = "Invalid request parameters: both tag and digest cannot be null"
        return _failure(asked, "MissingDigestAndTag", reason), None
    if digest is not None and not _DIGEST.fullmatch(digest):
        reason = f"Invalid request parameters: image digest should satisfy the regex '{_DIGEST.pattern}'"
        return _failure(asked, "InvalidImageDigest", reason), None
    pointed = tags.get(tag) if tag is not None else None
    here = digest is not None and parts.store.catalog.manifest(record.name, digest) is not None
    if tag is not None and digest is not None and here and pointed is not None and pointed != digest:
        return _failure(asked, "ImageTagDoesNotMatchDigest", "Requested image tag does not match its digest"), None
    if (tag is not None and pointed is None) or (digest is not None and not here):
        return _failure(asked, "ImageNotFound", "Requested image not found"), None
    return None, pointed or Digest(digest or "")


def _failure(asked: Identifier, code: str, reason: str) -> dict[str, Any]:
    return {"imageId": dict(asked), "failureCode": code, "failureReason": reason}


def _demanded(parts: Parts, record: RepositoryRecord, tags: dict[str, Digest], asked: Identifier) -> Digest:
    failure, digest = _find(parts, record, tags, asked)
    if failure is not None and failure["failureCode"] in ("MissingDigestAndTag", "InvalidImageDigest"):
        raise AwsError("InvalidParameterException", failure["failureReason"])
    if digest is None:
        raise AwsError(
            "ImageNotFoundException",
            f"The image with imageId {identifier(asked)} does not exist within the repository with name "
            f"'{record.name}' in the registry with id '{parts.account}'",
        )
    return digest


def _oldest_first(parts: Parts, record: RepositoryRecord) -> list[ImageRecord]:
    return list(reversed(parts.store.catalog.images(record.name)))


def _passes(request: dict[str, Any], *, tagged: bool) -> bool:
    chosen = request.get("filter", {})
    if chosen.get("imageStatus", "ACTIVE") not in ("ACTIVE", "ANY"):
        return False  # nothing here is ever archived
    return bool(chosen.get("tagStatus", "ANY") in ("ANY", "TAGGED" if tagged else "UNTAGGED"))


def _size(parts: Parts, record: RepositoryRecord, image: ImageRecord, sizes: dict[Digest, int]) -> int | None:
    """Of a list of images that of the largest; unknown when none of them is here. Source: API, ImageDetail."""
    if image.media_type not in INDEXES:
        return image.image_bytes
    stored = parts.store.catalog.manifest(record.name, image.digest)
    members: Sequence[Digest] = examine(stored.data, stored.media_type).manifests if stored else ()
    return max((sizes[digest] for digest in members if digest in sizes), default=None)
