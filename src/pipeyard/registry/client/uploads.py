"""Bringing one blob into a repository: not at all, by a mount, in one piece, or the rest of it after a break.

Source: distribution-spec, "Pushing blobs".
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Semaphore
from typing import BinaryIO, Literal
from urllib.parse import urljoin

from msgspec import Struct

from pipeyard.errors import RegistryError
from pipeyard.oci import Descriptor
from pipeyard.patterns import later
from pipeyard.registry.client.messages import Body, ConnectionFailed, Response, host_of
from pipeyard.registry.client.repository import Repository
from pipeyard.registry.client.retries import TRANSIENT, Backoff, Sleep, asked_delay_s, chance, wait_until
from pipeyard.registry.exchange import Offer
from pipeyard.registry.growing import GrowingBlob
from pipeyard.threads import Stop

Placed = Literal["there", "mounted", "sent"]
_SENT_UNASKED = 64 * 1024  # bytes: sending so few once too often costs less than asking every time
_FOLLOWED_PIECE = 8 << 20  # of a blob that is being written, so much is sent at a time
_RANGE = later(r"(?:bytes=)?0-([0-9]{1,18})")


class _Broken(Exception):
    """An attempt failed in a way that the next may not. `asked_s` is how long the registry asked us to wait."""

    def __init__(self, cause: RegistryError, asked_s: float | None = None) -> None:
        super().__init__(cause.message)
        self.cause = cause
        self.asked_s = asked_s


class Patience(Struct, frozen=True, kw_only=True):
    """How uploads wait and when they give up; `attempts` of the policy count anew after progress."""

    policy: Backoff = Backoff()
    sleep: Sleep = wait_until
    chance: Callable[[], float] = chance
    now_s: Callable[[], float] = time.time


def push_blob(
    repository: Repository, offer: Offer, *, stop: Stop, progress: Callable[[int], None], patience: Patience
) -> Placed:
    """Makes sure that the repository has the blob. Safe to repeat; `progress` gets the bytes that are there so far.

    Raises RegistryError when the registry refuses or keeps failing, Stopped.
    """
    blob = offer.descriptor
    is_asked_for = not offer.is_new or blob.size > _SENT_UNASKED
    if is_asked_for and repository.blob_size(blob.digest) is not None:
        return "there"
    session = ""
    for other in offer.mount_from:
        if other.host == repository.host and other.repository != repository.name:
            mounted, session = _mount(repository, blob, other.repository)
            if mounted:
                return "mounted"
            if session:
                break
    attempt, offset = 0, 0
    while True:
        try:
            if not session:
                session, offset = _begin(repository, f"the blob {blob.digest}"), 0
            _send_rest(repository, offer, session, offset, stop, progress, patience)
            return "sent"
        except _Broken as broken:
            attempt += 1
            delay = patience.policy.delay_s(attempt, broken.asked_s, patience.chance())
            if delay is None:
                raise broken.cause from None
            patience.sleep(stop, delay)
        if repository.blob_size(blob.digest) is not None:
            return "sent"  # only the answer was lost
        held, session = _held(repository, session) if session else (0, "")
        if held > blob.size:
            session = ""
        if session and held > offset:
            attempt = 0
        offset = held if session else 0


def push_growing(repository: Repository, blob: GrowingBlob, source: BinaryIO, *, stop: Stop, turns: Semaphore) -> bool:
    """Sends a blob that is still being written, read from `source`; a turn is held while bytes move.

    False when nothing came of it: then the whole blob is to be pushed. Raises RegistryError, for which the same holds,
    and Stopped. What was begun and not finished is cancelled.
    """
    session, sent = "", 0
    try:
        while True:
            size, over = blob.wait_for(sent + _FOLLOWED_PIECE, stop)
            whole = blob.whole
            if over and (whole is None or not session):
                return False
            with turns:
                if whole is not None and repository.blob_size(whole.digest) is not None:
                    return True  # it was there before: only now is known what it is
                if not session:
                    session = _begin(repository, "a layer that is being made")
                if size > sent:
                    session = _append(repository, session, source, sent, size, stop)
                    sent = size
                if whole is not None:
                    session = _name(repository, session, whole)
                    return True
    finally:
        if session:
            _cancel(repository, session)


def _append(repository: Repository, session: str, source: BinaryIO, start: int, end: int, stop: Stop) -> str:
    """Bytes `start` to `end`; gives where the upload goes on."""

    @contextmanager
    def piece() -> Iterator[BinaryIO]:
        source.seek(start)
        yield source

    headers = {"Content-Type": "application/octet-stream", "Content-Range": f"{start}-{end - 1}"}
    body = Body(size=end - start, open=piece, moved=lambda count: stop.check())
    with repository.request("PATCH", session, headers=headers, body=body, repeatable=False) as response:
        if response.status != 202:
            raise repository.refusal(response, "push a layer that is being made")
        return _location(repository, response)


def _name(repository: Repository, session: str, blob: Descriptor) -> str:
    """Ends the upload; nothing is left of it to cancel then."""
    with repository.request("PUT", _named(session, blob), body=b"", repeatable=False) as response:
        if response.status not in (200, 201, 204):
            raise repository.refusal(response, f"push the blob {blob.digest}")
        _check_name(repository, response, blob)
    return ""


def _cancel(repository: Repository, session: str) -> None:
    """A registry forgets what nobody ends by itself, some time later."""
    try:
        repository.request("DELETE", session).close()
    except RegistryError:
        return


def resume_offset(status: Response) -> int:
    """Bytes the registry already holds of an upload.

    Reads the `Range` header of an upload status answer (204), whose end is inclusive: "0-1023" means 1024. "0-0" is
    one byte by that rule, and nothing for the registries that write it at the start; as nothing it is always safe,
    because the registry refuses an offset that is not its own and the upload then starts over.
    Raises RegistryError when the header is absent or does not start at 0.
    Source: distribution-spec, "Pushing a blob in chunks".
    """
    text = status.headers.get("range", "")
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        raise RegistryError(f"the registry tells the state of an upload as {text[:60]!r}", status=status.status)
    end = int(match[1])
    return end + 1 if end else 0


def _mount(repository: Repository, blob: Descriptor, other: str) -> tuple[bool, str]:
    """Whether the blob was mounted, and else the upload that the registry began in place of it, if it did."""
    try:
        with repository.request(
            "POST",
            f"blobs/uploads/?mount={blob.digest}&from={other}",
            also=(f"repository:{other}:pull",),
        ) as response:
            if response.status == 201:
                return True, ""
            if response.status == 202 and "location" in response.headers:
                return False, _location(repository, response)
    except ConnectionFailed:
        raise
    except RegistryError as error:
        if error.status not in (401, 403):  # not allowed to read the other repository: send the bytes
            raise
    return False, ""


def _begin(repository: Repository, what: str) -> str:
    with repository.request("POST", "blobs/uploads/") as response:
        if response.status != 202:
            raise repository.refusal(response, f"push {what}")
        return _location(repository, response)


def _send_rest(
    repository: Repository,
    offer: Offer,
    session: str,
    offset: int,
    stop: Stop,
    progress: Callable[[int], None],
    patience: Patience,
) -> None:
    """Sends what is missing and names the blob. Raises _Broken where a further attempt may help."""
    blob = offer.descriptor
    done = offset

    def moved(count: int) -> None:
        nonlocal done
        done += count
        stop.check()
        progress(done)

    @contextmanager
    def rest() -> Iterator[BinaryIO]:
        nonlocal done
        done = offset
        with offer.open(offset) as source:
            yield source

    body = Body(size=blob.size - offset, open=rest, moved=moved)
    if offset:
        if body.size:
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Range": f"{offset}-{blob.size - 1}",
            }
            with _attempt(repository, "PATCH", session, headers, body) as response:
                _require(repository, response, 202, blob, patience)
                session = _location(repository, response)
        body = Body(size=0, open=rest)
    headers = {"Content-Type": "application/octet-stream"}
    with _attempt(repository, "PUT", _named(session, blob), headers, body) as response:
        _require(repository, response, 201, blob, patience)
        _check_name(repository, response, blob)


def _named(session: str, blob: Descriptor) -> str:
    return f"{session}{'&' if '?' in session else '?'}digest={blob.digest}"


def _check_name(repository: Repository, response: Response, blob: Descriptor) -> None:
    named = response.headers.get("docker-content-digest", "")
    if named.startswith("sha256:") and named != blob.digest and blob.digest.startswith("sha256:"):
        raise RegistryError(f"{repository} stored {named} in place of {blob.digest}")


def _attempt(repository: Repository, method: str, url: str, headers: dict[str, str], body: Body) -> Response:
    try:
        return repository.request(method, url, headers=headers, body=body, repeatable=False)
    except ConnectionFailed as failure:
        if failure.transient:
            raise _Broken(failure) from failure
        raise


def _require(repository: Repository, response: Response, status: int, blob: Descriptor, patience: Patience) -> None:
    if response.status == status or (status == 201 and response.status in (200, 204)):
        return
    asked_s = asked_delay_s(response, patience.now_s)
    refused = repository.refusal(response, f"push the blob {blob.digest}")
    # Unknown: the session died with its server. Wrong range or digest: bytes were lost or changed on the way.
    lost = refused.status in (404, 416) or refused.code in ("BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID")
    if refused.status in TRANSIENT or lost or refused.code in ("DIGEST_INVALID", "RANGE_INVALID", "SIZE_INVALID"):
        raise _Broken(refused, asked_s)
    raise refused


def _held(repository: Repository, session: str) -> tuple[int, str]:
    """How many bytes an interrupted upload has, and where it goes on; no place when it cannot go on."""
    try:
        with repository.request("GET", session) as response:
            if response.status != 204:
                return 0, ""
            return resume_offset(response), _location(repository, response)
    except RegistryError:
        return 0, ""


def _location(repository: Repository, response: Response) -> str:
    place = response.headers.get("location", "")
    url = urljoin(response.url, place)
    if not place or not url.startswith(("http://", "https://")):
        raise RegistryError(f"{repository} does not say where to send a blob to: {place[:100]!r}")
    elsewhere = host_of(url) != host_of(response.url)
    if elsewhere and url.startswith("http://") and response.url.startswith("https://"):
        raise RegistryError(f"{repository} wants a blob by plain HTTP at {host_of(url)}")
    return url
