"""The conversation with a build's shell: it says how a command ended, the machine of phases says what is next."""

import os
import secrets
from pathlib import Path

from pipeyard.buildspec import phases, shell
from pipeyard.buildspec.model import Buildspec, Phase, ShellCommand
from pipeyard.progress import Observer, StepEnded, StepOutput, StepStarted

_TAIL = 4000  # bytes of output in which a pattern of `on-failure` is searched


class Talk:
    """One build's. `control` is the folder that the shell knows as CONTROL; `hear` is called from one thread."""

    def __init__(self, spec: Buildspec, control: Path, observe: Observer, attempt: int, shell_program: str) -> None:
        self._spec = spec
        self._control = control
        self._observe = observe
        self._attempt = attempt
        self._shell = shell_program
        self._progress = phases.begin(spec)
        self._step = ""
        self._count = 0
        self._tail = b""
        self._telling = False
        self._line_ended = True
        token = secrets.token_hex(16)
        self._marks = shell.Marks(token)
        os.mkfifo(control / "next", 0o600)
        (control / "boot").write_text(shell.boot_program(token))
        (control / "driver").write_text(shell.driver_program(token))
        (control / "as-user").write_text(shell.as_user_program())
        for name in ("state", "pwd"):  # every user of the build may write them
            (control / name).touch()
            (control / name).chmod(0o666)
        # Open for both, so that neither side ever waits for the other to open it.
        self._next = os.open(control / "next", os.O_RDWR | os.O_CLOEXEC)
        self._go_on()

    def hear(self, data: bytes) -> None:
        """Takes output of the shell: passes it on, and answers each end of a command with the next one."""
        for part in self._marks.feed(data):
            if isinstance(part, bytes):
                self._said(part)
            else:
                self._ended(part)

    def over(self) -> phases.Progress:
        """After the shell's end. A shell that died in the middle of a command failed that command."""
        if rest := self._marks.rest():
            self._said(rest)
        os.close(self._next)
        while not self._progress.over:
            self._progress = phases.advance(
                self._spec, self._progress, 1, "the build's shell ended", attempts=self._attempt
            )
        self._end_phases()
        return self._progress

    def exported(self) -> dict[str, str]:
        found = {}
        for name in self._spec.env.exported_variables:
            text = self._told(f"exported.{name}")
            if text is not None:
                found[name] = text
        return found

    def artifact_names(self) -> list[str]:
        """Of the primary artifact, then of the secondary ones, in order."""
        return [self._told(f"name.{number}") or name for number, name in enumerate(self._names())]

    def _names(self) -> tuple[str, ...]:
        artifacts = self._spec.artifacts
        primary = artifacts.primary.name if artifacts.primary else ""
        return (primary, *(artifact.name for artifact in artifacts.secondary.values()))

    def _told(self, name: str) -> str | None:
        file = self._control / name
        try:
            # The build may have put anything there: a link is not followed.
            descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        with open(descriptor, "rb") as stream:
            return stream.read(1 << 20).decode(errors="replace")

    def _said(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-_TAIL:]
        self._line_ended = data.endswith(b"\n")
        if self._step:
            self._observe(StepOutput(self._step, data))

    def _ended(self, status: int) -> None:
        if self._telling:
            self._send("end")
            return
        found = phases.current(self._spec, self._progress)
        if found is None:
            return
        succeeding, told = self._progress.succeeding, ""
        if status:
            shown = _first_line(found[1].text)
            self._say(f"Command did not exit successfully {shown} exit status {status}")
            told = f"Error while executing command: {shown}. Reason: exit status {status}\n"
            told += self._tail.decode(errors="replace")
        self._progress = phases.advance(self._spec, self._progress, status, told, attempts=self._attempt)
        self._go_on(failed_now=bool(status) and succeeding)

    def _go_on(self, *, failed_now: bool = False) -> None:
        """Sends the next command, or what is to be told at the end."""
        self._end_phases()
        self._tail = b""
        found = phases.current(self._spec, self._progress)
        if found is None:
            self._telling = True
            self._write("telling", shell.telling(self._spec.env.exported_variables, self._names()))
            self._send("telling")
            return
        phase, command = found
        if phase.name != self._step:
            self._step = phase.name
            self._observe(StepStarted(phase.name, phase.name.upper()))
            for runtime, version in phase.runtime_versions.items():
                self._say(f"Runtime {runtime} {version} is asked for; the environment's own is used")
        self._say(f"Running command {command.text.strip()}")
        self._send(self._file_of(phase, command, failed_now=failed_now))

    def _file_of(self, phase: Phase, command: ShellCommand, *, failed_now: bool) -> str:
        self._count += 1
        name = f"command-{self._count}"
        text = command.text if command.text.endswith("\n") else f"{command.text}\n"
        prefix = "CODEBUILD_BUILD_SUCCEEDING=0\n" if failed_now else ""
        around = shell.wrapped(
            name,
            user=phase.run_as or self._spec.run_as,
            shell=self._shell,
            separate=self._spec.version == "0.1",
        )
        if around:
            self._write(name, text)
            self._write(f"{name}.run", prefix + around)
            return f"{name}.run"
        self._write(name, prefix + text)
        return name

    def _end_phases(self) -> None:
        """Tells of the phases that ended and were begun."""
        current = phases.current(self._spec, self._progress)
        if not self._step or (current is not None and current[0].name == self._step):
            return
        for ended in self._progress.ended:
            if ended.name == self._step:
                self._say(f"Phase complete: {ended.name.upper()} State: {'SUCCEEDED' if ended.succeeded else 'FAILED'}")
                self._observe(StepEnded(self._step, error=ended.message.split("\n", 1)[0]))
                self._step = ""

    def _say(self, text: str) -> None:
        """A message of ours, on lines of its own whatever the command's output ended with."""
        lines = "".join(f"[Container] {line}\n" for line in text.splitlines())
        start = "" if self._line_ended else "\n"
        self._line_ended = True
        self._observe(StepOutput(self._step, (start + lines).encode()))

    def _write(self, name: str, text: str) -> None:
        (self._control / name).write_bytes(text.encode("utf-8", "surrogateescape"))

    def _send(self, name: str) -> None:
        os.write(self._next, f"{name}\n".encode())


def _first_line(text: str) -> str:
    first, _, rest = text.strip().partition("\n")
    return f"{first} ..." if rest else first
