"""The `docker` commands of builds: login, build, tag, push, pull, images, inspect, run and what scripts ask before.

Words and exit codes are those of Docker's own command line, because scripts look at them: 1 when a command failed, 125
when it could not be begun. Source: docs.docker.com, "docker CLI reference".
"""

import json
from collections.abc import Callable, Sequence

from pipeyard.buildspec.docker import archive_commands, building, compose, documents, manifest_commands, running
from pipeyard.buildspec.docker.engine import Engine, LocalImage, LocalImages
from pipeyard.buildspec.docker.manifests import ManifestLists
from pipeyard.buildspec.docker.options import read_options
from pipeyard.buildspec.docker.serving import Call, Channel
from pipeyard.buildspec.docker.templates import render
from pipeyard.buildspec.paths import BoundView
from pipeyard.errors import InputError, PipeyardError, Stopped
from pipeyard.oci.platforms import native
from pipeyard.registry.reference import DEFAULT_HOST, Reference, parse_reference

_GROUPS = ("image", "container", "builder", "system", "buildx", "manifest")
_FAILED, _NOT_BEGUN = 1, 125
_GLOBAL = ("--debug", "-D", "--tls", "--tlsverify")
_GLOBAL_VALUED = ("-H", "--host", "-c", "--context", "--config", "-l", "--log-level")


