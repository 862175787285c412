"""`pipeyard run --publish ecr`, from a commit to a tag that ECR's API and a registry process hold."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.projects import Project, make_project
from tests.journeys.yard import Yard, ended, free_port, until_open
from tests.registry.running import Client
from tests.registry_client.processes import own_registry
from tests.service.moto_server import HOST, KEYS, PASSWORD, clients_of, moto_server
from tests.source.git_repositories import commit


class Cloud:
    """An account: the API by moto, the blobs in a registry that takes moto's token for a password."""

    def __init__(self, aws: str, registry: str, home: Path) -> None:
        self.ecr = clients_of(aws)("ecr", "")
        self.port = int(registry.rpartition(":")[2])
        self.home = home
        self.environment = {**KEYS, "AWS_ENDPOINT_URL": aws}


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    with ExitStack() as stack:
        aws = stack.enter_context(moto_server())
        registry = stack.enter_context(own_registry(tmp_path / "cloud", "--anonymous", "pull", users=f"AWS:{PASSWORD}"))
        yield Cloud(aws, registry, tmp_path / "cloud")


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


def publish(yard: Yard, project: Project, environment: dict[str, str], code: int = 0) -> dict[str, Any]:
    arguments = ("run", project.template, "--source", f"Checkout={project.repository}", "--publish", "ecr", "--json")
    return yard.command(*arguments, code=code, **environment).json()


def test_a_run_publishes_to_ecr_with_its_login(yard: Yard, cloud: Cloud) -> None:
    project = make_project(yard.folder, yard.publish_base())
    (yard.folder / "pipeyard.toml").write_text(f'[registries."{HOST}"]\naddress = "http://127.0.0.1:{cloud.port}"\n')
    missing = publish(yard, project, cloud.environment, code=1)
    error = missing["stages"][1]["actions"][0]["error"]["message"]
    assert "there is no ECR repository team/app" in error
    cloud.ecr.create_repository(repositoryName="team/app")
    answer = publish(yard, project, cloud.environment)
    (image,) = answer["published"]
    assert image["repository"] == f"{HOST}/team/app"
    assert image["references"] == [f"{HOST}/team/app:{project.commit}", f"{HOST}/team/app:latest"]
    client = Client(cloud.port)
    for tag in (project.commit, "latest"):
        assert client("GET", f"/v2/team/app/manifests/{tag}").headers["docker-content-digest"] == image["digest"]


def test_a_repository_that_is_wanted_is_made_and_its_fixed_tags_are_explained(yard: Yard, cloud: Cloud) -> None:
    project = make_project(yard.folder, yard.publish_base())
    (yard.folder / "pipeyard.toml").write_text(
        f'create_repository = true\n[registries."{HOST}"]\naddress = "http://127.0.0.1:{cloud.port}"\n'
    )
    first = publish(yard, project, cloud.environment)
    assert cloud.ecr.describe_repositories()["repositories"][0]["repositoryName"] == "team/app"
    yard.command("registry", "immutable", "team/app", PIPEYARD_HOME=str(cloud.home))
    again = publish(yard, project, cloud.environment)
    assert again["published"] == first["published"], "the tags name these very images already"
    newer = commit(project.repository, {"service/static/more.txt": "more"}, "more")
    refused = publish(yard, project, cloud.environment, code=1)
    message = refused["stages"][1]["actions"][0]["error"]["message"]
    assert "immutable" in message
    assert f"tag {newer} is set, tag latest is not set" in message
    assert "put-image-tag-mutability" in json.dumps(refused) or "let a tag move" in json.dumps(refused)


def test_our_own_server_stands_for_ecr_and_its_api(yard: Yard, tmp_path: Path) -> None:
    project = make_project(yard.folder, yard.publish_base())
    port = free_port()
    keys = {"PIPEYARD_ACCESS_KEYS": "AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI"}
    with ended(yard.start("serve", "--port", str(port), PIPEYARD_HOME=str(tmp_path / "cloud"), **keys)) as server:
        until_open(port, server)
        environment = {
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "PIPEYARD_CREATE_REPOSITORY": "true",
        }
        (yard.folder / "pipeyard.toml").write_text(f'[registries."{HOST}"]\naddress = "http://127.0.0.1:{port}"\n')
        (image,) = publish(yard, project, environment)["published"]
        assert image["repository"] == f"{HOST}/team/app"
    listed = yard.command("image", "ls", "--json", PIPEYARD_HOME=str(tmp_path / "cloud")).json()["imageDetails"]
    assert [row["imageDigest"] for row in listed if row["repositoryName"] == "team/app"] == [image["digest"]]
