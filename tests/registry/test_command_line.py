"""`pipeyard registry ...` as its user calls it."""

import socket
import subprocess
import sys
import time
from pathlib import Path

from pipeyard.registry.store import ContentStore
from tests.registry.running import free_port
from tests.registry.test_collection import age
from tests.registry.test_store import keep


def pipeyard(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": "/usr/bin:/bin", "PIPEYARD_HOME": str(home), "PYTHONPATH": ":".join(sys.path)}
    return subprocess.run(
        [sys.executable, "-m", "pipeyard", *arguments],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_collect_removes_what_nothing_needs_and_says_so(tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "registry")
    unused = keep(store, b"unused")
    age(store)
    fresh = keep(store, b"fresh")
    done = pipeyard(tmp_path, "registry", "collect")
    assert (done.returncode, done.stdout) == (0, "1 blobs with 6 bytes removed, 1 kept\n")
    assert (store.size(unused.digest), store.size(fresh.digest)) == (None, 5)
    store.close()


def test_wrong_use_of_serve_is_exit_code_2(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("no key")
    port = str(free_port())
    for arguments in (
        ("--port", "70000"),
        ("--port", port, "--tls-key", str(key)),
        ("--port", port, "--tls-cert", str(key)),
        ("--port", port, "--host", "192.0.2.1"),
    ):
        done = pipeyard(tmp_path, "registry", "serve", "--anonymous", "push", *arguments)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        started = time.monotonic()
        done = pipeyard(tmp_path, "registry", "serve", "--anonymous", "push", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "cannot listen" in done.stderr
    assert time.monotonic() - started < 30
