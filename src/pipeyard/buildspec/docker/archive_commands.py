"""`docker save`, `docker load` and `docker history`. Source: docs.docker.com, "docker CLI reference"."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeyard.buildspec.docker.archives import Writing, read_archive, write_archive
from pipeyard.buildspec.docker.documents import familiar
from pipeyard.buildspec.docker.engine import LocalImage
from pipeyard.buildspec.docker.options import read_options
from pipeyard.buildspec.docker.serving import Call, Channel, open_untrusted
from pipeyard.errors import InputError, PipeyardError
from pipeyard.registry.reference import Reference, parse_reference

if TYPE_CHECKING:
    from pipeyard.buildspec.docker.commands import Docker


def save(docker: "Docker", arguments: Sequence[str], call: Call, channel: Channel) -> int:
    found = read_options(arguments, valued="output platform", switches="", short={"o": "output"})
    if not found.words:
        raise InputError('"docker save" requires at least 1 argument.')
    chosen: dict[str, tuple[LocalImage, list[Reference]]] = {}
    for word in found.words:
        image = docker.images.find(word)
        if image is None:
            raise PipeyardError(f"Error response from daemon: reference does not exist: {word}")
        names = chosen.setdefault(image.id, (image, []))[1]
        if docker.images.named(name := parse_reference(word)) is not None:
            names.append(name)
    images = list(chosen.values())
    if found.last("output"):
        path = docker.view.locate(_absolute(call, found.last("output")))
        if path is None or not path.parent.is_dir():
            raise InputError(f"{found.last('output')} lies in no folder of the build")
        path.unlink(missing_ok=True)
        with path.open("xb") as out:
            write_archive(out, images)
    else:
        write_archive(Writing(channel.out_bytes), images)
    return 0


def load(docker: "Docker", arguments: Sequence[str], call: Call, channel: Channel) -> int:
    found = read_options(arguments, valued="input platform", switches="quiet", short={"i": "input", "q": "quiet"})
    path = call.stdin_file
    if found.last("input"):
        path = docker.view.locate(_absolute(call, found.last("input")))
    if path is None:
        raise InputError("docker load needs an archive: -i FILE, or standard input")
    try:
        stream = open_untrusted(path)
    except OSError as error:
        raise PipeyardError(f"open {found.last('input') or 'standard input'}: {error.strerror}") from error
    with stream:
        for image, names in read_archive(stream, docker.engine.blobs):
            docker.images.add(image, names)
            for name in names:
                channel.out(f"Loaded image: {familiar(name)}:{name.tag}\n")
            if not names:
                channel.out(f"Loaded image ID: {image.id}\n")
    return 0


def history(docker: "Docker", arguments: Sequence[str], call: Call, channel: Channel) -> int:
    found = read_options(
        arguments, valued="format platform", switches="human no-trunc quiet", short={"H": "human", "q": "quiet"}
    )
    image = docker.images.find(found.words[0]) if len(found.words) == 1 else None
    if image is None:
        raise PipeyardError(f"Error response from daemon: No such image: {' '.join(found.words)}")
    channel.out(
        "IMAGE          CREATED BY                                      SIZE\n" if not found.on("quiet") else ""
    )
    sizes = [layer.size for layer in image.image.manifest.layers]
    steps = image.config.history
    rows = [(step.created_by, 0 if step.empty_layer or not sizes else sizes.pop(0)) for step in steps]
    for number, (created_by, size) in enumerate(reversed(rows)):
        name = image.id.partition(":")[2][:12] if number == 0 else "<missing>"
        shown = created_by if found.on("no-trunc") else created_by[:45]
        channel.out(f"{name}\n" if found.on("quiet") else f"{name:<15}{shown:<48}{size}B\n")
    return 0


def _absolute(call: Call, path: str) -> str:
    return path if path.startswith("/") else f"{call.folder}/{path}"
