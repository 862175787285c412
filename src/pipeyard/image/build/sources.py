"""What a build reads files from: its context, named contexts, git commits, downloads, heredocs.

All become FileTrees. Contexts are opened once and kept for the whole build; nothing is copied.
"""

import hashlib
import os
import posixpath
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from pipeyard.errors import BuildFailed, DockerfileError, InputError, Place
from pipeyard.files import read_regular
from pipeyard.image.build.context import LocalFiles
from pipeyard.image.build.graph import ContextFiles, Download, GitFiles, InlineFiles
from pipeyard.image.build.nodes import FileTree, InlineTree
from pipeyard.image.dockerfile.ignore import IgnoreMatcher, compile_ignore
from pipeyard.threads import Stop

IGNORE_FILE = ".dockerignore"
Clone = Callable[[str, str, Path, bool], str]
_MAX_IGNORE = 8 << 20  # bytes


class Fetched(Struct, frozen=True):
    """Files that came from elsewhere; `key` names them, and `digest` what they were as they came."""

    tree: FileTree
    key: str
    digest: str = ""


class Sources:
    """The sources of one build. Safe for threads; close it when done."""

    def __init__(
        self,
        *,
        context: Path | None,
        contexts: Mapping[str, Path],
        ignore: IgnoreMatcher | None,
        cache: Path,
        clone: Clone | None,
        stop: Stop,
    ) -> None:
        self._context = context
        self._contexts = contexts
        self._ignore = ignore
        self._cache = cache
        self._clone = clone
        self._stop = stop
        self._opened: dict[str, LocalFiles] = {}
        self._fetched: dict[object, Fetched] = {}
        self._folders: dict[object, Path] = {}
        self._temporary: list[Path] = []
        self._lock = threading.RLock()  # guards the four above

    def close(self) -> None:
        """Keeps what was learnt of the contexts, and removes what was fetched."""
        with self._lock:
            for files in self._opened.values():
                files.save()
                files.close()
            self._opened.clear()
            for folder in self._temporary:
                import shutil

                shutil.rmtree(folder, ignore_errors=True)
            self._temporary.clear()

    def save(self) -> None:
        """Keeps what was learnt so far for the next build."""
        with self._lock:
            opened = list(self._opened.values())
        for files in opened:
            files.save()

    def local(self, operation: ContextFiles) -> LocalFiles:
        """Raises InputError when there is no such folder."""
        with self._lock:
            known = self._opened.get(operation.name)
            if known is None:
                known = self._opened[operation.name] = self._open(operation.name)
            return known

    def _open(self, name: str) -> LocalFiles:
        stats = self._cache / "stats"
        if not name:
            if self._context is None:
                raise InputError("the build has no context", hint="give the folder that COPY shall take files from")
            return LocalFiles(self._context, ignore=self._ignore, cache=stats)
        folder = self._contexts.get(name)
        if folder is None:
            raise InputError(f"there is no folder for the context {name}")
        return LocalFiles(folder, ignore=read_ignore(folder / IGNORE_FILE), cache=stats)

    def path(self, operation: ContextFiles | GitFiles | Download) -> Path:
        """The folder on disk that a bind mount shows."""
        if isinstance(operation, ContextFiles):
            folder = self._context if not operation.name else self._contexts.get(operation.name)
            assert folder is not None
            return folder
        return self._folders[operation]

    def fetched(self, operation: GitFiles | Download | InlineFiles) -> Fetched:
        """Fetches once in a build. Raises BuildFailed, InputError."""
        with self._lock:
            known = self._fetched.get(operation)
            if known is None:
                match operation:
                    case InlineFiles():
                        key = hashlib.sha256(operation.content).hexdigest()
                        known = Fetched(InlineTree(operation.name, operation.content), f"{operation.name} {key}")
                    case GitFiles():
                        known = self._cloned(operation)
                    case Download():
                        known = self._downloaded(operation)
                self._fetched[operation] = known
            return known

    def digest(self, operation: object) -> str:
        """Of what was fetched in this build: `sha256:` or, of a commit, also `sha1:`; empty when nothing was."""
        with self._lock:
            known = self._fetched.get(operation)
        return known.digest if known else ""

    def _new_folder(self) -> Path:
        import tempfile

        self._cache.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="fetched-", dir=self._cache))
        self._temporary.append(folder)
        return folder

    def _cloned(self, wanted: GitFiles) -> Fetched:
        if self._clone is None:
            raise BuildFailed("git repositories cannot be used here")
        folder = self._new_folder()
        commit = self._clone(wanted.remote, wanted.reference, folder, wanted.keep_git)
        if wanted.checksum and not commit.startswith(wanted.checksum):
            raise BuildFailed(f"expected checksum to match {wanted.checksum}, got {commit}")
        root = folder
        if wanted.subfolder:
            root = folder / wanted.subfolder
            if not Path(os.path.realpath(root)).is_relative_to(os.path.realpath(folder)) or not root.is_dir():
                raise BuildFailed(f"{wanted.remote} has no folder {wanted.subfolder}")
        self._folders[wanted] = root
        digest = f"{'sha256' if len(commit) == 64 else 'sha1'}:{commit}"
        return Fetched(LocalFiles(root), f"git {commit} {wanted.subfolder} {wanted.keep_git}", digest)

    def _downloaded(self, wanted: Download) -> Fetched:
        from pipeyard.image.build.downloads import download

        folder = self._new_folder()
        file = folder / (posixpath.basename(wanted.name) or "__unnamed__")
        digest = download(wanted.url, file, checksum=wanted.checksum, stop=self._stop)
        self._folders[wanted] = folder
        return Fetched(LocalFiles(folder), f"http {wanted.name} {digest} {int(file.stat().st_mtime)}", digest)


def read_ignore(file: Path) -> IgnoreMatcher | None:
    """The patterns of an ignore file, None when there is none. Raises DockerfileError for one that is wrong.

    It comes with the context and is not trusted: a link may lead to a file beside or below it, and nowhere else.
    """
    found = Path(os.path.realpath(file))
    if not found.is_relative_to(os.path.realpath(file.parent)):
        raise DockerfileError("the ignore file is a link that leads out of its folder", place=Place(str(file)))
    try:
        text = read_regular(found, _MAX_IGNORE)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DockerfileError(f"cannot read the ignore file: {error.strerror}", place=Place(str(file))) from error
    matcher = compile_ignore(text, str(file))
    return matcher if matcher.patterns else None
