"""`pipeyard image build` as people type it who come from docker build and buildx, buildah bud or kaniko."""

import json
import os
import shutil
import socket
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_image_build import Shell, config_of

PLAIN = "FROM scratch\nCOPY f /f\n"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.write("Dockerfile", PLAIN)
    made.write("f", "f")
    return made


def busybox_context(shell: Shell, dockerfile: str) -> None:
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("needs busybox for RUN")
    shutil.copy(busybox, shell.root / "context" / "busybox")
    shell.write("Dockerfile", f"FROM scratch\nCOPY busybox /bin/sh\nCOPY busybox /bin/busybox\n{dockerfile}")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--pull"], ["--pull=false"], ["--load"], ["--progress", "tty"], ["--progress=rawjson"], ["--call", "build"],
        ["-o", "type=docker"], ["-o", "type=image,name=app:2,push=false"], ["-o", "type=cacheonly"],
        ["-o", 'type=image,"name=app:1,app:2",compression=zstd,oci-mediatypes=true'], ["--output=type=registry"],
    ],
)  # fmt: skip
def test_options_of_buildx_are_known(shell: Shell, arguments: list[str]) -> None:
    done = shell.build(*arguments)
    if "registry" in arguments[-1]:
        assert (done.code, "needs a name" in done.err) == (2, True)
    else:
        assert done.code == 0, done.err


@pytest.mark.parametrize(
    "arguments",
    [["--rm"], ["--force-rm"], ["--compress"], ["-D"], ["--builder", "b"], ["--cgroup-parent=x"], ["--layers"]],
)
def test_options_that_mean_nothing_here_are_told_and_taken(shell: Shell, arguments: list[str]) -> None:
    done = shell.build(*arguments)
    assert done.code == 0, done.err
    assert "has no effect here" in done.err
    assert done.out.startswith(b"sha256:")


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["--squash"], "COPY --from"),
        (["--destination", "example.com/app"], "-t NAME --push"),
        (["--dockerfile=x"], "-f FILE"),
        (["--context", "."], "the context is an argument"),
        (["--no-push"], "leave it out"),
        (["--tls-verify=false"], "--insecure-registry"),
        (["--timestamp", "0"], "SOURCE_DATE_EPOCH"),
        (["--format", "docker"], "OCI"),
        (["--security-opt", "seccomp=unconfined"], "--allow security.insecure"),
        (["-o", "type=local,dest=x,mode=delete"], "known are"),
        (["-o", "type=oci,dest=x,compression=estargz"], "gzip or zstd"),
        (["-o", "type=image,oci-mediatypes=false"], "OCI"),
        (["--secret", "id=a,sorce=x"], "known are"),
        (["--attest", "type=x"], "sbom and provenance"),
        (["--sbom=generator=image"], "without one"),
        (["--ulimit", "files=3"], "known are"),
        (["--ulimit", "nofile=x"], "NAME=SOFT"),
        (["--ulimit", "nofile=9:3"], "above the hard one"),
        (["--shm-size", "much"], "512m"),
        (["--add-host", "db:nowhere"], "NAME:ADDRESS"),
        (["--add-host", "::1"], "NAME:ADDRESS"),
        (["--call", "outline"], "'build', 'check'"),
        (["--pull=always"], "neither true nor false"),
    ],
)
def test_what_is_not_known_is_answered_with_what_to_write(shell: Shell, arguments: list[str], advice: str) -> None:
    done = shell.build(*arguments)
    assert done.code == 2, done.err
    assert advice in done.err
    assert "Traceback" not in done.err


def test_load_keeps_the_image_beside_a_file(shell: Shell) -> None:
    assert shell.build("-t", "app:1", "-o", "type=oci,dest=out.tar", "--load").code == 0
    assert b"app" in shell.call("image", "ls").out
    assert (shell.root / "out.tar").exists()


def test_files_alone_publish_nothing(shell: Shell) -> None:
    for output in ("type=oci,dest=out.tar", "out", "type=cacheonly"):
        assert shell.build("-t", "app:1", "-o", output).code == 0
    assert b"app" not in shell.call("image", "ls").out


def test_an_output_names_compression_and_annotations(shell: Shell) -> None:
    output = "type=oci,dest=out,tar=false,compression=zstd,annotation.a=b,annotation-index.c=d"
    done = shell.build("--platform", "linux/amd64,linux/arm64", "-o", output)
    assert done.code == 0, done.err
    index = _document(shell, done.out.decode().split()[-1])
    assert index["annotations"] == {"c": "d"}
    manifest = _document(shell, index["manifests"][0]["digest"])
    assert manifest["annotations"] == {"a": "b"}
    assert manifest["layers"][0]["mediaType"].endswith("+zstd")


