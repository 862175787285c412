"""A push to `pipeyard serve` starts the pipelines whose ECR source names it: exactly once, whatever is killed."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.journeys.serving import serving as serving_yard
from tests.journeys.test_serve_executions import Client as Api
from tests.journeys.yard import Yard
from tests.registry.running import OCI_MANIFEST, Client, digest_of, manifest

CONFIG = b"{}"


def pipeline(name: str, mode: str = "QUEUED", **configuration: str) -> dict[str, Any]:
    """From an image to an approval that nobody gives: an execution lives as long as the test looks at it."""

    def action(category: str, provider: str, **more: Any) -> dict[str, Any]:
        kind = {"category": category, "owner": "AWS", "provider": provider, "version": "1"}
        return {"name": provider, "actionTypeId": kind, **more}

    source = action("Source", "ECR", configuration=configuration, outputArtifacts=[{"name": "Image"}])
    return {
        "name": name,
        "roleArn": "arn:aws:iam::123456789012:role/pipeline",
        "artifactStore": {"type": "S3", "location": "artifacts"},
        "pipelineType": "V2",
        "executionMode": mode,
        "variables": [{"name": "Tag", "defaultValue": "latest"}],
        "stages": [
            {"name": "Source", "actions": [source]},
            {"name": "Ask", "actions": [action("Approval", "Manual")]},
        ],
    }


class Server:
    def __init__(self, api: Api, port: int, pid: int) -> None:
        self.api, self.port, self.pid = api, port, pid
        self.registry = Client(port)

    def push(self, repository: str, tag: str, content: str) -> str:
        self.registry.push_blob(repository, CONFIG)
        data = manifest(CONFIG, annotations={"content": content})
        reply = self.registry("PUT", f"/v2/{repository}/manifests/{tag}", data, Content_Type=OCI_MANIFEST)
        assert reply.status == 201
        return digest_of(data)

    def executions(self, name: str) -> list[dict[str, Any]]:
        """Oldest first."""
        asked = self.api.api.list_pipeline_executions(pipelineName=name)
        found: list[dict[str, Any]] = asked["pipelineExecutionSummaries"]
        return found[::-1]

    def digests(self, name: str) -> list[str]:
        return [one["sourceRevisions"][0]["revisionId"] for one in self.executions(name) if one.get("sourceRevisions")]

    def until(self, name: str, wanted: list[str]) -> None:
        deadline = time.monotonic() + 60
        while self.digests(name) != wanted:
            assert time.monotonic() < deadline, (self.executions(name), wanted)
            time.sleep(0.1)


@contextmanager
def serving(yard: Yard) -> Iterator[Server]:
    with serving_yard(yard, "--anonymous", "push", PIPEYARD_START_ON_CREATE="false") as server:
        yield Server(Api(server), server.port, server.process.pid)


def test_a_push_starts_each_pipeline_that_names_its_tag_with_that_very_image(yard: Yard) -> None:
    with serving(yard) as server:
        api = server.api.api
        api.create_pipeline(pipeline=pipeline("newest", RepositoryName="team/app"))
        api.create_pipeline(pipeline=pipeline("variable", RepositoryName="team/app", ImageTag="#{variables.Tag}"))
        api.create_pipeline(pipeline=pipeline("other-tag", RepositoryName="team/app", ImageTag="stable"))
        api.create_pipeline(pipeline=pipeline("other", RepositoryName="team/other"))
        first = server.push("team/app", "latest", "first")
        server.until("newest", [first])
        second = server.push("team/app", "latest", "second")
        server.push("team/app", "latest", "second")
        server.push("team/app", "v2", "second")
        server.until("newest", [first, second])
        server.until("variable", [first, second])
        assert [server.executions(name) for name in ("other-tag", "other")] == [[], []]
        trigger = server.executions("newest")[0]["trigger"]
        assert trigger == {
            "triggerType": "CloudWatchEvent",
            "triggerDetail": "arn:aws:ecr:us-east-1:123456789012:repository/team/app",
        }


def test_what_a_run_beside_the_server_publishes_arrives_as_well(yard: Yard) -> None:
    context = yard.folder / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    yard.command("image", "build", context, "-t", "team/app")  # nobody listens yet
    with serving(yard) as server:
        server.api.api.create_pipeline(pipeline=pipeline("newest", RepositoryName="team/app"))
        (context / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /copied\n")
        yard.command("image", "build", context, "-t", "team/app")
        (row,) = yard.command("image", "ls", "team/app", "--json").json()["imageDetails"][:1]
        server.until("newest", [row["imageDigest"]])


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.2, 0.3, 0.4, 0.6])
def test_a_server_that_is_killed_after_a_push_starts_its_pipeline_once(yard: Yard, after_s: float) -> None:
    with serving(yard) as server:
        server.api.api.create_pipeline(pipeline=pipeline("newest", RepositoryName="team/app"))
        pushed = [server.push("team/app", "latest", f"{number}") for number in range(3)]
        time.sleep(after_s)
        os.kill(server.pid, signal.SIGKILL)
    with serving(yard) as server:
        server.until("newest", pushed)
        time.sleep(1.0)
        assert server.digests("newest") == pushed
        assert len(server.executions("newest")) == 3


def test_two_servers_of_one_home_start_a_pipeline_once(yard: Yard) -> None:
    with serving(yard) as one, serving(yard) as other:
        one.api.api.create_pipeline(pipeline=pipeline("newest", "PARALLEL", RepositoryName="team/app"))
        pushed = [(one, other)[number % 2].push("team/app", "latest", f"{number}") for number in range(4)]
        deadline = time.monotonic() + 60
        while len(one.executions("newest")) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(1.0)
        assert len(other.executions("newest")) == 4
        assert sorted(one.digests("newest")) == sorted(pushed)
