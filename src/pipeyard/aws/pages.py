"""Lists in pages: a token says after which entry the next page begins, and stays right while the list changes."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Sequence
from typing import TypeVar

Entry = TypeVar("Entry")


class BadToken(Exception):
    """A next token that was not given out for this list."""


def page(
    entries: Sequence[Entry], key: Callable[[Entry], str], token: str | None, limit: int
) -> tuple[list[Entry], str | None]:
    """At most `limit` entries after the one that `token` names, and the token of the next page.

    `key` tells entries apart. Raises BadToken; an entry that was deleted meanwhile makes its token one, too.
    """
    start = 0
    if token:
        after = _read(token)
        found = next((number for number, entry in enumerate(entries) if key(entry) == after), None)
        if found is None:
            raise BadToken
        start = found + 1
    chosen = list(entries[start : start + limit])
    more = start + limit < len(entries)
    return chosen, _write(key(chosen[-1])) if more and chosen else None


def _write(key: str) -> str:
    return urlsafe_b64encode(b"after:" + key.encode()).decode()


def _read(token: str) -> str:
    try:
        text = urlsafe_b64decode(token.encode()).decode()
    except (Base64Error, ValueError):
        raise BadToken from None
    if not text.startswith("after:"):
        raise BadToken
    return text.removeprefix("after:")
