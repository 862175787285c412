"""What COPY puts where, on trees and views without any disk, and the languages around it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeyard.errors import BuildFailed, DockerfileError
from pipeyard.image.build.copying import Copier, Ownership, expand_wildcards
from pipeyard.image.build.gitref import GitReference, parse_git
from pipeyard.image.build.gotext import duration, quoted
from pipeyard.image.build.modes import parse_mode
from pipeyard.image.build.nodes import Node
from pipeyard.image.build.ports import exposed_ports
from pipeyard.image.build.views import Growing, Listing, View
from pipeyard.image.layers import Entry, whiteout


class Tree:
    """Files as a table: a path ending in a slash is a folder, `-> ` begins a link."""

    def __init__(self, table: dict[str, str]) -> None:
        self.table: dict[str, Node] = {"": Node(kind="dir", mode=0o755)}
        for path, text in table.items():
            parts = path.rstrip("/").split("/")
            for count in range(1, len(parts)):
                self.table.setdefault("/".join(parts[:count]), Node(kind="dir", mode=0o755))
            if path.endswith("/"):
                self.table[path.rstrip("/")] = Node(kind="dir", mode=int(text or "755", 8))
            elif text.startswith("-> "):
                self.table[path] = Node(kind="symlink", mode=0o777, link=text[3:])
            else:
                self.table[path] = Node(kind="file", mode=0o644, size=len(text))

    def lookup(self, path: str) -> Node | None:
        return self.table.get(path)

    def names(self, path: str) -> list[str]:
        prefix = f"{path}/" if path else ""
        return sorted(
            one[len(prefix) :] for one in self.table if one and one.startswith(prefix) and "/" not in one[len(prefix) :]
        )

    def content(self, path: str, node: Node) -> bytes:
        return path.encode()

    def xattrs(self, path: str) -> dict[str, bytes]:
        return {}

    def digest(self, path: str, node: Node) -> bytes:
        return path.encode()


CONTEXT = {"a": "a", "b": "b", "d/x": "x", "d/deep/y": "y", "d/.hidden": "", "e/": "", "l": "-> d", "bad": "-> nowhere"}


def copy(
    sources: list[str],
    destination: str,
    below: dict[str, str] | None = None,
    exclude: tuple[str, ...] = (),
    include: tuple[str, ...] = (),
    owner: tuple[int, int] | None = None,
) -> dict[str, Node]:
    tree = Tree(CONTEXT)
    copier = Copier(Growing(Tree(below or {})), Ownership(owner=owner), 0)
    for source in sources:
        copier.copy(
            tree, expand_wildcards(tree, source), destination, contents_only=True, include=include, exclude=exclude
        )
    return {entry.path: copier.placed[entry.path].node for entry in copier.entries()}


@pytest.mark.parametrize(
    ("sources", "destination", "below", "made"),
    [
        (["a"], "/x", {}, ["x"]),
        (["a"], "/x/", {}, ["x", "x/a"]),
        (["a"], "/x", {"x/": ""}, ["x", "x/a"]),
        (["a"], "/", {}, ["a"]),
        (["d"], "/x", {}, ["x", "x/.hidden", "x/deep", "x/deep/y", "x/x"]),
        (["d/*"], "/x/", {}, ["x", "x/.hidden", "x/x", "x/y"]),
        (["l"], "/x", {}, ["x", "x/.hidden", "x/deep", "x/deep/y", "x/x"]),
        (["?"], "/x/", {}, ["x", "x/.hidden", "x/a", "x/b", "x/deep", "x/deep/y", "x/x"]),
        (["[a-b]"], "/x/", {}, ["x", "x/a", "x/b"]),
        (["nothing*"], "/x/", {}, []),
        (["a"], "/to/x", {"to": "-> real", "real/": "700"}, ["real", "real/x"]),
        (["a"], "/to", {"to": "-> /real/file", "real/file": "old"}, ["real", "real/file"]),
    ],
)  # fmt: skip
def test_sources_land_where_buildkit_puts_them(
    sources: list[str], destination: str, below: dict[str, str], made: list[str]
) -> None:
    assert list(copy(sources, destination, below)) == made


def test_a_folder_below_is_named_again_as_it_is() -> None:
    assert copy(["a"], "/x/", {"x/": "1777"})["x"].mode == 0o1777


def test_folders_that_are_made_belong_to_the_owner_and_those_that_exist_do_not() -> None:
    made = copy(["a"], "/x/y/", {"x/": ""}, owner=(7, 8))
    assert (made["x"].uid, made["x/y"].uid, made["x/y/a"].gid) == (0, 7, 8)


def test_excluded_files_stay_out_and_exceptions_come_back() -> None:
    assert list(copy(["d"], "/x/", exclude=("**/y",))) == ["x", "x/.hidden", "x/deep", "x/x"]
    assert list(copy(["d"], "/x/", exclude=("*", "!x"))) == ["x", "x/x"]


def test_included_files_bring_their_folders() -> None:
    assert list(copy([""], "/x/", include=("d/**/y",))) == ["x", "x/d", "x/d/deep", "x/d/deep/y"]


@pytest.mark.parametrize(
    ("sources", "below", "complaint"),
    [
        (["missing"], {}, "not found"),
        (["bad"], {}, "not found"),
        (["d"], {"x": "a file"}, "not"),
        (["a"], {"x/a/": ""}, "cannot replace to directory"),
    ],
)
def test_what_cannot_be_copied_is_told(sources: list[str], below: dict[str, str], complaint: str) -> None:
    with pytest.raises(BuildFailed, match=complaint):
        copy(sources, "/x/", below)


def test_a_view_hides_what_an_upper_layer_removed() -> None:
    lower = Tree({"d/a": "a", "d/b": "b", "e/f": "f"})
    gone = Listing([whiteout("d/a"), Entry(path="e", kind="file", mode=0o644)])
    view = View([gone], lower)
    assert view.lookup("d/a") is None
    assert view.lookup("e/f") is None
    assert view.lookup("d/b") is not None
    found = view.lookup("e")
    assert found is not None
    assert found.kind == "file"


@pytest.mark.parametrize(
    ("text", "before", "is_folder", "after"),
    [
        ("755", 0o600, False, 0o755),
        ("u=rwx,go=rx", 0o600, False, 0o755),
        ("+x", 0o644, False, 0o755),
        ("a-w", 0o666, False, 0o444),
        ("u+s,g=u", 0o750, False, 0o4770),
        ("go-rwx", 0o1777, True, 0o1700),
        ("a+X", 0o644, False, 0o644),
        ("a+X", 0o644, True, 0o755),
        ("+t", 0o755, True, 0o1755),
        ("o+t,o+s", 0o644, False, 0o644),
        ("a=r", 0o7777, False, 0o1444),
        ("+xt", 0o644, False, 0o1644),
        ("u-x,a+X", 0o744, False, 0o755),
        ("g=u-w", 0o700, False, 0o750),
        ("ug=rwg", 0o404, False, 0o664),
    ],
)
def test_modes_change_as_buildkit_changes_them(text: str, before: int, is_folder: bool, after: int) -> None:
    assert parse_mode(text)(before, is_folder) == after


@pytest.mark.parametrize("text", ["8", "77777", "u~x", "x+u", ""])
def test_modes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(DockerfileError):
        parse_mode(text)


@given(st.integers(0, 0o7777), st.booleans(), st.sampled_from(["u", "g", "o", "a"]), st.sampled_from(["r", "w", "x"]))
def test_adding_a_permission_and_taking_it_away_leaves_the_others(
    mode: int, is_folder: bool, who: str, what: str
) -> None:
    added = parse_mode(f"{who}+{what}")(mode, is_folder)
    taken = parse_mode(f"{who}-{what}")(mode, is_folder)
    assert added & mode == mode
    assert taken & mode == taken
    assert parse_mode(f"{who}-{what}")(added, is_folder) == taken


@pytest.mark.parametrize(
    ("words", "ports"),
    [
        (["80"], ("80/tcp",)),
        (["80-82/UDP"], ("80/udp", "81/udp", "82/udp")),
        (["127.0.0.1:8080:80"], ("80/tcp",)),
        (["8000-8001:80-81/sctp"], ("80/sctp", "81/sctp")),
    ],
)
def test_ports_are_numbers_and_ranges(words: list[str], ports: tuple[str, ...]) -> None:
    assert exposed_ports(words) == ports


@pytest.mark.parametrize("word", ["", "x", "80/icmp", "70000", "82-80", "1-2:80-82", "300.1.1.1:1:1"])
def test_ports_that_are_none_are_refused(word: str) -> None:
    with pytest.raises(DockerfileError):
        exposed_ports([word])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://example.com/r.git", GitReference(remote="https://example.com/r.git")),
        (
            "https://example.com/r.git#v1:sub/dir",
            GitReference(remote="https://example.com/r.git", reference="v1", subfolder="sub/dir"),
        ),
        ("git@example.com:o/r.git#main", GitReference(remote="git@example.com:o/r.git", reference="main")),
        (
            "https://example.com/r.git?tag=1&subdir=d&keep-git-dir",
            GitReference(
                remote="https://example.com/r.git", reference="refs/tags/1", subfolder="d", keep_git=True
            ),
        ),
        ("https://example.com/file.txt", None),
        ("./r.git", None),
        ("folder/file", None),
    ],
)  # fmt: skip
def test_git_repositories_are_told_from_downloads_and_files(text: str, found: GitReference | None) -> None:
    assert parse_git(text) == found


@pytest.mark.parametrize("query", ["ref=", "tag=1&branch=2", "unknown=1", "ref=a&ref=b"])
def test_a_wrong_query_of_a_git_repository_is_told(query: str) -> None:
    with pytest.raises(DockerfileError):
        parse_git(f"https://example.com/r.git?{query}")


def test_texts_are_printed_as_go_prints_them() -> None:
    assert quoted('a"b\\c\n\x01é') == '"a\\"b\\\\c\\n\\x01é"'
    assert [duration(value) for value in (0, 1500, 20_000_000, 90_000_000_000, 3_661_500_000_000)] == [
        "0s",
        "1.5µs",
        "20ms",
        "1m30s",
        "1h1m1.5s",
    ]
