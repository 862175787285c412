"""CodeBuild's build batches on `pipeyard serve`."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.journeys.serving import serving, until
from tests.journeys.test_serve_builds import HOST, lines, phases, project, sleepers
from tests.journeys.test_serve_builds import ended as build_ended
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
        compute = "BUILD_GENERAL1_LARGE"
        started = codebuild.start_build_batch(projectName="app", computeTypeOverride=compute)["buildBatch"]
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
    assert {each["environment"]["computeType"] for each in (batch, *builds.values())} == {compute}
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


def test_two_servers_of_one_home_stop_each_others_builds_and_end_those_of_the_killed(yard: Yard) -> None:
    spec = "version: 0.2\nphases: {build: {commands: [echo begun, sleep 6543]}}\n"
    with serving(yard, **HOST) as one, serving(yard, **HOST) as other:
        codebuild, same = project(one, {"type": "NO_SOURCE", "buildspec": spec}), other.client("codebuild")
        build = codebuild.start_build(projectName="app")["build"]
        until(lambda: "begun" in lines(one, build), "the first command")
        assert same.stop_build(id=build["id"])["build"]["buildStatus"] == "STOPPED"
        until(lambda: not sleepers("6543"), "the end of the process", 20)
        lost = codebuild.start_build(projectName="app")["build"]
        os.kill(one.process.pid, signal.SIGKILL)
        one.process.communicate()
        until(lambda: same.batch_get_builds(ids=[lost["id"]])["builds"][0]["buildStatus"] == "FAULT", "the end", 20)


def test_a_batch_is_begun_once_for_a_token_and_leaves_no_build_when_it_is_stopped_at_any_moment(yard: Yard) -> None:
    spec = "version: 0.2\nbatch: {build-fanout: {parallelism: 4}}\nphases: {build: {commands: [sleep 7654]}}\n"
    with serving(yard, **HOST) as server:
        codebuild = project(server, {"type": "NO_SOURCE", "buildspec": spec})
        with ThreadPoolExecutor(8) as threads:
            begun = [
                threads.submit(codebuild.start_build_batch, projectName="app", idempotencyToken="a") for _ in range(8)
            ]
            (batch_id,) = {each.result()["buildBatch"]["id"] for each in begun}
        again = codebuild.retry_build_batch(id=batch_id)["buildBatch"]
        codebuild.stop_build_batch(id=batch_id)
        for number in range(12):
            time.sleep(number / 50)
            codebuild.stop_build_batch(id=again["id"])
            again = codebuild.start_build_batch(projectName="app")["buildBatch"]
        codebuild.stop_build_batch(id=again["id"])

        def over() -> bool:
            ids = codebuild.list_builds_for_project(projectName="app")["ids"]
            return not ids or all(each["buildComplete"] for each in codebuild.batch_get_builds(ids=ids)["builds"])

        until(over, "the end of all builds", 20)
        time.sleep(1)
        assert over()
        until(lambda: not sleepers("7654"), "the end of all processes", 20)


def test_logs_and_sources_with_hostile_names_neither_hang_a_build_nor_leave_their_folder(yard: Yard) -> None:
    spec = "version: 0.2\nphases: {build: {commands: [echo said]}}\n"
    long, group = "../" * 150, "/." * 200
    with serving(yard, **HOST) as server:
        codebuild = project(server, {"type": "NO_SOURCE", "buildspec": spec})
        logs = {"cloudWatchLogs": {"status": "ENABLED", "groupName": group, "streamName": long}}
        build = build_ended(codebuild, codebuild.start_build(projectName="app", logsConfigOverride=logs)["build"]["id"])
        assert build["buildStatus"] == "SUCCEEDED"
        assert "said" in lines(server, build)
        (yard.home / "aws/logs/us-east-1/taken").write_text("no folder")
        logs = {"cloudWatchLogs": {"status": "ENABLED", "groupName": "taken"}}
        build = build_ended(codebuild, codebuild.start_build(projectName="app", logsConfigOverride=logs)["build"]["id"])
        assert (build["buildStatus"], build["phases"][1]["phaseStatus"]) == ("FAULT", "FAULT")
        away = yard.folder / "away"
        source = {"type": "NO_SOURCE", "buildspec": spec, "sourceIdentifier": str(away)}
        started = codebuild.start_build(projectName="app", secondarySourcesOverride=[source])["build"]
        assert build_ended(codebuild, started["id"])["buildStatus"] == "FAILED"
        assert not away.exists()
