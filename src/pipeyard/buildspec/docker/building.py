"""`docker build` and `docker buildx build`: flags to an order, with every path as this machine knows it."""

import json
import os
import posixpath
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from pipeyard.buildspec.docker.engine import ImageOrder, LocalImage
from pipeyard.buildspec.docker.options import Options, read_options
from pipeyard.buildspec.docker.serving import Call
from pipeyard.buildspec.paths import BoundView
from pipeyard.errors import InputError, PipeyardError
from pipeyard.registry.reference import Reference, parse_reference

_VALUED = (
    "tag file build-arg target label platform secret network add-host build-context output iidfile metadata-file "
    "cache-from cache-to progress ssh builder memory memory-swap cpu-period cpu-quota cpu-shares cpuset-cpus "
    "cpuset-mems shm-size ulimit isolation security-opt annotation attest cgroup-parent no-cache-filter allow call"
)
_SWITCHES = (
    "push load quiet no-cache pull rm force-rm compress squash disable-content-trust provenance sbom debug"
)  # fmt: skip
_SHORT = {"t": "tag", "f": "file", "q": "quiet", "o": "output", "m": "memory", "c": "cpu-shares", "D": "debug"}


class WantedBuild(Struct, frozen=True, kw_only=True):
    order: ImageOrder
    names: tuple[Reference, ...]
    push: bool
    quiet: bool
    iidfile: str = ""  # paths of the build
    metadata_file: str = ""


def read_build(arguments: Sequence[str], call: Call, view: BoundView) -> WantedBuild:
    """Raises InputError, in docker's words, for flags and paths that lead nowhere."""
    found = read_options(arguments, valued=_VALUED, switches=_SWITCHES, short=_SHORT)
    if len(found.words) != 1:
        raise InputError('"docker build" requires exactly 1 argument.')
    outputs = [dict(part.partition("=")[::2] for part in text.split(",")) for text in found.all("output")]
    for output in outputs:
        if output.get("type") not in ("image", "registry", "docker"):
            raise InputError(f"--output type={output.get('type', '')} is more than pipeyard's docker knows")
    names = [parse_reference(text) for text in found.all("tag")]
    for output in outputs:
        names += [parse_reference(name) for name in output.get("name", "").split(",") if name]
    pushes = any(output.get("type") == "registry" or output.get("push") == "true" for output in outputs)
    return WantedBuild(
        order=_order(found, call, view),
        names=tuple(dict.fromkeys(names)),
        push=found.on("push") or pushes,
        quiet=found.on("quiet"),
        iidfile=_path(call, found.last("iidfile")) if found.last("iidfile") else "",
        metadata_file=_path(call, found.last("metadata-file")) if found.last("metadata-file") else "",
    )


def _order(found: Options, call: Call, view: BoundView) -> ImageOrder:
    context, text = _context(found.words[0], call, view)
    dockerfile: Path | None = None
    file = found.last("file")
    if file == "-":
        text = call.stdin
    elif file:
        dockerfile = located(_path(call, file), view)
        if not dockerfile.is_file():
            raise InputError(f"failed to read dockerfile: open {file}: no such file or directory")
    elif context is not None and text is None:
        dockerfile = located(_path(call, posixpath.join(found.words[0], "Dockerfile")), view)
        if not dockerfile.is_file():
            raise InputError("failed to read dockerfile: open Dockerfile: no such file or directory")
    return ImageOrder(
        context=context,
        dockerfile=dockerfile,
        dockerfile_text=text,
        target=found.last("target"),
        arguments=_pairs(found.all("build-arg"), call.environment),
        labels=_pairs(found.all("label"), {}),
        contexts={
            name: _named_context(where, call, view) for name, where in _pairs(found.all("build-context"), {}).items()
        },
        secrets=dict(_secret(each, call, view) for each in found.all("secret")),
        hosts=dict(each.replace("=", ":", 1).partition(":")[::2] for each in found.all("add-host")),
        platforms=tuple(part for each in found.all("platform") for part in each.split(",")),
        network=found.last("network", "default"),
        no_cache=found.on("no-cache"),
    )


def _context(word: str, call: Call, view: BoundView) -> tuple[Path | None, bytes | None]:
    """A folder, or the text of a Dockerfile from standard input."""
    if word == "-":
        return None, call.stdin
    if "://" in word or word.startswith("git@"):
        raise InputError(f"the build context {word} is remote", hint="fetch it first, and build from its folder")
    folder = located(_path(call, word), view)
    if not folder.is_dir():
        raise InputError(f"unable to prepare context: path {word!r} not found")
    return folder, None


def located(path: str, view: BoundView) -> Path:
    """Raises InputError for a path of the build that is not shared with this machine."""
    found = view.locate(path)
    if found is None:
        raise InputError(
            f"{path} is not in a folder that docker can read", hint="use the source folder, /codebuild/output or /tmp"
        )
    return found


def _path(call: Call, text: str) -> str:
    return posixpath.normpath(posixpath.join(call.folder, text))


def _pairs(texts: Sequence[str], environment: dict[str, str]) -> dict[str, str]:
    """NAME=VALUE; a name alone has its value from the environment, and is left out when it is not there."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if equals:
            found[name] = value
        elif name in environment:
            found[name] = environment[name]
    return found


def _named_context(where: str, call: Call, view: BoundView) -> str:
    if "://" in where or where.startswith("target:"):
        if where.startswith("oci-layout://"):
            raise InputError("oci-layout:// as a build context is more than pipeyard's docker knows")
        return where
    return str(located(_path(call, where), view))


def _secret(text: str, call: Call, view: BoundView) -> tuple[str, bytes]:
    fields = dict(part.partition("=")[::2] for part in text.split(","))
    name = fields.get("id", "")
    source = fields.get("src") or fields.get("source") or ""
    if source and fields.get("type") != "env":
        file = located(_path(call, source), view)
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise InputError(f"failed to stat {source}: {error.strerror}") from error
        with open(descriptor, "rb") as stream:
            return name, stream.read(1 << 20)
    variable = fields.get("env") or source or name
    if variable not in call.environment:
        raise InputError(f"the secret {name} is neither a file nor in the environment")
    return name, call.environment[variable].encode("utf-8", "surrogateescape")


def write_files(wanted: WantedBuild, image: LocalImage, view: BoundView) -> None:
    """--iidfile and --metadata-file. Raises PipeyardError."""
    digest = image.image.root.digest
    document = {
        "containerimage.config.digest": image.id,
        "containerimage.digest": digest,
        "image.name": ",".join(str(name) for name in wanted.names),
    }
    for path, text in ((wanted.iidfile, image.id), (wanted.metadata_file, json.dumps(document, indent=2))):
        if not path:
            continue
        file = located(path, view)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(file, flags, 0o644)
        except OSError as error:
            raise PipeyardError(f"cannot write {path}: {error.strerror}") from error
        with open(descriptor, "w") as out:
            out.write(text)
