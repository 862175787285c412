"""The paths that a buildspec keeps between the builds of a project.

Paths below the source are copied in and out, since package managers remove and make them anew; others (`/root/.m2`)
are folders of the cache itself, which the build sees in their place. Source: buildspec reference, cache.
"""

import hashlib
import os
import posixpath
import re
import shutil
from pathlib import Path

from pipeyard.buildspec.contract import Bound
from pipeyard.buildspec.model import Cache
from pipeyard.buildspec.paths import leads_away
from pipeyard.buildspec.patterns import Matcher, files_below, fixed_part, is_pattern
from pipeyard.files import locked


class BuildCache:
    """`folder` belongs to one project. Safe for several builds at once: one at a time restores or saves."""

    def __init__(self, cache: Cache, folder: Path, source: Path, environment: dict[str, str]) -> None:
        self._cache = cache
        self._folder = folder
        self._source = source
        self._environment = environment

    def bound(self, source_target: str) -> tuple[Bound, ...]:
        """The folders outside of the source."""
        found = []
        for pattern in self._cache.paths:
            path = posixpath.normpath(fixed_part(self._expanded(pattern)) or "/")
            if path.startswith("/") and path != "/" and not path.startswith(source_target):
                place = self._folder / "bound" / _short(path)
                place.mkdir(parents=True, exist_ok=True)
                found.append(Bound(target=path, source=place))
        return tuple(dict.fromkeys(found))

    def restore(self) -> int:
        """Brings back what was saved under the key, or else a fallback key; gives how many files."""
        patterns = self._patterns()
        if not patterns or self._cache.action == "save":
            return 0
        self._folder.mkdir(parents=True, exist_ok=True)
        with locked(self._folder / "lock"):
            for key in (self._cache.key, *self._cache.fallback_keys):
                kept = self._kept(key)
                if kept.is_dir():
                    return _copy_fitting(kept, self._source, patterns)
        return 0

    def save(self) -> int:
        """Keeps what fits; what was kept before under the same key goes."""
        patterns = self._patterns()
        if not patterns or self._cache.action == "restore":
            return 0
        self._folder.mkdir(parents=True, exist_ok=True)
        with locked(self._folder / "lock"):
            kept = self._kept(self._cache.key)
            arriving = kept.with_name(f".tmp-{os.getpid()}-{kept.name}")
            shutil.rmtree(arriving, ignore_errors=True)
            arriving.mkdir(parents=True)
            count = _copy_fitting(self._source, arriving, patterns)
            shutil.rmtree(kept, ignore_errors=True)
            arriving.rename(kept)
        return count

    def _patterns(self) -> list[str]:
        found = []
        for each in self._cache.paths:
            pattern = self._expanded(each)
            if not pattern.startswith("/"):
                found.append(pattern)
                if not is_pattern(pattern):
                    found.append(f"{pattern.rstrip('/')}/**")
        return found

    def _kept(self, key: str) -> Path:
        return self._folder / "files" / _short(self._expanded(key))

    def _expanded(self, text: str) -> str:
        """With variables and `$(codebuild-hash-files PATTERN...)`, the two things that a key is made of."""

        def hashed(found: re.Match[str]) -> str:
            digest = hashlib.sha256()
            fits = Matcher(found[1].split())
            for path in files_below(self._source):
                file = self._source / path
                if fits.fits(path) and not file.is_symlink() and file.is_file():
                    digest.update(path.encode("utf-8", "surrogateescape") + b"\0" + file.read_bytes())
            return digest.hexdigest()

        text = re.sub(r"\$\(codebuild-hash-files ([^)]*)\)", hashed, text)
        return re.sub(r"\$\{?(\w+)\}?", lambda found: self._environment.get(found[1], ""), text)


def _copy_fitting(source: Path, target: Path, patterns: list[str]) -> int:
    """Links are copied as links; a file that is there already is replaced, a folder is not. Pipes are left out."""
    fits = Matcher(patterns)
    count = 0
    for path in files_below(source):
        if not fits.fits(path):
            continue
        out = target / path
        here = source / path
        if leads_away(target, path) or not (here.is_symlink() or here.is_file()):
            continue
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.unlink(missing_ok=True)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue  # what was a file is a folder by now, or the other way round: what the source has stays
        shutil.copy2(here, out, follow_symlinks=False)
        count += 1
    return count


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]
