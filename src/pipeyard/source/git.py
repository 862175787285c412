"""Git repositories as sources: a branch's head resolved to a commit, and its files written out.

A local repository (bare or a checkout) is read where it lies; a remote one is fetched into a bare mirror of ours,
one branch and one commit deep. Everything in a repository is hostile: names are checked before they are written.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from pipeyard.errors import InputError
from pipeyard.files import locked
from pipeyard.progress import Observer, Transferred
from pipeyard.source.credentials import credentials_for
from pipeyard.threads import Stop

if TYPE_CHECKING:
    import pygit2
    from pygit2 import Commit, Repository, Tree

_URL = re.compile(r"(?:https?|ssh|git|git\+ssh)://|[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:|file://")
_COMMIT = re.compile(r"[0-9a-f]{40}")


class NoSuchRef(InputError):
    """The repository is there, and has nothing of the name that was asked for."""


class GitOrigin(Struct, frozen=True):
    """Where a repository is: `location` is a folder or a URL, `ref` a branch, tag or commit; empty for HEAD."""

    location: str
    ref: str = ""

    @property
    def is_remote(self) -> bool:
        return _URL.match(self.location) is not None and not self.location.startswith("file://")

    @property
    def shown(self) -> str:
        """For people: without the password that a URL may carry."""
        return re.sub(r"(?<=://)[^/@]*@", "", self.location)


class GitRevision(Struct, frozen=True, kw_only=True):
    """One commit. Dates are Unix seconds; `author_date` is ISO 8601 in UTC, as the service shows it."""

    commit_id: str
    message: str
    author_name: str
    author_email: str
    author_date: str
    committed_s: int
    branch: str  # as asked for, or the branch that HEAD is on
    remote_url: str = ""  # of the local checkout's origin, without credentials


def parse_origin(text: str, folder: Path) -> GitOrigin:
    """`FOLDER`, `FOLDER#REF` or `URL#REF`; a relative folder counts from `folder`. Does not look at the disk."""
    location, _, ref = text.partition("#")
    if location.startswith("file://"):
        location = "/" + location.removeprefix("file://").partition("/")[2]  # file:///x and file://localhost/x
    if not _URL.match(location):
        location = str((folder / Path(location).expanduser()).absolute())
    return GitOrigin(location, ref)


def resolve(origin: GitOrigin, mirrors: Path, observe: Observer, stop: Stop, step: str = "") -> GitRevision:
    """The commit that the origin's ref names now; a remote repository's is fetched on the way.

    Raises InputError when there is no such repository, and NoSuchRef, naming the branches that exist.
    """
    with _opened(origin, mirrors, observe, stop, step) as (repository, ref):
        commit = _commit(repository, ref, origin)
        return _revision(repository, commit, origin)


def export(origin: GitOrigin, commit_id: str, into: Path, mirrors: Path, observe: Observer, stop: Stop) -> None:
    """Writes the files of a commit into `into`, an empty folder: modes 0644 and 0755 whatever the umask.

    Submodules are left as empty folders, as in the archives of the git hosts. Raises InputError for a commit that is
    not there, and for trees with names that no checkout may have.
    """
    with _opened(structs.replace(origin, ref=commit_id), mirrors, observe, stop, "") as (repository, ref):
        commit = _commit(repository, ref, origin)
        into.chmod(0o755)
        _write_tree(repository, commit.tree, into, stop)


def uncommitted_changes(origin: GitOrigin) -> int:
    """How many tracked files of a local checkout differ from HEAD; 0 for bare and remote repositories."""
    import pygit2

    if origin.is_remote:
        return 0
    repository = _open_local(origin.location)
    if repository.is_bare:
        return 0
    ignored = pygit2.GIT_STATUS_WT_NEW | pygit2.GIT_STATUS_IGNORED
    return sum(1 for flags in repository.status(untracked_files="no").values() if flags & ~ignored)


def enclosing_checkout(path: Path) -> tuple[Path, tuple[str, ...]] | None:
    """The checkout that holds `path` and the URLs of its remotes, or None."""
    import pygit2

    try:
        found = pygit2.discover_repository(str(path if path.is_dir() else path.parent))
        if found is None:
            return None
        repository = pygit2.Repository(found)
    except (pygit2.GitError, KeyError):
        return None  # a repository that cannot be opened is not offered
    if repository.workdir is None:
        return None
    return Path(repository.workdir), tuple(remote.url or "" for remote in repository.remotes)


@contextmanager
def _opened(
    origin: GitOrigin, mirrors: Path, observe: Observer, stop: Stop, step: str
) -> Iterator[tuple["Repository", str]]:
    if not origin.is_remote:
        yield _open_local(origin.location), origin.ref
        return
    mirrors.mkdir(parents=True, exist_ok=True)
    mirror = mirrors / hashlib.sha256(origin.location.encode()).hexdigest()[:32]
    with locked(mirrors / f"{mirror.name}.lock"):
        yield _fetched(origin, mirror, observe, stop, step)


def _open_local(location: str) -> "Repository":
    import pygit2

    if not Path(location).is_dir():
        raise InputError(f"there is no folder {location}", hint="give the folder of a git repository, or its URL")
    try:
        found = pygit2.discover_repository(location, False, str(Path(location).parent))
        if found is None:
            raise InputError(
                f"{location} is no git repository",
                hint="a source is a commit: run 'git init', 'git add' and 'git commit' in it first",
            )
        return pygit2.Repository(found)
    except (pygit2.GitError, KeyError) as error:
        if "not owned by current user" in str(error):
            raise InputError(
                f"{location} belongs to another user",
                hint=f"trust it with: git config --global --add safe.directory {location}",
            ) from error
        raise InputError(f"cannot open the git repository {location}: {error}") from error


def _fetched(origin: GitOrigin, mirror: Path, observe: Observer, stop: Stop, step: str) -> tuple["Repository", str]:
    """Brings the ref of a remote repository into its mirror; gives the mirror and the name of the ref there."""
    import pygit2

    repository = pygit2.Repository(str(mirror)) if mirror.is_dir() else pygit2.init_repository(str(mirror), bare=True)
    if _COMMIT.fullmatch(origin.ref) and origin.ref in repository:
        return repository, origin.ref

    class Callbacks(pygit2.RemoteCallbacks):
        credentials = staticmethod(credentials_for(origin.location))  # type: ignore[assignment]  # a method there

        def certificate_check(self, certificate: None, valid: bool, host: bytes) -> bool:
            # Without this, pygit2 takes any key of an ssh host; libgit2 has looked into known_hosts and says so here.
            return valid

        def transfer_progress(self, stats: "pygit2.remotes.TransferProgress") -> None:
            stop.check()
            if step:
                observe(Transferred(step, stats.received_objects, stats.total_objects, "objects"))

    local = "refs/pipeyard/head"
    remote = repository.remotes.create_anonymous(origin.location)
    try:
        wanted = origin.ref or "HEAD"
        if _COMMIT.fullmatch(wanted):
            spec, depth = f"+refs/heads/*:{local}s/*", 0  # hosts need not serve a bare commit id
        else:
            names = {head.name or "" for head in remote.list_heads(callbacks=Callbacks(), connect=True)}
            full = next(
                (name for name in (wanted, f"refs/heads/{wanted}", f"refs/tags/{wanted}") if name in names), None
            )
            if full is None:
                raise _no_ref(
                    origin, sorted(n.removeprefix("refs/heads/") for n in names if n.startswith("refs/heads/"))
                )
            spec, depth = f"+{full}:{local}", 1
        remote.fetch([spec], callbacks=Callbacks(), depth=depth, proxy=True)
    except pygit2.GitError as error:
        raise InputError(
            f"cannot fetch {origin.shown}: {error}",
            hint="check the URL, the network, the credentials, and that the host's certificate or ssh key is known",
        ) from error
    return repository, wanted if _COMMIT.fullmatch(wanted) else local


def _commit(repository: "Repository", ref: str, origin: GitOrigin) -> "Commit":
    import pygit2

    candidates = [ref, f"refs/heads/{ref}", f"refs/tags/{ref}", f"refs/remotes/origin/{ref}"] if ref else ["HEAD"]
    for name in candidates:
        try:
            # A branch may be called like a commit id's beginning: names first, ids only when written in full.
            if _COMMIT.fullmatch(name):
                found: object = repository.get(name)
            else:
                found = repository.lookup_reference(name).resolve().peel(pygit2.Commit)
        except (KeyError, ValueError, pygit2.GitError):
            continue
        if isinstance(found, pygit2.Commit):
            return found
    raise _no_ref(origin if not ref else structs.replace(origin, ref=ref), sorted(repository.branches.local))


def _no_ref(origin: GitOrigin, branches: list[str]) -> NoSuchRef:
    what = f"no branch, tag or commit {origin.ref!r}" if origin.ref else "no commit yet"
    shown = ", ".join(branches[:10]) + (", ..." if len(branches) > 10 else "")
    return NoSuchRef(f"{origin.shown} has {what}", hint=f"its branches: {shown}" if branches else "it has no branches")


def _revision(repository: "Repository", commit: "Commit", origin: GitOrigin) -> GitRevision:
    from datetime import UTC, datetime

    branch = origin.ref
    if not branch and not repository.head_is_unborn and not repository.head_is_detached:
        branch = repository.head.shorthand
    remotes = [remote.url or "" for remote in repository.remotes if remote.name == "origin"]
    return GitRevision(
        commit_id=str(commit.id),
        message=commit.message,
        author_name=commit.author.name,
        author_email=commit.author.email,
        author_date=datetime.fromtimestamp(commit.author.time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        committed_s=commit.commit_time,
        branch=branch,
        remote_url=GitOrigin(remotes[0]).shown if remotes else "",
    )


def _write_tree(repository: "Repository", tree: "Tree", folder: Path, stop: Stop) -> None:
    import pygit2

    pending: list[tuple[pygit2.Tree, Path]] = [(tree, folder)]
    while pending:
        current, where = pending.pop()
        stop.check()
        for entry in current:
            name = _checked_name(entry.raw_name or b"")
            path = where / name
            try:
                match entry.filemode:
                    case pygit2.enums.FileMode.TREE:
                        path.mkdir()
                        path.chmod(0o755)
                        pending.append((repository[entry.id].peel(pygit2.Tree), path))
                    case pygit2.enums.FileMode.LINK:
                        os.symlink(repository[entry.id].peel(pygit2.Blob).data, os.fsencode(path))
                    case pygit2.enums.FileMode.COMMIT:
                        path.mkdir()
                        path.chmod(0o755)
                    case mode:
                        _write_file(
                            path, repository[entry.id].peel(pygit2.Blob), 0o755 if mode & stat.S_IXUSR else 0o644
                        )
            except FileExistsError as error:
                raise InputError(f"the commit's tree has {name!r} twice in one folder") from error


def _write_file(path: Path, blob: "pygit2.Blob", mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        os.fchmod(descriptor, mode)
        view = memoryview(blob)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)


def _checked_name(raw: bytes) -> str:
    if raw in (b"", b".", b"..") or b"/" in raw or b"\0" in raw or raw.lower() == b".git":
        raise InputError(f"the commit's tree has an entry called {raw!r}, which no checkout may write")
    return os.fsdecode(raw)
