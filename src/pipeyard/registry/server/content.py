"""Manifests, blobs, tags and referrers: what can be read, put and deleted. Source: distribution-spec 1.1."""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar
from urllib.parse import quote

from pipeyard.errors import RegistryError
from pipeyard.oci import Descriptor, Digest, ImageIndex, encode, media_types
from pipeyard.registry.manifests import examine, referrer
from pipeyard.registry.reference import is_tag
from pipeyard.registry.server.access import Caller
from pipeyard.registry.server.answers import Answer, FileRegion, Refusal, Request, Streamed, json_answer, read_digest
from pipeyard.registry.server.coming import Coming
from pipeyard.registry.store import ContentStore

MAX_MANIFEST = 4 * 1024 * 1024  # the size that clients can rely on: distribution-spec, "Pushing Manifests"
_PAGE = 1000
_PULL_NOTED_MS = 15 * 60 * 1000
_PULLS_REMEMBERED = 100_000
_MAX_REFERRERS_BYTES = 4 * 1024 * 1024 - 4096
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")

Result = TypeVar("Result")


class Content:
    """Short questions are answered on the event loop (a few microseconds in SQLite), changes in `files`' threads."""

    def __init__(self, store: ContentStore, files: Executor, *, sparse: bool, redirect: bool) -> None:
        """`redirect`: clients fetch what only an object store has from there; otherwise it is streamed."""
        self._redirect = redirect
        self._store = store
        self._files = files
        self._sparse = sparse
        self._pulled_ms: dict[tuple[str, Digest], int] = {}

    # Manifests

    def manifest(self, request: Request, name: str, key: str) -> Answer:
        """`key` is a digest, well-formed, or should be a tag."""
        found = self._store.catalog.manifest(name, key) if ":" in key or is_tag(key) else None
        if found is None:
            raise Refusal(404, "MANIFEST_UNKNOWN", f"{name} has no manifest {_shown(key)}")
        digest = found.digest.encode()
        headers = (
            (b"content-type", found.media_type.encode()),
            (b"content-length", b"%d" % len(found.data)),
            (b"docker-content-digest", digest),
            (b"etag", b'"' + digest + b'"'),
        )
        if request.method == "GET":
            self._note_pull(name, found.digest)
        if _matches(request, found.digest):
            return Answer(304, headers[2:])
        return Answer(200, headers, found.data)

    async def put_manifest(self, request: Request, name: str, key: str) -> Answer:
        expected = read_digest(key) if ":" in key else None
        tags = [*([] if expected else [key]), *request.values("tag")]
        for tag in tags:
            if not is_tag(tag):
                raise Refusal(400, "MANIFEST_INVALID", f"{tag[:200]!r} is not a tag")
        data = await request.body(MAX_MANIFEST)
        facts = examine(data, request.header(b"content-type"), expected)
        missing = await self._run(
            lambda: self._store.put(name, [facts], tags, adopt=False, sparse=self._sparse or not facts.blobs)
        )
        headers = [
            (b"location", f"/v2/{name}/manifests/{facts.digest}".encode()),
            (b"docker-content-digest", facts.digest.encode()),
            (b"content-length", b"0"),
        ]
        if facts.subject:
            headers.append((b"oci-subject", facts.subject.encode()))
        headers += [(b"oci-tag", tag.encode()) for tag in dict.fromkeys(request.values("tag"))]
        if missing:
            warning = f'299 - "{len(missing)} blobs or manifests that this one refers to are not in the repository"'
            headers.append((b"warning", warning.encode()))
        return Answer(201, tuple(headers))

    async def delete_manifest(self, name: str, key: str) -> Answer:
        if ":" in key:
            digest = read_digest(key)
            gone = await self._run(lambda: self._store.catalog.delete_manifests(name, [digest]) > 0)
        else:
            gone = is_tag(key) and await self._run(lambda: self._store.catalog.delete_tag(name, key))
        if not gone:
            raise Refusal(404, "MANIFEST_UNKNOWN", f"{name} has no manifest {_shown(key)}")
        return Answer(202, ((b"content-length", b"0"),))

    # Blobs

    def blob(self, request: Request, name: str, digest: Digest, coming: Coming | None = None) -> Answer:
        """From the store, or while it is `coming` from upstream."""
        size = coming.size if coming else self._store.blob_size(name, digest)
        headers: tuple[tuple[bytes, bytes], ...] = (
            (b"content-type", b"application/octet-stream"),
            (b"docker-content-digest", digest.encode()),
            (b"etag", f'"{digest}"'.encode()),
            (b"accept-ranges", b"bytes"),
            (b"cache-control", b"private, max-age=31536000, immutable"),
        )
        if _matches(request, digest):
            return Answer(304, headers[1:])
        wanted = _range(request, digest, size) if request.method == "GET" else None
        start, count = wanted or (0, size)
        status = 206 if wanted else 200
        length = (b"content-length", b"%d" % count)
        if wanted:
            headers = (*headers, (b"content-range", b"bytes %d-%d/%d" % (start, start + count - 1, size)))
        if request.method == "HEAD":
            return Answer(status, (*headers, length))
        if coming is not None:
            return Answer(status, (*headers, length), Streamed(lambda: coming.read(start), count))
        try:
            return Answer(status, (*headers, length), FileRegion(self._store.files.open(digest), start, count))
        except RegistryError:
            remote = self._store.remote
            if remote is None:
                raise
        if self._redirect:
            place = remote.url(digest).encode()
            return Answer(307, (headers[1], (b"location", place), (b"content-length", b"0")))
        return Answer(status, (*headers, length), Streamed(lambda: remote.read(digest, start), count))

    async def delete_blob(self, name: str, key: str) -> Answer:
        digest = read_digest(key)
        if not await self._run(lambda: self._store.catalog.unlink(name, digest)):
            raise Refusal(404, "BLOB_UNKNOWN", f"{name} has no blob {digest}")
        return Answer(202, ((b"content-length", b"0"),))

    # Discovery

    def tags(self, request: Request, name: str) -> Answer:
        limit = _limit(request)
        found = self._store.catalog.tags(name, request.value("last"), limit + 1)
        page = found[:limit]
        return json_answer(
            200, {"name": name, "tags": page}, *_next(f"/v2/{name}/tags/list", page, len(found) > limit, limit)
        )

    def catalog(self, request: Request, caller: Caller) -> Answer:
        """Only what the caller may pull."""
        limit = _limit(request)
        found: list[str] = []
        after = request.value("last")
        while len(found) <= limit:
            batch = self._store.catalog.repositories(after, _PAGE)
            found += [each.name for each in batch if caller.may(each.name, "pull")]
            if len(batch) < _PAGE:
                break
            after = batch[-1].name
        page = tuple(found[:limit])
        return json_answer(200, {"repositories": page}, *_next("/v2/_catalog", page, len(found) > limit, limit))

    def referrers(self, request: Request, name: str, key: str) -> Answer:
        subject = read_digest(key)
        wanted = request.value("artifactType")
        after = request.value("last")
        descriptors: list[Descriptor] = []
        total = 0
        headers: list[tuple[bytes, bytes]] = []
        skipping = bool(after)
        for found in self._store.catalog.referrers(name, subject):
            if skipping:
                skipping = found.digest != after
                continue
            artifact_type = examine(found.data, found.media_type, found.digest).artifact_type
            if wanted and artifact_type != wanted:
                continue
            descriptor = referrer(found.data, found.media_type, found.digest, artifact_type)
            total += len(encode(descriptor)) + 1
            if total > _MAX_REFERRERS_BYTES and descriptors:
                kept = f"&artifactType={quote(wanted, safe='')}" if wanted else ""
                link = f'</v2/{name}/referrers/{subject}?last={descriptors[-1].digest}{kept}>; rel="next"'
                headers.append((b"link", link.encode()))
                break
            descriptors.append(descriptor)
        if wanted:
            headers.append((b"oci-filters-applied", b"artifactType"))
        index = ImageIndex(schema_version=2, media_type=media_types.OCI_INDEX, manifests=descriptors)
        return json_answer(200, index, *headers, kind=media_types.OCI_INDEX.encode())

    def _note_pull(self, name: str, digest: Digest) -> None:
        """For lifecycle policies and lists of images: at most once in `_PULL_NOTED_MS`, and nobody waits for it."""
        now_ms = self._store.now_ms()
        if now_ms - self._pulled_ms.get((name, digest), 0) >= _PULL_NOTED_MS:
            if len(self._pulled_ms) > _PULLS_REMEMBERED:
                self._pulled_ms.clear()
            self._pulled_ms[name, digest] = now_ms
            self._files.submit(self._store.catalog.note_pull, name, digest, now_ms)

    async def _run(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._files, work)