class Docker:
    """The docker of one build: its images, and the engine that works for it. Calls come from any thread."""

    def __init__(self, engine: Engine, view: BoundView, now_s: Callable[[], float]) -> None:
        self.engine = engine
        self.view = view
        self._now_s = now_s
        self.images = LocalImages()
        self.lists = ManifestLists()

    def answer(self, call: Call, channel: Channel) -> int:
        """An Answer of `serving`; nothing but a client that is gone leaves it as an exception."""
        arguments = _without_global_flags(call.arguments)
        try:
            return self._carried_out(arguments, call, channel)
        except Stopped:
            return 130
        except InputError as error:
            channel.err(f"{_told(error)}\nSee 'docker --help'.\n" if "flag" in error.message else f"{_told(error)}\n")
            return _NOT_BEGUN if "flag" in error.message else _FAILED
        except PipeyardError as error:
            channel.err(f"{_told(error)}\n")
            return _FAILED

    def _carried_out(self, arguments: Sequence[str], call: Call, channel: Channel) -> int:
        if not arguments or arguments[0] in ("help", "--help", "-h"):
            channel.out(f"Usage:  docker COMMAND\n\nCommands: {', '.join(sorted(_COMMANDS))}\n")
            return 0
        name, *rest = arguments
        if name in ("--version", "-v"):
            channel.out(f"Docker version {documents.VERSION}, build pipeyard\n")
            return 0
        if name in _GROUPS and rest:
            name, *rest = (f"{name} {rest[0]}", *rest[1:])
        command = _COMMANDS.get(name)
        if command is None:
            channel.err(
                f"docker: '{name}' is no command of pipeyard's docker.\nIt has: {', '.join(sorted(_COMMANDS))}\n"
            )
            return _FAILED
        return command(self, rest, call, channel)

    # ------------------------------------------------------------ registries

    def login(self, arguments: Sequence[str], call: Call, channel: Channel) -> int:
        found = read_options(
            arguments, valued="username password", switches="password-stdin", short={"u": "username", "p": "password"}
        )
        password = found.last("password")
        if found.on("password-stdin"):
            password = call.stdin.decode(errors="replace").rstrip("\r\n")
        elif password:
            channel.err("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n")
        if not found.last("username") or not password:
            channel.err("Error: Cannot perform an interactive login from a non TTY device\n")
            return _FAILED
        self.engine.login(_host(found.words), found.last("username"), password)
        channel.out("Login Succeeded\n")
        return 0

    def logout(self, arguments: Sequence[str], call: Call, channel: Channel) -> int:
        host = _host(read_options(arguments, valued="", switches="", short={}).words)
        self.engine.login(host, "", "")
        channel.out(f"Removing login credentials for {host}\n")
        return 0

    def push(self, arguments: Sequence[str], call: Call, channel: Channel) -> int:
        found = read_options(
            arguments,
            valued="platform",
            switches="all-tags quiet disable-content-trust",
            short={"a": "all-tags", "q": "quiet"},
        )
        name = parse_reference(_one(found.words, "push"))
        quiet = found.on("quiet")
        tagged = [
            (reference, image)
            for reference, image in self.images.names()
            if reference.name == name.name and (found.on("all-tags") or reference.tag == name.tag)
        ]
        if not quiet:
            channel.out(f"The push refers to repository [{name.name}]\n")
        if not tagged:
            channel.err(f"An image does not exist locally with the tag: {documents.familiar(name)}\n")
            return _FAILED
        for reference, image in tagged:
            digest = self.push_image(image, reference, channel)
            size = len(image.documents[-1].data)
            channel.out(f"{reference}\n" if quiet else f"{reference.tag}: digest: {digest} size: {size}\n")
        return 0

    def push_image(self, image: LocalImage, reference: Reference, channel: Channel) -> str:
        digest = self.engine.push(image, reference, (reference.tag,), channel.err_bytes)
        self.images.pushed(image, f"{documents.familiar(reference)}@{digest}")
        return digest

    def pull(self, arguments: Sequence[str], call: Call, channel: Channel) -> int:
        found = read_options(
            arguments,
            valued="platform",
            switches="all-tags quiet disable-content-trust",
            short={"a": "all-tags", "q": "quiet"},
        )
        reference = parse_reference(_one(found.words, "pull"))
        image = self._pulled(reference, channel)
        digest = image.image.root.digest
        if not found.on("quiet"):
            channel.out(f"{reference.key}: Pulling from {reference.repository}\nDigest: {digest}\n")
            channel.out(f"Status: Downloaded newer image for {documents.familiar(reference)}:{reference.tag}\n")
        channel.out(f"{reference}\n")
        return 0

    def _pulled(self, reference: Reference, channel: Channel) -> LocalImage:
        try:
            image = self.engine.pull(reference, channel.err_bytes)
        except InputError as error:
            raise PipeyardError(
                f"Error response from daemon: manifest for {reference} not found: manifest unknown: manifest unknown",
                hint=error.hint,
            ) from error
        self.images.add(image, [reference])
        self.images.pushed(image, f"{documents.familiar(reference)}@{image.image.root.digest}")
        return image

    # ------------------------------------------------------------ images

    def build(self, arguments: Sequence[str], call: Call, channel: Channel) -> int:
        wanted = building.read_build(arguments, call, self.view)
        image = self.engine.build(wanted.order, self.images, _unheard if wanted.quiet else channel.err_bytes)
        self.images.add(image, wanted.names)
        for name in wanted.names if wanted.push else ():
            self.push_image(image, name, channel)
        building.write_files(wanted, image, self.view)
        if wanted.quiet:
            channel.out(f"{image.id}\n")
        return 0

    def tag(self, arguments: Sequence[str], call: Call, channel: Channel) -> int:
        words = read_options(arguments, valued="", switches="", short={}).words
        if len(words) != 2:
            channel.err('"docker tag" requires exactly 2 arguments.\n')
            return _FAILED
        image = self.images.find(words[0])
        if image is None:
            channel.err(f"Error response from daemon: No such image: {_shown(words[0])}\n")
            return _FAILED
        self.images.add(image, [parse_reference(words[1])])
        return 0

    def remove(self, arguments: Sequence[str], call: Call, channel: Channel) -> int:
        found = read_options(arguments, valued="", switches="force no-prune", short={"f": "force"})
        status = 0
        for word in found.words:
            if self.images.forget(word):
                channel.out(f"Untagged: {_shown(word)}\n")
            else:
                channel.err(f"Error response from daemon: No such image: {_shown(word)}\n")
                status = 0 if found.on("force") else _FAILED
        return status

    def list(self, arguments: Sequence[str], call: Call, channel: Channel) -> int:
        found = read_options(
            arguments,
            valued="filter format",
            switches="all digests no-trunc quiet tree",
            short={"a": "all", "q": "quiet", "f": "filter"},
        )
        wanted = [text.partition("=")[2] for text in found.all("filter") if text.startswith("reference=")]
        wanted += found.words
        rows = []
        for name, image in self.images.names():
            shown = f"{documents.familiar(name)}:{name.tag}"
            if not wanted or any(one in (documents.familiar(name), shown, str(name)) for one in wanted):
                whole = found.on("no-trunc")
                rows.append(documents.image_row(name, image, self.images, self._now_s(), whole=whole))
        if found.on("quiet"):
            channel.out("".join(f"{each}\n" for each in dict.fromkeys(row["ID"] for row in rows)))
        elif found.last("format"):
            channel.out("".join(f"{render(found.last('format'), row)}\n" for row in rows))
        else:
            table = [("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE")]
            table += [(row["Repository"], row["Tag"], row["ID"], row["CreatedSince"], row["Size"]) for row in rows]
            widths = [max(len(line[column]) for line in table) + 3 for column in range(5)]
            lines = ["".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in table]
            channel.out("".join(f"{line.rstrip()}\n" for line in lines))
        return 0

    def inspect(self, arguments: Sequence[str], call: Call, channel: Channel) -> int:
        found = read_options(arguments, valued="format type", switches="size", short={"f": "format", "s": "size"})
        rows, status = [], 0
        for word in found.words:
            image = self.images.find(word)
            if image is None:
                channel.err(f"Error: No such object: {word}\n")
                status = _FAILED
            else:
                rows.append(documents.image_document(image, self.images))
        if found.last("format"):
            channel.out("".join(f"{render(found.last('format'), row)}\n" for row in rows))
        else:
            channel.out(json.dumps(rows, indent=4) + "\n")
        return status

    def run(self, arguments: Sequence[str], call: Call, channel: Channel) -> int:
        name, make = running.read_run(arguments, call, self.view)
        image = self.images.find(name)
        if image is None:
            channel.err(f"Unable to find image '{_shown(name)}' locally\n")
            try:
                image = self._pulled(parse_reference(name), channel)
            except PipeyardError as error:
                channel.err(f"docker: {_told(error)}.\n")
                return _NOT_BEGUN
        return self.engine.run(make(image), channel.out_bytes)

    # ------------------------------------------------------------ what scripts ask before

    def info(self, arguments: Sequence[str], call: Call, channel: Channel) -> int:
        found = read_options(arguments, valued="format", switches="", short={"f": "format"})
        here = native()
        document = documents.info_document(here.os, here.architecture, len(self.images.names()))
        if found.last("format"):
            channel.out(render(found.last("format"), document) + "\n")
        else:
            channel.out("".join(f" {name}: {value}\n" for name, value in document.items() if name != "ServerErrors"))
        return 0

    def version(self, arguments: Sequence[str], call: Call, channel: Channel) -> int:
        found = read_options(arguments, valued="format", switches="", short={"f": "format"})
        here = native()
        document = documents.version_document(here.os, here.architecture)
        if found.last("format"):
            channel.out(render(found.last("format"), document) + "\n")
            return 0
        for side in ("Client", "Server"):
            channel.out(f"{side}:\n Version:           {documents.VERSION}\n OS/Arch:           {here}\n")
        return 0

    def containers(self, arguments: Sequence[str], call: Call, channel: Channel) -> int:
        """None ever runs beside a build."""
        if not {"-q", "-aq", "-qa", "--quiet"} & set(arguments):
            channel.out("CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n")
        return 0

    def prune(self, arguments: Sequence[str], call: Call, channel: Channel) -> int:
        channel.out("Total reclaimed space: 0B\n")
        return 0

    def accept(self, arguments: Sequence[str], call: Call, channel: Channel) -> int:
        """Builders of buildx: there is one, and it is ready."""
        channel.out("pipeyard\n")
        return 0