def _document(shell: Shell, digest: str) -> Any:
    return json.loads((shell.root / "out/blobs" / digest.replace(":", "/")).read_text())


def test_the_metadata_file_has_buildxs_fields(shell: Shell) -> None:
    done = shell.build("-t", "app:1", "-t", "app:2", "--metadata-file", "deep/meta.json", "--iidfile", "iid")
    assert done.code == 0, done.err
    metadata = json.loads((shell.root / "deep/meta.json").read_text())
    assert set(metadata) == {
        "containerimage.config.digest", "containerimage.descriptor", "containerimage.digest", "image.name",
    }  # fmt: skip
    assert metadata["image.name"] == "app:1,app:2"
    assert metadata["containerimage.descriptor"]["digest"] == metadata["containerimage.digest"]
    assert metadata["containerimage.descriptor"]["platform"]["os"] == "linux"
    assert (shell.root / "iid").read_text() == metadata["containerimage.config.digest"]


def test_an_index_has_no_configuration_and_its_provenance_stands_in_the_metadata(shell: Shell) -> None:
    done = shell.build(
        "--platform", "linux/amd64,linux/arm64", "--attest", "type=provenance,mode=min", "--metadata-file", "m",
        "--iidfile", "iid",
    )  # fmt: skip
    assert done.code == 0, done.err
    metadata = json.loads((shell.root / "m").read_text())
    assert "containerimage.config.digest" not in metadata
    assert (shell.root / "iid").read_text() == metadata["containerimage.digest"] == done.out.decode().split()[-1]
    for platform in ("linux/amd64", "linux/arm64"):
        assert "buildDefinition" in metadata[f"buildx.build.provenance/{platform}"]


def test_what_is_no_file_is_written_to_and_stays_what_it_is(shell: Shell) -> None:
    os.mkfifo(shell.root / "pipe")
    reader = os.open(shell.root / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        done = shell.build("--iidfile", "pipe", "-o", "type=oci,dest=/dev/null")
        assert done.code == 0, done.err
        assert os.read(reader, 1000).startswith(b"sha256:")
    finally:
        os.close(reader)
    assert (shell.root / "pipe").is_fifo()
    assert not Path("/dev/null").is_file()


def test_the_arguments_of_a_run_reach_it(shell: Shell) -> None:
    busybox_context(
        shell,
        "RUN /bin/busybox df -k /dev/shm > /shm; ulimit -n > /files; ulimit -Hn >> /files;"
        " /bin/busybox cat /etc/hosts > /names\n",
    )
    done = shell.build(
        "--shm-size", "3m", "--ulimit", "nofile=77:99", "--add-host", "db=10.0.0.7", "--add-host", "me:host-gateway",
        "--add-host", "six=[fe80::1]", "-o", "out",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert " 3072 " in (shell.root / "out/shm").read_text()
    assert (shell.root / "out/files").read_text().split() == ["77", "99"]
    names = (shell.root / "out/names").read_text()
    assert "10.0.0.7\tdb" in names
    assert "127.0.0.1\tme" in names
    assert "fe80::1\tsix" in names


def test_a_short_name_is_pulled_from_its_registry_and_not_taken_from_here(shell: Shell) -> None:
    assert shell.build("-t", "base:1").code == 0
    shell.write("Dockerfile", "FROM base:1\nLABEL a=b\n")
    assert shell.build().code == 0
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        mirror = f"docker.io=http://127.0.0.1:{closed.getsockname()[1]}"
        done = shell.build("--pull", "--registry-mirror", mirror)
    assert done.code == 1
    assert "127.0.0.1" in done.err


def test_attestations_are_files_of_a_local_output(shell: Shell) -> None:
    done = shell.build("--provenance", "--sbom", "-o", "type=tar,dest=out.tar")
    assert done.code == 0, done.err
    with tarfile.open(shell.root / "out.tar") as tar:
        assert sorted(tar.getnames()) == ["f", "provenance.json", "sbom.spdx.json"]
    assert shell.build("--attest", "type=sbom", "-o", "type=local,dest=o,attestation-prefix=my.").code == 0
    assert sorted(os.listdir(shell.root / "o")) == ["f", "my.sbom.spdx.json"]


def test_quotes_keep_commas_in_values(shell: Shell) -> None:
    done = shell.build("-o", 'type=oci,"dest=a,b.tar"')
    assert done.code == 0, done.err
    assert config_of((shell.root / "a,b.tar").read_bytes())
