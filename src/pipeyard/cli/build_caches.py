"""`--cache-from` and `--cache-to`: a reference, or `type=registry|local|inline` and its options, as in buildx."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeyard.cli.fields import fields_of
from pipeyard.errors import InputError
from pipeyard.registry.reference import Reference, parse_reference

if TYPE_CHECKING:
    from pipeyard.image.build import Publication
    from pipeyard.service.images import Images
    from pipeyard.threads import StopSignal


def cache_source(text: str, folder: Path) -> Reference:
    """Where a cache is read from. Raises InputError."""
    fields = _fields(text, "ref")
    kind = fields.get("type", "registry")
    if kind == "registry" and fields.get("ref"):
        return parse_reference(fields["ref"])
    if kind == "local" and fields.get("src"):
        from pipeyard.image.build.layouts import HOST

        return Reference(HOST, str(folder / fields["src"]), fields.get("tag", ""))
    raise InputError(
        f"--cache-from {text!r} is not understood", hint="write REF, type=registry,ref=REF or type=local,src=FOLDER"
    )


def is_inline(text: str) -> bool:
    return _fields(text, "ref").get("type") == "inline"


def cache_targets(images: "Images", texts: tuple[str, ...], folder: Path, stop: "StopSignal") -> "list[Publication]":
    """The destinations of the cache; to be closed by the caller. Raises InputError."""
    from pipeyard.image.build import Publication
    from pipeyard.image.build.layouts import LayoutDestination

    found = []
    for text in texts:
        fields = _fields(text, "ref")
        kind = fields.get("type", "registry")
        mode = fields.get("mode", "min")
        if mode not in ("min", "max"):
            raise InputError(f"--cache-to {text!r} has no mode {mode!r}", hint="it is min or max")
        cache: Literal["min", "max"] = "max" if mode == "max" else "min"
        if kind == "registry" and fields.get("ref"):
            reference = parse_reference(fields["ref"])
            where = Reference(reference.host, reference.repository)
            destination = images.registries.destination(where, stop, lambda report: None, "cache")
            found.append(Publication(destination=destination, tags=(reference.tag,), cache=cache))
        elif kind == "local" and fields.get("dest"):
            place = LayoutDestination(folder / fields["dest"])
            found.append(Publication(destination=place, tags=("latest",), cache=cache))
        elif kind != "inline":
            raise InputError(
                f"--cache-to {text!r} is not understood",
                hint="write REF, type=registry,ref=REF, type=local,dest=FOLDER or type=inline",
            )
    return found


def _fields(text: str, alone: str) -> dict[str, str]:
    if "=" not in text:
        return {alone: text}
    return dict(fields_of(text, "the cache"))
