"""Artifacts as plain folders on a disk that every action can read: nothing is packed, so nothing is unpacked."""

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from pipeyard.errors import ActionFailed, InputError
from pipeyard.files import sync_folder

_SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.@-]{0,99}")


class StoredArtifact(Struct, frozen=True):
    """`location` names it to the store that made it, on this machine and after a restart."""

    location: str


class FolderArtifacts:
    """Artifacts under `root`, each at OWNER/NAME where `owner` is the action execution that made it.

    Safe for several processes: a folder gets its final name by one rename when it is whole.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def keep(self, owner: str, name: str, folder: Path) -> StoredArtifact:
        """Moves `folder` (or copies it, from another file system) into the store.

        An action that runs again after a crash replaces what its first run had kept.
        """
        target = self._root / self._checked(owner) / self._checked(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        arriving = target.parent / f".tmp-{os.getpid()}-{target.name}"
        shutil.rmtree(arriving, ignore_errors=True)
        shutil.move(folder, arriving)
        if target.exists():
            replaced = target.parent / f".tmp-{os.getpid()}-old-{target.name}"
            target.rename(replaced)
            arriving.rename(target)
            shutil.rmtree(replaced, ignore_errors=True)
        else:
            arriving.rename(target)
        sync_folder(target.parent)
        return StoredArtifact(f"{owner}/{name}")

    def folder(self, location: str) -> Path:
        """The content of an artifact, to be read only. Raises ActionFailed when it is gone."""
        owner, _, name = location.partition("/")
        path = self._root / self._checked(owner) / self._checked(name)
        if not path.is_dir():
            raise ActionFailed(
                f"the artifact {location} is no longer in the artifact store", hint="run the pipeline again"
            )
        return path

    def forget(self, owners: Sequence[str]) -> None:
        """Removes all artifacts of these action executions; what is gone already is no error."""
        for owner in owners:
            shutil.rmtree(self._root / self._checked(owner), ignore_errors=True)

    @staticmethod
    def _checked(part: str) -> str:
        if not _SAFE.fullmatch(part):
            raise InputError(
                f"{part!r} cannot name an artifact", hint="letters, digits, '_', '-', '.', '@'; 100 at most"
            )
        return part
