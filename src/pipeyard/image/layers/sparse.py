"""GNU tar's four ways to write sparse files. Source: GNU tar manual, "Storing Sparse Files"."""

from collections.abc import Callable

from pipeyard.image.layers.decompress import BadArchive
from pipeyard.image.layers.fields import decimal, number

Take = Callable[[int], bytes]  # exactly so many bytes of the stream


def old_sparse(block: bytes, take: Take) -> tuple[list[tuple[int, int]], int]:
    holes: list[tuple[int, int]] = []
    size = number(block, 483, 495)
    _sparse_fields(block[386:482], holes)
    more = block[482]
    while more:
        extension = take(512)
        _sparse_fields(extension[:504], holes)
        more = extension[504]
        if len(holes) > 1 << 20:
            raise BadArchive("a sparse file of too many parts")
    return _checked(holes, size), size


def _sparse_fields(fields: bytes, holes: list[tuple[int, int]]) -> None:
    for at in range(0, len(fields), 24):
        if fields[at] == 0:
            return
        holes.append((number(fields, at, at + 12), number(fields, at + 12, at + 24)))


def pax_sparse(
    records: dict[str, bytes], name: bytes, length: int, take: Take
) -> tuple[bytes, list[tuple[int, int]], int, int]:
    """GNU's three pax formats: the map in the header (0.0, 0.1), or in front of the data (1.0)."""
    name = records.get("GNU.sparse.name", name)
    size = decimal(records, "GNU.sparse.realsize", decimal(records, "GNU.sparse.size", length))
    if records.get("GNU.sparse.major") == b"1":
        text = b""
        numbers: list[int] = []
        wanted = 1
        while len(numbers) < wanted:
            line, newline, rest = text.partition(b"\n")
            if not newline:
                if length < 512 or len(text) > 32:
                    raise BadArchive("a sparse file with a damaged map")
                text += take(512)
                length -= 512
                continue
            if not line.isdigit() or len(line) > 19:
                raise BadArchive("a sparse file with a damaged map")
            text = rest
            numbers.append(int(line))
            if len(numbers) == 1:
                wanted = 1 + 2 * numbers[0]
                if numbers[0] > 1 << 20:
                    raise BadArchive("a sparse file of too many parts")
        numbers = numbers[1:]
    else:
        parts = [part for part in records.get("GNU.sparse.map", b"").split(b",") if part]
        if any(not part.isdigit() or len(part) > 19 for part in parts) or len(parts) % 2:
            raise BadArchive("a sparse file with a damaged map")
        numbers = [int(part) for part in parts]
    return name, _checked(list(zip(numbers[::2], numbers[1::2], strict=True)), size), size, length


def _checked(holes: list[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    at = 0
    for offset, length in holes:
        if offset < at or length < 0:
            raise BadArchive("a sparse file whose parts overlap")
        at = offset + length
    if at > size:
        raise BadArchive("a sparse file whose parts lie behind its end")
    return holes
