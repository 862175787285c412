"""Independent clients: skopeo, buildah and Docker's command line push to, pull from and delete in the registry."""

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from base64 import b64encode
from pathlib import Path

import pytest

from tests.registry.running import Client, registry_process

needs_skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
needs_buildah = pytest.mark.skipif(shutil.which("buildah") is None, reason="buildah is not installed")

# ./dev test fetches it where the machine has none.
DOCKER = shutil.which("docker", path=f"{os.defpath}{os.pathsep}{Path(__file__).parents[2] / '.cache/bin'}")
needs_docker = pytest.mark.skipif(DOCKER is None, reason="Docker's command line is not installed")


def layout(folder: Path) -> dict[str, bytes]:
    """An OCI layout with one small image tagged v1; gives its blobs by their hexadecimal digests."""
    blobs: dict[str, bytes] = {}

    def add(data: bytes, media_type: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": f"application/vnd.oci.image.{media_type}", "digest": f"sha256:{digest}", "size": len(data)}

    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        entry = tarfile.TarInfo("hello.txt")
        entry.size = 6
        archive.addfile(entry, io.BytesIO(b"hello\n"))
    layer = add(gzip.compress(tar.getvalue()), "layer.v1.tar+gzip")
    diff_id = "sha256:" + hashlib.sha256(tar.getvalue()).hexdigest()
    config = {"architecture": "amd64", "os": "linux", "config": {}}
    rootfs = {"type": "layers", "diff_ids": [diff_id]}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": add(json.dumps({**config, "rootfs": rootfs}).encode(), "config.v1+json"),
        "layers": [layer],
    }
    named = {"annotations": {"org.opencontainers.image.ref.name": "v1"}}
    entries = [{**add(json.dumps(manifest).encode(), "manifest.v1+json"), **named}]
    (folder / "blobs/sha256").mkdir(parents=True)
    for name, data in blobs.items():
        (folder / "blobs/sha256" / name).write_bytes(data)
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    return blobs


