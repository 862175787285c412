"""`--chmod`: octal numbers and the symbolic modes of chmod(1).

Source: POSIX.1-2017, chmod, "Extended Description"; BuildKit's messages.
"""

import re
from collections.abc import Callable

from pipeyard.errors import DockerfileError
from pipeyard.patterns import later

_CLAUSE = later(r"([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)")
_ACTION = later(r"([-+=])([ugo](?![rwxXst])|[rwxXst]*)")
_SHIFTS = {"u": 6, "g": 3, "o": 0}

ModeChange = Callable[[int, bool], int]
"""From a mode (0 to 0o7777), and whether it is a folder's, to the new mode."""


def parse_mode(text: str) -> ModeChange:
    """Raises DockerfileError."""
    number = octal_mode(text)
    if number is not None:
        return lambda mode, is_folder: number
    clauses = []
    for clause in text.split(","):
        match = _CLAUSE.fullmatch(clause)
        if match is None:
            raise DockerfileError(f"invalid chmod parameter: {text!r}", hint="write 755, or u=rwx,go=rx")
        clauses.append((match[1], _ACTION.findall(match[2])))

    def change(mode: int, is_folder: bool) -> int:
        for who, actions in clauses:
            for operator, what in actions:
                mode = _apply(mode, who, operator, what, is_folder)
        return mode

    return change


def octal_mode(text: str) -> int | None:
    """The number, None for a symbolic mode. Raises DockerfileError for a number that is not octal or out of range."""
    if not re.fullmatch(r"[0-9]+", text):
        return None
    complaint = f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
    if not re.fullmatch(r"[0-7]+", text) or int(text, 8) > 0o7777:
        raise DockerfileError(complaint)
    return int(text, 8)


def _apply(mode: int, who: str, operator: str, what: str, is_folder: bool) -> int:
    selected = "ugo" if not who or "a" in who else who
    if what in _SHIFTS:
        bits = (mode >> _SHIFTS[what]) & 7
    else:
        bits = (4 if "r" in what else 0) | (2 if "w" in what else 0) | (1 if "x" in what else 0)
        if "X" in what and (is_folder or mode & 0o111):
            bits |= 1
    mask = 0
    for one in selected:
        mask |= bits << _SHIFTS[one]
    if "s" in what:
        mask |= (0o4000 if "u" in selected else 0) | (0o2000 if "g" in selected else 0)
    if "t" in what and what not in _SHIFTS and (not who or "a" in who or "o" in who):
        mask |= 0o1000
    if operator == "+":
        return mode | mask
    if operator == "-":
        return mode & ~mask
    cleared = 0
    for one in selected:
        cleared |= 7 << _SHIFTS[one]
        cleared |= {"u": 0o4000, "g": 0o2000, "o": 0o1000}[one]
    if is_folder and not re.search("[st]", what):
        cleared &= 0o777  # as in chmod(1): `=` leaves a folder's special bits that are not named
    return (mode & ~cleared) | mask
