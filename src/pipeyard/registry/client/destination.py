"""A repository of another registry that receives an image while it is still being built."""

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from typing import BinaryIO

from pipeyard.errors import PipeyardError, RegistryError, Stopped
from pipeyard.oci import Digest, digest_of, short_digest
from pipeyard.progress import Observer, Transferred, ignore
from pipeyard.registry.choosing import image_size
from pipeyard.registry.client.repository import Repository
from pipeyard.registry.client.uploads import Patience, push_blob, push_growing
from pipeyard.registry.exchange import Document, Offer, Published
from pipeyard.registry.growing import GrowingBlob
from pipeyard.threads import Crew, Future, Stop, StopSignal, crew

_FIXED = (400, 403, 409)  # with which registries refuse to move a tag


class RemoteDestination:
    """A Destination over one repository. Blobs travel on a crew of `uploads` threads from the first offer on.

    `turns` is what destinations at one registry share, so that several images together do not flood it.
    """

    def __init__(
        self,
        repository: Repository,
        *,
        stop: Stop,
        observe: Observer = ignore,
        step: str = "publish",
        uploads: int = 4,
        turns: threading.Semaphore | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._repository = repository
        self._stop = stop
        self._observe = observe
        self._step = step
        self._uploads = uploads
        self._turns = turns or threading.Semaphore(uploads)
        self._patience = patience or Patience()
        self._lock = threading.Lock()  # guards the five below
        self._offered: set[Digest] = set()
        self._held = ExitStack()
        self._crew: Crew | None = None
        self._followed: list[tuple[GrowingBlob, Future[bool]]] = []
        self._closed = False

    def offer(self, blob: Offer) -> None:
        """Returns at once. Raises RegistryError after `close`, and Stopped."""
        self._stop.check()
        with self._lock:
            if self._closed:
                raise RegistryError(f"the destination {self._repository} is closed")
            if blob.descriptor.digest in self._offered:
                return
            self._offered.add(blob.descriptor.digest)
            members = self._members()
            begun = next((one for growing, one in self._followed if growing.whole == blob.descriptor), None)
            members.start(self._bring, blob, begun, members.stop)

    def follow(self, blob: GrowingBlob) -> None:
        """Returns at once. What becomes of it is known when the blob is offered."""
        try:
            source = open(blob.path, "rb", buffering=0)  # noqa: SIM115 -- closed by _bring_growing
        except FileNotFoundError:
            return
        with self._lock:
            if self._closed:
                source.close()
                return
            members = self._members()
            self._followed.append((blob, members.start(self._bring_growing, blob, source, members.stop)))

    def _members(self) -> Crew:
        if self._crew is None:
            parent = self._stop if isinstance(self._stop, StopSignal) else None
            self._crew = self._held.enter_context(crew("push", self._uploads, parent))
        return self._crew

    def _bring_growing(self, blob: GrowingBlob, source: BinaryIO, stop: Stop) -> bool:
        with source:
            try:
                return push_growing(self._repository, blob, source, stop=stop, turns=self._turns)
            except RegistryError:
                return False  # the whole blob is pushed, with all patience

    def _bring(self, blob: Offer, begun: "Future[bool] | None", stop: Stop) -> None:
        descriptor = blob.descriptor
        item = short_digest(descriptor.digest)

        def progress(done: int) -> None:
            self._observe(Transferred(self._step, done, descriptor.size, item))

        if begun is not None and begun.result():
            progress(descriptor.size)
            return
        with self._turns:
            stop.check()
            push_blob(self._repository, blob, stop=stop, progress=progress, patience=self._patience)
        progress(descriptor.size)

    def publish(self, documents: Sequence[Document], tags: Sequence[str]) -> Published:
        """Waits for the blobs, puts the children, then the root under every tag (by digest alone without tags).

        Raises the first failure of a blob, or RegistryError that says which tags were set and which not.
        """
        if not documents:
            raise RegistryError(f"nothing to publish in {self._repository}")
        tags = tuple(dict.fromkeys(tags))
        if self._crew is not None:
            self._crew.join()
        self._stop.check()
        *children, root = documents
        for child in children:
            self._repository.put_document(child)
        if not tags:
            self._repository.put_document(root)
        for place, tag in enumerate(tags):
            try:
                self._repository.put_document(root, tag)
            except RegistryError as error:
                if error.status not in _FIXED or not self._points_at(tag, digest_of(root.data)):
                    raise _partial(error, tags[:place], tags[place:]) from error
        name = str(self._repository)
        return Published(
            repository=name,
            tags=tags,
            digest=digest_of(root.data),
            size=image_size(documents),
            references=tuple(f"{name}:{tag}" for tag in tags),
        )

    def _points_at(self, tag: str, digest: Digest) -> bool:
        """Whether a tag is what it should be already, as when an immutable one was set by a run that was killed."""
        try:
            found = self._repository.head(tag)
        except RegistryError:
            return False
        return found is not None and found.digest == digest

    def close(self) -> None:
        """Ends the background work; what was not published stays invisible. Safe to call twice."""
        with self._lock:
            self._closed = True
            members, self._crew = self._crew, None
        if members is not None:
            members.stop.stop("the destination was closed")
            try:
                self._held.close()
            except (PipeyardError, Stopped):
                return  # publish has raised it, or nobody wants the result any more


def _partial(error: RegistryError, done: Sequence[str], missing: Sequence[str]) -> RegistryError:
    state = f"{_list('tag', missing)} not set"
    if done:
        state = f"{_list('tag', done)} set, {state}"
    return RegistryError(f"{error.message}; {state}", status=error.status, code=error.code, hint=error.hint)


def _list(noun: str, names: Sequence[str]) -> str:
    return f"{noun} {names[0]} is" if len(names) == 1 else f"{noun}s {', '.join(names)} are"
