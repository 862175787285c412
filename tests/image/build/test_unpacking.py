"""ADD of an archive: links, owners, and what is none."""

import io
import tarfile

import pytest

from pipeyard.errors import BuildFailed
from tests.image.build.conftest import Yard, content_of, entries_of

Member = tuple[str, bytes, bytes | str]


def tar_of(*members: Member, owner: int = 0, mode: int = 0o644) -> bytes:
    """Files, and links by what they lead to."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, kind, what in members:
            member = tarfile.TarInfo(name)
            member.type, member.uid, member.mode = kind, owner, mode
            if isinstance(what, str):
                member.linkname = what
            else:
                member.size = len(what)
            tar.addfile(member, io.BytesIO(what) if isinstance(what, bytes) else None)
    return packed.getvalue()


def test_a_hard_link_of_an_archive_that_sorts_before_its_file_is_the_file(yard: Yard) -> None:
    members: list[Member] = [("z", tarfile.REGTYPE, b"z"), ("m", tarfile.LNKTYPE, "z"), ("a/b", tarfile.LNKTYPE, "m")]
    built = yard.build("FROM scratch\nADD x.tar /o/\n", {"x.tar": tar_of(*members)})
    found = [(entry.path, entry.kind, entry.link) for entry in entries_of(built) if entry.kind != "dir"]
    assert found == [("o/a/b", "file", ""), ("o/m", "hardlink", "o/a/b"), ("o/z", "hardlink", "o/a/b")]
    assert content_of(built, "o/a/b") == b"z"


def test_a_hard_link_keeps_what_its_first_name_loses(yard: Yard) -> None:
    members: list[Member] = [
        ("a", tarfile.REGTYPE, b"old"),
        ("z", tarfile.LNKTYPE, "a"),
        ("a", tarfile.REGTYPE, b"new"),
    ]
    built = yard.build("FROM scratch\nADD x.tar /\n", {"x.tar": tar_of(*members)})
    assert (content_of(built, "a"), content_of(built, "z")) == (b"new", b"old")


def test_all_names_of_a_file_have_the_owner_and_mode_that_came_last(yard: Yard) -> None:
    first = tar_of(("z", tarfile.REGTYPE, b"z"), owner=3, mode=0o4755)[:1024]
    second = tar_of(("a", tarfile.LNKTYPE, "z"), owner=9, mode=0o600)
    built = yard.build("FROM scratch\nADD x.tar /\n", {"x.tar": first + second})
    assert {(entry.uid, entry.mode) for entry in entries_of(built)} == {(9, 0o600)}


def test_an_archive_that_holds_nothing_is_a_file(yard: Yard) -> None:
    built = yard.build("FROM scratch\nADD x.tar /o/\n", {"x.tar": bytes(10240)})
    assert content_of(built, "o/x.tar") == bytes(10240)


def test_an_archive_does_not_write_through_a_link_that_leads_nowhere(yard: Yard) -> None:
    members: list[Member] = [("s", tarfile.SYMTYPE, "/etc"), ("s/x", tarfile.REGTYPE, b"x")]
    with pytest.raises(BuildFailed, match="open /s/x: no such file or directory"):
        yard.build("FROM scratch\nADD x.tar /o/\n", {"x.tar": tar_of(*members)})


@pytest.mark.parametrize("kind", ["one file", "each folder"])
def test_an_archive_of_thousands_of_nested_folders_is_added_and_seen_by_what_follows(yard: Yard, kind: str) -> None:
    levels = range(1900, 1901) if kind == "one file" else range(1, 1901)
    members: list[Member] = [("/".join(["a"] * level), tarfile.DIRTYPE, "") for level in levels]
    dockerfile = "FROM scratch AS base\nADD x.tar /\nFROM base\nCOPY y /a/a/y\nADD z.tar /\n"
    built = yard.build(dockerfile, {"x.tar": tar_of(*members), "y": b"y", "z.tar": tar_of(*members)})
    assert content_of(built, "a/a/y") == b"y"


def test_files_that_an_archive_holds_again_and_again_are_not_each_looked_for_among_all(yard: Yard) -> None:
    members: list[Member] = [(f"d/{number}", tarfile.REGTYPE, b"") for number in range(6000)]
    built = yard.build("FROM scratch\nADD x.tar /\n", {"x.tar": tar_of(*members, *members)})
    assert len(entries_of(built)) == 6001
