"""What a request asks for, as the plan takes it: its Dockerfile and ignore file, contexts that are folders, wishes."""

from collections.abc import Mapping
from pathlib import Path

from pipeyard.errors import DockerfileError, InputError, Place
from pipeyard.files import read_regular
from pipeyard.image.build.plan import Wishes
from pipeyard.image.build.request import BuildRequest
from pipeyard.image.build.sources import IGNORE_FILE
from pipeyard.image.build.stages import familiar
from pipeyard.image.dockerfile.instructions import Dockerfile
from pipeyard.image.dockerfile.parser import parse
from pipeyard.oci import Platform

_MAX_DOCKERFILE = 64 << 20  # bytes


def read_dockerfile(request: BuildRequest) -> tuple[Dockerfile, Path | None]:
    """The Dockerfile, parsed, and the ignore file that counts for it. Raises DockerfileError."""
    context = request.context
    if request.dockerfile_text is not None:
        ignore = context / IGNORE_FILE if context is not None else None
        return parse(request.dockerfile_text, str(request.dockerfile or "Dockerfile")), ignore
    path = request.dockerfile or ((context or Path()) / "Dockerfile")
    try:
        if not path.exists() and path.name == "Dockerfile" and path.with_name("dockerfile").exists():
            path = path.with_name("dockerfile")
        text = read_regular(path, _MAX_DOCKERFILE)
    except OSError as error:
        raise DockerfileError(
            f"failed to read dockerfile: {path}: {error.strerror}", hint="name another one with -f"
        ) from error
    if not text.strip():
        raise DockerfileError("the Dockerfile cannot be empty", place=Place(str(path)))
    own = path.with_name(path.name + IGNORE_FILE)
    if own.exists():
        return parse(text, str(path)), own
    return parse(text, str(path)), context / IGNORE_FILE if context is not None else None


def context_folders(request: BuildRequest) -> Mapping[str, Path]:
    """Named contexts that are local folders, by the names that they are looked up under. Raises InputError."""
    found = {}
    for name, specifier in request.contexts.items():
        if "://" not in specifier and not specifier.startswith(("target:", "git@")):
            folder = Path(specifier)
            if not folder.is_dir():
                raise InputError(f"the context {name} is {specifier}, which is no folder")
            found[familiar(name)] = folder
    return found


def wishes_of(request: BuildRequest, platform: Platform | None) -> Wishes:
    """What a request asks of the plan for one platform."""
    return Wishes(
        target=request.target,
        arguments=request.arguments,
        labels=request.labels,
        platform=platform,
        contexts=request.contexts,
        network=request.network,
        host_network=request.host_network,
        hostname=request.hostname,
        hosts=request.add_hosts,
        no_cache=request.no_cache,
        no_cache_filter=request.no_cache_filter,
    )
