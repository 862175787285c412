"""Names of images: `[HOST/]REPOSITORY[:TAG][@DIGEST]`, with Docker Hub's defaults.

Source: distribution/reference's grammar; distribution-spec, "Pulling manifests".
"""

import re

from msgspec import Struct

from pipeyard.errors import InputError
from pipeyard.oci import Digest, parse_digest

DEFAULT_HOST = "docker.io"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_HOST = re.compile(r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9](?:[A-Za-z0-9-.]*[A-Za-z0-9])?)(?::[0-9]+)?")


class Reference(Struct, frozen=True):
    """`host` as written in references (`docker.io`, `localhost:5000`); `tag` empty when only a digest was given.

    An empty host is the embedded registry.
    """

    host: str
    repository: str
    tag: str = ""
    digest: Digest | None = None

    @property
    def name(self) -> str:
        """Host and repository, as one would pull them."""
        return f"{self.host}/{self.repository}" if self.host else self.repository

    @property
    def key(self) -> str:
        """What selects the manifest within the repository: the digest before the tag."""
        return self.digest or self.tag

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse_reference(text: str, default_tag: str = "latest") -> Reference:
    """Reads what people write: `alpine`, `team/app:1`, `localhost:5000/app@sha256:...`. Raises InputError."""
    return _parse(text, default_tag, DEFAULT_HOST)


def parse_place(text: str, default_tag: str = "latest") -> Reference:
    """Reads a name where the embedded registry is meant by names without host (`host` is empty then)."""
    return _parse(text, default_tag, "")


def _parse(text: str, default_tag: str, default_host: str) -> Reference:
    rest, at, digest = text.partition("@")
    host, slash, path = rest.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost" or host != host.lower()):
        host, path = default_host, rest
    name, colon, tag = path.partition(":")
    if host in ("docker.io", "index.docker.io"):
        host = DEFAULT_HOST
        if "/" not in name:
            name = f"library/{name}"
    if host and not _HOST.fullmatch(host):
        hint = "leave https:// and http:// away" if "://" in text else "a host is NAME[:PORT]"
        raise InputError(f"{text!r} names no valid registry host", hint=hint)
    if not is_repository_name(name):
        hint = "repository names are lower-case" if name != name.lower() else "write [HOST/]REPOSITORY[:TAG][@DIGEST]"
        raise InputError(f"{text!r} is not an image reference", hint=hint)
    if colon and not is_tag(tag):
        raise InputError(f"{tag!r} is not a tag", hint="up to 128 letters, digits, _ . - and neither . nor - first")
    return Reference(host, name, tag or ("" if at else default_tag), parse_digest(digest) if at else None)


def is_repository_name(text: str) -> bool:
    return len(text) <= 255 and _REPOSITORY.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    return _TAG.fullmatch(text) is not None