def _shown(key: str) -> str:
    """What a client sent, in an answer that must be UTF-8 although the path need not have been."""
    return key[:200] if key.isprintable() and key.isascii() else repr(key[:200])


def _matches(request: Request, digest: Digest) -> bool:
    """If-None-Match; content under a digest never changes, a tag's may."""
    text = request.header(b"if-none-match")
    return bool(text) and (text.strip() == "*" or f'"{digest}"' in text)


def _range(request: Request, digest: Digest, size: int) -> tuple[int, int] | None:
    """Start and count of a single range; None for the whole. Raises Refusal (416). Source: RFC 9110, section 14."""
    match = _RANGE.fullmatch(request.header(b"range").replace(" ", ""))
    condition = request.header(b"if-range")
    if match is None or (condition and condition != f'"{digest}"') or not (match[1] or match[2]):
        return None  # several ranges, or another unit: the whole is a right answer
    if match[1]:
        start = int(match[1])
        last = min(int(match[2]), size - 1) if match[2] else size - 1
        if match[2] and int(match[2]) < start:
            return None
    else:
        start = max(size - int(match[2]), 0)
        last = size - 1
    if start > last:
        headers = ((b"content-range", b"bytes */%d" % size),)
        raise Refusal(416, "SIZE_INVALID", f"the blob has {size} bytes", headers)
    return start, last - start + 1


def _limit(request: Request) -> int:
    text = request.value("n")
    if not text:
        return _PAGE * 10
    if not text.isascii() or not text.isdigit():
        raise Refusal(400, "UNSUPPORTED", "n is not a number")
    return min(int(text[:9]), _PAGE * 10)


def _next(path: str, page: tuple[str, ...], more: bool, limit: int) -> tuple[tuple[bytes, bytes], ...]:
    if not more or not page:
        return ()
    return ((b"link", f'<{path}?n={limit}&last={quote(page[-1], safe="")}>; rel="next"'.encode()),)
