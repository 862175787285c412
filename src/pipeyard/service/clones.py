"""Git repositories that a Dockerfile or a named context asks for, written into a build's own folder."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeyard.errors import InputError
from pipeyard.progress import ignore
from pipeyard.threads import Stop

if TYPE_CHECKING:
    from pipeyard.source import GitOrigin

Clone = Callable[[str, str, Path, bool], str]


def cloning(mirrors: Path, stop: Stop) -> Clone:
    """What `BuildParts.clone` asks for, over the mirrors of the source room.

    It raises InputError for a repository or a ref that is not there.
    """

    def clone(remote: str, reference: str, folder: Path, keep_git: bool) -> str:
        from pipeyard.source import GitOrigin, export, resolve

        origin = GitOrigin(remote.removeprefix("file://"), reference)
        revision = resolve(origin, mirrors, ignore, stop)
        export(origin, revision.commit_id, folder, mirrors, ignore, stop)
        if keep_git:
            _add_repository(origin, revision.commit_id, folder, stop)
        return revision.commit_id

    return clone


def _add_repository(origin: "GitOrigin", commit_id: str, folder: Path, stop: Stop) -> None:
    """Makes of the files of a commit a checkout of it, with HEAD detached, as `git checkout COMMIT` leaves it."""
    import pygit2

    from pipeyard.source.credentials import credentials_for

    class Callbacks(pygit2.RemoteCallbacks):
        credentials = staticmethod(credentials_for(origin.location))  # type: ignore[assignment]  # a method there

        def certificate_check(self, certificate: None, valid: bool, host: bytes) -> bool:
            return valid

        def transfer_progress(self, stats: "pygit2.remotes.TransferProgress") -> None:
            stop.check()

    repository = pygit2.init_repository(str(folder))
    remote = repository.remotes.create("origin", origin.shown)
    try:
        refs = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]
        source = remote if origin.shown == origin.location else repository.remotes.create_anonymous(origin.location)
        source.fetch(refs, callbacks=Callbacks(), proxy=True)
    except pygit2.GitError as error:
        raise InputError(f"cannot fetch {origin.shown}: {error}") from error
    commit = repository[commit_id].peel(pygit2.Commit)
    repository.set_head(commit.id)
    repository.index.read_tree(commit.tree.id)
    repository.index.write()
