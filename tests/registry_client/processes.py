"""Real registries as child processes: Debian's docker-registry, and our own."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

# A line of an htpasswd file, bcrypt with few rounds: user `ada`, password `correct horse`.
HTPASSWD = "ada:$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n"


@contextmanager
def docker_registry(folder: Path, auth: Mapping[str, object] | None = None) -> Iterator[str]:
    """Debian's registry on a free port; gives HOST:PORT. Skips where it is not installed."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed (apt-get install docker-registry)")
    folder.mkdir(parents=True, exist_ok=True)
    settings: dict[str, object] = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": "127.0.0.1:0", "secret": "not a secret"},
    }
    if auth:
        settings["auth"] = auth
    (folder / "config.yml").write_text(json.dumps(settings))
    with _running([program, "serve", str(folder / "config.yml")], r"listening on (127\.0\.0\.1:\d+)") as host:
        yield host


@contextmanager
def own_registry(folder: Path, *options: str, users: str = "") -> Iterator[str]:
    """`pipeyard registry serve` on a free port; gives HOST:PORT. `users` is NAME:PASSWORD,..."""
    environment = {**os.environ, "PIPEYARD_HOME": str(folder)}
    if users:
        environment["PIPEYARD_USERS"] = users
    command = [sys.executable, "-m", "pipeyard", "registry", "serve", "--port", "0", *options]
    with _running(command, r"registry at https?://(127\.0\.0\.1:\d+)", environment) as host:
        yield host


@contextmanager
def _running(command: list[str], announcement: str, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    said: list[str] = []
    try:
        for line in process.stderr:
            said.append(line)
            if found := re.search(announcement, line):
                host = found[1]
                break
        else:
            raise AssertionError(f"{command[0]} ended: {''.join(said)}")
        drain = threading.Thread(target=process.stderr.read, daemon=True)  # a full pipe would stop it
        drain.start()
        yield host
    finally:
        process.terminate()
        process.wait(20)
