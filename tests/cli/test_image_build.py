"""`pipeyard image build` as its user calls it: files in, files and exit codes out."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest


class Result:
    def __init__(self, done: "subprocess.CompletedProcess[bytes]") -> None:
        self.code = done.returncode
        self.out = done.stdout
        self.err = done.stderr.decode(errors="replace")


class Shell:
    """A folder to call the program from, with a home of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "context").mkdir()

    def write(self, name: str, text: str) -> None:
        (self.root / "context" / name).write_text(text)

    def build(self, *arguments: str, given: bytes = b"", context: str = "context") -> Result:
        return self.call("image", "build", context, *arguments, given=given)

    def call(self, *arguments: str, given: bytes = b"", environment: "dict[str, str] | None" = None) -> Result:
        variables = {
            "HOME": str(self.root),
            "PATH": os.environ["PATH"],
            "PIPEYARD_HOME": str(self.root / "home"),
            "FROM_OUTSIDE": "outside",
            "PYTHONPATH": os.pathsep.join(sys.path),
            **(environment or {}),
        }
        command = [sys.executable, "-m", "pipeyard", *arguments]
        return Result(
            subprocess.run(command, input=given, cwd=self.root, env=variables, capture_output=True, check=False)
        )


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def config_of(archive: bytes) -> dict[str, object]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:

        def blob(name: str) -> dict[str, object]:
            return json.load(tar.extractfile(name))  # type: ignore[arg-type, no-any-return] # files of the layout

        def at(descriptor: object) -> str:
            assert isinstance(descriptor, dict)
            return f"blobs/{descriptor['digest'].replace(':', '/')}"

        manifests = blob("index.json")["manifests"]
        assert isinstance(manifests, list)
        return blob(at(blob(at(manifests[0]))["config"]))


def test_an_image_goes_to_a_file_and_its_digest_to_stdout(shell: Shell) -> None:
    shell.write("Dockerfile", "FROM scratch\nARG A\nARG FROM_OUTSIDE\nLABEL a=$A o=$FROM_OUTSIDE\nCOPY f /f\n")
    shell.write("f", "f")
    done = shell.build(
        "--build-arg", "A=1", "--build-arg", "FROM_OUTSIDE", "--label", "l=2", "--metadata-file", "meta.json",
        "--iidfile", "iid", "-o", "type=oci,dest=out.tar", "-t", "app:1",
    )  # fmt: skip
    assert done.code == 0, done.err
    config = config_of((shell.root / "out.tar").read_bytes())
    assert config["config"]["Labels"] == {"a": "1", "o": "outside", "l": "2"}  # type: ignore[index]
    metadata = json.loads((shell.root / "meta.json").read_text())
    assert metadata["containerimage.digest"] == done.out.decode().split()[-1]
    assert metadata["image.name"] == "app:1"
    assert metadata["containerimage.config.digest"] == (shell.root / "iid").read_text()
    assert "COPY f /f" in done.err


def test_a_second_build_is_cached_and_the_same(shell: Shell) -> None:
    shell.write("Dockerfile", "FROM scratch\nCOPY f /f\n")
    shell.write("f", "f")
    first, second = shell.build("--progress", "json"), shell.build("--progress", "json")
    assert first.out == second.out
    ended = [json.loads(line) for line in second.err.splitlines() if '"StepEnded"' in line]
    assert [report["cached"] for report in ended] == [True]


def test_the_image_goes_to_stdout_and_nothing_else_does(shell: Shell) -> None:
    shell.write("Dockerfile", "FROM scratch\nENV A=1\n")
    done = shell.build("-o", "type=oci,dest=-", "-q")
    assert done.code == 0, done.err
    assert "A=1" in str(config_of(done.out)["config"])
    assert done.out.endswith(bytes(1024))


def test_a_dockerfile_may_come_from_stdin(shell: Shell) -> None:
    shell.write("f", "f")
    assert shell.build("-f", "-", given=b"FROM scratch\nCOPY f /\n").code == 0
    assert shell.build(context="-", given=b"FROM scratch\nENV A=1\n").code == 0


