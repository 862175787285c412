"""Numbers and records in tar headers. Source: POSIX.1-2017, pax; GNU tar for numbers in base 256."""

from pipeyard.image.layers.decompress import BadArchive


def number(block: bytes, start: int, end: int) -> int:
    """An octal field, or GNU's base 256."""
    field = block[start:end]
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=False)
        bits = 8 * len(field)
        if field[0] & 0x40:  # negative, two's complement in what the marker leaves
            return value - (1 << bits)
        return value - (1 << (bits - 1))
    text = field.split(b"\0", 1)[0].strip()
    if not text:
        return 0
    try:
        return int(text, 8)
    except ValueError:
        raise BadArchive(f"{field!r} is no octal number: not a tar archive, or a damaged one") from None


def parse_records(data: bytes) -> dict[str, bytes]:
    records: dict[str, bytes] = {}
    repeated: list[bytes] = []
    at = 0
    while at < len(data):
        if data[at] == 0:  # some writers pad the records themselves
            break
        space = data.find(b" ", at, at + 12)
        digits = data[at:space] if space > 0 else b""
        length = int(digits) if digits.isdigit() else 0
        end = at + length
        equals = data.find(b"=", space, end)
        if length < 5 or end > len(data) or data[end - 1] != 0x0A or equals < 0:
            raise BadArchive("a damaged extended header")
        key, value = data[space + 1 : equals].decode("utf-8", "surrogateescape"), data[equals + 1 : end - 1]
        if key in ("GNU.sparse.offset", "GNU.sparse.numbytes"):  # format 0.0 repeats these two keys
            repeated.append(value)
        else:
            records[key] = value
        at = end
    if repeated:
        records["GNU.sparse.map"] = b",".join(repeated)
    return records


def decimal(records: dict[str, bytes], key: str, default: int) -> int:
    value = records.get(key)
    if value is None:
        return default
    if not value.isdigit() or len(value) > 19:
        raise BadArchive(f"the extended header has {key}={value[:40]!r}")
    return int(value)


def nanoseconds(value: bytes) -> int:
    whole, _, fraction = value.partition(b".")
    digits = whole.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > 18 or (fraction and not fraction.isdigit()):
        raise BadArchive(f"the extended header has mtime={value[:40]!r}")
    nanoseconds = int(digits) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0"))
    return -nanoseconds if whole.startswith(b"-") else nanoseconds
