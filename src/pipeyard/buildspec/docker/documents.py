"""What `docker inspect`, `images`, `info` and `version` tell, as the documents that scripts take apart."""

from datetime import datetime
from typing import Any

import msgspec

from pipeyard.buildspec.docker.engine import LocalImage, LocalImages
from pipeyard.registry.reference import DEFAULT_HOST, Reference

VERSION = "27.5.1"
"""The Docker whose command line this one follows."""


def familiar(reference: Reference) -> str:
    """The name without what Docker leaves out: docker.io, library/."""
    if reference.host != DEFAULT_HOST:
        return reference.name
    return reference.repository.removeprefix("library/")


def image_document(image: LocalImage, images: LocalImages) -> dict[str, Any]:
    config = image.config
    names = [f"{familiar(name)}:{name.tag}" for name, found in images.names() if found.id == image.id]
    return {
        "Id": image.id,
        "RepoTags": names,
        "RepoDigests": list(images.digests(image)),
        "Created": config.created or "",
        "Author": config.author,
        "Config": msgspec.to_builtins(config.config) if config.config is not None else {},
        "Architecture": config.architecture,
        "Os": config.os,
        "Size": image.size,
        "RootFS": {"Type": "layers", "Layers": list(config.rootfs.diff_ids)},
    }


def image_row(name: Reference, image: LocalImage, images: LocalImages, now_s: float, *, whole: bool) -> dict[str, Any]:
    digest = next((one.partition("@")[2] for one in images.digests(image)), "<none>")
    return {
        "Repository": familiar(name),
        "Tag": name.tag,
        "ID": image.id if whole else image.id.removeprefix("sha256:")[:12],
        "Digest": digest,
        "CreatedSince": age(image.config.created, now_s),
        "CreatedAt": image.config.created or "",
        "Size": size_text(image.size),
    }


def age(created: str | None, now_s: float) -> str:
    try:
        seconds = max(0.0, now_s - datetime.fromisoformat(created or "").timestamp())
    except ValueError:
        return "N/A"
    for size, unit in (
        (31536000, "year"),
        (2592000, "month"),
        (604800, "week"),
        (86400, "day"),
        (3600, "hour"),
        (60, "minute"),
    ):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}s ago"
    return f"{int(seconds)} seconds ago"


def size_text(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g}{unit}"
        size /= 1000
    return f"{size:.3g}GB"


def version_document(os: str, architecture: str) -> dict[str, Any]:
    side = {"Version": VERSION, "ApiVersion": "1.47", "Os": os, "Arch": architecture, "GitCommit": "pipeyard"}
    return {"Client": side, "Server": {**side, "Platform": {"Name": "pipeyard"}}}


def info_document(os: str, architecture: str, count: int) -> dict[str, Any]:
    return {
        "ServerVersion": VERSION,
        "Name": "pipeyard",
        "OSType": os,
        "Architecture": architecture,
        "Driver": "overlay2",
        "Images": count,
        "Containers": 0,
        "ContainersRunning": 0,
        "ServerErrors": [],
    }
