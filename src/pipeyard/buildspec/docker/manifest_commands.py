"""`docker manifest ...` and `docker buildx imagetools ...` over the lists of `manifests`."""

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pipeyard.buildspec.docker import documents, manifests
from pipeyard.buildspec.docker.engine import LocalImage
from pipeyard.buildspec.docker.options import read_options
from pipeyard.buildspec.docker.serving import Call, Channel
from pipeyard.buildspec.docker.templates import render
from pipeyard.errors import InputError
from pipeyard.registry.reference import Reference, parse_reference

if TYPE_CHECKING:
    from pipeyard.buildspec.docker.commands import Docker

_INSECURE = "insecure"


def create(docker: "Docker", arguments: Sequence[str], call: Call, channel: Channel) -> int:
    found = read_options(arguments, valued="", switches=f"amend {_INSECURE}", short={"a": "amend"})
    if len(found.words) < 2:
        raise InputError('"docker manifest create" requires at least 2 arguments.')
    name, *members = (parse_reference(word) for word in found.words)
    parts = [part for member in members for part in manifests.parts_of(member, _image(docker, member, channel))]
    docker.lists.create(name, parts, amend=found.on("amend"))
    channel.out(f"Created manifest list {name}\n")
    return 0


def annotate(docker: "Docker", arguments: Sequence[str], call: Call, channel: Channel) -> int:
    found = read_options(arguments, valued="arch os os-features os-version variant", switches="", short={})
    name, member = (parse_reference(word) for word in _exactly(found.words, 2, "manifest annotate"))
    docker.lists.annotate(
        name, member, os=found.last("os"), architecture=found.last("arch"), variant=found.last("variant")
    )
    return 0


def inspect(docker: "Docker", arguments: Sequence[str], call: Call, channel: Channel) -> int:
    """Of a list that is not pushed yet, of an image of the build, or of a registry's."""
    found = read_options(arguments, valued="", switches=f"verbose {_INSECURE}", short={"v": "verbose"})
    name = parse_reference(found.words[-1] if found.words else "")
    image = manifests.joined(docker.lists.find(name)) if docker.lists.known(name) else _image(docker, name, channel)
    channel.out(manifests.shown_list(image))
    return 0


def push(docker: "Docker", arguments: Sequence[str], call: Call, channel: Channel) -> int:
    found = read_options(arguments, valued="", switches=f"purge {_INSECURE}", short={"p": "purge"})
    (name,) = (parse_reference(word) for word in _exactly(found.words, 1, "manifest push"))
    image = manifests.joined(docker.lists.find(name))
    channel.out(f"{docker.engine.push(image, name, (name.tag,), channel.err_bytes)}\n")
    if found.on("purge"):
        docker.lists.remove(name)
    return 0


def remove(docker: "Docker", arguments: Sequence[str], call: Call, channel: Channel) -> int:
    for word in read_options(arguments, valued="", switches="", short={}).words:
        docker.lists.remove(parse_reference(word))
    return 0


def imagetools(docker: "Docker", arguments: Sequence[str], call: Call, channel: Channel) -> int:
    commands: dict[str, Callable[[Docker, Sequence[str], Call, Channel], int]] = {
        "create": _tools_create,
        "inspect": _tools_inspect,
    }
    if not arguments or arguments[0] not in commands:
        raise InputError(f'"docker buildx imagetools" has {" and ".join(commands)} here')
    return commands[arguments[0]](docker, arguments[1:], call, channel)


def _tools_create(docker: "Docker", arguments: Sequence[str], call: Call, channel: Channel) -> int:
    """Several sources become one list; a single one keeps its digest under the new names."""
    found = read_options(
        arguments,
        valued="tag builder annotation progress file",
        switches="append dry-run prefer-index",
        short={"t": "tag", "f": "file"},
    )
    names = [parse_reference(tag) for tag in found.all("tag")]
    sources = [parse_reference(word) for word in found.words]
    if found.on("append"):
        sources = [*names[:1], *sources]
    if not sources:
        raise InputError("no sources specified")
    images = [_image(docker, source, channel) for source in sources]
    made = images[0]
    if len(images) > 1:
        pairs = zip(sources, images, strict=True)
        made = manifests.joined([part for name, image in pairs for part in manifests.parts_of(name, image)])
    if found.on("dry-run") or not names:
        channel.out(manifests.shown_list(made))
        return 0
    for name in names:
        docker.engine.push(made, name, (name.tag,), channel.err_bytes)
        channel.err(f"pushed {name}\n")
    return 0


def _tools_inspect(docker: "Docker", arguments: Sequence[str], call: Call, channel: Channel) -> int:
    found = read_options(arguments, valued="format builder", switches="raw", short={})
    (word,) = _exactly(found.words, 1, "buildx imagetools inspect")
    image = _image(docker, parse_reference(word), channel)
    root = image.documents[-1]
    if found.on("raw"):
        channel.out(root.data.decode())
    elif found.last("format"):
        document = json.loads(root.data)
        manifest = {**document, "digest": image.image.root.digest, "mediaType": root.media_type}
        row = {"Name": word, "Manifest": manifest, "Image": documents.image_document(image, docker.images)}
        channel.out(render(found.last("format"), row) + "\n")
    else:
        channel.out(manifests.shown_tools(str(parse_reference(word)), image))
    return 0


def _image(docker: "Docker", name: Reference, channel: Channel) -> LocalImage:
    """The build's own image of that name, else its registry's with all of its platforms."""
    found = docker.images.named(name)
    return found if found is not None else docker.engine.whole(name)


def _exactly(words: Sequence[str], count: int, command: str) -> Sequence[str]:
    if len(words) != count:
        raise InputError(f'"docker {command}" requires exactly {count} argument{"s" if count > 1 else ""}.')
    return words
