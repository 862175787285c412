"""The process between a chroot run and us: it confines the command, and ends all that descends from it.

Started by chroot.py through child.py; single-threaded, so that it may fork. It adopts orphans
(PR_SET_CHILD_SUBREAPER), and when the builder dies, by whatever signal, a pipe tells it and it clears up.
"""

import ctypes
import os
import select
import signal
import time
from typing import Literal, NoReturn

from pipeyard.image.sandbox import capabilities, landlock, seccomp
from pipeyard.image.sandbox.contract import DEFAULT_PATH, Command, Exit, Limits, SandboxError
from pipeyard.image.sandbox.kernel import PR_SET_NO_NEW_PRIVS, prctl
from pipeyard.image.sandbox.ulimits import set_ulimits

_PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER = 22, 24, 36
_LAST_CAPABILITY = 63
# In a chroot these two are ways out: a second chroot, and the device of the disk.
_ALLOWED = frozenset(capabilities.DEFAULT) - {"CAP_SYS_CHROOT", "CAP_MKNOD", "CAP_SETPCAP"}


def work(request: tuple[str, Command, Limits], alive: int) -> Exit | SandboxError:
    """Runs the command; when this returns, nothing that it started is left."""
    tree, command, limits = request
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    child = os.fork()
    if child == 0:
        _become(tree, command, limits)
    try:
        return _watch(child, alive, limits)
    finally:
        _end_all()


def _watch(child: int, alive: int, limits: Limits) -> Exit | SandboxError:
    deadline = time.monotonic() + limits.seconds if limits.seconds else None
    poll = select.poll()
    poll.register(os.pidfd_open(child), select.POLLIN)
    poll.register(alive, select.POLLHUP)
    limited = bool(limits.memory or limits.processes)
    while True:
        patience = None if deadline is None else max(0, int((deadline - time.monotonic()) * 1000) + 1)
        events = poll.poll(100 if limited and (patience is None or patience > 100) else patience)
        broken: Literal["", "memory", "processes", "seconds"] = ""
        if deadline is not None and time.monotonic() >= deadline:
            broken = "seconds"
        elif limited:
            broken = _over(limits)
        if broken:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return Exit(137, broken)
        for descriptor, _ in events:
            if descriptor == alive:
                return SandboxError("the process that asked for the run is gone")
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            return Exit(code if code >= 0 else 128 - code)


def _over(limits: Limits) -> Literal["", "memory", "processes"]:
    descendants = _descendants()
    if limits.processes and len(descendants) > limits.processes:
        return "processes"
    memory = 0
    for pid in descendants:
        try:
            with open(f"/proc/{pid}/statm", encoding="ascii") as file:
                _, resident, shared, *_ = file.read().split()
        except (OSError, ValueError):
            continue
        memory += (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
    return "memory" if limits.memory and memory > limits.memory else ""


def _end_all() -> None:
    """Kills until nothing is left: a fork in the meantime is caught in the next round."""
    while True:
        for pid in _descendants():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _descendants() -> list[int]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            children.setdefault(parent, []).append(int(name))
    found: list[int] = []
    todo = [os.getpid()]
    while todo:
        inner = children.get(todo.pop(), [])
        found += inner
        todo += inner
    return found


def _become(tree: str, command: Command, limits: Limits) -> NoReturn:
    try:
        set_ulimits(limits.ulimits, 0)
        os.setsid()
        os.umask(0o022)
        os.dup2(1, 2)
        _standard_input(command.stdin)
        os.chroot(tree)
        os.chdir("/")
        os.chdir(command.folder or "/")
        if not command.insecure:
            landlock.confine()
            _confine()
        os.setgroups(command.groups)
        os.setresgid(command.gid, command.gid, command.gid)
        os.setresuid(command.uid, command.uid, command.uid)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        if not command.insecure:
            _load_filter()
        os.closerange(3, 1 << 16)
        path = command.environment.get("PATH", DEFAULT_PATH)
        os.execvpe(command.arguments[0], list(command.arguments), {**command.environment, "PATH": path})  # noqa: S606
    except SandboxError as error:
        os.write(2, f"{error.message}\n".encode())
        os._exit(126)
    except OSError as error:
        os.write(2, f"{command.arguments[0]}: {error.strerror}\n".encode())
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def _standard_input(data: bytes | None) -> None:
    if data is None:
        file = os.open(os.devnull, os.O_RDONLY)
    else:
        file = os.memfd_create("stdin")
        at = 0
        while at < len(data):
            at += os.write(file, data[at:])
        os.lseek(file, 0, os.SEEK_SET)
    os.dup2(file, 0)


def _confine() -> None:
    allowed = {_NUMBERS[name] for name in _ALLOWED}
    for number in range(_LAST_CAPABILITY + 1):
        if number not in allowed:
            try:
                prctl(_PR_CAPBSET_DROP, number)
            except OSError:  # the kernel has no such capability
                continue


_NUMBERS = {
    "CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_FOWNER": 3, "CAP_FSETID": 4, "CAP_KILL": 5, "CAP_SETGID": 6,
    "CAP_SETUID": 7, "CAP_NET_BIND_SERVICE": 10, "CAP_NET_RAW": 13, "CAP_AUDIT_WRITE": 29, "CAP_SETFCAP": 31,
}  # fmt: skip


def _load_filter() -> None:
    program = seccomp.program()
    code = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    loaded = Program(len(program) // 8, ctypes.addressof(code))
    prctl(_PR_SET_SECCOMP, 2, ctypes.addressof(loaded))
