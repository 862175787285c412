"""Repositories on hosts: HTTPS with and without a password, as a process would fetch them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.source.git_repositories import git, make_repository
from tests.source.git_servers import certificate, https_git

RESOLVE = """
import json, sys
from pathlib import Path
from pipeyard.errors import PipeyardError
from pipeyard.progress import ignore
from pipeyard.source import parse_origin, resolve
from pipeyard.threads import NEVER
try:
    found = resolve(parse_origin(sys.argv[1], Path.cwd()), Path(sys.argv[2]), ignore, NEVER)
    print(json.dumps({"commit": found.commit_id}))
except PipeyardError as error:
    print(json.dumps({"error": error.message, "hint": error.hint}))
"""


def resolved(url: str, folder: Path, trusted: Path) -> dict[str, str]:
    """In a process of its own: libgit2 reads which certificates to trust when it starts."""
    done = subprocess.run(
        [sys.executable, "-c", RESOLVE, url, str(folder / "mirrors")],
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "SSL_CERT_FILE": str(trusted)},
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, str] = json.loads(done.stdout)
    return answer


@pytest.fixture
def hosted(tmp_path: Path) -> str:
    """A bare repository under `hosted/app.git`; gives its head."""
    commit_id = make_repository(tmp_path / "work", {"a": "x"})
    (tmp_path / "hosted").mkdir()
    git(tmp_path, "clone", "-q", "--bare", str(tmp_path / "work"), str(tmp_path / "hosted/app.git"))
    return commit_id


def test_a_branch_is_fetched_over_https(tmp_path: Path, hosted: str) -> None:
    with https_git(tmp_path / "hosted", tmp_path) as (base, trusted):
        assert resolved(f"{base}/app.git#main", tmp_path, trusted) == {"commit": hosted}


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path, hosted: str) -> None:
    (tmp_path / "other").mkdir()
    other, _ = certificate(tmp_path / "other")
    with https_git(tmp_path / "hosted", tmp_path) as (base, _):
        assert "cannot fetch" in resolved(f"{base}/app.git#main", tmp_path, other)["error"]


def test_the_password_in_the_url_is_used_and_never_shown(tmp_path: Path, hosted: str) -> None:
    with https_git(tmp_path / "hosted", tmp_path, password="s3cret") as (base, trusted):
        host = base.removeprefix("https://")
        assert resolved(f"https://ann:s3cret@{host}/app.git#main", tmp_path, trusted) == {"commit": hosted}
        refused = resolved(f"https://ann:wr0ng@{host}/app.git#main", tmp_path, trusted)
        assert "credentials" in refused["error"] + refused["hint"]
        assert "wr0ng" not in json.dumps(refused)


def test_gits_own_credential_helpers_are_asked(tmp_path: Path, hosted: str) -> None:
    (tmp_path / ".gitconfig").write_text("[credential]\n\thelper = store\n")
    with https_git(tmp_path / "hosted", tmp_path, password="s3cret") as (base, trusted):
        (tmp_path / ".git-credentials").write_text(base.replace("https://", "https://ann:s3cret@") + "\n")
        assert resolved(f"{base}/app.git#main", tmp_path, trusted) == {"commit": hosted}
