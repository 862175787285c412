"""`docker compose build` and `push` of builds, and the words of a Compose file."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeyard.buildspec.docker.compose import interpolated
from pipeyard.errors import InputError
from tests.buildspec.docker_yard import DockerYard

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
FILE = f"""\
x-args: &args
  GREETING: common
services:
  web:
    image: {HOST}/web:${{TAG:-dev}}
    build:
      context: ./web
      dockerfile: ../Dockerfile.web
      args:
        <<: *args
        NAME: ${{NAME}}
      tags: ["{HOST}/web:latest"]
  worker:
    build: ./web
    image: {HOST}/worker
  cache:
    image: redis:7
"""


@pytest.fixture
def docker(tmp_path: Path) -> DockerYard:
    yard = DockerYard(tmp_path)
    (yard.source / "web").mkdir()
    (yard.source / "web/Dockerfile").write_text("FROM environment:1\nRUN echo worker > /said\n")
    (yard.source / "Dockerfile.web").write_text(
        "FROM environment:1\nARG GREETING NAME\nRUN echo $GREETING $NAME > /said\n"
    )
    (yard.source / "docker-compose.yml").write_text(FILE)
    (yard.source / ".env").write_text("# names\nNAME='Ann B'\nTAG=env\n")
    return yard


def test_services_are_built_and_pushed_under_their_names_and_tags(docker: DockerYard) -> None:
    said = docker.run(
        "docker-compose --version && docker compose version --short",
        "TAG=v1 docker-compose -f docker-compose.yml build 2>/dev/null && TAG=v1 docker compose push -q",
        f"docker run --rm {HOST}/web:v1 /bin/cat /said && docker run --rm {HOST}/worker /bin/cat /said",
        "docker compose config --images",
    )
    assert said[0].startswith("Docker Compose version v2")
    tags = sorted((each.repository, tag) for each in docker.published for tag in each.tags)
    assert tags == [("web", "latest"), ("web", "v1"), ("worker", "latest")]
    assert "common Ann B" in said
    assert "worker" in said
    assert said[-3:] == [f"{HOST}/web:env", f"{HOST}/worker", "redis:7"]


def test_an_override_is_merged_and_one_service_is_built_alone(docker: DockerYard) -> None:
    (docker.source / "docker-compose.override.yml").write_text(
        "services: {web: {build: {args: {GREETING: overridden}}}}\n"
    )
    said = docker.run(
        "docker compose build --build-arg NAME=told web 2>/dev/null && docker images --format '{{.Repository}}'",
        f"docker run --rm {HOST}/web:env /bin/cat /said",
    )
    assert said[-1] == "overridden told"
    assert f"{HOST}/worker" not in said


def test_what_no_file_says_is_told(docker: DockerYard) -> None:
    said = docker.run(
        "docker compose build none 2>&1 || echo status $?",
        "docker compose up -d 2>&1 || echo status $?",
        "cd web && docker compose build 2>&1 || echo status $?",
        "printf 'services: {a: {image: \"${MUST:?be told}\"}}' > c.yml; docker compose -f c.yml build 2>&1 || echo $?",
    )
    assert "no such service: none" in said[0]
    assert "docker compose up is more than pipeyard's docker knows" in said[2]
    assert "no configuration file provided" in said[4]
    assert "c.yml:1: required variable MUST is missing a value: be told" in said[6]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$A ${A} $$A ${B-x} ${B:-x} ${E-x} ${E:-x} ${A:+y} ${E+y}${E:+y}", "a a $A x x  x y y"),
        ("cost 5$ ${", "cost 5$ ${"),
        ("${A:?no}$B!", "a!"),
    ],
)
def test_variables_are_put_in_as_the_specification_says(text: str, value: str) -> None:
    assert interpolated(text, {"A": "a", "E": ""}) == value


@settings(deadline=None)
@given(st.text(max_size=60))
def test_no_text_breaks_interpolation_but_by_an_error_of_ours(text: str) -> None:
    try:
        interpolated(text, {"A": "a"})
    except InputError:
        return
