"""CodeBuild's build batches on `pipeyard serve`."""

from typing import Any

from tests.journeys.serving import serving, until
from tests.journeys.test_serve_builds import HOST, lines, phases, project
from tests.journeys.yard import Yard
from tests.source.git_repositories import make_repository

GRAPH = """\
version: 0.2
batch:
  fast-fail: false
  build-graph:
    - {identifier: first, env: {variables: {WHO: Ann}}}
    - {identifier: broken, ignore-failure: true, buildspec: broken.yml}
    - {identifier: last, depend-on: [first], buildspec: last.yml}
phases:
  build:
    commands:
      - echo "$CODEBUILD_BATCH_BUILD_IDENTIFIER is for $WHO at $CODEBUILD_RESOLVED_SOURCE_VERSION"
"""
FILES = {
    "buildspec.yml": GRAPH,
    "broken.yml": "version: 0.2\nphases: {build: {commands: [exit 1]}}\n",
    "last.yml": "version: 0.2\nphases: {build: {commands: [echo last]}}\n",
}
GITHUB = {"type": "GITHUB", "location": "https://github.com/team/app.git"}


def ended(codebuild: Any, batch_id: str) -> dict[str, Any]:
    def look() -> Any:
        (batch,) = codebuild.batch_get_build_batches(ids=[batch_id])["buildBatches"]
        return batch if batch["complete"] else None

    found: dict[str, Any] = until(look, "the end of the batch")
    return found


def test_a_graph_is_run_in_its_order_and_each_build_is_one_like_any_other(yard: Yard) -> None:
    commit = make_repository(yard.folder / "app", FILES)
    with serving(yard, **HOST, PIPEYARD_CONNECTIONS=f"team/app={yard.folder / 'app'}") as server:
        codebuild = project(server, GITHUB)
        started = codebuild.start_build_batch(projectName="app")["buildBatch"]
        batch = ended(codebuild, started["id"])
        builds = {
            group["identifier"]: codebuild.batch_get_builds(ids=[group["currentBuildSummary"]["arn"]])["builds"][0]
            for group in batch["buildGroups"]
        }
        said = lines(server, builds["first"])
        assert codebuild.list_build_batches()["ids"] == [started["id"]]
        assert codebuild.list_build_batches_for_project(projectName="app", filter={"status": "FAILED"})["ids"] == []
        again = codebuild.retry_build_batch(id=started["id"])["buildBatch"]
        assert ended(codebuild, again["id"])["buildBatchNumber"] == 2
        deleted = codebuild.delete_build_batch(id=started["id"])
        assert deleted["statusCode"] == "BATCH_DELETED"
        assert sorted(deleted["buildsDeleted"]) == sorted(build["arn"] for build in builds.values())
    assert (batch["buildBatchStatus"], batch["resolvedSourceVersion"]) == ("SUCCEEDED", commit)
    assert [name for name, _ in phases(batch)] == ["SUBMITTED", "DOWNLOAD_BATCHSPEC", "IN_PROGRESS", "SUCCEEDED"]
    assert {name: build["buildStatus"] for name, build in builds.items()} == {
        "first": "SUCCEEDED", "broken": "FAILED", "last": "SUCCEEDED",
    }  # fmt: skip
    assert f"first is for Ann at {commit}" in said
    assert builds["first"]["endTime"] <= builds["last"]["startTime"]
    assert all(build["buildBatchArn"] == batch["arn"] for build in builds.values())


def test_a_batch_that_is_stopped_stops_its_builds_and_one_without_a_batch_says_so(yard: Yard) -> None:
    spec = (
        "version: 0.2\nbatch: {build-fanout: {parallelism: 2}}\nphases: {build: {commands: [echo begun, sleep 432]}}\n"
    )
    with serving(yard, **HOST) as server:
        codebuild = project(server, {"type": "NO_SOURCE", "buildspec": spec})
        started = codebuild.start_build_batch(projectName="app")["buildBatch"]

        def running() -> Any:
            (batch,) = codebuild.batch_get_build_batches(ids=[started["id"]])["buildBatches"]
            arns = [group.get("currentBuildSummary", {}).get("arn") for group in batch["buildGroups"]]
            return arns if arns and all(arns) else None

        builds = until(running, "the builds of the batch")
        assert codebuild.stop_build_batch(id=started["id"])["buildBatch"]["buildBatchStatus"] == "STOPPED"
        assert {each["buildStatus"] for each in codebuild.batch_get_builds(ids=builds)["builds"]} == {"STOPPED"}
        plain = "version: 0.2\nphases: {build: {commands: [a]}}\n"
        failed = ended(
            codebuild, codebuild.start_build_batch(projectName="app", buildspecOverride=plain)["buildBatch"]["id"]
        )
        (phase,) = [each for each in failed["phases"] if each.get("contexts")]
        assert (phase["phaseType"], failed["buildBatchStatus"]) == ("DOWNLOAD_BATCHSPEC", "FAILED")
        assert "needs `batch` in the buildspec" in phase["contexts"][0]["message"]
