"""A small build is over before a heavy import would be: what one may import is written down here.

Whoever needs more for every build has measured what it costs, and adds it; what only some builds need is imported
where they need it.
"""

import subprocess
import sys
from pathlib import Path

from tests.registry_client.processes import own_registry

ROOMS = {
    "pipeyard",
    "pipeyard.__main__",
    "pipeyard.cli",
    "pipeyard.errors",
    "pipeyard.files",
    "pipeyard.image",
    "pipeyard.oci",
    "pipeyard.patterns",
    "pipeyard.plain_lines",
    "pipeyard.progress",
    "pipeyard.registry",
    "pipeyard.service",
    "pipeyard.settings",
    "pipeyard.threads",
}
ELSEWHERE = {
    "pipeyard.image.sandbox",  # for a RUN
    "pipeyard.image.build.running",
    "pipeyard.registry.client.tokens",  # for a registry that wants a login
    "pipeyard.registry.credentials",
    "pipeyard.registry.server",
    "pipeyard.service.ecr",
    "pipeyard.service.yard",
}
LIBRARIES = "bisect fcntl gc hashlib importlib isal.isal_zlib msgspec pathlib queue signal socket struct threading zlib"
"""What a small build may import beside, with whatever these bring."""

START = "import sys; from pipeyard.__main__ import main, _import_msgspec; _import_msgspec(); import atexit\n"
TELL = "def tell():\n    with open('modules', 'w') as out: out.write(' '.join(sys.modules))\n"


def imported(folder: Path, script: str, *arguments: str) -> set[str]:
    """What a process has imported at its end."""
    command = [sys.executable, "-c", f"{START}{TELL}atexit.register(tell)\n{script}", *arguments]
    environment = {"HOME": str(folder), "PYTHONPATH": ":".join(sys.path)}
    subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True)
    return set((folder / "modules").read_text().split())


def test_a_small_build_and_its_push_import_little(tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "file").write_text("content")
    (context / "Dockerfile").write_text("FROM scratch\nCOPY file /\n")
    with own_registry(tmp_path / "served", "--anonymous", "push") as host:
        words = ["image", "build", "context", "-t", f"{host}/small:1", "--push", "--progress", "plain"]
        found = imported(tmp_path, "main()", *words)
    own = {name for name in found if name.startswith("pipeyard")}
    assert {".".join(name.split(".")[:2]) for name in own} <= ROOMS
    assert not own & ELSEWHERE
    assert sorted(found - own - imported(tmp_path, "\n".join(f"import {name}" for name in LIBRARIES.split()))) == []
