"""A real PostgreSQL server for tests, in a folder that goes away with it."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def programs() -> Path | None:
    """The folder of the newest installed server's programs; None where there is none."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parents[1].name))
    return folders[-1].parent if folders else None


def _unprivileged() -> str | None:
    """The server refuses to run as root; this is who runs it then."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@contextmanager
def server(bin_folder: Path) -> Iterator[str]:
    """URL of an empty server's `postgres` database, reached through a socket in a folder of its own."""
    user = _unprivileged()
    # A socket's path has at most 107 bytes, so the folder is not pytest's.
    folder = Path(tempfile.mkdtemp(prefix="pipeyard-pg-"))
    try:
        if user:
            shutil.chown(folder, user)
        cluster = folder / "data"
        initdb: list[str | Path] = [
            bin_folder / "initdb",
            "-D",
            cluster,
            "-U",
            "yard",
            "-A",
            "trust",
            "--no-sync",
            "-E",
            "UTF8",
        ]
        subprocess.run(initdb, check=True, user=user, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=folder)
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c max_connections=200"
        pg_ctl: list[str | Path] = [bin_folder / "pg_ctl", "-D", cluster, "-w", "-l", folder / "log"]
        start = [*pg_ctl, "-t", "40", "-o", options, "start"]
        try:
            # A server that was started and did not answer in time is stopped too.
            started = subprocess.run(start, check=False, user=user, stdout=subprocess.DEVNULL, cwd=folder)
            assert started.returncode == 0, (folder / "log").read_text()
            yield f"postgresql+psycopg://yard@/postgres?host={folder}"
        finally:
            stop = [*pg_ctl, "-m", "immediate", "stop"]
            subprocess.run(stop, check=False, user=user, stdout=subprocess.DEVNULL, cwd=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
