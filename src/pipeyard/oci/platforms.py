"""Platforms: what an image runs on, as `os/architecture[/variant]`. Names as in Go and containerd."""

import platform as machine
import re

from msgspec import Struct

from pipeyard.errors import InputError

_component = re.compile(r"[a-z0-9_.-]+").fullmatch
_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armhf": "arm",
    "armel": "arm",
    "i386": "386",
    "i686": "386",
}
_KNOWN = frozenset(
    {"386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le"}
    | {"riscv64", "s390x", "wasm"}
)


class Platform(Struct, frozen=True):
    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def runs(self, other: "Platform") -> bool:
        """Whether an image for `other` is what was asked for by `self`; arm variants count down (v7 takes v6)."""
        if (self.os, self.architecture) != (other.os, other.architecture):
            return False
        if self.architecture == "arm":
            return (other.variant or "v7") <= (self.variant or "v7")
        return other.variant in ("", self.variant) or self.variant == ""


def parse_platform(text: str) -> Platform:
    """`linux/arm64/v8`, `arm64`, `linux`; normalised (`aarch64` and `arm64/v8` are `arm64`). Raises InputError."""
    parts = text.strip().lower().split("/")
    if not all(map(_component, parts)) or len(parts) > 3:
        raise InputError(f"{text!r} is not a platform", hint="write os/architecture, such as linux/amd64")
    if len(parts) == 1:
        if parts[0] in {"linux", "windows", "darwin", "freebsd"}:
            return Platform(parts[0], native().architecture)
        if parts[0] == "local":
            return native()
        parts = ["linux", parts[0]]
    architecture = _ARCHITECTURES.get(parts[1], parts[1])
    variant = parts[2] if len(parts) == 3 else ""
    if len(parts) == 2 and parts[1] == "armel":
        variant = "v6"
    if architecture not in _KNOWN and len(text.split("/")) == 1:
        raise InputError(f"{text!r} is not a platform", hint="write os/architecture, such as linux/amd64")
    if architecture == "arm64" and variant in {"8", "v8"}:
        variant = ""
    if architecture == "arm":
        variant = variant if variant.startswith("v") or not variant else f"v{variant}"
        variant = variant or "v7"
    if architecture == "amd64" and variant == "v1":
        variant = ""
    return Platform(parts[0], architecture, variant)


def native() -> Platform:
    """The platform of this machine."""
    name = machine.machine().lower()
    architecture = _ARCHITECTURES.get(name, name)
    if name.startswith("armv"):
        return Platform("linux", "arm", name[3:5])
    return Platform("linux", architecture)
