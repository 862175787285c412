"""What `pipeyard image build` leaves behind: the same bytes everywhere, whole images in real registries."""

import base64
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_image_build import Shell
from tests.registry_client.processes import docker_registry, own_registry


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture(params=["docker-registry", "pipeyard"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "served"
    own = request.param == "pipeyard"
    with own_registry(folder, "--anonymous", "push") if own else docker_registry(folder) as host:
        yield host


def documents(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        members = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
        return {name: stream.read() for name, stream in members.items() if stream is not None}


def test_an_image_is_pushed_under_all_its_names_and_can_be_a_base_from_there(shell: Shell, registry: str) -> None:
    shell.write("Dockerfile", "FROM scratch\nCOPY f /f\nLABEL a=b\n")
    shell.write("f", "f")
    pushed = shell.build("-t", f"{registry}/team/app:1", "-t", f"{registry}/team/app:2", "--push")
    assert pushed.code == 0, pushed.err
    digest = pushed.out.decode().split()[-1]
    shell.write("Dockerfile", f"FROM {registry}/team/app:2@{digest}\nCOPY f /g\n")
    fresh = {"PIPEYARD_HOME": str(shell.root / "another")}
    arguments = ("image", "build", "context", "-o", "type=tar,dest=out.tar")
    pulled = shell.call(*arguments, environment=fresh)
    assert pulled.code == 0, pulled.err
    with tarfile.open(shell.root / "out.tar") as tar:
        assert {"f", "g"} <= set(tar.getnames())


def test_a_quiet_build_prints_the_digest_alone(shell: Shell) -> None:
    shell.write("Dockerfile", "FROM scratch\nLABEL a=b\n")
    told = shell.build("-t", "app:1")
    quiet = shell.build("-t", "app:1", "-q")
    assert (told.code, quiet.code) == (0, 0), told.err + quiet.err
    digest = told.out.decode().split()[-1]
    assert digest.startswith("sha256:")
    assert told.out.decode() == f"app:1\n{digest}\n"
    assert (quiet.out.decode(), quiet.err) == (f"{digest}\n", type(quiet.err)())


def test_several_platforms_are_pushed_as_one_index(shell: Shell, registry: str) -> None:
    shell.write("Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /arch\n")
    shell.write("amd64", "amd64")
    shell.write("arm64", "arm64")
    done = shell.build("--platform", "linux/amd64,linux/arm64", "-t", f"{registry}/team/app:1", "--push")
    assert done.code == 0, done.err
    for architecture in ("amd64", "arm64"):
        shell.write("Dockerfile", f"FROM --platform=linux/{architecture} {registry}/team/app:1\nLABEL x=y\n")
        taken = shell.build("--platform", f"linux/{architecture}", "-o", "type=local,dest=" + architecture)
        assert taken.code == 0, taken.err
        assert (shell.root / architecture / "arch").read_text() == architecture


def test_a_foreign_platform_without_run_needs_no_emulator(shell: Shell) -> None:
    shell.write("Dockerfile", "FROM scratch\nCOPY f /f\nWORKDIR /w\n")
    shell.write("f", "f")
    done = shell.build("--platform", "linux/arm64/v8,linux/s390x", "-o", "type=oci,dest=out.tar")
    assert done.code == 0, done.err
    found = documents(shell.root / "out.tar")
    root = json.loads(found["index.json"])["manifests"][0]
    index = json.loads(found[f"blobs/{root['digest'].replace(':', '/')}"])
    platforms = [member["platform"]["architecture"] for member in index["manifests"]]
    assert platforms[:2] == ["arm64", "s390x"]


@pytest.mark.skipif(os.path.exists("/proc/sys/fs/binfmt_misc/qemu-s390x"), reason="this machine runs programs of s390x")
def test_a_run_for_a_platform_that_cannot_run_here_is_told_before_it_starts(shell: Shell) -> None:
    shutil.copy(shutil.which("busybox") or sys.executable, shell.root / "context" / "busybox")
    shell.write("Dockerfile", "FROM scratch\nCOPY busybox /bin/sh\nRUN :\n")
    done = shell.build("--platform", "linux/s390x", "-o", "type=oci,dest=out.tar")
    assert done.code == 1
    assert "cannot run programs for linux/s390x" in done.err
    assert "binfmt_misc" in done.err


ARCHIVE = (
    "H4sIAAAAAAACA+3TMQ6CQBAF0DmKNwB1Wc6DFbYoCcdnIaGhodKQ8F7zJ7+Z6k9VF79WFzmlNYt9Fo/tvrfN0udnTnGr4w/Gz7cb"
    "ysu4pv4dXNhUvc65/8b+7R8AAAAAAAAAgCMzM25ZjwAoAAA="
)  # x/a and x/b, as .tar.gz in base64
DOCKERFILE = """FROM scratch
COPY --chmod=u=rwX,go=rX . /all/
ADD data.tar.gz /added/
COPY <<EOF /here
text
EOF
WORKDIR /w/d
ENV A=b
"""


@pytest.mark.parametrize("form", ["folder", "umask", "time zone", "locale", "threads", "user"])
def test_the_digest_depends_on_nothing_but_the_inputs(tmp_path: Path, form: str) -> None:
    if form == "user" and os.geteuid() != 0:
        pytest.skip("only root can become another user")
    digests = []
    for at in range(2):
        root = tmp_path / ("one" if at == 0 or form != "folder" else "a longer name") / str(at)
        root.mkdir(parents=True)
        shell = Shell(root)
        old = os.umask(0o077 if at and form == "umask" else 0o022)
        try:
            _fill(shell.root / "context")
            environment = {}
            if at and form == "time zone":
                environment["TZ"] = "Pacific/Chatham"
            if at and form == "locale":
                environment |= {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "PYTHONUTF8": "0"}
            arguments = ("image", "build", "context", "-o", "type=oci,dest=out.tar")
            if at and form == "threads":
                digests.append(_on_one_core(shell, *arguments))
                continue
            done = shell.call(*arguments, environment=environment)
            assert done.code == 0, done.err
            digests.append(done.out.decode().split()[-1])
            if at and form == "user":
                digests.append(_as_nobody(shell, *arguments))
        finally:
            os.umask(old)
    assert len(set(digests)) == 1


def _fill(context: Path) -> None:
    for at in range(40):
        path = context / f"d{at % 5}" / f"f\u00e9\u0131{at}"
        path.parent.mkdir(exist_ok=True)
        path.parent.chmod(0o755)
        path.write_bytes(bytes([at]) * at * 100)
        path.chmod(0o755 if at % 3 else 0o644)
    (context / "Dockerfile").write_text(DOCKERFILE)
    (context / "Dockerfile").chmod(0o644)
    archive = context / "data.tar.gz"
    archive.write_bytes(base64.b64decode(ARCHIVE))
    archive.chmod(0o644)


def _on_one_core(shell: Shell, *arguments: str) -> str:
    program = "import os, sys; os.cpu_count = lambda: 1; from pipeyard.__main__ import main; sys.exit(main())"
    environment = {
        "HOME": str(shell.root),
        "PATH": os.environ["PATH"],
        "PIPEYARD_HOME": str(shell.root / "home"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, "-c", program, *arguments]
    return (
        subprocess.run(command, cwd=shell.root, env=environment, capture_output=True, check=True)
        .stdout.decode()
        .split()[-1]
    )


def _as_nobody(shell: Shell, *arguments: str) -> str:
    """In a home of that user's own. Skips where the interpreter is not theirs to read."""
    nobody = 65534
    own = shell.root / "own"
    own.mkdir()
    os.chown(own, nobody, nobody)
    for folder in (own, *own.parents):
        if folder != folder.parent and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    environment = {"HOME": str(own), "PIPEYARD_HOME": str(own / "home"), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "pipeyard", "image", "build", str(shell.root / "context"), "-o", "type=oci,dest=o"]
    try:
        done = subprocess.run(
            command,
            cwd=own,
            env=environment,
            capture_output=True,
            check=False,
            user=nobody,
            group=nobody,
            extra_groups=[],
        )
    except PermissionError:
        pytest.skip("another user cannot start this interpreter")
    if b"Permission denied" in done.stderr or b"No module named" in done.stderr:
        pytest.skip("another user cannot read this program")
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().split()[-1]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("FROM scratch AS Build\nCOPY f /\n", "StageNameCasing"),
        ("from scratch\nCOPY f /\n", "ConsistentInstructionCasing"),
        ("FROM scratch\nENV a b\n", "LegacyKeyValueFormat"),
        ("FROM scratch\nMAINTAINER me\n", "MaintainerDeprecated"),
        ("FROM scratch\nWORKDIR w\n", "WorkdirRelativePath"),
        ("FROM scratch\nCMD run me\n", "JSONArgsRecommended"),
        ("FROM scratch\nARG PASSWORD\n", "SecretsUsedInArgOrEnv"),
        ("FROM scratch\nCOPY f $NAME\n", "UndefinedVar"),
    ],
)
def test_a_check_names_the_rule(shell: Shell, text: str, rule: str) -> None:
    shell.write("Dockerfile", text)
    shell.write("f", "f")
    done = shell.build("--check")
    assert done.code == 1
    assert rule in done.out.decode() + done.err
