"""Git repositories that a Dockerfile or a named context asks for, written into a build's own folder."""

from collections.abc import Callable
from pathlib import Path

from pipeyard.progress import ignore
from pipeyard.threads import Stop

Clone = Callable[[str, str, Path, bool], str]


def cloning(mirrors: Path, stop: Stop) -> Clone:
    """What `BuildParts.clone` asks for, over the mirrors of the source room.

    It raises InputError for a repository or a ref that is not there.
    """

    def clone(remote: str, reference: str, folder: Path, keep_git: bool) -> str:
        from pipeyard.source import GitOrigin, export, resolve
        from pipeyard.source.checkout import add_repository

        origin = GitOrigin(remote.removeprefix("file://"), reference)
        revision = resolve(origin, mirrors, ignore, stop)
        export(origin, revision.commit_id, folder, mirrors, ignore, stop)
        if keep_git:
            add_repository(origin, revision.commit_id, folder, stop)
        return revision.commit_id

    return clone
