"""The file patterns of artifacts, reports and caches: `*` within a folder, `**` across folders, `?`, `[a-z]`, `{a,b}`.

Source: CodeBuild User Guide, buildspec reference, artifacts/files.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

_MAGIC = re.compile(r"[*?\[{]")


def is_pattern(text: str) -> bool:
    return _MAGIC.search(text) is not None


def fixed_part(pattern: str) -> str:
    """The folders before the first part with a wildcard; the whole text when there is none."""
    parts = pattern.split("/")
    for number, part in enumerate(parts):
        if is_pattern(part):
            return "/".join(parts[:number])
    return pattern


def matcher(patterns: Iterable[str]) -> re.Pattern[str]:
    """Matches relative paths that fit any of the patterns."""
    return re.compile("|".join(f"(?:{_translated(clean(pattern))})" for pattern in patterns) or r"(?!)", re.DOTALL)


def clean(pattern: str) -> str:
    return re.sub(r"^(\./)+", "", pattern).rstrip("/") if pattern not in (".", "./") else "**/*"


def _translated(pattern: str) -> str:
    out, at = "", 0
    while at < len(pattern):
        rest = pattern[at:]
        if rest.startswith("**/"):
            out, at = out + "(?:[^/]+/)*", at + 3
        elif rest.startswith("**"):
            out, at = out + ".*", at + 2
        elif rest[0] == "*":
            out, at = out + "[^/]*", at + 1
        elif rest[0] == "?":
            out, at = out + "[^/]", at + 1
        elif found := re.match(r"\[([!^]?)([^\]/]+)\]", rest):
            out += _members(found[1], found[2])
            at += found.end()
        elif found := re.match(r"\{([^{}/]*)\}", rest):
            out += "(?:" + "|".join(_translated(each) for each in found[1].split(",")) + ")"
            at += found.end()
        else:
            out, at = out + re.escape(rest[0]), at + 1
    return out


def _members(negated: str, text: str) -> str:
    """A set of characters; one whose range runs backwards (`b-a`) has none."""
    members = re.sub(r"([\\^\[&~|])", r"\\\1", text)
    try:
        re.compile(f"[{members}]")
    except re.error:
        return r"(?!)"
    return f"[{'^' if negated else ''}{members}]"


def files_below(root: Path) -> Iterator[str]:
    """Every file and link below a folder by its relative path, sorted; links are not entered."""
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
        except OSError:
            continue
        folders = []
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
            else:
                yield path
        pending += reversed(folders)
