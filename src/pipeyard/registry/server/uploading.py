"""Blobs on their way in: POST, PATCH, PUT, status and cancel. Source: distribution-spec, "Pushing blobs"."""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import ExitStack
from typing import ParamSpec, TypeVar

from pipeyard.oci import Digest
from pipeyard.registry.server.answers import Answer, Refusal, Request, read_digest
from pipeyard.registry.store import ContentStore
from pipeyard.registry.uploads import Upload, Uploads

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_RANGE = re.compile(r"(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/(?:[0-9]+|\*))?")
_SMALL = 32 * 1024  # is hashed and written at once; handing it to a thread would cost more


class Uploading:
    """The requests below `/v2/NAME/blobs/uploads/`. `files` runs what waits for a disk or hashes long."""

    def __init__(self, store: ContentStore, uploads: Uploads, files: Executor) -> None:
        self._store = store
        self._uploads = uploads
        self._files = files

    async def start(self, request: Request, repository: str, mountable: Callable[[Digest], bool]) -> Answer:
        """POST: a mount, a whole blob, or a new session. `mountable`: the caller may read the blob somewhere."""
        if mount := request.value("mount"):
            digest = read_digest(mount)
            if mountable(digest) and await self._run(self._store.mount, repository, digest):
                return _created(repository, digest)
            # What cannot be mounted, for whatever reason, is uploaded: the specification's 202.
        whole = read_digest(text) if (text := request.value("digest")) else None
        algorithm = whole.partition(":")[0] if whole else request.value("digest-algorithm") or "sha256"
        if algorithm not in ("sha256", "sha512"):
            raise Refusal(400, "DIGEST_INVALID", f"digests of {algorithm[:100]!r} are not supported")
        upload_id = self._uploads.start(repository, algorithm, self._store.now_ms())
        if whole is None:
            return _session(202, repository, upload_id, 0)
        try:
            with ExitStack() as stack:
                upload = stack.enter_context(self._uploads.resume(repository, upload_id))
                await self._take(request, upload)
                await self._run(upload.finish, whole)
        except BaseException:
            self._uploads.forget(upload_id)  # nobody was told its name
            raise
        await self._run(self._store.mount, repository, whole)
        return _created(repository, whole)

    async def append(self, request: Request, repository: str, upload_id: str) -> Answer:
        """PATCH. What came before a broken connection stays; the client asks for the offset and goes on."""
        with self._uploads.resume(repository, upload_id) as upload:
            expected = self._expected(request, repository, upload)
            await self._take(request, upload)
            if expected is not None and upload.offset != expected:
                raise Refusal(400, "SIZE_INVALID", "the body's length is not that of Content-Range")
            return _session(202, repository, upload_id, upload.offset)

    async def finish(self, request: Request, repository: str, upload_id: str) -> Answer:
        """PUT, with the last chunk or without."""
        digest = read_digest(request.value("digest"))
        with self._uploads.resume(repository, upload_id) as upload:
            self._expected(request, repository, upload)
            await self._take(request, upload)
            await self._run(upload.finish, digest)
        await self._run(self._store.mount, repository, digest)
        return _created(repository, digest)

    def status(self, repository: str, upload_id: str) -> Answer:
        return _session(204, repository, upload_id, self._uploads.offset(repository, upload_id))

    def cancel(self, repository: str, upload_id: str) -> Answer:
        with self._uploads.resume(repository, upload_id) as upload:
            upload.cancel()
        return Answer(204)

    def _expected(self, request: Request, repository: str, upload: Upload) -> int | None:
        """The offset after this chunk, if Content-Range tells it; 416 when the chunk does not begin where we are."""
        text = request.header(b"content-range")
        if not text:
            return None
        match = _RANGE.fullmatch(text)
        offset = upload.offset
        first, last = (int(match[1]), int(match[2])) if match else (0, -1)
        length = request.header(b"content-length")
        if match is None or last < first or (length and int(length) != last - first + 1):
            raise Refusal(416, "BLOB_UPLOAD_INVALID", f"Content-Range {text[:100]!r} is wrong")
        if first != offset:
            headers = _session(204, repository, upload.id, offset).headers
            message = f"the next chunk begins at {offset}, not at {first}"
            raise Refusal(416, "BLOB_UPLOAD_INVALID", message, headers)
        return last + 1

    async def _take(self, request: Request, upload: Upload) -> None:
        """Each piece is hashed and written in a thread while the next one comes in."""
        pending: asyncio.Future[None] | None = None
        loop = asyncio.get_running_loop()
        try:
            async for piece in request.pieces():
                if pending is not None:
                    await pending
                    pending = None
                if len(piece) <= _SMALL:
                    upload.append(piece)
                else:
                    pending = loop.run_in_executor(self._files, upload.append, piece)
        finally:
            if pending is not None:  # also when the client went away: what came is kept
                await pending

    async def _run(
        self, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._files, lambda: work(*args, **kwargs))


def _session(status: int, repository: str, upload_id: str, offset: int) -> Answer:
    return Answer(
        status,
        (
            (b"location", f"/v2/{repository}/blobs/uploads/{upload_id}".encode()),
            (b"range", b"0-%d" % max(offset - 1, 0)),  # distribution's answer for an empty upload is 0-0
            (b"docker-upload-uuid", upload_id.encode()),
            *(((b"content-length", b"0"),) if status != 204 else ()),
        ),
    )


def _created(repository: str, digest: Digest) -> Answer:
    return Answer(
        201,
        (
            (b"location", f"/v2/{repository}/blobs/{digest}".encode()),
            (b"docker-content-digest", digest.encode()),
            (b"content-length", b"0"),
        ),
    )
