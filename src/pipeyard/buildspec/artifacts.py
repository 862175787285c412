"""After the last phase: the files that a buildspec names as artifacts, copied to folders of their own.

Source: CodeBuild User Guide, buildspec reference, artifacts.
"""

import os
import posixpath
import shutil
import stat
from pathlib import Path

from pipeyard.buildspec.contract import BuiltArtifact
from pipeyard.buildspec.model import Artifact
from pipeyard.buildspec.paths import BoundView, leads_away
from pipeyard.buildspec.patterns import Matcher, clean, files_below, fixed_part, is_pattern
from pipeyard.errors import InputError


def collect(artifact: Artifact, source: str, view: BoundView, target: Path, name: str) -> BuiltArtifact:
    """Copies what fits to `target`, an empty folder. `source` is CODEBUILD_SRC_DIR, a path of the build.

    Links are kept as links when the artifact says so; otherwise what they lead to within the build is copied.
    Raises InputError when no file fits.
    """
    count = 0
    for base in _bases(artifact, source, view):
        excluded = Matcher(artifact.exclude_paths)
        for pattern in artifact.files:
            root, wanted = _rooted(pattern, base)
            folder = view.locate(root)
            if folder is None:
                continue
            fits = Matcher([wanted if is_pattern(wanted) else posixpath.normpath(clean(wanted))])
            for path in files_below(folder) if is_pattern(wanted) else _named(wanted):
                if fits.fits(path) and not excluded.fits(path):
                    place = posixpath.basename(path) if artifact.discard_paths else path
                    count += _copy(f"{root}/{path}", view, target, place, links=artifact.enable_symlinks)
    if count == 0:
        shown = ", ".join(artifact.files)
        raise InputError(
            f"no file fits the artifact's {shown}",
            place=artifact.place,
            hint=f"they count from {artifact.base_directory or 'the source folder'}; a folder's content is DIR/**/*",
        )
    return BuiltArtifact(folder=target, name=name, files=count)


def _named(wanted: str) -> list[str]:
    """A path without wildcards; one that leads out of its base fits nothing, as no pattern does."""
    path = posixpath.normpath(clean(wanted))
    return [] if path.split("/")[0] == ".." else [path]


def _bases(artifact: Artifact, source: str, view: BoundView) -> list[str]:
    """The base folder, or with wildcards every folder that fits."""
    base = artifact.base_directory
    if not base:
        return [source]
    if not is_pattern(base):
        return [posixpath.normpath(posixpath.join(source, base))]
    folder = view.locate(source)
    fits = Matcher([base])
    found = []
    for here, names, _ in os.walk(folder) if folder else ():
        for name in sorted(names):
            relative = os.path.relpath(os.path.join(here, name), folder)
            if fits.fits(relative):
                found.append(f"{source}/{relative}")
    return found


def _rooted(pattern: str, base: str) -> tuple[str, str]:
    """The folder that a pattern counts from, and the pattern below it: absolute ones count from their fixed part."""
    if not pattern.startswith("/"):
        return base, clean(pattern)
    fixed = fixed_part(pattern)
    if fixed == pattern:
        fixed = posixpath.dirname(pattern)
    return fixed or "/", pattern[len(fixed) :].lstrip("/")


def _copy(path: str, view: BoundView, target: Path, place: str, *, links: bool) -> int:
    """Gives how many files were copied."""
    itself = view.locate(path, follow_last=False)
    if itself is None or not os.path.lexists(itself):
        return 0
    out = target / place
    if leads_away(target, place) or (out.is_dir() and not out.is_symlink()):
        return 0  # a link of the artifact, or a folder, has the name: what lies behind a link is not ours to write
    if itself.is_symlink() and links:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.unlink(missing_ok=True)
        out.symlink_to(os.readlink(itself))
        return 1
    found = view.locate(path)
    if found is None or not found.exists():
        return 0
    status = found.lstat()
    if stat.S_ISDIR(status.st_mode):
        if not itself.is_symlink():
            return 0
        return sum(
            _copy(f"{path}/{below}", view, target, f"{place}/{below}", links=links) for below in files_below(found)
        )
    if not stat.S_ISREG(status.st_mode):
        return 0
    out.parent.mkdir(parents=True, exist_ok=True)
    out.unlink(missing_ok=True)  # never written through: it may be a link of the same name from another folder
    shutil.copy2(found, out, follow_symlinks=False)
    return 1
