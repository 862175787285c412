"""The modules that a Go program was linked from.

Source: Go, src/debug/buildinfo: behind the mark stand the pointer size and flags; with the flag 2 (Go 1.18 and later)
the version and the module list follow at byte 32, each with its length in front.
"""

from collections.abc import Callable, Iterator

from pipeyard.scan.finding import Finding, clean, text_of

_MARK = b"\xff Go buildinf:"
_INLINE = 2
_CHUNK = 1 << 20
_MAX_INFO = 4 << 20  # bytes
_MAX_MARKS = 50  # of one file; a hostile one consists of nothing else
PROGRAM_STARTS = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xcf")
"""How programs begin: ELF, PE and both orders of Mach-O."""


def go_packages(read: Callable[[int], bytes]) -> Iterator[Finding]:
    """The modules of a program, read once from its beginning; none when it is not Go's."""
    before = b""
    marks = 0
    while data := read(_CHUNK):
        window = before + data
        at = window.find(_MARK)
        while at >= 0:
            marks += 1
            if marks > _MAX_MARKS:
                return
            while len(window) - at < _MAX_INFO and (data := read(_CHUNK)):
                window += data
            found = list(_modules(window[at : at + _MAX_INFO]))
            if found:
                yield from found
                return
            at = window.find(_MARK, at + 1)  # Go's own tools have the mark among their strings, too
        before = window[-len(_MARK) :]


def _modules(info: bytes) -> Iterator[Finding]:
    if len(info) < 33 or not info[15] & _INLINE:
        return
    version, rest = _text(info[32:])
    modules, _ = _text(rest)
    if not version.startswith(b"go1") and not version.startswith(b"devel"):
        return
    yield _finding("stdlib", text_of(version).split(" ")[0].removeprefix("go"))
    # Sixteen bytes of a mark stand on either side of the list.
    lines = [line.split("\t") for line in text_of(modules[16:-16]).split("\n")] if len(modules) > 32 else []
    for at, line in enumerate(lines):
        if line[0] not in ("mod", "dep") or len(line) < 3:
            continue
        replaced = lines[at + 1] if at + 1 < len(lines) else []
        path, number = (replaced if replaced[:1] == ["=>"] and len(replaced) >= 3 else line)[1:3]
        if path and not path.startswith((".", "/")):
            yield _finding(path, "" if number == "(devel)" else number)


def _finding(path: str, version: str) -> Finding:
    namespace, _, name = clean(path).rpartition("/")
    return Finding(kind="golang", namespace=namespace, name=name, version=clean(version), source="Go build information")


def _text(data: bytes) -> tuple[bytes, bytes]:
    """Text with its length in front, as Go's varint, and what follows it."""
    length = shift = 0
    for at, byte in enumerate(data[:9]):
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            end = at + 1 + length
            return (data[at + 1 : end], data[end:]) if end <= len(data) else (b"", b"")
    return b"", b""
