"""The file patterns of artifacts, reports and caches: `*` within a folder, `**` across folders, `?`, `[a-z]`, `{a,b}`.

Source: CodeBuild User Guide, buildspec reference, artifacts/files.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pipeyard.errors import InputError

_MAGIC = re.compile(r"[*?\[{]")
_MEMORY = 64 << 20  # bytes of a compiled pattern
# Bytes of a name that are no UTF-8 are lone surrogates in Python, which RE2 does not take: here they have a plane.
_ENCODABLE = {0xDC00 + byte: 0x10FF00 + byte for byte in range(0x80, 0x100)} | {
    code: 0xFFFD for code in range(0xD800, 0xE000) if not 0xDC80 <= code <= 0xDCFF
}


def is_pattern(text: str) -> bool:
    return _MAGIC.search(text) is not None


def fixed_part(pattern: str) -> str:
    """The folders before the first part with a wildcard; the whole text when there is none."""
    parts = pattern.split("/")
    for number, part in enumerate(parts):
        if is_pattern(part):
            return "/".join(parts[:number])
    return pattern


class Matcher:
    """Relative paths that fit any of the patterns, in a time that grows with their length alone, whatever is asked."""

    def __init__(self, patterns: Iterable[str]) -> None:
        texts = [clean(pattern) for pattern in patterns]
        self._plain = frozenset(text for text in texts if not is_pattern(text))
        self._program: Any = None
        wanted = [text for text in texts if is_pattern(text)]
        if wanted:
            import re2

            options = re2.Options()
            options.log_errors, options.dot_nl, options.max_mem = False, True, _MEMORY
            try:
                program = "|".join(f"(?:{_translated(text)})" for text in wanted).translate(_ENCODABLE)
                self._program = re2.compile(program, options=options)
            except (re2.error, RecursionError) as error:
                raise InputError(f"the file patterns {', '.join(wanted)[:200]} are too much: {error}") from error

    def fits(self, path: str) -> bool:
        if path in self._plain:
            return True
        return self._program is not None and self._program.fullmatch(path.translate(_ENCODABLE)) is not None


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
        return r"[^\x00-\x{10FFFF}]"
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
