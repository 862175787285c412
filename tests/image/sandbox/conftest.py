"""A small root of this machine's own busybox, and the sandboxes that can be tried here."""

import itertools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from pipeyard.image.layers import Entry, diff_upper, form_of_this_process
from pipeyard.image.sandbox import (
    DEFAULT_PATH,
    NO_LIMITS,
    BubblewrapSandbox,
    Command,
    Exit,
    Limits,
    Mount,
    Root,
    Sandbox,
    SandboxError,
    find_program,
    open_sandbox,
)
from pipeyard.image.sandbox.chroot import ChrootSandbox
from pipeyard.image.sandbox.contract import nothing
from pipeyard.image.sandbox.spawned import SpawnedSandbox
from pipeyard.threads import NEVER, Stop


class Ran(Struct, frozen=True):
    exit: Exit
    text: str
    changes: list[Entry]
    upper: Path

    @property
    def paths(self) -> list[str]:
        return [entry.path for entry in self.changes]


class Machine:
    """Runs shell lines on `base` (and more lowers) in one sandbox."""

    def __init__(self, sandbox: Sandbox, base: Path, folder: Path) -> None:
        self.sandbox = sandbox
        self.base = base
        self.folder = folder
        self._numbers = itertools.count()

    def run(
        self,
        script: str | tuple[str, ...],
        *,
        above: tuple[Path, ...] = (),
        mounts: tuple[Mount, ...] = (),
        limits: Limits = NO_LIMITS,
        stop: Stop = NEVER,
        output: Callable[[bytes], None] | None = None,
        begun: Callable[[], None] = nothing,
        environment: dict[str, str] | None = None,
        **more: object,
    ) -> Ran:
        place = self.folder / f"run{next(self._numbers)}"
        root = Root(lowers=(self.base, *above), upper=place / "upper", work=place / "work")
        root.upper.mkdir(parents=True)
        root.work.mkdir()
        arguments = ("/bin/sh", "-c", script) if isinstance(script, str) else script
        known = {"PATH": DEFAULT_PATH} if environment is None else environment
        command = Command(arguments=arguments, environment=known, **more)  # type: ignore[arg-type]
        seen: list[bytes] = []
        ended = self.sandbox.run(
            command, root, mounts=mounts, limits=limits, output=output or seen.append, stop=stop, begun=begun
        )
        owner = (command.uid, command.gid)
        changes = diff_upper(root.upper, root.lowers, run_owner=owner)
        return Ran(ended, b"".join(seen).decode(errors="replace"), changes, root.upper)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = shutil.which("busybox")
    if program is None:
        pytest.skip("needs busybox, which every shell command of these tests comes from")
    root = tmp_path_factory.mktemp("base") / "root"
    (root / "bin").mkdir(parents=True)
    shutil.copy(program, root / "bin/busybox")
    listing = subprocess.run([root / "bin/busybox", "--list"], capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("needs a static busybox")
    for name in listing.stdout.split():
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")
    for name in ("etc", "tmp", "srv/data", "home/app"):
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    (root / "srv/data/a").write_text("a\n")
    (root / "srv/data/b").write_text("b\n")
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (root / "bin/setuid-id").symlink_to("busybox")
    return root


KINDS = ["bubblewrap", "chroot"]


def make_sandbox(kind: str, folder: Path) -> Sandbox:
    folder.mkdir()
    if kind == "chroot":
        if form_of_this_process().powers not in ("root", "confined"):
            pytest.skip("chroot needs root")
        return ChrootSandbox(folder, limitation="a test asked for it")
    (folder / "scratch").mkdir()
    try:
        if os.geteuid() == 0:
            sandbox: Sandbox = BubblewrapSandbox(folder / "scratch", program=find_program())
        else:
            sandbox = SpawnedSandbox(folder / "scratch", program=find_program())
        open_sandbox(folder / "trial")
    except SandboxError as error:
        pytest.skip(f"this machine has no namespaces: {error.message}")
    return sandbox


@pytest.fixture(params=KINDS)
def machine(request: pytest.FixtureRequest, base: Path, tmp_path: Path) -> Iterator[Machine]:
    """Every kind of sandbox, for what all of them promise."""
    sandbox = make_sandbox(request.param, tmp_path / "sandbox")
    yield Machine(sandbox, base, tmp_path)
    if isinstance(sandbox, ChrootSandbox):
        sandbox.close()


@pytest.fixture
def isolated(base: Path, tmp_path: Path) -> Machine:
    """The sandbox with namespaces, for what only it promises."""
    return Machine(make_sandbox("bubblewrap", tmp_path / "sandbox"), base, tmp_path)


@pytest.fixture
def many_ids() -> None:
    if form_of_this_process().powers == "single":
        pytest.skip("needs more than one user id")
