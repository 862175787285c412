"""pipeyard as its users start it: a process with a home of its own, beside independent programs."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BUSYBOX = shutil.which("busybox") or "/bin/busybox"
TOOLS_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def need(program: str) -> str:
    """The path of a program that the test compares with; skips, saying so, where there is none."""
    found = shutil.which(program, path=TOOLS_PATH)
    if found is None:
        pytest.skip(f"{program} is not installed (./dev test installs it where it may)")
    return found


class Yard:
    """`folder` holds everything that the commands may touch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.environment = {
            "PATH": TOOLS_PATH,
            "HOME": str(folder),
            "PIPEYARD_HOME": str(self.home),
            "LANG": "C.UTF-8",
        }

    def start(self, *arguments: str | Path, **settings: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "pipeyard", *map(str, arguments)],
            cwd=self.folder,
            env={**self.environment, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def command(self, *arguments: str | Path, code: int = 0, **settings: str) -> "Answer":
        """Runs a command to its end and checks its exit code."""
        process = self.start(*arguments, **settings)
        out, err = process.communicate(timeout=240)
        assert process.returncode == code, f"exit code {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in err
        assert "fault in pipeyard" not in err
        return Answer(out, err)

    def publish_base(self) -> str:
        """Busybox as `base:1` of the embedded registry, built by pipeyard itself; gives what FROM names it."""
        context = self.folder / "base"
        (context / "bin").mkdir(parents=True)
        shutil.copy(BUSYBOX, context / "bin/busybox")
        for applet in ("sh", "cat", "ls", "mkdir", "sleep", "id", "wc"):
            (context / "bin" / applet).symlink_to("busybox")
        (context / "Dockerfile").write_text('FROM scratch\nCOPY bin /bin\nCMD ["/bin/sh"]\n')
        self.command("image", "build", context, "-t", "base:1")
        return "base:1"

    def tags(self, repository: str) -> list[str]:
        """The tags of a repository of the embedded registry."""
        rows = self.command("image", "ls", "--json").json()["imageDetails"]
        return sorted(tag for row in rows if row["repositoryName"] == repository for tag in row.get("imageTags", []))


class Answer:
    def __init__(self, out: str, err: str) -> None:
        self.out = out
        self.err = err

    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        return document


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until_open(port: int, process: "subprocess.Popen[str]") -> None:
    """Waits until somebody listens, and fails when the process has ended instead."""
    for _ in range(400):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise AssertionError(f"nothing listens on port {port}")


@contextmanager
def ended(process: "subprocess.Popen[str]") -> "Iterator[subprocess.Popen[str]]":
    """Ends a process and its group with the block."""
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
