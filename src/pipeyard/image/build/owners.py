"""Users and groups by name, as the image knows them: for `--chown`, WORKDIR and USER.

Sources: BuildKit, solver/llbsolver/ops/user_linux.go (files) and executor/oci/user.go (processes); passwd(5), group(5).
"""

from collections.abc import Iterator

from msgspec import Struct

from pipeyard.errors import BuildFailed
from pipeyard.image.build.copying import resolve_in
from pipeyard.image.build.nodes import FileTree

_MAX_FILE = 10 << 20  # bytes; a larger passwd is an attack
_FIELDS = 7  # of a line of passwd; a shorter line counts as if its last fields were empty
_LARGEST = (1 << 31) - 1  # id of a user or group


class Identity(Struct, frozen=True, kw_only=True):
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"


def numeric(text: str) -> int | None:
    """A user or group that needs no file: a number, or root."""
    if text == "root":
        return 0
    return int(text) if text.isascii() and text.isdigit() and int(text) <= _LARGEST else None


def needs_names(owner: str) -> bool:
    """Whether `USER[:GROUP]` can only be understood with the image's files."""
    return any(numeric(part) is None for part in owner.split(":", 1) if part)


def file_owner(owner: str, tree: FileTree | None) -> tuple[int, int] | None:
    """The owner that `--chown` asks for; a name that the image does not know is root, as in BuildKit.

    `user` is in the group that the image has for it (its own number for a number), `user:` in group 0.

    `tree` None: there is no image to look into. Raises BuildFailed for a name then.
    """
    if not owner:
        return None
    user, colon, group = owner.partition(":")
    uid = gid = 0
    number = numeric(user)
    if number is not None:
        uid = gid = number
    elif user:
        for row in _rows(_required(tree, user), "etc/passwd"):
            if row[0] == user:
                uid, gid = _number(row[2]), _number(row[3])
                break
    if colon:
        number = numeric(group) if group else 0
        if number is not None:
            gid = number
        else:
            found = [row for row in _rows(_required(tree, group), "etc/group") if row[0] == group]
            if found:
                gid = _number(found[0][2])
    return uid, gid


def _required(tree: FileTree | None, name: str) -> FileTree:
    if tree is None:
        raise BuildFailed(f"invalid user {name!r}: there is no /etc/passwd to look it up in", hint="use numeric ids")
    return tree


def process_identity(user: str, tree: FileTree) -> Identity:
    """Who a RUN runs as. Raises BuildFailed for a name that the image does not know."""
    name, colon, group = user.partition(":")
    name = name or "0"
    group = group.partition(":")[0]
    entry: list[str] | None = None
    rows = list(_rows(tree, "etc/passwd"))
    number = int(name) if name.isascii() and name.isdigit() else None
    for row in rows:
        if row[0] == name or (number is not None and _number(row[2]) == number):
            entry = row
            break
    if entry is None and number is None:
        if name != "root":
            raise BuildFailed(f"unable to find user {name}: no matching entries in passwd file")
        number = 0
    uid = _number(entry[2]) if entry else number or 0
    gid = _number(entry[3]) if entry else 0
    home = (entry[5] if entry else "") or "/"
    groups: tuple[int, ...] = ()
    if colon and group:
        gid = _group_id(group, tree)
    elif entry is not None:
        groups = tuple(_number(row[2]) for row in _rows(tree, "etc/group") if entry[0] in row[3].split(","))
    if uid > _LARGEST or gid > _LARGEST:
        raise BuildFailed(f"the user {user} is out of range: uids and gids must be in range 0-{_LARGEST}")
    return Identity(uid=uid, gid=gid, groups=tuple(dict.fromkeys((*groups, gid))), home=home)


def _group_id(group: str, tree: FileTree) -> int:
    for row in _rows(tree, "etc/group"):
        if row[0] == group:
            return _number(row[2])
    if group.isascii() and group.isdigit():
        return int(group)
    raise BuildFailed(f"unable to find group {group}: no matching entries in group file")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _rows(tree: FileTree, path: str) -> Iterator[list[str]]:
    found = resolve_in(tree, path)
    node = tree.lookup(found)
    if node is None or node.kind != "file":
        return
    if node.size > _MAX_FILE:
        raise BuildFailed(f"/{path} is too large to be a list of users")
    content = tree.content(found, node)
    if isinstance(content, str):
        with open(content, "rb") as file:
            data = file.read(_MAX_FILE)
    elif isinstance(content, bytes):
        data = content
    else:
        with content() as stream:
            data = stream.read(_MAX_FILE)
    for line in data.decode(errors="surrogateescape").splitlines():
        text = line.strip()
        if text and not text.startswith("#"):
            fields = text.split(":")
            yield fields + [""] * (_FIELDS - len(fields))
