"""Files of a configuration: read beneath the folders that belong to it, and nowhere else."""

import os
from pathlib import Path

from pipeyard.errors import InputError

MAX_SIZE = 20_000_000
"""Bytes of one file; a definition that reads more than this is none."""


class Folders:
    """The root module's folder and those of its local modules, all resolved; more are added as calls are followed."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._allowed = [self.root]

    def allow(self, folder: Path) -> None:
        if folder not in self._allowed:
            self._allowed.append(folder)

    def path(self, name: str) -> Path:
        """The path that a name stands for, relative to the root module's folder. Raises InputError outside."""
        if "\0" in name:
            raise InputError("a path cannot hold a zero byte")
        if name.startswith("~"):
            raise InputError(f"{name} is in a home folder", hint="only files beneath the configuration are read")
        given = self.root / name
        found = given.resolve()
        if not any(found.is_relative_to(folder) for folder in self._allowed):
            raise InputError(
                f"{name} is outside of the configuration's folder",
                hint="only files beneath it and beneath its local modules are read",
            )
        return found

    def read(self, name: str) -> bytes:
        """Raises InputError for what is missing, outside, too large or no plain file."""
        path = self.path(name)
        if not path.exists():
            raise InputError(f"there is no file {name}", hint=f"looked for in {self.root}")
        if not path.is_file():
            raise InputError(f"{name} is not a file")
        if path.stat().st_size > MAX_SIZE:
            raise InputError(f"{name} is larger than {MAX_SIZE // 1_000_000} MB")
        try:
            return path.read_bytes()
        except OSError as error:
            raise InputError(f"cannot read {name}: {error.strerror}") from error

    def exists(self, name: str) -> bool:
        path = self.path(name)
        if path.is_dir():
            raise InputError(f"{name} is a folder, not a file")
        return path.is_file()

    def beneath(self, name: str) -> list[str]:
        """Relative paths of all plain files beneath a folder, with slashes; links that lead outside are left out."""
        top = self.path(name)
        found: list[str] = []
        for folder, _, names in os.walk(top):
            for entry in names:
                path = Path(folder, entry)
                if path.is_symlink() and not any(path.resolve().is_relative_to(base) for base in self._allowed):
                    continue
                if path.is_file():
                    found.append(path.relative_to(top).as_posix())
        return sorted(found)
