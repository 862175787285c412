"""Layers by the API instead of by the registry's own protocol. Docker and its like never call these."""

import re
import uuid
from typing import Any

from pipeyard.aws.ecr.repositories import demand, named
from pipeyard.aws.identities import Caller
from pipeyard.aws.parts import Parts
from pipeyard.aws.refusals import AwsError
from pipeyard.errors import DigestMismatch, RegistryError
from pipeyard.oci import Digest, media_types
from pipeyard.registry.uploads import Uploads

_DIGEST = re.compile(r"sha256:[a-f0-9]{64}")
_PART_BYTES = 20 << 20  # what InitiateLayerUpload tells clients to send at once


def batch_check_layer_availability(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = demand(parts, caller, request)
    layers, failures = [], []
    for digest in request["layerDigests"]:
        if not _DIGEST.fullmatch(digest):
            reason = f"Invalid layer digest '{digest[:200]}'"
            failures.append({"layerDigest": digest, "failureCode": "InvalidLayerDigest", "failureReason": reason})
            continue
        size = _size(parts, record.name, Digest(digest))
        layers.append(
            {
                "layerDigest": digest,
                "layerAvailability": "UNAVAILABLE" if size is None else "AVAILABLE",
                "layerSize": size,
                "mediaType": None if size is None else media_types.DOCKER_LAYER_GZIP,
            }
        )
    return {"layers": layers, "failures": failures}


def initiate_layer_upload(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = demand(parts, caller, request)
    upload_id = Uploads(parts.store.files).start(record.name, "sha256", parts.now_ms())
    return {"uploadId": str(uuid.UUID(upload_id)), "partSize": _PART_BYTES}


def upload_layer_part(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = demand(parts, caller, request)
    upload_id, data, first = request["uploadId"], request["layerPartBlob"], request["partFirstByte"]
    try:
        with Uploads(parts.store.files).resume(record.name, upload_id.replace("-", "")) as upload:
            if first != upload.offset or request["partLastByte"] != first + len(data) - 1:
                raise AwsError(
                    "InvalidLayerPartException",
                    f"The layer part of upload '{upload_id}' is not the next one: {upload.offset} bytes are here",
                    fields={**named(parts, record), "uploadId": upload_id, "lastValidByteReceived": upload.offset - 1},
                )
            upload.append(data)
            return {**named(parts, record), "uploadId": upload_id, "lastByteReceived": upload.offset - 1}
    except RegistryError as error:
        raise _unknown(parts, record.name, upload_id) from error


def complete_layer_upload(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = demand(parts, caller, request)
    upload_id = request["uploadId"]
    wanted = [digest for digest in request["layerDigests"] if _DIGEST.fullmatch(digest)]
    if not wanted:
        raise AwsError("InvalidLayerException", "a layer's digest is sha256: and 64 hexadecimal digits")
    digest = Digest(wanted[0])
    try:
        with Uploads(parts.store.files).resume(record.name, upload_id.replace("-", "")) as upload:
            if upload.offset == 0:
                raise AwsError("EmptyUploadException", f"No layer parts were uploaded for upload '{upload_id}'")
            upload.finish(digest)
    except DigestMismatch as error:
        raise AwsError("InvalidLayerException", error.message) from error
    except RegistryError as error:
        raise _unknown(parts, record.name, upload_id) from error
    parts.store.catalog.link(record.name, [digest], parts.now_ms())
    return {**named(parts, record), "uploadId": upload_id, "layerDigest": digest}


def get_download_url_for_layer(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """The registry's own address of the layer; it asks for the login there, as every pull does."""
    record = demand(parts, caller, request)
    digest = request["layerDigest"]
    if not _DIGEST.fullmatch(digest) or _size(parts, record.name, Digest(digest)) is None:
        raise AwsError(
            "LayersNotFoundException",
            f"Layers with digests '[{digest[:200]}]' do not exist in the repository with name '{record.name}' in "
            f"registry with id '{parts.account}'",
        )
    return {"downloadUrl": f"{parts.public_url(caller.host)}/v2/{record.name}/blobs/{digest}", "layerDigest": digest}


def _size(parts: Parts, repository: str, digest: Digest) -> int | None:
    return parts.store.size(digest) if parts.store.catalog.linked(repository, digest) else None


def _unknown(parts: Parts, repository: str, upload_id: str) -> AwsError:
    return AwsError(
        "UploadNotFoundException",
        f"The layer upload '{upload_id[:100]}' does not exist in the repository with name '{repository}' in registry "
        f"with id '{parts.account}'",
    )
