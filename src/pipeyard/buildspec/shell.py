"""The programs that turn a shell into one that takes commands one after the other: all text, nothing runs here.

One shell carries a whole build, so that `cd`, `export`, functions and options last from command to command. It reads
the name of the next command's file from a named pipe and tells the end of each command in its own output, between two
separators with a token that nobody can guess: so the end always comes after all that the command wrote. A command that
ends the shell (`exit 1`, `set -e`, a syntax error) ends only itself: its folder and exported variables are saved by a
trap, and a new shell goes on from them.
"""

import re
from shlex import quote

CONTROL = "/codebuild/control"
MARK = b"\x1e"

_BOOT = """\
while :; do
  "$1" {control}/driver
  _pipeyard_s=$?
  [ -e {control}/over ] && exit 0
  printf '\\036%s %s\\036' {token} "$_pipeyard_s"
done
"""

_DRIVER = """\
if [ -s {control}/state ]; then . {control}/state; cd "$(cat {control}/pwd)" 2>/dev/null; fi
exec 9>&1
trap '_pipeyard_s=$?; export -p >{control}/state; pwd >{control}/pwd; exit $_pipeyard_s' 0
while IFS= read -r _pipeyard_next <{control}/next; do
  if [ "$_pipeyard_next" = end ]; then : >{control}/over; trap - 0; exit 0; fi
  . "{control}/$_pipeyard_next" </dev/null 9>&-
  _pipeyard_s=$?
  printf '\\036%s %s\\036' {token} "$_pipeyard_s" >&9
done
"""

_AS_USER = """\
trap '_pipeyard_s=$?; export -p >{control}/state; pwd >{control}/pwd; exit $_pipeyard_s' 0
. "$1"
"""


def boot_program(token: str) -> str:
    """Its first argument is the shell."""
    return _BOOT.format(control=CONTROL, token=token)


def driver_program(token: str) -> str:
    return _DRIVER.format(control=CONTROL, token=token)


def as_user_program() -> str:
    return _AS_USER.format(control=CONTROL)


_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?")


def is_user_name(text: str) -> bool:
    return _USER.fullmatch(text) is not None


def wrapped(file: str, *, user: str, shell: str, separate: bool) -> str:
    """The text that runs the command in `file`: as another user, or in a shell of its own as version 0.1 has it."""
    if user and user != "root":
        inner = f"HOME=~{user}; export HOME; exec {shell} {CONTROL}/as-user {CONTROL}/{file}"
        return (
            "_pipeyard_home=$HOME\n"
            f"su -m -s /bin/sh {user} -c {quote(inner)}\n"
            "_pipeyard_s=$?\n"
            f'. {CONTROL}/state; cd "$(cat {CONTROL}/pwd)"; HOME=$_pipeyard_home\n'
            "(exit $_pipeyard_s)\n"
        )
    if separate:
        return f"(. {CONTROL}/{file})\n"
    return ""


def telling(names: tuple[str, ...], artifact_names: tuple[str, ...]) -> str:
    """Writes what is to be known after the last phase: values of variables, and names with all expansions done."""
    lines = ["set +e +u 2>/dev/null"]
    lines += [f'printf %s "${{{name}-}}" >{CONTROL}/exported.{name}' for name in names if _VARIABLE.fullmatch(name)]
    for number, text in enumerate(artifact_names):
        told = text.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'printf %s "{told}" >{CONTROL}/name.{number}')
    return "\n".join([*lines, ":", ""])


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Marks:
    """Takes the ends of commands out of a stream of output. Chunks end anywhere."""

    def __init__(self, token: str) -> None:
        self._mark = re.compile(MARK + token.encode() + rb" ([0-9]+)" + MARK)
        self._longest = len(token) + 8
        self._held = b""

    def feed(self, data: bytes) -> list[bytes | int]:
        """Output and exit statuses, in order. What may begin a mark is held back until the next chunk."""
        data, self._held = self._held + data, b""
        found: list[bytes | int] = []
        at = 0
        for mark in self._mark.finditer(data):
            if mark.start() > at:
                found.append(data[at : mark.start()])
            found.append(int(mark[1]))
            at = mark.end()
        rest = data[at:]
        begins = rest.rfind(MARK, max(0, len(rest) - self._longest))
        if begins >= 0:
            rest, self._held = rest[:begins], rest[begins:]
        if rest:
            found.append(rest)
        return found

    def rest(self) -> bytes:
        held, self._held = self._held, b""
        return held
