"""`--output`: where a built image goes, as `type=TYPE,dest=PATH` or a folder's path."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from msgspec import Struct

from pipeyard.cli.fields import fields_of, refuse_unknown, truth
from pipeyard.errors import InputError

if TYPE_CHECKING:
    from pipeyard.image.build import Built

KINDS = ("oci", "docker", "local", "tar", "image", "registry", "cacheonly")
_OF_IMAGES = ("name", "push", "push-by-digest", "compression", "force-compression", "oci-mediatypes", "oci-artifact")
_KNOWN = {
    "oci": ("dest", "tar", *_OF_IMAGES),
    "docker": ("dest", "tar", *_OF_IMAGES),
    "local": ("dest", "platform-split", "attestation-prefix"),
    "tar": ("dest", "platform-split", "attestation-prefix"),
    "image": (*_OF_IMAGES, "unpack", "store"),
    "registry": (*_OF_IMAGES, "unpack", "store"),
    "cacheonly": (),
}
_LEVELS = {"annotation": "", "annotation-manifest": "manifest:", "annotation-index": "index:"}


class Output(Struct, frozen=True, kw_only=True):
    """`dest` "-" is stdout. `is_tar`: OCI and Docker outputs as an archive, not as a folder.

    `split` and `prefix`: see FilesOutput. `compression` None: as the build's option says.
    """

    kind: str
    dest: str = ""
    is_tar: bool = True
    names: tuple[str, ...] = ()
    push: bool = False
    by_digest: bool = False  # pushed without a tag
    compression: Literal["gzip", "zstd"] | None = None
    annotations: tuple[tuple[str, str], ...] = ()  # as --annotation has them
    split: bool | None = None
    prefix: str = ""

    @property
    def writes_files(self) -> bool:
        return self.kind in ("oci", "docker", "local", "tar")

    @property
    def stores(self) -> bool:
        """It is for a registry, the embedded one or another."""
        return self.kind in ("image", "registry")


def parse_output(text: str) -> Output:
    """Reads one `--output`. Raises InputError."""
    if text == "-":
        return Output(kind="tar", dest="-")
    if "=" not in text:
        return Output(kind="local", dest=text)
    fields: dict[str, str] = {}
    names: list[str] = []
    annotations: list[tuple[str, str]] = []
    for key, value in fields_of(text, "--output"):
        level, dot, name = key.partition(".")
        if not value and names and "." not in key and key not in _OF_IMAGES:
            names.append(key)  # name=a,b: several names in one value
        elif key == "name":
            names += value.split(",")
        elif dot and level in _LEVELS:
            annotations.append((_LEVELS[level] + name, value))
        else:
            fields[key] = value
    kind = fields.pop("type", "")
    if kind not in KINDS:
        raise InputError(f"--output {text!r} has no known type", hint=f"known are {', '.join(KINDS)}")
    refuse_unknown(fields, _KNOWN[kind], f"--output type={kind}")
    dest = fields.get("dest", "")
    if kind == "local" and not dest:
        raise InputError("--output type=local needs a dest", hint="write type=local,dest=FOLDER")
    if not truth("oci-mediatypes", fields.get("oci-mediatypes", "true")):
        raise InputError("images are written with OCI's media types alone", hint="every registry of today takes them")
    if (wanted := fields.get("compression", "gzip")) not in ("gzip", "zstd"):
        raise InputError(f"layers cannot be compressed by {wanted!r}", hint="by gzip or zstd")
    compression: Literal["gzip", "zstd"] = "zstd" if wanted == "zstd" else "gzip"
    return Output(
        # Without a file, buildx's docker output loads the image where `docker run` finds it.
        kind="image" if kind == "docker" and not dest else kind,
        dest=dest or "-",
        is_tar=truth("tar", fields.get("tar", "true")),
        names=tuple(name for name in names if name),
        push=kind == "registry" or truth("push", fields.get("push", "false")),
        by_digest=truth("push-by-digest", fields.get("push-by-digest", "false")),
        compression=compression if "compression" in fields else None,
        annotations=tuple(annotations),
        split=truth("platform-split", fields["platform-split"]) if "platform-split" in fields else None,
        prefix=fields.get("attestation-prefix", ""),
    )


def write_outputs(outputs: Sequence[Output], built: "Built", tags: Sequence[str], folder: Path) -> None:
    """Writes all outputs that are files. Raises InputError."""
    from pipeyard.image.build import exports, rootfiles

    for output in outputs:
        names = [*tags, *output.names]
        files = rootfiles.FilesOutput(split=output.split, prefix=output.prefix)
        match output.kind:
            case "oci" | "docker":
                form = exports.oci_layout if output.kind == "oci" else exports.docker_archive
                write = partial(form, built, names)
                if not output.is_tar and output.dest != "-":
                    exports.to_folder(write, folder / output.dest)
                    continue
                with _opened(output.dest, folder) as out:
                    exports.to_tar(write, out)
            case "tar":
                with _opened(output.dest, folder) as out:
                    rootfiles.write_root_tar(built.platforms, out.write, files)
            case "local":
                rootfiles.write_root_folder(built.platforms, folder / output.dest, files)


@contextmanager
def _opened(dest: str, folder: Path) -> Iterator[BinaryIO]:
    """A file that is whole or absent, or standard output."""
    from pipeyard.cli.build_results import opened_for_writing

    if dest == "-":
        if sys.stdout.isatty():
            raise InputError("an image is not for a terminal", hint="give dest=FILE, or redirect the output")
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    with opened_for_writing(folder / dest) as out:
        yield out
