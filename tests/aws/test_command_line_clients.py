"""`pipeyard serve` as its users meet it: the AWS command line, and a container tool that logs in with ECR's token."""

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

from tests.registry.running import digest_of, manifest

_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def served(home: Path, **environment: str) -> Iterator[tuple[str, list[str]]]:
    """Host and port of a `pipeyard serve`, and what it said."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeyard", "serve", "--port", "0"],
        env={**_system(), "PIPEYARD_HOME": str(home), **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    said: list[str] = []
    try:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"AWS endpoint at http://(\S+)", line):
                break
        else:
            raise AssertionError(f"serve ended: {''.join(said)}")
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield found[1], said
    finally:
        process.terminate()
        assert process.wait(20) == 0


def _system() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PIPEYARD_"))}
    return {**kept, "PYTHONPATH": os.pathsep.join(sys.path)}


def _aws(host: str, *arguments: str, **environment: str) -> str:
    program = shutil.which("aws")
    if program is None:
        pytest.skip("the AWS command line is not installed (pip install awscli)")
    given: Mapping[str, str] = {**os.environ, **_ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://{host}", **environment}
    done = subprocess.run([program, *arguments], env=given, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_password_of_the_aws_command_line_opens_the_registry(tmp_path: Path) -> None:
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        pytest.skip("skopeo is not installed (apt-get install skopeo)")
    layout = _image(tmp_path / "layout")
    with served(tmp_path / "home", PIPEYARD_ACCESS_KEYS="AKIAEXAMPLE:secret") as (host, _):
        assert json.loads(_aws(host, "sts", "get-caller-identity"))["Arn"] == "arn:aws:iam::123456789012:root"
        _aws(host, "ecr", "create-repository", "--repository-name", "team/app")
        password = _aws(host, "ecr", "get-login-password")
        login = tmp_path / "auth.json"
        commands: tuple[list[str | Path], ...] = (
            ["login", "--tls-verify=false", "--authfile", login, "-u", "AWS", "--password-stdin", host],
            [
                "copy",
                "--dest-tls-verify=false",
                "--authfile",
                login,
                f"oci:{layout}:v1",
                f"docker://{host}/team/app:v1",
            ],
        )
        for command in commands:
            done = subprocess.run([skopeo, *command], input=password, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
        listed = json.loads(_aws(host, "ecr", "list-images", "--repository-name", "team/app"))["imageIds"]
        assert [each["imageTag"] for each in listed] == ["v1"]


def test_a_home_without_access_keys_makes_one_that_only_its_owner_reads(tmp_path: Path) -> None:
    with served(tmp_path) as (host, said):
        credentials = tmp_path / "aws" / "credentials"
        assert any(str(credentials) in line for line in said)
        assert credentials.stat().st_mode & 0o077 == 0
        keys = {"AWS_SHARED_CREDENTIALS_FILE": str(credentials), "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
        assert json.loads(_aws(host, "sts", "get-caller-identity", **keys))["Account"] == "123456789012"
        assert host.startswith("127.0.0.1:")


def _image(folder: Path) -> Path:
    config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
    document = manifest(config)
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for data in (config, document):
        (blobs / digest_of(data).partition(":")[2]).write_bytes(data)
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    entry = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": digest_of(document),
        "size": len(document),
        "annotations": {"org.opencontainers.image.ref.name": "v1"},
    }
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return folder
