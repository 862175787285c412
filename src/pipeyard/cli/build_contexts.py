"""CONTEXT of `image build`: a folder, a git repository, the URL of an archive or Dockerfile, or `-` for stdin."""

import io
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from pipeyard.errors import InputError

if TYPE_CHECKING:
    from pipeyard.threads import StopSignal


class Context(Struct, frozen=True, kw_only=True):
    """`folder` None: there is only a Dockerfile, `text`. `committed_s` is a git commit's time.

    `origin` and `digest` say where it was fetched from, and what was there.
    """

    folder: Path | None = None
    text: bytes | None = None
    committed_s: int | None = None
    origin: str = ""
    digest: str = ""


@contextmanager
def opened_context(text: str, here: Path, home: Path, stop: "StopSignal") -> Iterator[Context]:
    """The context for the block; what had to be fetched or unpacked is removed afterwards. Raises InputError."""
    from pipeyard.image.build.gitref import parse_git

    git = parse_git(text)
    if text == "-":
        with _from_bytes(sys.stdin.buffer.read()) as context:
            yield context
    elif git is not None:
        from pipeyard.progress import ignore
        from pipeyard.source import GitOrigin, export, resolve

        origin = GitOrigin(git.remote.removeprefix("file://"), git.reference)
        with _temporary(prefix="pipeyard-context-") as name:
            revision = resolve(origin, home / "git", ignore, stop)
            if not revision.commit_id.startswith(git.checksum):
                raise InputError(f"{text} is at {revision.commit_id}, not at {git.checksum}")
            export(origin, revision.commit_id, Path(name), home / "git", ignore, stop)
            folder = Path(name, git.subfolder).resolve()
            if not folder.is_relative_to(Path(name).resolve()) or not folder.is_dir():
                raise InputError(f"{git.remote} has no folder {git.subfolder}")
            digest = f"{'sha256' if len(revision.commit_id) == 64 else 'sha1'}:{revision.commit_id}"
            yield Context(folder=folder, committed_s=revision.committed_s, origin=text, digest=digest)
    elif text.startswith(("http://", "https://")):
        from pipeyard.image.build.downloads import download

        with _temporary(prefix="pipeyard-download-") as name:
            file = Path(name, "context")
            digest = download(text, file, checksum="", stop=stop)
            with _from_bytes(file.read_bytes()) as context:
                yield structs.replace(context, origin=text, digest=digest)
    else:
        folder = here / text
        if not folder.is_dir():
            raise InputError(f"{text} is no folder", hint="give the folder of the build context")
        yield Context(folder=folder)


@contextmanager
def _from_bytes(data: bytes) -> Iterator[Context]:
    """An archive becomes a folder; anything else is a Dockerfile."""
    from pipeyard.image.layers import extract, is_archive

    if not is_archive(io.BytesIO(data).read):
        yield Context(text=data)
        return
    with _temporary(prefix="pipeyard-context-") as name:
        extract(io.BytesIO(data), Path(name))
        yield Context(folder=Path(name))


def _temporary(prefix: str) -> AbstractContextManager[str]:
    import tempfile  # 3 ms, for contexts that are not here

    return tempfile.TemporaryDirectory(prefix=prefix)
