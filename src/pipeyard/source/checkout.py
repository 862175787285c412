"""Files of a commit made into a checkout: a repository in `.git`, as `git clone` would have left it."""

from pathlib import Path

from pipeyard.errors import InputError
from pipeyard.source.credentials import credentials_for
from pipeyard.source.git import GitOrigin
from pipeyard.threads import Stop


def add_repository(origin: GitOrigin, commit_id: str, folder: Path, stop: Stop) -> None:
    """Gives the files that `export` wrote into `folder` their repository, with HEAD detached at the commit.

    Raises InputError when the origin cannot be fetched.
    """
    import pygit2

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
