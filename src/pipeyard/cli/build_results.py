"""--iidfile and --metadata-file of `image build`, with the fields of `docker buildx build`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pipeyard.files import replace_file

if TYPE_CHECKING:
    from pipeyard.image.build import Built


def write_id(built: "Built", file: Path) -> None:
    """The digest of the image's configuration, which Docker calls its id; an index has none, but its own digest."""
    _write(file, (built.digest if built.is_index else built.config_digest).encode())


def write_metadata(built: "Built", names: Sequence[str], file: Path) -> None:
    """What was built, as JSON in buildx's names; the provenance of several platforms has each one's in its key."""
    import msgspec

    from pipeyard.image.build.attestations import PROVENANCE

    document: dict[str, Any] = {}
    for image in built.platforms:
        for descriptor, data in image.attestation.blobs if image.attestation is not None else ():
            if descriptor.annotations.get("in-toto.io/predicate-type") == PROVENANCE:
                key = "buildx.build.provenance" + (f"/{image.platform}" if len(built.platforms) > 1 else "")
                document[key] = msgspec.json.decode(data)["predicate"]
    root = built.root
    if not built.is_index:
        document["containerimage.config.digest"] = built.config_digest
        root = built.platforms[0].descriptor
    document["containerimage.descriptor"] = msgspec.to_builtins(root)
    document["containerimage.digest"] = built.digest
    if names:
        document["image.name"] = ",".join(names)
    _write(file, msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


def _write(file: Path, data: bytes) -> None:
    with opened_for_writing(file) as out:
        out.write(data)


@contextmanager
def opened_for_writing(file: Path) -> Iterator[BinaryIO]:
    """A file that is whole or absent; what is no file, such as a pipe or /dev/stdout, is written to as it comes."""
    if file.exists() and not file.is_file():
        with open(file, "wb") as out:
            yield out
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(file, durable=False) as out:
        yield out
