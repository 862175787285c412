"""The directives at the top of a file: `# syntax=`, `# escape=`, `# check=`.

They stand before everything else, blank lines and other comments included. A syntax directive is also found behind a
shebang, in `//` comments and in a JSON document, because other frontends have other notions of a comment.
Source: BuildKit, frontend/dockerfile/parser/directives.go.
"""

from collections.abc import Iterator

from pipeyard.errors import DockerfileError, Place
from pipeyard.image.dockerfile.instructions import Directive
from pipeyard.image.dockerfile.lines import SPACES, Source
from pipeyard.patterns import later

_NAMES = ("syntax", "escape", "check")
_ASCII_SPACES = "\t\n\f\r "
_name = later(r"[a-zA-Z][a-zA-Z0-9]*")


def read_directives(source: Source) -> None:
    """Passes the directives at the source's position and sets its escape character.

    Here a directive may stand behind white space; the others, which `find_directive` finds, may not.

    Raises DockerfileError for a directive given twice, and for an escape character that is none.
    """
    found = set()
    while (named := _directive(source.peek_line(), "#")) is not None:
        name, value = named
        place = Place(source.file, source.line_number)
        if name in found:
            raise DockerfileError(f"only one {name} parser directive can be used", place=place)
        if name == "escape":
            if value not in ("\\", "`"):
                raise DockerfileError(f"invalid escape token '{value}' does not match ` or \\", place=place)
            source.use_escape(value)
        found.add(name)
        source.skip_line()


def find_directive(text: bytes, name: str, file: str, *, any_comment: bool = False) -> Directive | None:
    """A directive of a file that need not be a Dockerfile: a shebang may stand above it.

    With `any_comment` a `// name=value` and the member of a JSON object count too, as for `syntax`.
    """
    text = text.removeprefix(b"\xef\xbb\xbf")
    line = 1
    if text.startswith(b"#!"):
        text = text.partition(b"\n")[2]
        line = 2
    for comment in ("#", "//") if any_comment else ("#",):
        for offset, (found, value) in enumerate(_leading(text, comment)):
            if found == name:
                return Directive(name, value, Place(file, line + offset))
    if any_comment and text.lstrip().startswith(b"{"):
        return _json_directive(text, name, Place(file, line))
    return None


def _leading(text: bytes, comment: str) -> Iterator[tuple[str, str]]:
    seen = set()
    start = 0
    while start < len(text):
        end = text.find(b"\n", start)
        end = end if end >= 0 else len(text)
        named = _directive(text[start:end].decode("utf-8", "surrogateescape").rstrip("\r"), comment)
        if named is None or named[0] in seen:
            return
        seen.add(named[0])
        yield named
        start = end + 1


def directive_in_comment(comment: str) -> tuple[str, str] | None:
    """Name and value, when a comment (without its `#`) has the form of a directive."""
    return _directive(comment, "")


def _directive(line: str, comment: str) -> tuple[str, str] | None:
    if not line.startswith(comment):
        return None
    name, equals, value = line[len(comment) :].lstrip(SPACES).partition("=")
    name = name.rstrip(_ASCII_SPACES)
    value = value.strip(_ASCII_SPACES)
    if not (equals and value and _name.fullmatch(name) and name.lower() in _NAMES):
        return None
    return name.lower(), value


def _json_directive(text: bytes, name: str, place: Place) -> Directive | None:
    import msgspec

    try:
        document = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        value = msgspec.json.decode(document[name], type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, RecursionError):
        return None
    return Directive(name, value, place)
