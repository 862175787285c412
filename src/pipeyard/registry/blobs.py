"""Content by digest: the narrow contract that builds, the registry and the client share."""

from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

from pipeyard.oci import Descriptor, Digest


class BlobWriter(Protocol):
    """One blob on its way in."""

    def write(self, data: bytes | bytearray | memoryview) -> int: ...

    def commit(self, media_type: str = "application/octet-stream", expected: Digest | None = None) -> Descriptor:
        """Names the content by the digest that was computed while it was written. Raises DigestMismatch."""


class BlobStore(Protocol):
    """Content by digest; safe for any number of threads and processes."""

    def size(self, digest: Digest) -> int | None:
        """Bytes of the blob, or None when it is not here."""

    def read(self, digest: Digest, start: int = 0) -> AbstractContextManager[BinaryIO]:
        """The blob from byte `start`. Raises RegistryError (code BLOB_UNKNOWN) when it is not here."""

    def writer(self, algorithm: str = "sha256") -> AbstractContextManager[BlobWriter]:
        """Left without commit: no trace. Committing what is here already is harmless."""