_COMMANDS: dict[str, Callable[[Docker, Sequence[str], Call, Channel], int]] = {
    "login": Docker.login,
    "logout": Docker.logout,
    "build": Docker.build,
    "image build": Docker.build,
    "builder build": Docker.build,
    "buildx build": Docker.build,
    "buildx b": Docker.build,
    "buildx create": Docker.accept,
    "buildx use": Docker.accept,
    "buildx inspect": Docker.accept,
    "buildx ls": Docker.accept,
    "buildx rm": Docker.accept,
    "buildx version": Docker.version,
    "tag": Docker.tag,
    "image tag": Docker.tag,
    "push": Docker.push,
    "image push": Docker.push,
    "pull": Docker.pull,
    "image pull": Docker.pull,
    "images": Docker.list,
    "image ls": Docker.list,
    "image list": Docker.list,
    "inspect": Docker.inspect,
    "image inspect": Docker.inspect,
    "compose": compose.compose,
    "rmi": Docker.remove,
    "save": archive_commands.save,
    "image save": archive_commands.save,
    "load": archive_commands.load,
    "image load": archive_commands.load,
    "history": archive_commands.history,
    "image history": archive_commands.history,
    "manifest create": manifest_commands.create,
    "manifest annotate": manifest_commands.annotate,
    "manifest inspect": manifest_commands.inspect,
    "manifest push": manifest_commands.push,
    "manifest rm": manifest_commands.remove,
    "buildx imagetools": manifest_commands.imagetools,
    "image rm": Docker.remove,
    "run": Docker.run,
    "container run": Docker.run,
    "info": Docker.info,
    "system info": Docker.info,
    "version": Docker.version,
    "ps": Docker.containers,
    "container ls": Docker.containers,
    "system prune": Docker.prune,
    "image prune": Docker.prune,
    "builder prune": Docker.prune,
    "buildx prune": Docker.prune,
}


def _without_global_flags(arguments: Sequence[str]) -> Sequence[str]:
    todo = list(arguments)
    while todo and (todo[0] in _GLOBAL or todo[0].partition("=")[0] in _GLOBAL_VALUED):
        first = todo.pop(0)
        if first in _GLOBAL_VALUED and todo:
            todo.pop(0)
    return todo


def _unheard(data: bytes) -> None:
    """What `--quiet` does with progress."""


def _host(words: Sequence[str]) -> str:
    text = words[0] if words else DEFAULT_HOST
    return text.removeprefix("https://").removeprefix("http://").split("/", 1)[0]


def _one(words: Sequence[str], command: str) -> str:
    if len(words) != 1:
        raise InputError(f'"docker {command}" requires exactly 1 argument.')
    return words[0]


def _shown(text: str) -> str:
    try:
        reference = parse_reference(text)
    except InputError:
        return text
    return f"{documents.familiar(reference)}:{reference.tag}" if reference.tag else str(reference)


def _told(error: PipeyardError) -> str:
    message = error.message
    if error.place is not None and error.place.line:
        message = f"{error.place.file.rpartition('/')[2]}:{error.place.line}: {message}"
    if not message.startswith(("Error", "docker", "unknown", "flag", '"docker')):
        message = f"ERROR: {message}"
    return f"{message} ({error.hint})" if error.hint else message
