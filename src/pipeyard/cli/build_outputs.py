"""`--output`: where a built image goes, as `type=TYPE,dest=PATH` or a folder's path."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from msgspec import Struct

from pipeyard.errors import InputError

if TYPE_CHECKING:
    from pipeyard.image.build import Built

KINDS = ("oci", "docker", "local", "tar", "image", "registry")


class Output(Struct, frozen=True, kw_only=True):
    """`dest` "-" is stdout. `is_tar`: OCI and Docker outputs as an archive, not as a folder."""

    kind: str
    dest: str = ""
    is_tar: bool = True
    names: tuple[str, ...] = ()
    push: bool = False

    @property
    def writes_files(self) -> bool:
        return self.kind in ("oci", "docker", "local", "tar")


def parse_output(text: str) -> Output:
    """Reads one `--output`. Raises InputError."""
    if text == "-":
        return Output(kind="tar", dest="-")
    if "=" not in text:
        return Output(kind="local", dest=text)
    fields: dict[str, str] = {}
    names: list[str] = []
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals and names:
            names.append(part)  # name=a,b: several names in one value
        elif key == "name":
            names.append(value)
        else:
            fields[key] = value
    kind = fields.get("type", "")
    if kind not in KINDS:
        raise InputError(f"--output {text!r} has no known type", hint=f"known are {', '.join(KINDS)}")
    dest = fields.get("dest", "")
    if kind == "local" and not dest:
        raise InputError("--output type=local needs a dest", hint="write type=local,dest=FOLDER")
    return Output(
        kind=kind,
        dest=dest or "-",
        is_tar=fields.get("tar", "true").lower() not in ("false", "0"),
        names=tuple(names),
        push=fields.get("push", "").lower() in ("true", "1"),
    )


def write_outputs(outputs: Sequence[Output], built: "Built", tags: Sequence[str], folder: Path) -> None:
    """Writes all outputs that are files. Raises InputError."""
    from pipeyard.image.build import exports

    for output in outputs:
        names = [*tags, *output.names]
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
                    exports.write_root_tar(built.platforms[0], out.write)
            case "local":
                target = folder / output.dest
                for one in built.platforms:
                    below = str(one.platform).replace("/", "_") if len(built.platforms) > 1 else ""
                    exports.write_root_folder(one, target / below)


@contextmanager
def _opened(dest: str, folder: Path) -> Iterator[BinaryIO]:
    """A file that is whole or absent, or standard output."""
    from pipeyard.files import replace_file

    if dest == "-":
        if sys.stdout.isatty():
            raise InputError("an image is not for a terminal", hint="give dest=FILE, or redirect the output")
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    target = folder / dest
    target.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(target, durable=False) as out:
        yield out
