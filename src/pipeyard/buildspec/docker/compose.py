"""`docker compose build` and `push`: the services of a Compose file as the images that they build.

Containers of services are not started here: `up` and `run` say so.
Source: compose-spec, "build", "interpolation", "merge"; docs.docker.com, "docker compose build".
"""

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pipeyard.buildspec.docker.options import Options, read_options
from pipeyard.buildspec.docker.serving import Call, Channel
from pipeyard.buildspec.paths import BoundView
from pipeyard.definition.documents import Items, Leaf, Node, Table, parse_document
from pipeyard.errors import InputError, PipeyardError
from pipeyard.files import read_regular

if TYPE_CHECKING:
    from pipeyard.buildspec.docker.commands import Docker

VERSION = "2.29.0"
_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_OVERRIDES = {
    "compose.yaml": ("compose.override.yaml", "compose.override.yml"),
    "compose.yml": ("compose.override.yml", "compose.override.yaml"),
    "docker-compose.yml": ("docker-compose.override.yml", "docker-compose.override.yaml"),
    "docker-compose.yaml": ("docker-compose.override.yaml", "docker-compose.override.yml"),
}
_LIMIT = 5_000_000  # bytes of a file
_GLOBAL = "file project-name env-file project-directory profile parallel progress ansi log-level"
_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<operator>:?[-?+])(?P<word>[^{}]*))?\})"
)


class Service(Struct, frozen=True, kw_only=True):
    """`build` are the arguments of `docker build` without its tag; empty for a service that only runs an image."""

    name: str
    image: str
    build: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


def compose(docker: "Docker", arguments: Sequence[str], call: Call, channel: Channel) -> int:
    whole = read_options(
        arguments,
        valued=_GLOBAL,
        switches="version compatibility dry-run verbose all-resources",
        short={"f": "file", "p": "project-name", "v": "version"},
        interspersed=False,
    )
    command, *rest = whole.words or ("",)
    if whole.on("version") or command == "version":
        channel.out(f"{VERSION}\n" if "--short" in rest else f"Docker Compose version v{VERSION}\n")
        return 0
    commands = {"build": _build, "push": _push, "pull": _pull, "config": _config, "images": _config}
    if command not in commands:
        if command in ("down", "rm", "stop", "kill", "ps", "logs"):
            return 0  # no container of a service ever runs
        raise InputError(
            f"docker compose {command} is more than pipeyard's docker knows", hint=f"it has {', '.join(commands)}"
        )
    services = read_services(whole, call, docker.view)
    return commands[command](docker, services, rest, call, channel)


def read_services(options: Options, call: Call, view: BoundView) -> dict[str, Service]:
    """The services of the files that the options name, or of the folder's. Raises InputError, placed."""
    files = list(options.all("file")) or _usual_files(call, view)
    folder = options.last("project-directory") or posixpath.dirname(files[0]) or "."
    values = {**_env_file(options, call, view, folder), **call.environment}
    project = (
        options.last("project-name")
        or values.get("COMPOSE_PROJECT_NAME", "")
        or posixpath.basename(posixpath.normpath(posixpath.join(call.folder, folder)))
    )
    project = re.sub(r"[^a-z0-9_-]", "", project.lower()).lstrip("_-")
    merged: dict[str, dict[str, Any]] = {}
    for file in files:
        text = _text(file, call, view)
        tree = parse_document(text, file)
        document = _plain(tree, values)
        if not isinstance(document, dict) or not isinstance(document.get("services"), dict):
            raise InputError(f"{file} declares no services")
        for name, declared in document["services"].items():
            merged[name] = _merged(merged.get(name, {}), declared if isinstance(declared, dict) else {})
    return {name: _service(name, declared, project, folder) for name, declared in merged.items()}


