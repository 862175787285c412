"""How an image came to be, as SLSA provenance in BuildKit's terms. Nothing here looks at a secret's value.

Sources: SLSA 1.1, "Provenance"; BuildKit, docs/attestations/slsa-definitions.md and solver/llbsolver/provenance.
"""

import base64
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from msgspec import Struct

from pipeyard.image.build.documents import timestamp
from pipeyard.image.build.graph import (
    BaseImage,
    ContextFiles,
    Download,
    GitFiles,
    Graph,
    Operation,
    RunCommand,
    Vertex,
)
from pipeyard.image.build.request import BuildRequest, BuiltPlatform, Provenance
from pipeyard.image.dockerfile.instructions import SecretMount, SshMount
from pipeyard.image.dockerfile.secret_names import is_secret_name
from pipeyard.oci import Descriptor, Platform, encode
from pipeyard.registry.exchange import ResolvedImage

BUILD_TYPE = "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md"


class Circumstances(Struct, frozen=True, kw_only=True):
    """What is known of a build besides its request and its plan."""

    dockerfile: str  # its name
    dockerfile_text: bytes
    builder: Platform
    invocation: str  # the same for all platforms of one build
    fetched: Callable[[Operation], str]  # digest or commit (`sha1:...`) of what came from elsewhere; empty: unknown
    started_s: float = 0  # both 0: not told, for who wants equal bytes of equal builds
    finished_s: float = 0


def provenance(
    request: BuildRequest, options: Provenance, graph: Graph, image: BuiltPlatform, known: Circumstances
) -> bytes:
    """The predicate, as JSON. Mode `min` leaves out arguments, labels, names of secrets, and the steps."""
    whole = options.mode == "max"
    arguments, complete = _arguments(request, whole=whole)
    asked: dict[str, Any] = {"frontend": "dockerfile.v0", "args": arguments}
    origin = request.context_origin
    locals_ = sorted({one.name or "context" for one in _operations(graph) if isinstance(one, ContextFiles)})
    if origin is not None:
        locals_ = [name for name in locals_ if name != "context"]
    elif locals_ or request.context is not None:
        asked["locals"] = [{"name": name} for name in dict.fromkeys((*locals_, "dockerfile"))]
    internal: dict[str, Any] = {"builderPlatform": str(known.builder)}
    notes: dict[str, Any] = {}
    if request.vcs:
        notes["vcs"] = {key: _without_login(value) for key, value in request.vcs.items()}
    if whole:
        asked |= _mounted(graph)
        internal["buildConfig"] = {"llbDefinition": [_step(at, vertex) for at, vertex in enumerate(graph.vertices)]}
        notes["source"] = _source(graph, known)
        notes["layers"] = {f"step{graph.target}:0": [[_layer(layer.descriptor) for layer in image.layers]]}
    materials, all_known = _materials(graph, known.fetched)
    config: dict[str, Any] = {"path": known.dockerfile}
    if origin is not None:
        fetched = _material(_without_login(origin.uri), origin.digest)
        config |= fetched
        materials = sorted([*materials, fetched], key=lambda one: str(one["uri"]))
    metadata: dict[str, Any] = {
        "invocationId": known.invocation,
        "buildkit_metadata": notes,
        "buildkit_completeness": {"request": complete, "resolvedDependencies": all_known and not locals_},
        "buildkit_reproducible": options.reproducible,
    }
    if all_known and not locals_ and not _has_network(graph):
        metadata["buildkit_hermetic"] = True
    if known.finished_s:
        metadata["startedOn"] = timestamp(int(known.started_s))
        metadata["finishedOn"] = timestamp(int(known.finished_s))
    return encode(
        {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"configSource": config, "request": asked},
                "internalParameters": internal,
                "resolvedDependencies": materials,
            },
            "runDetails": {"builder": {"id": options.builder_id}, "metadata": metadata},
        }
    )


def _operations(graph: Graph) -> list[Operation]:
    return [vertex.operation for vertex in graph.vertices]


