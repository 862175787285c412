"""Machines for tests: a file system that is busybox and nothing else, in the sandbox that this machine allows."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec import structs

from pipeyard.buildspec.contract import BuildOrder, BuildOutcome, Identity
from pipeyard.buildspec.reader import read_buildspec
from pipeyard.buildspec.running import run_build
from pipeyard.image.build.stacktree import StackTree
from pipeyard.image.sandbox import SandboxError, open_sandbox
from pipeyard.progress import Observer, Report, StepOutput
from pipeyard.service.machines import SandboxMachine
from pipeyard.threads import NEVER, Stop

BUSYBOX = shutil.which("busybox") or "/bin/busybox"


def make_root(folder: Path) -> Path:
    """A file system with busybox under all of its names."""
    if not Path(BUSYBOX).exists():
        pytest.skip("busybox is not installed")
    (folder / "bin").mkdir(parents=True)
    for name in ("etc", "root", "home/builder"):
        (folder / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, folder / "bin/busybox")
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        if applet != "busybox":
            (folder / "bin" / applet).symlink_to("busybox")
    users = "root:x:0:0:root:/root:/bin/sh\nbuilder:x:1000:1000::/home/builder:/bin/sh\n"
    (folder / "etc/passwd").write_text(users)
    return folder


def busybox_machine(folder: Path) -> SandboxMachine:
    root = make_root(folder / "root")
    try:
        sandbox = open_sandbox(folder / "sandbox")
    except SandboxError as error:
        pytest.skip(f"no sandbox here: {error.message}")
    return SandboxMachine(
        name="busybox",
        environment={"PATH": "/bin", "HOME": "/root"},
        lowers=(root,),
        mounts=(),
        sandbox=sandbox,
        scratch=folder / "work",
        programs=StackTree([root]),
    )


class Bench:
    """Runs buildspecs over a folder of files; `log` is all that the last build wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.machine = busybox_machine(folder / "machine")
        self.source = folder / "source"
        self.source.mkdir()
        self.reports: list[Report] = []
        self._count = 0

    def write(self, files: Mapping[str, str]) -> None:
        for path, text in files.items():
            (self.source / path).parent.mkdir(parents=True, exist_ok=True)
            (self.source / path).write_text(text)

    @property
    def log(self) -> str:
        return b"".join(each.data for each in self.reports if isinstance(each, StepOutput)).decode()

    @property
    def said(self) -> list[str]:
        """The lines that the commands themselves wrote."""
        return [line for line in self.log.splitlines() if not line.startswith("[Container]")]

    def order(self, text: str, **changes: object) -> BuildOrder:
        spec = read_buildspec(text, "buildspec.yml")
        order = BuildOrder(
            spec=spec,
            identity=Identity(project="app", build_id="1", region="us-east-1", account="123456789012"),
            source=self.source,
            variables=dict(spec.env.variables),
        )
        return structs.replace(order, **changes)

    def run(self, text: str, *, stop: Stop = NEVER, observe: Observer | None = None, **changes: object) -> BuildOutcome:
        self.reports = []
        self._count += 1

        def seen(report: Report) -> None:
            self.reports.append(report)
            if observe is not None:
                observe(report)

        return run_build(self.order(text, **changes), self.machine, self.folder / f"build-{self._count}", seen, stop)


def commands(*texts: str, phase: str = "build", **phases: list[str]) -> str:
    """A buildspec whose phase has these commands, one a line."""
    lines = ["version: 0.2", "phases:"]
    for name, found in {phase: list(texts), **phases}.items():
        lines += [f"  {name}:", "    commands:"]
        lines += [f"      - '{text.replace(chr(39), chr(39) * 2)}'" for text in found]
    return "\n".join(lines) + "\n"
