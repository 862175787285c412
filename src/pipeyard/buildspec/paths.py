"""Paths of a build as paths of this machine, with every symbolic link followed as the build sees it.

A build may leave links that lead anywhere; followed here as they stand, they would lead to files of this machine.
"""

import os
import posixpath
from collections.abc import Iterable
from pathlib import Path

from pipeyard.buildspec.contract import Bound

_MAX_LINKS = 40


class BoundView:
    """The folders that a build shares with this machine."""

    def __init__(self, bound: Iterable[Bound]) -> None:
        self._bound = sorted(bound, key=lambda one: len(one.target), reverse=True)
        self._targets = frozenset(one.target for one in self._bound)

    def locate(self, path: str, *, follow_last: bool = True) -> Path | None:
        """The file of this machine that an absolute path of the build names, existing or not.

        None when it lies in no shared folder, or when links go round in a circle.
        """
        done, todo, links = "/", [part for part in path.split("/") if part not in ("", ".")], 0
        while todo:
            part = todo.pop(0)
            if part == "..":
                done = posixpath.dirname(done)
                continue
            here = posixpath.join(done, part)
            # A shared folder itself is never a link, whatever stands for it on this machine.
            host = None if here in self._targets else self._host(here)
            target = _link(host) if host is not None and (todo or follow_last) else None
            if target is None:
                done = here
                continue
            links += 1
            if links > _MAX_LINKS:
                return None
            if target.startswith("/"):
                done = "/"
            todo = [each for each in target.split("/") if each not in ("", ".")] + todo
        return self._host(done)

    def _host(self, path: str) -> Path | None:
        for bound in self._bound:
            if path == bound.target:
                return bound.source
            if path.startswith(f"{bound.target}/"):
                return bound.source / path[len(bound.target) + 1 :]
        return None


def leads_away(root: Path, path: str) -> bool:
    """Whether a folder on the way from `root` to `path` is a link: a source may have put one there."""
    here = root
    for part in path.split("/")[:-1]:
        here = here / part
        if here.is_symlink():
            return True
    return False


def _link(path: Path) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None
