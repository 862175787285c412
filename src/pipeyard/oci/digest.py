"""Digests: names of content that somebody has checked. Source: image-spec, descriptor.md, "Digests"."""

import hashlib
import re
from typing import NewType

from pipeyard.errors import InputError

Digest = NewType("Digest", str)
"""Made only by parse_digest, digest_of and a Hasher, and therefore always well-formed."""

_LENGTHS = {"sha256": 64, "sha512": 128}
_PATTERN = re.compile(r"(sha256|sha512):([0-9a-f]+)")


def parse_digest(text: str) -> Digest:
    """`sha256:...` or `sha512:...` with the right number of lower-case hexadecimal digits. Raises InputError."""
    match = _PATTERN.fullmatch(text)
    if match is None or len(match[2]) != _LENGTHS[match[1]]:
        raise InputError(f"{text[:200]!r} is not a digest", hint="expected sha256: and 64 hexadecimal digits")
    return Digest(text)


def digest_of(data: bytes, algorithm: str = "sha256") -> Digest:
    return Digest(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")


def short_digest(digest: Digest) -> str:
    """As people know digests: the first twelve digits, without the algorithm."""
    return digest.partition(":")[2][:12]


class Hasher:
    """Counts and hashes what passes by."""

    def __init__(self, algorithm: str = "sha256") -> None:
        self.algorithm = algorithm
        self.size = 0
        self._hash = hashlib.new(algorithm)

    def update(self, data: bytes | bytearray | memoryview) -> None:
        self._hash.update(data)
        self.size += len(data)

    @property
    def digest(self) -> Digest:
        return Digest(f"{self.algorithm}:{self._hash.hexdigest()}")
