"""From a layer's blob to a folder that overlayfs takes as a lower, its diff id verified on the way."""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from pipeyard.errors import DigestMismatch
from pipeyard.image.layers.decompress import BadArchive, Unpacked
from pipeyard.image.layers.foldering import FolderWriter
from pipeyard.image.layers.powers import Form, form_of_this_process, owner_of
from pipeyard.image.layers.prefetch import DEFAULT_LIMITS, ExtractLimits, Prefetched
from pipeyard.image.layers.read import read_members
from pipeyard.image.layers.stack import FolderStack
from pipeyard.oci import Digest
from pipeyard.threads import NEVER, Stop

__all__ = ["DEFAULT_LIMITS", "ExtractLimits", "Extracted", "extract", "owner_of"]


class Extracted(Struct, frozen=True):
    """`size`: bytes of the tar stream. `skipped`: devices that this process may not make."""

    diff_id: Digest
    size: int
    entries: int
    skipped: tuple[str, ...] = ()


def extract(
    stream: BinaryIO,
    folder: Path,
    *,
    lowers: Sequence[Path] = (),
    expected: Digest | None = None,
    form: Form | None = None,
    limits: ExtractLimits = DEFAULT_LIMITS,
    stop: Stop = NEVER,
) -> Extracted:
    """Unpacks a layer (gzip, zstd or plain, detected) into `folder`, which exists and is empty.

    `lowers` are the folders of the layers below it, the lowest first: a parent that this layer does not name gets their
    mode and owner, so a folder belongs to its whole chain of layers and not to the layer alone. Without them such
    parents are root's and 0755.

    Raises BadArchive for a damaged or hostile layer, DigestMismatch when the uncompressed bytes are not those of
    `expected`. The folder's content is to be thrown away then.
    """
    unpacked = Unpacked(stream.read)
    writer = FolderWriter(folder, FolderStack(lowers), form or form_of_this_process(), most_folders=limits.entries)
    count = content = 0
    with Prefetched(unpacked, limits, stop) as pieces:
        try:
            for member in read_members(pieces):
                count += 1
                if count > limits.entries:
                    raise BadArchive(f"the layer has more than {limits.entries} entries")
                # Counted apart from the stream: a sparse file's holes are not in it.
                content += member.entry.size
                if content > limits.total_bytes:
                    raise BadArchive(f"the layer's files are larger than {limits.total_bytes} bytes")
                writer.write(member)
            writer.finish()
        finally:
            writer.close()
    diff_id = pieces.diff_id
    if expected is not None and diff_id != expected:
        raise DigestMismatch(f"the layer's content is {diff_id}, where its image says {expected}")
    return Extracted(diff_id, pieces.size, count, tuple(writer.skipped))