def test_the_context_may_be_an_archive_on_stdin(shell: Shell) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, text in (("Dockerfile", b"FROM scratch\nCOPY d /\n"), ("d/f", b"f")):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    done = shell.build("-o", "out", context="-", given=out.getvalue())
    assert done.code == 0, done.err
    assert (shell.root / "out" / "f").read_text() == "f"


def test_the_context_may_be_a_folder_of_a_git_repository(shell: Shell) -> None:
    repository = shell.root / "project.git"
    (repository / "sub").mkdir(parents=True)
    (repository / "sub" / "Dockerfile").write_text("FROM scratch\nCOPY f /\n")
    (repository / "sub" / "f").write_text("f")
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], [*who, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], cwd=repository, check=True)
    done = shell.build("-o", "type=oci,dest=out.tar", context=f"file://{repository}#main:sub")
    assert done.code == 0, done.err
    assert str(config_of((shell.root / "out.tar").read_bytes())["created"]) > "2020"


def test_a_wrong_dockerfile_is_2_with_its_line(shell: Shell) -> None:
    shell.write("Dockerfile", "FROM scratch\nCOPPY f /\n")
    done = shell.build()
    assert done.code == 2
    assert "context/Dockerfile:2" in done.err
    assert "Traceback" not in done.err


def test_a_step_that_fails_is_1_and_writes_no_file(shell: Shell) -> None:
    shell.write("Dockerfile", "FROM scratch\nCOPY missing /\n")
    done = shell.build("-o", "type=oci,dest=out.tar")
    assert done.code == 1
    assert "missing" in done.err
    assert not (shell.root / "out.tar").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-o", "type=nonsense,dest=x"], "no known type"),
        (["--push"], "needs a name"),
        (["--secret", "src=x"], "has no id"),
        (["--build-context", "nothing"], "not of the form"),
        (["--platform", "a/b/c/d"], "is not a platform"),
        (["--target", "stage"], "could not be found"),
        (["--cache-to", "type=what"], "is not understood"),
        (["--memory", "lots"], "no number of bytes"),
        (["--ssh", "default"], "there is no agent"),
        (["--ssh", "default=missing"], "cannot be read"),
        (["--ssh", "a=context/Dockerfile"], "no private key"),
        (["--ssh", "a=x", "--ssh", "a=y"], "given twice"),
    ],
)
def test_wrong_options_are_2(shell: Shell, arguments: list[str], complaint: str) -> None:
    shell.write("Dockerfile", "FROM scratch\nENV A=1\n")
    done = shell.build(*arguments)
    assert done.code == 2
    assert complaint in done.err


def test_check_tells_and_builds_nothing(shell: Shell) -> None:
    shell.write("Dockerfile", "FROM scratch as x\nMAINTAINER me\n")
    done = shell.build("--check")
    assert done.code == 1
    assert "MaintainerDeprecated" in done.err
    assert not (shell.root / "home").exists()
    shell.write("Dockerfile", "FROM scratch AS x\nENV A=1\n")
    assert shell.build("--check").code == 0


def test_the_files_go_to_a_folder(shell: Shell) -> None:
    shell.write("Dockerfile", "FROM scratch\nCOPY f /deep/f\n")
    shell.write("f", "content")
    assert shell.build("-o", "out").code == 0
    assert (shell.root / "out" / "deep" / "f").read_text() == "content"


def test_a_local_cache_is_written_and_used(shell: Shell) -> None:
    shell.write("Dockerfile", "FROM scratch\nCOPY f /f\n")
    shell.write("f", "f")
    assert shell.build("--cache-to", "type=local,dest=cache,mode=max").code == 0
    (shell.root / "home").rename(shell.root / "gone")
    done = shell.build("--cache-from", "type=local,src=cache", "--progress", "json")
    assert done.code == 0, done.err
    ended = [json.loads(line) for line in done.err.splitlines() if '"StepEnded"' in line]
    assert [report["cached"] for report in ended] == [True]
