"""The `docker` of builds: its flags and templates, its client in a real shell, its images through the real builder."""

import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeyard.buildspec.docker.options import read_options
from pipeyard.buildspec.docker.serving import Call, Channel, serving
from pipeyard.buildspec.docker.templates import render
from pipeyard.errors import InputError
from pipeyard.threads import StopSignal
from tests.buildspec.docker_yard import DockerYard


def test_flags_are_read_as_dockers_own_command_line_reads_them() -> None:
    found = read_options(
        ["-t", "a", "--tag=b", "-tc", "-qf", "x", ".", "--push=false", "--", "-z"],
        valued="tag file",
        switches="quiet push",
        short={"t": "tag", "f": "file", "q": "quiet"},
    )
    assert found.all("tag") == ("a", "b", "c")
    assert (found.last("file"), found.on("quiet"), found.on("push")) == ("x", True, False)
    assert found.words == (".", "-z")


@pytest.mark.parametrize("arguments", [["--nope"], ["-z"], ["--tag"], ["-t"]])
def test_an_unknown_flag_and_a_missing_value_are_told_in_dockers_words(arguments: list[str]) -> None:
    with pytest.raises(InputError, match=r"unknown flag|unknown shorthand flag|needs an argument"):
        read_options(arguments, valued="tag", switches="", short={"t": "tag"})


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Id}}", "sha256:1"),
        ("{{index .RepoDigests 0}}", "a@sha256:2"),
        ("{{json .Config.Labels}}", '{"a": "b"}'),
        ("{{ .Config.Labels | json }}", '{"a": "b"}'),
        ('{{index .Config.Labels "a"}}', "b"),
        ("{{range .RepoDigests}}<{{.}}>{{end}}", "<a@sha256:2>"),
        ("{{len .RepoDigests}} {{.Size}}", "1 7"),
        ("{{.Config.Labels}}", "map[a:b]"),
    ],
)
def test_templates_give_what_go_gives(template: str, text: str) -> None:
    document = {"Id": "sha256:1", "RepoDigests": ["a@sha256:2"], "Size": 7, "Config": {"Labels": {"a": "b"}}}
    assert render(template, document) == text


@given(st.text(alphabet='{}.| rangeidxjson"0aI', max_size=40))
def test_no_template_fails_but_with_an_error_of_ours(template: str) -> None:
    try:
        render(template, {"Id": "x", "a": ["y"]})
    except InputError as error:
        told = error.message
        assert told


def test_a_client_that_was_killed_before_it_listened_does_not_keep_the_server(tmp_path: Path) -> None:
    def answer(call: Call, channel: Channel) -> int:
        return 0

    folder = tmp_path / "docker"
    done = threading.Event()

    def serve() -> None:
        with serving(folder, answer, StopSignal()):
            request = folder / "r.1"
            request.mkdir()
            for name in ("out", "err", "end"):
                (request / name).write_text("")  # no pipes: a client that is no client of ours
            (folder / "requests").open("w").write("r.1\nr.2\n../escape\n")
        done.set()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    thread.join(20)
    assert done.is_set()


@pytest.fixture
def docker(tmp_path: Path) -> DockerYard:
    return DockerYard(tmp_path)


def test_what_was_built_is_listed_inspected_tagged_run_and_removed(docker: DockerYard) -> None:
    said = docker.run(
        "docker build -q -t app:1 . > id && docker tag app:1 other/app",
        'test "$(cat id)" = "$(docker inspect -f "{{.Id}}" app:1)" && echo same',
        "docker images --format '{{.Repository}}:{{.Tag}}' | sort",
        "docker inspect app:1 > $CODEBUILD_SRC_DIR/inspected",
        "docker run --rm -e GREETING=hello app:1",
        "docker run --rm app:1 /bin/sh -c 'exit 7' || echo status $?",
        "docker rmi app:1",
        "docker inspect app:1 || echo gone $?",
    )
    assert said[:3] == ["same", "app:1", "other/app:latest"]
    assert said[3:5] == ["hello", "status 7"]
    assert said[-1] == "gone 1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only a process that is root of its namespace, as the commands are, can")
def test_a_folder_of_the_build_is_mounted_in_a_container(docker: DockerYard) -> None:
    said = docker.run(
        "docker build -q -t app:1 . > id",
        "docker run --rm -v $PWD/shared:/shared app:1 /bin/sh -c 'echo written > /shared/file' && cat shared/file",
    )
    assert said[-1] == "written"


def test_a_name_of_ecr_goes_to_the_embedded_registry_whatever_the_account(docker: DockerYard) -> None:
    host = "999988887777.dkr.ecr.eu-west-1.amazonaws.com"
    said = docker.run(
        f"aws ecr get-login-password --region eu-west-1 | docker login -u AWS --password-stdin {host}",
        f"docker build -t {host}/team/app:1 -t {host}/team/app:2 . 2>/dev/null && docker push -a {host}/team/app",
        f"docker inspect --format '{{{{index .RepoDigests 0}}}}' {host}/team/app:1",
    )
    assert said[0] == "Login Succeeded"
    assert [each.repository for each in docker.published] == ["team/app", "team/app"]
    assert said[-1] == f"{host}/team/app@{docker.published[0].digest}"
    assert sorted(tag for each in docker.published for tag in each.tags) == ["1", "2"]


def test_an_image_just_built_is_a_base_and_secrets_and_arguments_arrive(docker: DockerYard) -> None:
    said = docker.run(
        "docker build -t base . 2>/dev/null",
        "printf 'FROM base\\nARG WHO\\nRUN --mount=type=secret,id=s echo $WHO $(cat /run/secrets/s) > /said\\n' > D",
        "export WHO=me SECRET=hidden; docker build --build-arg WHO --secret id=s,env=SECRET -t top -f D . 2>/dev/null",
        "docker run --rm top /bin/cat /said",
    )
    assert said == ["me hidden"]


def test_failures_have_dockers_exit_codes(docker: DockerYard) -> None:
    said = docker.run(
        "docker push nothing:1 || echo push $?",
        "docker build --nope . 2>/dev/null || echo flag $?",
        "docker build missing 2>/dev/null || echo context $?",
        "printf 'FROM scratch\\nRUN false\\n' | docker build - 2>/dev/null || echo build $?",
        "docker compose up 2>/dev/null || echo unknown $?",
        "docker info >/dev/null && docker version --format '{{.Server.Version}}' >/dev/null && echo alive",
    )
    told = [line for line in said if line.split()[0] in ("push", "flag", "context", "build", "unknown", "alive")]
    assert told == ["push 1", "flag 125", "context 1", "build 1", "unknown 1", "alive"]


def test_a_context_that_links_to_this_machine_is_not_read(docker: DockerYard) -> None:
    said = docker.run("ln -s /usr out; docker build out 2>&1 || echo refused")
    assert said[-1] == "refused"
    assert "is not in a folder that docker can read" in said[0]


def test_the_aws_of_builds_answers_what_the_classic_buildspec_asks(docker: DockerYard) -> None:
    said = docker.run(
        "aws sts get-caller-identity --query Account --output text",
        "$(aws ecr get-login --no-include-email --region us-east-1) 2>/dev/null",
        "aws s3 ls 2>/dev/null || echo $?",
    )
    assert said == ["123456789012", "Login Succeeded", "252"]
    assert json.loads("".join(docker.run("aws sts get-caller-identity")))["Account"] == "123456789012"
