"""Which sandbox this machine allows."""

import os
import threading
from pathlib import Path

from pipeyard.image.layers import form_of_this_process
from pipeyard.image.sandbox.bubblewrap import BubblewrapSandbox, find_program
from pipeyard.image.sandbox.contract import NO_LIMITS, Command, Root, Sandbox, SandboxError
from pipeyard.threads import NEVER


def open_sandbox(folder: Path) -> Sandbox:
    """The best sandbox that works here; `folder`, made when missing, is its own, on the layers' file system.

    As root: bubblewrap, or `chroot` where the machine forbids namespaces or overlayfs (the sandbox's `limitation` says
    so in one line). As an ordinary user: bubblewrap in a user namespace. Raises SandboxError, naming what is missing.
    """
    scratch = folder / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        from pipeyard.image.sandbox.spawned import SpawnedSandbox

        sandbox: Sandbox = SpawnedSandbox(scratch, program=find_program())
        _try(sandbox, folder)
        return sandbox
    try:
        sandbox = BubblewrapSandbox(scratch, program=find_program())
        _try(sandbox, folder)
    except SandboxError as error:
        if form_of_this_process().powers not in ("root", "confined"):
            raise
        from pipeyard.image.sandbox.chroot import ChrootSandbox

        return ChrootSandbox(folder, limitation=error.message)
    return sandbox


def _try(sandbox: Sandbox, folder: Path) -> None:
    """Sets a sandbox up to the point where a program would start: there is none in an empty root."""
    import shutil

    trial = folder / f"trial-{os.getpid()}-{threading.get_ident()}"
    try:
        root = Root(lowers=(), upper=trial / "upper", work=trial / "work")
        root.upper.mkdir(parents=True)
        root.work.mkdir()
        command = Command(arguments=("/-",), environment={})
        sandbox.run(command, root, mounts=(), limits=NO_LIMITS, output=lambda data: None, stop=NEVER)
    finally:
        shutil.rmtree(trial, ignore_errors=True)
