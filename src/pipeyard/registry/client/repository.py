"""One repository of one registry: every operation of the distribution protocol that a client needs.

Source: OCI distribution-spec 1.1.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO
from urllib.parse import quote, urljoin

import msgspec
from msgspec import Struct

from pipeyard.errors import DigestMismatch, InputError, RegistryError
from pipeyard.oci import Descriptor, Digest, Hasher, ImageIndex, decode_manifest, digest_of, encode, media_types
from pipeyard.oci.digest import parse_digest
from pipeyard.registry.client.messages import SMALL, Body, ConnectionFailed, Request, Response, Transport, host_of
from pipeyard.registry.client.refusals import refusal
from pipeyard.registry.client.routes import api_host
from pipeyard.registry.exchange import Document
from pipeyard.registry.manifests import examine, referrer
from pipeyard.registry.reference import Reference, is_tag
from pipeyard.threads import NEVER, Stop

ACCEPTED = ", ".join(
    (media_types.OCI_INDEX, media_types.OCI_MANIFEST, media_types.DOCKER_LIST, media_types.DOCKER_MANIFEST)
)
_MAX_RESUMES = 5  # without one byte of progress between
_MAX_PAGES = 2000  # of a list
_MAX_REPAIRS = 3  # of a tag whose manifest arrived changed


class _Tags(Struct):
    tags: list[str] | None = None


class Repository:
    """Operations on one repository. Stateless and thread-safe; every failure is a RegistryError that names the host.

    `access` is what tokens must allow (`("pull",)`, `("pull", "push")`, `("pull", "delete")`). Only a repository for
    reading is asked at mirrors.
    """

    def __init__(
        self, host: str, name: str, send: Transport, *, access: tuple[str, ...] = ("pull",), stop: Stop = NEVER
    ) -> None:
        self.host = host
        self.name = name
        self._send = send
        self._access = access
        self._stop = stop
        self._base = f"https://{api_host(host)}/v2/{name}/"

    def __str__(self) -> str:
        return f"{self.host}/{self.name}"

    @property
    def reference(self) -> Reference:
        return Reference(self.host, self.name)

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        body: bytes | Body | None = None,
        also: tuple[str, ...] = (),
        repeatable: bool = True,
    ) -> Response:
        """Sends one request; `path` is beneath the repository, or an absolute URL. `also` are further scopes."""
        url = path if "://" in path else self._base + path
        at_home = host_of(url) == host_of(self._base)
        if at_home:
            # A registry behind a proxy may not know that it was reached by TLS; `plain` knows who speaks what.
            url = f"https://{url.partition('://')[2]}"
        return self._send(
            Request(
                method=method,
                url=url,
                headers=headers or {},
                body=body,
                registry=self.host if at_home else "",
                scopes=(f"repository:{self.name}:{','.join(self._access)}", *also),
                repeatable=repeatable,
                any_mirror=self._access == ("pull",) and path.startswith(("manifests/", "blobs/")),
                stop=self._stop,
            )
        )

    def _whole(self, path: str, accept: str) -> Response:
        """An answer to GET whose body (at most 4 MiB) was read already; asked again when it broke off in the middle."""
        attempt = 0
        while True:
            with self.request("GET", path, headers={"Accept": accept}) as response:
                try:
                    return Response(response.status, response.headers, response.read_all(SMALL), url=response.url)
                except ConnectionFailed as failure:
                    attempt += 1
                    if not failure.transient or attempt > _MAX_RESUMES:
                        raise
            self._pause(attempt)

    def _pause(self, attempt: int) -> None:
        self._stop.wait(0.05 * 2.0 ** (attempt - 1))
        self._stop.check()

    def refusal(self, response: Response, doing: str) -> RegistryError:
        return refusal(response, self.host, self.name, doing)

    # ---- manifests

    def head(self, key: str) -> Descriptor | None:
        """What a tag or digest names, without reading it; None when there is no such manifest.

        Falls back to reading it where the registry does not say the digest.
        """
        with self.request("HEAD", f"manifests/{_quoted(key)}", headers={"Accept": ACCEPTED}) as response:
            if response.status == 404:
                return None
            # A refusal to HEAD has no body; GET tells the reason.
            named = response.headers.get("docker-content-digest", "") or (key if ":" in key else "")
            length = response.headers.get("content-length", "")
            if response.ok and named and length.isdigit():
                media_type = response.headers.get("content-type", "").partition(";")[0].strip()
                return Descriptor(media_type=media_type, digest=self._digest(named), size=int(length))
        found = self.document(key)
        if found is None:
            return None
        return Descriptor(media_type=found.media_type, digest=digest_of(found.data), size=len(found.data))

    def document(self, key: str, size: int | None = None) -> Document | None:
        """The manifest or index that a tag or digest names, verified; None when there is none.

        Raises DigestMismatch for other bytes than were asked for or than the registry announced, RegistryError for
        more than 4 MiB or than `size`, InputError for what is no manifest (schema 1 among it).
        """
        response = self._whole(f"manifests/{_quoted(key)}", ACCEPTED)
        if response.status == 404:
            return None
        if not response.ok:
            raise self.refusal(response, f"give the manifest {key}")
        data = response.read_all()
        announced = response.headers.get("docker-content-digest", "")
        media_type = response.headers.get("content-type", "").partition(";")[0].strip()
        if size is not None and len(data) != size:
            raise DigestMismatch(f"{self} gave {len(data)} bytes for the manifest {key} of {size} bytes")
        for promised in ((key,) if ":" in key else ()) + ((announced,) if announced else ()):
            wanted = self._digest(promised)
            if digest_of(data, wanted.partition(":")[0]) != wanted:
                raise DigestMismatch(f"{self} gave other bytes for the manifest {key} than {wanted}")
        manifest = decode_manifest(data, media_type if media_type in media_types.DOCUMENTS else "")
        if media_type not in media_types.DOCUMENTS:
            media_type = manifest.media_type or _usual_type(manifest)
        elif manifest.media_type and manifest.media_type != media_type:
            # image-spec, manifest.md: the two must agree, or one document could be read as two things.
            raise InputError(
                f"the manifest {key} of {self} says {manifest.media_type!r} and is served as {media_type!r}"
            )
        return Document(media_type=media_type, data=data)

    def put_document(self, document: Document, key: str = "") -> Digest:
        """Stores a manifest under a tag, or under its own digest. Its subject, if any, lists it afterwards."""
        digest = digest_of(document.data)
        for _ in range(_MAX_REPAIRS):
            announced, has_referrers = self._put_once(document, key or digest)
            if not announced.startswith("sha256:") or announced == digest:
                break
            # Under a tag nothing but this answer shows that bytes changed on the way. The tag must not stay wrong.
        else:
            raise DigestMismatch(f"{self} stored {announced} in place of {digest}")
        subject = decode_manifest(document.data, document.media_type).subject
        if subject is not None and not has_referrers:
            self._list_by_tag(document, digest, subject.digest)
        return digest

    def _put_once(self, document: Document, key: str) -> tuple[str, bool]:
        """The digest that the registry announces, or nothing, and whether it lists referrers itself."""
        doing = f"push the manifest {key}" if ":" in key else f"tag {key}"
        headers = {"Content-Type": document.media_type}
        with self.request("PUT", f"manifests/{_quoted(key)}", headers=headers, body=document.data) as response:
            if not response.ok:
                raise self.refusal(response, doing)
            return response.headers.get("docker-content-digest", ""), "oci-subject" in response.headers

    def delete(self, key: str) -> bool:
        """Removes a tag or, by digest, a manifest; False when it was not there."""
        with self.request("DELETE", f"manifests/{_quoted(key)}") as response:
            if response.status == 404:
                return False
            if not response.ok:
                refused = self.refusal(response, f"delete {key}")
                if response.status in (400, 405) and ":" not in key:
                    # Registries before distribution-spec 1.0 know manifests only, and say anything about tags.
                    refused.hint = f"where tags cannot be deleted, {self}@DIGEST can: with all tags that it has"
                raise refused
        return True

    def tags(self) -> Iterator[str]:
        """Every tag, page by page, in the registry's order. Raises RegistryError (404) for an unknown repository."""
        for response in self._pages("tags/list?n=1000", "application/json"):
            if not response.ok:
                raise self.refusal(response, "list the tags")
            try:
                page = msgspec.json.decode(response.read_all(), type=_Tags)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise RegistryError(f"{self.host} gave a list of tags that is none: {error}") from error
            yield from (tag for tag in page.tags or () if is_tag(tag))

    def referrers(self, digest: Digest) -> tuple[Descriptor, ...]:
        """What refers to a manifest: signatures, SBOMs, provenance; by the API or by the fallback tag."""
        found: list[Descriptor] = []
        for response in self._pages(f"referrers/{digest}", media_types.OCI_INDEX):
            if response.status in (400, 404, 405) and not found:
                return self._by_tag(digest)
            if not response.ok:
                raise self.refusal(response, f"list the referrers of {digest}")
            page = decode_manifest(response.read_all(), media_types.OCI_INDEX)
            found += page.manifests if isinstance(page, ImageIndex) else []
        return tuple(found)

    def _by_tag(self, digest: Digest) -> tuple[Descriptor, ...]:
        document = self.document(_fallback_tag(digest))
        index = decode_manifest(document.data, document.media_type) if document else None
        return tuple(index.manifests) if isinstance(index, ImageIndex) else ()

    def _list_by_tag(self, document: Document, digest: Digest, subject: Digest) -> None:
        """Source: distribution-spec, "Pushing Manifests with Subject": what a client does where the API is missing."""
        known = self._by_tag(subject)
        if any(descriptor.digest == digest for descriptor in known):
            return
        facts = examine(document.data, document.media_type)
        entry = referrer(document.data, document.media_type, digest, facts.artifact_type)
        index = ImageIndex(schema_version=2, media_type=media_types.OCI_INDEX, manifests=[*known, entry])
        self.put_document(Document(media_type=media_types.OCI_INDEX, data=encode(index)), _fallback_tag(subject))

    def _pages(self, path: str, accept: str) -> Iterator[Response]:
        """The answers of a list, as far as it goes on; it ends where it would begin again."""
        seen = set[str]()
        while path and path not in seen:
            if len(seen) == _MAX_PAGES:
                raise RegistryError(f"{self} gives a list without an end: {_MAX_PAGES} pages were read")
            seen.add(path)
            response = self._whole(path, accept)
            yield response
            path = self._next_page(response)

    def _next_page(self, response: Response) -> str:
        link = response.headers.get("link", "")
        address, _, relation = link.partition(">")
        if not address.startswith("<") or "next" not in relation:
            return ""
        url = urljoin(response.url or self._base, address[1:])
        if host_of(url) != host_of(response.url or self._base):
            raise RegistryError(f"{self.host} continues its list at another host: {url[:200]!r}")
        return url

    def _digest(self, text: str) -> Digest:
        try:
            return parse_digest(text)
        except InputError as error:
            raise RegistryError(f"{self} names a manifest by {text[:100]!r}, which is no digest") from error

    # ---- blobs

    def blob_size(self, digest: Digest) -> int | None:
        """Bytes of a blob that is there, else None."""
        with self.request("HEAD", f"blobs/{digest}") as response:
            if response.status == 404:
                return None
            if not response.ok:
                raise self.refusal(response, f"look for the blob {digest}")
            length = response.headers.get("content-length", "")
        return int(length) if length.isdigit() else 0

    @contextmanager
    def read(self, blob: Descriptor, start: int = 0, moved: Callable[[int], None] | None = None) -> Iterator[BinaryIO]:
        """A blob from byte `start`, as a stream that goes on where a broken connection left off.

        Never gives more than `blob.size`. Read to its end from 0, its digest has been verified: DigestMismatch is
        raised instead of the end. `moved` is told of every piece.
        """
        stream = _BlobStream(self, blob, start, moved or (lambda count: None), self._stop)
        try:
            yield io.BufferedReader(stream, 256 * 1024)
        finally:
            stream.close()

    def open_blob(self, blob: Descriptor, start: int) -> Response:
        headers = {"Range": f"bytes={start}-"} if start else {}
        return self.request("GET", f"blobs/{blob.digest}", headers=headers)


