"""`--chmod`: octal numbers, and symbolic modes as BuildKit reads them.

Those resemble the ones of chmod(1). What differs: `=` leaves a sticky bit alone, `t` means nothing to `o`, after a `t`
without a class only the sticky bit changes, and `X` asks for the mode as it was before the first change.
Source: BuildKit, dockerfile2llb/convert_copy.go, and tonistiigi/dchapes-mode, mode.go.
"""

import re
from collections.abc import Callable

from pipeyard.errors import DockerfileError

_STICKY = 0o1000
_OTHERS = 0o007
_CLASSES = {"u": 0o4700, "g": 0o2070, "o": _OTHERS, "a": 0o6777}
_RIGHTS = {"r": 0o444, "w": 0o222, "x": 0o111}
_SHIFTS = {"u": 6, "g": 3, "o": 0}

ModeChange = Callable[[int, bool], int]
"""From a mode (0 to 0o7777), and whether it is a folder's, to the new mode."""

_Step = tuple[str, int]
"""What to do and for which bits: `+`, `-`, `X`, or `=u` and the like, which copies the owner's rights."""


def parse_mode(text: str) -> ModeChange:
    """Raises DockerfileError."""
    number = octal_mode(text)
    if number is not None:
        return lambda mode, is_folder: number
    steps = _steps(text)

    def change(mode: int, is_folder: bool) -> int:
        executable = is_folder or bool(mode & 0o111)
        for what, bits in steps:
            if what == "+" or (what == "X" and executable):
                mode |= bits
            elif what == "-":
                mode &= ~bits
            elif len(what) == 2:
                mode = _copied(mode, what[0], (mode >> _SHIFTS[what[1]]) & 7, bits)
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


def _steps(text: str) -> list[_Step]:
    steps: list[_Step] = []
    for clause in text.split(","):
        found = re.fullmatch(r"([ugoa]*)((?:[-+=][rstwXxugo]*)+)", clause)
        if found is None:
            raise DockerfileError(f"invalid chmod parameter: {text!r}", hint="write 755, or u=rwx,go=rx")
        who = 0
        for letter in found[1]:
            who |= _CLASSES[letter]
        for operator, rights in re.findall(r"([-+=])([rstwXxugo]*)", found[2]):
            who = _add_action(steps, who & ~_STICKY, operator, rights)
    return steps


def _add_action(steps: list[_Step], who: int, operator: str, rights: str) -> int:
    """Adds what one operator and its letters mean; gives back the classes, which a `t` adds to."""
    wanted = executable = 0
    copied = False
    for letter in rights:
        if letter in _SHIFTS:
            if wanted:
                _set(steps, who, operator, wanted)
            if executable:
                steps.append(("X", executable & who if who else executable))
            wanted = executable = 0
            copied = True
            steps.append((operator + letter, who))
        elif letter in "st":
            if not who or who & ~_OTHERS:
                wanted |= 0o6000 if letter == "s" else _STICKY
                who |= _STICKY if letter == "t" else 0
        elif letter == "X" and operator != "-":
            executable = _RIGHTS["x"]
        else:
            wanted |= _RIGHTS[letter.lower()]
    if wanted or (operator == "=" and not copied):
        _set(steps, who, operator, wanted)
    if executable:
        steps.append(("X", executable & who if who else executable))
    return who


def _set(steps: list[_Step], who: int, operator: str, bits: int) -> None:
    if operator == "=":
        steps.append(("-", who or _CLASSES["a"]))
    steps.append(("-" if operator == "-" else "+", bits & who if who else bits))


def _copied(mode: int, operator: str, rights: int, who: int) -> int:
    for letter, shift in _SHIFTS.items():
        if not who or who & (0o4 << _SHIFTS[letter]):
            if operator == "=":
                mode &= ~(7 << shift)
            mode = mode & ~(rights << shift) if operator == "-" else mode | rights << shift
    return mode