def interpolated(text: str, values: Mapping[str, str]) -> str:
    """`$NAME`, `${NAME}`, `${NAME:-default}` and their relatives. Raises InputError for `${NAME:?told}`."""

    def value(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        name, operator = match["name"] or match["braced"], match["operator"] or ""
        known = values.get(name)
        missing = not known if operator.startswith(":") else known is None
        match operator.lstrip(":"):
            case "-":
                return str(match["word"] if missing else known)
            case "+":
                return "" if missing else str(match["word"])
            case "?" if missing:
                raise InputError(f"required variable {name} is missing a value: {match['word']}")
            case _:
                return known or ""

    return _VARIABLE.sub(value, text)


def _build(
    docker: "Docker", services: Mapping[str, Service], arguments: Sequence[str], call: Call, channel: Channel
) -> int:
    found = read_options(
        arguments,
        valued="build-arg builder memory ssh progress",
        switches="no-cache pull push quiet parallel with-dependencies force-rm no-rm compress check print",
        short={"m": "memory", "q": "quiet"},
    )
    more = [f"--build-arg={each}" for each in found.all("build-arg")]
    more += ["--no-cache"] if found.on("no-cache") else []
    for service in _chosen(services, found.words):
        if not service.build:
            continue
        tags = [f"--tag={tag}" for tag in (service.image, *service.tags)]
        status = docker.build([*tags, *service.build, *more], call, channel)
        if status:
            return status
        channel.err(f" {service.name}  Built\n")
    return _push(docker, services, found.words, call, channel) if found.on("push") else 0


def _push(
    docker: "Docker", services: Mapping[str, Service], arguments: Sequence[str], call: Call, channel: Channel
) -> int:
    found = read_options(arguments, valued="", switches="ignore-push-failures include-deps quiet", short={"q": "quiet"})
    worst = 0
    for service in _chosen(services, found.words):
        for name in (service.image, *service.tags) if service.build else ():
            status = docker.push([name], call, channel)
            if status and not found.on("ignore-push-failures"):
                return status
            worst = worst or status
    return 0 if found.on("ignore-push-failures") else worst


def _pull(
    docker: "Docker", services: Mapping[str, Service], arguments: Sequence[str], call: Call, channel: Channel
) -> int:
    found = read_options(
        arguments,
        valued="policy",
        switches="ignore-pull-failures include-deps quiet ignore-buildable",
        short={"q": "quiet"},
    )
    for service in _chosen(services, found.words):
        if service.build and found.on("ignore-buildable"):
            continue
        try:
            docker.pull([service.image], call, channel)
        except PipeyardError:
            if not (found.on("ignore-pull-failures") or service.build):
                raise
    return 0


def _config(
    docker: "Docker", services: Mapping[str, Service], arguments: Sequence[str], call: Call, channel: Channel
) -> int:
    found = read_options(
        arguments, valued="format", switches="services images quiet no-interpolate", short={"q": "quiet"}
    )
    if found.on("services"):
        channel.out("".join(f"{name}\n" for name in services))
    elif not found.on("quiet"):
        channel.out("".join(f"{service.image}\n" for service in services.values()))
    return 0


def _chosen(services: Mapping[str, Service], names: Sequence[str]) -> list[Service]:
    for name in names:
        if name not in services:
            raise InputError(f"no such service: {name}", hint=f"there are {', '.join(services)}")
    return [services[name] for name in names] if names else list(services.values())


def _service(name: str, declared: Mapping[str, Any], project: str, folder: str) -> Service:
    image = str(declared.get("image") or f"{project}-{name}")
    build = declared.get("build")
    if build is None:
        return Service(name=name, image=image)
    if not isinstance(build, dict):
        build = {"context": str(build)}
    context = posixpath.join(folder, str(build.get("context", ".")))
    arguments = []
    if "dockerfile_inline" in build:
        raise InputError(f"service {name}: dockerfile_inline is more than pipeyard's docker knows")
    if "dockerfile" in build:
        arguments.append(f"--file={posixpath.join(context, str(build['dockerfile']))}")
    if build.get("target"):
        arguments.append(f"--target={build['target']}")
    arguments += [f"--build-arg={each}" for each in _pairs(build.get("args"))]
    arguments += [f"--label={each}" for each in _pairs(build.get("labels"))]
    arguments += [f"--build-context={each}" for each in _pairs(build.get("additional_contexts"))]
    arguments += [f"--add-host={each}" for each in _pairs(build.get("extra_hosts"))]
    platforms = build.get("platforms") or ([declared["platform"]] if declared.get("platform") else [])
    arguments += [f"--platform={','.join(map(str, platforms))}"] if platforms else []
    if build.get("network"):
        arguments.append(f"--network={build['network']}")
    if build.get("no_cache") == "true":
        arguments.append("--no-cache")
    tags = build.get("tags") or ()
    return Service(name=name, image=image, build=(*arguments, context), tags=tuple(str(tag) for tag in tags))


def _pairs(declared: Any) -> list[str]:
    """`NAME=VALUE` of a mapping or a list; a name without a value takes that of the environment."""
    if isinstance(declared, dict):
        return [name if value is None else f"{name}={value}" for name, value in declared.items()]
    return [str(each) for each in declared or ()]


def _merged(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Mappings are joined, everything else is what the later file says."""
    both = {**before}
    for key, value in after.items():
        known = both.get(key)
        both[key] = _merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return both


def _plain(node: Node, values: Mapping[str, str]) -> Any:
    match node:
        case Table():
            return {key: _plain(value, values) for key, value in node.entries.items()}
        case Items():
            return [_plain(each, values) for each in node.nodes]
        case Leaf(value=None):
            return None
        case Leaf():
            try:
                return interpolated(node.text, values)
            except InputError as error:
                error.place = error.place or node.place
                raise
        case _:
            return None


def _usual_files(call: Call, view: BoundView) -> list[str]:
    told = call.environment.get("COMPOSE_FILE", "")
    if told:
        return told.split(call.environment.get("COMPOSE_PATH_SEPARATOR", ":"))
    for name in _NAMES:
        if _exists(name, call, view):
            return [name, *[other for other in _OVERRIDES[name] if _exists(other, call, view)][:1]]
    raise InputError("no configuration file provided: not found", hint=f"one of {', '.join(_NAMES)}, or -f FILE")


def _env_file(options: Options, call: Call, view: BoundView, folder: str) -> dict[str, str]:
    name = options.last("env-file") or posixpath.join(folder, ".env")
    if not _exists(name, call, view):
        if options.last("env-file"):
            raise InputError(f"couldn't find env file: {name}")
        return {}
    found = {}
    for line in _text(name, call, view).splitlines():
        key, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not key.startswith("#"):
            value = value.strip()
            quoted = value[:1] in ("'", '"') and value[-1:] == value[:1] and len(value) > 1
            found[key.strip()] = value[1:-1] if quoted else re.split(r"\s+#", value, maxsplit=1)[0]
    return found


def _exists(name: str, call: Call, view: BoundView) -> bool:
    found = view.locate(posixpath.join(call.folder, name))
    return found is not None and found.is_file()


def _text(name: str, call: Call, view: BoundView) -> str:
    found = view.locate(posixpath.join(call.folder, name))
    if found is None or not found.is_file():
        raise InputError(f"open {name}: no such file or directory")
    return read_regular(found, _LIMIT).decode(errors="replace")