def _arguments(request: BuildRequest, *, whole: bool) -> tuple[dict[str, str], bool]:
    """The request in BuildKit's words, and whether that is all of it."""
    found: dict[str, str] = {}
    if request.target:
        found["target"] = request.target
    if request.network != "default":
        found["force-network-mode"] = request.network
    if request.no_cache:
        found["no-cache"] = ""
    elif request.no_cache_filter:
        found["no-cache"] = ",".join(request.no_cache_filter)
    for name, value in request.contexts.items():
        remote = "://" in value or value.startswith(("git@", "target:"))
        found[f"context:{name}"] = _without_login(value) if remote else f"local:{name}"
    if not whole:
        return found, not (request.arguments or request.labels)
    # A value that should have been a secret is not spread further than it is already.
    shown = {name: value for name, value in request.arguments.items() if not is_secret_name(name)}
    found |= {f"build-arg:{name}": _without_login(value) for name, value in shown.items()}
    found |= {f"label:{name}": value for name, value in request.labels.items()}
    return found, len(shown) == len(request.arguments)


def _mounted(graph: Graph) -> dict[str, Any]:
    """Names of the secrets and agents that steps ask for."""
    secrets: dict[str, bool] = {}
    agents: dict[str, bool] = {}
    for operation in _operations(graph):
        for one in operation.mounts if isinstance(operation, RunCommand) else ():
            if isinstance(one.mount, SecretMount):
                secrets[one.mount.id] = secrets.get(one.mount.id, True) and not one.mount.required
            elif isinstance(one.mount, SshMount):
                agents[one.mount.id] = agents.get(one.mount.id, True) and not one.mount.required
    return {
        kind: [{"id": name, "optional": True} if optional else {"id": name} for name, optional in sorted(found.items())]
        for kind, found in (("secrets", secrets), ("ssh", agents))
        if found
    }


def _step(at: int, vertex: Vertex) -> dict[str, Any]:
    step: dict[str, Any] = {"id": f"step{at}"}
    if vertex.inputs:
        step["inputs"] = [f"step{one}:0" for one in vertex.inputs]
    return step


def _source(graph: Graph, known: Circumstances) -> dict[str, Any]:
    locations = {
        f"step{at}": {"locations": [{"ranges": [{"start": {"line": line}, "end": {"line": line}}]}]}
        for at, vertex in enumerate(graph.vertices)
        if vertex.place is not None and (line := vertex.place.line)
    }
    text = base64.b64encode(known.dockerfile_text).decode()
    return {
        "locations": locations,
        "infos": [{"filename": known.dockerfile, "language": "Dockerfile", "data": text}],
    }


def _layer(descriptor: Descriptor) -> dict[str, Any]:
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}


def _has_network(graph: Graph) -> bool:
    return any(isinstance(one, RunCommand) and one.network != "none" for one in _operations(graph))


def _materials(graph: Graph, fetched: Callable[[Operation], str]) -> tuple[list[dict[str, Any]], bool]:
    """What came from elsewhere, each with its digest, and whether that is known of all."""
    found: dict[str, dict[str, Any]] = {}
    complete = True
    for operation in _operations(graph):
        digest = ""
        match operation:
            case BaseImage(image=image):
                uri, digest = image_url(image, graph.platform), image.root.digest
            case Download(url=url):
                uri, digest = _without_login(url), operation.checksum or fetched(operation)
            case GitFiles(remote=remote, reference=reference):
                uri = _without_login(remote) + (f"#{reference}" if reference else "")
                digest = fetched(operation)
            case _:
                continue
        found[uri] = _material(uri, digest)
        complete = complete and bool(digest)
    return [found[uri] for uri in sorted(found)], complete


def _material(uri: str, digest: str) -> dict[str, Any]:
    algorithm, _, hexadecimal = digest.partition(":")
    return {"uri": uri, "digest": {algorithm: hexadecimal}} if digest else {"uri": uri}


def image_url(image: ResolvedImage, platform: Platform) -> str:
    """The package URL of an image as it was asked for. Source: package-url, PURL-TYPES.rst, `docker` and `oci`."""
    reference = image.reference
    kind = "oci" if reference.host == "oci-layout" else "docker"
    name = reference.repository if reference.host in ("docker.io", "oci-layout", "") else reference.name
    if reference.host == "docker.io":
        name = name.removeprefix("library/")
    text = f"pkg:{kind}/{'/'.join(_quoted(part) for part in name.split('/') if part)}"
    if reference.digest:
        return f"{text}?digest={_quoted(reference.digest)}&platform={_quoted(str(platform))}"
    return f"{text}@{_quoted(reference.tag or 'latest')}?platform={_quoted(str(platform))}"


def _quoted(text: str) -> str:
    return quote(text, safe="-._~:", errors="replace")


def _without_login(text: str) -> str:
    """A URL without the name and password in front of its host."""
    if "://" not in text or "@" not in text:
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return text.partition("://")[0] + "://"
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
