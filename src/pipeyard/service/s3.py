"""S3 as the object store of the embedded registry, and of everything with S3's API. Source: Amazon S3 API Reference."""

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pipeyard.errors import InputError, RegistryError
from pipeyard.service.ecr import REGION

_PART = 16 * 1024 * 1024  # bytes; S3 wants at least 5 MiB and at most 10,000 parts
_MOST_PARTS = 9000
_PARALLEL = 4
_URL_S = 900

_LOCATION = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>[^?#]*))?")


def parse_location(text: str) -> tuple[str, str]:
    """`s3://bucket/prefix` as bucket and prefix. Raises InputError."""
    match = _LOCATION.fullmatch(text)
    if match is None:
        raise InputError(f"registry_storage {text!r} is no place for blobs", hint="write s3://BUCKET/PREFIX")
    return match["bucket"], (match["prefix"] or "").strip("/")


class S3Objects:
    """An ObjectStore (see registry/remote_blobs.py) below a prefix of a bucket. `client` is botocore's, of s3."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""

    def put(self, key: str, source: Path, size: int) -> None:
        """In parts beside each other when it is large; an upload that fails leaves nothing behind."""
        with _explained(f"store {key}"):
            if size <= _PART:
                with open(source, "rb") as stream:
                    self._client.put_object(**self._named(key), Body=stream, ContentLength=size)
            else:
                self._put_parts(key, source, size)

    @contextmanager
    def read(self, key: str, start: int) -> Iterator[BinaryIO]:
        with _explained(f"read {key}"):
            body = self._client.get_object(**self._named(key), **({"Range": f"bytes={start}-"} if start else {}))[
                "Body"
            ]
        try:
            with _explained(f"read {key}"):
                yield body
        finally:
            body.close()

    def delete(self, key: str) -> None:
        with _explained(f"delete {key}"):
            self._client.delete_object(**self._named(key))

    def url(self, key: str) -> str:
        with _explained(f"sign the address of {key}"):
            url: str = self._client.generate_presigned_url("get_object", Params=self._named(key), ExpiresIn=_URL_S)
        return url

    def _put_parts(self, key: str, source: Path, size: int) -> None:
        part = max(_PART, -(-size // _MOST_PARTS))
        named = self._named(key)
        upload = {**named, "UploadId": self._client.create_multipart_upload(**named)["UploadId"]}
        descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)

        def send(number: int) -> dict[str, Any]:
            data = os.pread(descriptor, min(part, size - (number - 1) * part), (number - 1) * part)
            done = self._client.upload_part(**upload, PartNumber=number, Body=data)
            sums = {
                name: value for name, value in done.items() if name.startswith("Checksum") and name != "ChecksumType"
            }
            return {"PartNumber": number, "ETag": done["ETag"], **sums}

        try:
            with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="parts") as pool:
                parts = list(pool.map(send, range(1, -(-size // part) + 1)))
            self._client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        except BaseException:
            self._client.abort_multipart_upload(**upload)
            raise
        finally:
            os.close(descriptor)

    def _named(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}


def open_objects(location: str) -> S3Objects:
    """Credentials and endpoint are where AWS's own tools find them. Raises InputError for no location."""
    bucket, prefix = parse_location(location)
    from botocore.config import Config
    from botocore.session import get_session

    with _explained("reach S3"):
        config = Config(signature_version="s3v4", max_pool_connections=2 * _PARALLEL * _PARALLEL)
        client = get_session({"region": REGION}).create_client("s3", config=config)
    return S3Objects(client, bucket, prefix)


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except NoCredentialsError as error:
        hint = "configure AWS credentials (aws configure, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
        raise RegistryError(f"cannot {doing}: there are no AWS credentials", hint=hint) from error
    except ClientError as error:
        told = error.response["Error"]
        raise RegistryError(
            f"cannot {doing} in S3: {told.get('Code', '')} {told.get('Message', '')}".strip()
        ) from error
    except BotoCoreError as error:
        raise RegistryError(f"cannot {doing} in S3: {error}", hint="check the network and AWS_ENDPOINT_URL") from error
