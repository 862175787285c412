"""Announcements: tags that began to point at another image, kept until whoever starts pipelines has acted on them.

Written in the transaction that moves the tag, so that a process that is killed after it neither forgets one nor
makes one up. They are written only while somebody listens, in whatever process: nobody wants a month's worth at once.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeyard.oci import Digest
from pipeyard.registry.leases import hold_lease, oldest_lease_ms

if TYPE_CHECKING:
    import sqlite3

_LISTENERS = "listeners"
_MOST = 10_000  # that wait, should nobody ever act on them


class Announcement(Struct, frozen=True, kw_only=True):
    """`number` grows with each one of a catalog and is never used again."""

    number: int
    repository: str
    tag: str
    digest: Digest
    at_ms: int


def announce(db: "sqlite3.Connection", *, repository: str, tag: str, digest: Digest, at_ms: int) -> None:
    """Within the transaction that moves the tag; the oldest of too many are forgotten."""
    db.execute(
        "INSERT INTO announcement (repository, tag, digest, at_ms) VALUES (?, ?, ?, ?)",
        (repository, tag, digest, at_ms),
    )
    db.execute("DELETE FROM announcement WHERE number <= last_insert_rowid() - ?", (_MOST,))


def list_announcements(db: "sqlite3.Connection", limit: int) -> tuple[Announcement, ...]:
    """The oldest ones, in order."""
    rows = db.execute(
        "SELECT number, repository, tag, digest, at_ms FROM announcement ORDER BY number LIMIT ?", (limit,)
    )
    return tuple(
        Announcement(number=row[0], repository=row[1], tag=row[2], digest=row[3], at_ms=row[4]) for row in rows
    )


def listening(root: Path, now_ms: int) -> AbstractContextManager[None]:
    """Somebody listens for the time of the block, or until this process dies."""
    return hold_lease(root / _LISTENERS, now_ms)


def is_listened(root: Path) -> bool:
    """Whether somebody listens, in any process."""
    return oldest_lease_ms(root / _LISTENERS) is not None
