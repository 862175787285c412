"""What the readers of package databases give: everything about a package that its own record says."""

from msgspec import Struct


class Finding(Struct, frozen=True, kw_only=True):
    """A package before it is known to which distribution it belongs. `qualifiers` are the package URL's."""

    kind: str
    name: str
    version: str
    namespace: str = ""
    qualifiers: dict[str, str] = {}
    source: str = ""
    license: str = ""
    supplier: str = ""
    homepage: str = ""


def clean(text: str, limit: int = 1000) -> str:
    """One printable line of a hostile file, cut where it is too long."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * limit]).split())[:limit]


def text_of(data: bytes) -> str:
    """Text whose encoding nobody vouches for; bytes that are not UTF-8 are replaced."""
    return data.decode("utf-8", "replace")