def run(home: Path, *command: str, fails: bool = False) -> str:
    """What a command prints; with `fails`, what it complains of."""
    environment = {"PATH": os.defpath, "HOME": str(home), "XDG_RUNTIME_DIR": str(home), "TMPDIR": str(home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr.lower() if fails else done.stdout


PUSH = ("skopeo", "copy", "--insecure-policy", "--dest-tls-verify=false")
PULL = ("skopeo", "copy", "--insecure-policy", "--src-tls-verify=false")


@needs_skopeo
def test_skopeo_pushes_pulls_lists_and_deletes(tmp_path: Path) -> None:
    blobs = layout(tmp_path / "in")
    with registry_process(tmp_path / "home", "--anonymous", "push") as server:
        target = f"docker://127.0.0.1:{server.port}/team/app"
        run(tmp_path, *PUSH, f"oci:{tmp_path}/in:v1", f"{target}:v1")
        run(tmp_path, *PULL, f"{target}:v1", f"oci:{tmp_path}/out:v1")
        for name, data in blobs.items():
            assert (tmp_path / "out/blobs/sha256" / name).read_bytes() == data
        assert json.loads(run(tmp_path, "skopeo", "list-tags", "--tls-verify=false", target))["Tags"] == ["v1"]
        run(tmp_path, "skopeo", "delete", "--tls-verify=false", f"{target}:v1")
        assert Client(server.port)("GET", "/v2/team/app/tags/list").json["tags"] == []


@needs_skopeo
def test_skopeo_pushes_and_pulls_dockers_schema_2(tmp_path: Path) -> None:
    layout(tmp_path / "in")
    with registry_process(tmp_path / "home", "--anonymous", "push") as server:
        target = f"docker://127.0.0.1:{server.port}/team/app:v1"
        run(tmp_path, *PUSH, "--format", "v2s2", f"oci:{tmp_path}/in:v1", target)
        stored = json.loads(run(tmp_path, "skopeo", "inspect", "--raw", "--tls-verify=false", target))
        assert stored["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
        run(tmp_path, *PULL, target, f"dir:{tmp_path}/out")
        config = stored["config"]["digest"].removeprefix("sha256:")
        assert json.loads((tmp_path / "out" / config).read_bytes())["rootfs"]["diff_ids"]


@needs_skopeo
def test_skopeo_copies_between_repositories(tmp_path: Path) -> None:
    layout(tmp_path / "in")
    with registry_process(tmp_path / "home", "--anonymous", "push") as server:
        host = f"docker://127.0.0.1:{server.port}"
        run(tmp_path, *PUSH, f"oci:{tmp_path}/in:v1", f"{host}/team/app:v1")
        run(tmp_path, *PUSH, "--src-tls-verify=false", f"{host}/team/app:v1", f"{host}/other/app:v1")
        assert Client(server.port)("GET", "/v2/other/app/tags/list").json["tags"] == ["v1"]


@needs_skopeo
def test_skopeo_signs_in_with_the_token_dialogue(tmp_path: Path) -> None:
    layout(tmp_path / "in")
    with registry_process(tmp_path / "home", PIPEYARD_USERS="ann:secret of ann") as server:
        target = f"docker://127.0.0.1:{server.port}/team/app:v1"
        push = (*PUSH, f"oci:{tmp_path}/in:v1", target)
        run(tmp_path, *push, "--dest-creds", "ann:secret of ann")
        assert "unauthorized" in run(tmp_path, *push, "--dest-creds", "ann:wrong", fails=True)
        assert "denied" in run(tmp_path, *push, fails=True)
        pull = ("skopeo", "inspect", "--tls-verify=false", target)
        assert json.loads(run(tmp_path, *pull, "--creds", "ann:secret of ann"))["Layers"]


@needs_skopeo
def test_a_password_is_made_when_no_users_are_configured_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    layout(tmp_path / "in")
    with registry_process(tmp_path / "home") as server:
        file = tmp_path / "home/registry/password"
        assert file.stat().st_mode & 0o777 == 0o600
        credentials = f"pipeyard:{file.read_text().strip()}"
        target = f"docker://127.0.0.1:{server.port}/team/app:v1"
        run(tmp_path, *PUSH, "--dest-creds", credentials, f"oci:{tmp_path}/in:v1", target)
        assert Client(server.port)("GET", "/v2/team/app/tags/list").status == 401


@needs_buildah
def test_buildah_pushes_and_pulls(tmp_path: Path) -> None:
    layout(tmp_path / "in")
    policy = tmp_path / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    buildah = ("buildah", "--root", f"{tmp_path}/root", "--runroot", f"{tmp_path}/run", "--storage-driver", "vfs")
    trust = ("--signature-policy", str(policy))
    tried = subprocess.run(
        [*buildah, "pull", *trust, f"oci:{tmp_path}/in:v1"], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        pytest.skip(f"buildah does not work here: {tried.stderr.strip().splitlines()[-1]}")
    image = tried.stdout.strip().splitlines()[-1]
    with registry_process(tmp_path / "home", "--anonymous", "push") as server:
        target = f"docker://127.0.0.1:{server.port}/team/app:b"
        run(tmp_path, *buildah, "push", *trust, "--tls-verify=false", image, target)
        run(tmp_path, *buildah, "rmi", image)
        run(tmp_path, *buildah, "pull", *trust, "--tls-verify=false", target)


@needs_skopeo
@needs_docker
def test_the_library_of_dockers_command_line_signs_in_pushes_and_pulls(tmp_path: Path) -> None:
    """`docker manifest` needs no engine: docker/cli's own registry client does it."""
    layout(tmp_path / "in")
    with registry_process(tmp_path / "home", PIPEYARD_USERS="ann:secret") as server:
        host = f"127.0.0.1:{server.port}"
        auth = {"auths": {host: {"auth": b64encode(b"ann:secret").decode()}}}
        (tmp_path / "config.json").write_text(json.dumps(auth))
        docker = (str(DOCKER), "--config", str(tmp_path), "manifest")
        push = (*PUSH, "--format", "v2s2", "--dest-creds=ann:secret", f"oci:{tmp_path}/in:v1")
        run(tmp_path, *push, f"docker://{host}/team/app:v1")
        run(tmp_path, *docker, "create", "--insecure", f"{host}/team/app:list", f"{host}/team/app:v1")
        digest = run(tmp_path, *docker, "push", "--insecure", f"{host}/team/app:list").splitlines()[-1]
        listed = json.loads(run(tmp_path, *docker, "inspect", "--insecure", f"{host}/team/app:list"))
        assert [each["platform"]["architecture"] for each in listed["manifests"]] == ["amd64"]
        client = Client(server.port, "Basic " + b64encode(b"ann:secret").decode())
        assert client("GET", "/v2/team/app/manifests/list").headers["docker-content-digest"] == digest
        (child,) = listed["manifests"]
        image = client("GET", f"/v2/team/app/manifests/{child['digest']}").json
        for part in (image["config"], *image["layers"]):
            assert client("HEAD", f"/v2/team/app/blobs/{part['digest']}").status == 200
        (tmp_path / "config.json").write_text("{}")
        assert "no basic auth credentials" in run(
            tmp_path, *docker, "inspect", "--insecure", f"{host}/team/app@{child['digest']}", fails=True
        )
