"""A root folder with a shell, a few tools and Python, copied from this machine, so that a RUN works offline."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from pipeyard.errors import InputError

_TOOLS = (
    "sh", "cat", "ls", "mkdir", "mkfifo", "cp", "mv", "rm", "env", "id", "uname", "date", "sed", "grep", "wc", "sleep",
    "sha256sum",
)  # fmt: skip
_LEFT_OUT = shutil.ignore_patterns(
    "__pycache__", "test", "tests", "site-packages", "dist-packages", "idlelib", "tkinter", "turtledemo",
    "ensurepip", "lib2to3", "config-*", "*.a", "pydoc_data", "_tkinter*", "_test*",
)  # fmt: skip


def assemble_root(root: Path) -> None:
    """Fills `root`, an empty folder, with what a small image needs. Raises InputError when this machine has no shell.

    Everything lies under /usr, as in current distributions; programs keep their names, libraries go to /usr/lib and
    the dynamic loader to the place that the programs name.
    """
    for folder in ("usr/bin", "usr/lib", "usr/lib64", "etc", "tmp"):
        (root / folder).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    for name in ("bin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    programs = [_copy_program(tool, root) for tool in _TOOLS]
    if programs[0] is None:
        raise InputError("this machine has no sh to make the demonstration's base image of")
    interpreter = _copy_python(root)
    extensions = [str(path) for path in (root / "usr/lib").rglob("*.so")]
    _copy_libraries([str(p) for p in programs if p] + [interpreter, *extensions], root)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nservice:x:10001:10001::/app:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nservice:x:10001:\n")


def _copy_program(name: str, root: Path) -> Path | None:
    found = shutil.which(name)
    if found is None:
        return None
    real = Path(found).resolve()
    target = root / "usr/bin" / name
    shutil.copy2(real, target)
    return real


def _copy_python(root: Path) -> str:
    """The interpreter that runs us and its standard library; gives the interpreter's path on this machine."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    interpreter = Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()
    shutil.copy2(interpreter, root / "usr/bin" / version)
    (root / "usr/bin/python3").symlink_to(version)
    shutil.copytree(sysconfig.get_path("stdlib"), root / "usr/lib" / version, symlinks=False, ignore=_LEFT_OUT)
    return str(interpreter)


def _copy_libraries(files: Iterable[str], root: Path) -> None:
    """What the dynamic loader would load for these files, found by asking it once for all of them."""
    answer = subprocess.run(["ldd", *files], capture_output=True, text=True, check=False, env={"PATH": os.defpath})
    copied = set()
    for named, path, loader in re.findall(r"^\s+(?:(\S+) => (/\S+)|(/\S+)) \(0x", answer.stdout, re.MULTILINE):
        name = os.path.basename(named or loader)
        if name in copied:
            continue
        copied.add(name)
        folder = "usr" + os.path.dirname(loader).removeprefix("/usr") if loader else "usr/lib"
        (root / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy2(Path(path or loader).resolve(), root / folder / name)