class _BlobStream(io.RawIOBase):
    """Bytes of a blob across as many connections as it takes."""

    def __init__(
        self, repository: Repository, blob: Descriptor, start: int, moved: Callable[[int], None], stop: Stop
    ) -> None:
        self._repository = repository
        self._blob = blob
        self._place = start
        self._hasher = Hasher(blob.digest.partition(":")[0]) if start == 0 else None
        self._moved = moved
        self._stop = stop
        self._response: Response | None = None
        self._fruitless = 0
        self._again = 0  # bytes that a server without ranges sends once more

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        piece = self._next(len(view))
        view[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._hang_up()
        super().close()

    def _next(self, size: int) -> bytes:
        while self._place < self._blob.size:
            self._stop.check()
            if self._response is None:
                self._response = self._open()  # the transport's own patience is behind a failure of this
            try:
                while self._again and (piece := self._response.read(min(self._again, 1024 * 1024))):
                    self._again -= len(piece)
                    self._stop.check()
                piece = self._response.read(min(size, self._blob.size - self._place))
                if not piece:
                    raise ConnectionFailed(f"{self._repository} ended {self._blob.digest} too early", "broken")
            except ConnectionFailed as failure:
                self._hang_up()
                self._fruitless += 1
                if not failure.transient or self._fruitless > _MAX_RESUMES:
                    raise RegistryError(
                        f"could not read {self._blob.digest} of {self._repository}: {failure.message}",
                        hint=failure.hint,
                    ) from failure
                self._stop.wait(0.1 * 2 ** (self._fruitless - 1))
                continue
            self._fruitless = 0
            self._place += len(piece)
            if self._hasher is not None:
                self._hasher.update(piece)
            if self._place == self._blob.size:
                self._finish()
            self._moved(len(piece))
            return piece
        if self._blob.size == 0 and self._response is None and self._hasher is not None:
            self._finish()
        return b""

    def _finish(self) -> None:
        if self._response is not None and self._response.read(1):
            self._hang_up()
            raise DigestMismatch(f"{self._repository} gave more than {self._blob.size} bytes for {self._blob.digest}")
        self._hang_up()
        if self._hasher is not None and self._hasher.digest != self._blob.digest:
            raise DigestMismatch(f"{self._repository} gave other bytes than those of {self._blob.digest}")

    def _open(self) -> Response:
        response = self._repository.open_blob(self._blob, self._place)
        try:
            if response.status == 206:
                where = response.headers.get("content-range", "")
                if not where.startswith(f"bytes {self._place}-"):
                    raise RegistryError(f"{self._repository} gave the range {where[:60]!r}, not from {self._place}")
                self._again = 0
            elif response.ok:
                self._again = self._place
            else:
                raise self._repository.refusal(response, f"give the blob {self._blob.digest}")
        except BaseException:
            response.close()
            raise
        return response

    def _hang_up(self) -> None:
        if self._response is not None:
            response, self._response = self._response, None
            response.close()


def _quoted(key: str) -> str:
    return quote(key, safe=":")


def _usual_type(manifest: object) -> str:
    return media_types.OCI_INDEX if isinstance(manifest, ImageIndex) else media_types.OCI_MANIFEST


def _fallback_tag(digest: Digest) -> str:
    """Source: distribution-spec, "Referrers Tag Schema"."""
    return digest.replace(":", "-")[:128]
