"""From a commit to a published image, by each form of definition, to each kind of registry."""

import json
import os
import signal
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.projects import make_project
from tests.journeys.yard import Yard, ended, free_port, need, until_open
from tests.source.git_repositories import commit, git


def test_the_same_pipeline_in_three_forms_publishes_the_same_digest_under_both_tags(yard: Yard) -> None:
    project = make_project(yard.folder, yard.publish_base())
    digests = set()
    for path, more in (
        (project.template, []),
        (project.terraform, ["--var", "branch=main"]),
        (project.json, []),
    ):
        answer = yard.command("run", path, "--source", f"Checkout={project.repository}", "--json", *more).json()
        assert answer["status"] == "Succeeded"
        (image,) = answer["published"]
        assert image["repository"] == "team/app"
        assert image["tags"] == [project.commit, "latest"]
        source, build = (stage["actions"][0] for stage in answer["stages"])
        assert source["output_variables"]["CommitId"] == project.commit
        assert set(source["output_variables"]) == {
            "AuthorDate", "AuthorDisplayName", "AuthorEmail", "AuthorId", "BranchName",
            "CommitId", "CommitMessage", "ConnectionArn", "FullRepositoryName", "ProviderType",
        }  # fmt: skip
        assert build["output_variables"] == {"ECRImageDigestId": image["digest"], "ECRRepositoryName": "team/app"}
        digests.add(image["digest"])
    assert len(digests) == 1
    assert yard.tags("team/app") == sorted([project.commit, "latest"])


def test_an_independent_client_pulls_what_the_dockerfile_says(yard: Yard) -> None:
    skopeo = need("skopeo")
    project = make_project(yard.folder, yard.publish_base())
    yard.command("run", project.template, "--source", f"Checkout={project.repository}")
    port = free_port()
    with ended(yard.start("serve", "--port", str(port), PIPEYARD_USERS="ann:secret")) as server:
        until_open(port, server)
        out = yard.folder / "pulled"
        subprocess.run(
            [skopeo, "copy", "--src-tls-verify=false", "--src-creds=ann:secret",
             f"docker://localhost:{port}/team/app:{project.commit}", f"oci:{out}:app"],
            check=True, capture_output=True,
        )  # fmt: skip
        refused = subprocess.run(
            [skopeo, "inspect", "--tls-verify=false", "--no-creds", f"docker://localhost:{port}/team/app:latest"],
            check=False, capture_output=True,
        )  # fmt: skip
        assert refused.returncode != 0
    config, layers = read_layout(out)
    runtime = config["config"]
    assert runtime["Entrypoint"] == ["/bin/cat"]
    assert runtime["Cmd"] == ["/srv/greetings.txt"]
    assert (runtime["User"], runtime["WorkingDir"]) == ("1000:1000", "/srv")
    assert runtime["ExposedPorts"] == {"8080/tcp": {}}
    assert runtime["Volumes"] == {"/data": {}}
    assert runtime["Labels"] == {"org.example.team": "one", "org.example.level": ""}
    assert "PORT=8080" in runtime["Env"]
    files = {name: data for layer in layers for name, data in layer.items()}
    assert files["srv/greetings.txt"] == b"hello Ann\nhello Bo\nhello Cy\n"
    assert files["srv/count"] == b"3\n"
    assert files["srv/static/a.txt"] == b"kept\n"
    assert "srv/static/b.log" not in files
    assert not any(name.endswith("names.txt") for name in files)
    assert len(config["rootfs"]["diff_ids"]) == len(layers)


def read_layout(folder: Path) -> tuple[dict[str, Any], list[dict[str, bytes]]]:
    """The configuration, and each layer's files by name."""

    def blob(digest: str) -> Path:
        return folder / "blobs" / digest.replace(":", "/")

    index = json.loads((folder / "index.json").read_text())
    manifest = json.loads(blob(index["manifests"][0]["digest"]).read_text())
    layers = []
    for layer in manifest["layers"]:
        with tarfile.open(blob(layer["digest"])) as tar:
            contents = {member.name: tar.extractfile(member) for member in tar.getmembers()}
            layers.append({name: content.read() for name, content in contents.items() if content is not None})
    return json.loads(blob(manifest["config"]["digest"]).read_text()), layers


def test_a_foreign_registry_receives_the_image_under_its_prefix(yard: Yard) -> None:
    program, skopeo = need("docker-registry"), need("skopeo")
    project = make_project(yard.folder, yard.publish_base())
    port = free_port()
    config = yard.folder / "registry.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {yard.folder / 'foreign'}}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\nlog: {{level: error}}\n"
    )
    process = subprocess.Popen(
        [program, "serve", str(config)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    with ended(process) as server:
        until_open(port, server)
        answer = yard.command(
            "run", project.template, "--source", f"Checkout={project.repository}", "--publish",
            f"localhost:{port}/prefix", "--json",
        ).json()  # fmt: skip
        (image,) = answer["published"]
        assert image["repository"] == f"localhost:{port}/prefix/team/app"
        for tag in (project.commit, "latest"):
            shown = subprocess.run(
                [skopeo, "inspect", "--tls-verify=false", f"docker://localhost:{port}/prefix/team/app:{tag}"],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            assert json.loads(shown.stdout)["Digest"] == image["digest"]
    assert yard.tags("team/app") == []


def test_a_new_commit_gets_a_new_tag_and_only_what_changed_is_built_again(yard: Yard) -> None:
    project = make_project(yard.folder, yard.publish_base())
    source = f"Checkout={project.repository}"
    yard.command("run", project.template, "--source", source)
    new = commit(project.repository, {"service/static/a.txt": "changed\n"}, "Change")
    answer = yard.command("run", project.template, "--source", source, "--progress", "json", "--json")
    ends = [json.loads(line) for line in answer.err.splitlines() if '"StepEnded"' in line]
    starts = {r["step"]: r["title"] for r in map(json.loads, answer.err.splitlines()) if r.get("type") == "StepStarted"}
    cached = {starts[r["step"]]: r["cached"] for r in ends}
    assert [title for title, hit in cached.items() if "RUN" in title and not hit] == []
    assert yard.tags("team/app") == sorted([project.commit, new, "latest"])


@pytest.mark.parametrize("kind", ["bare", "url"])
def test_a_source_can_be_a_bare_repository_or_a_url(yard: Yard, kind: str) -> None:
    project = make_project(yard.folder, yard.publish_base())
    bare = yard.folder / "app.git"
    git(yard.folder, "clone", "-q", "--bare", str(project.repository), str(bare))
    if kind == "bare":
        answer = yard.command("run", project.template, "--source", f"Checkout={bare}", "--json")
    else:
        port = free_port()
        daemon = subprocess.Popen(
            ["git", "daemon", "--export-all", f"--base-path={yard.folder}", "--listen=127.0.0.1", f"--port={port}"],
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        with ended(daemon):
            until_open(port, daemon)
            url = f"git://127.0.0.1:{port}/app.git"
            answer = yard.command("run", project.template, "--source", f"Checkout={url}", "--json")
    assert answer.json()["published"][0]["tags"] == [project.commit, "latest"]


def test_the_checkout_that_holds_the_definition_is_its_source(yard: Yard) -> None:
    project = make_project(yard.folder, yard.publish_base())
    git(project.repository, "remote", "add", "origin", "git@example.com:team/app.git")
    inside = project.repository / "pipeline.yaml"
    inside.write_text(project.template.read_text())
    answer = yard.command("run", inside, "--json").json()
    assert answer["published"][0]["tags"] == [project.commit, "latest"]


def test_a_plan_publishes_and_runs_nothing(yard: Yard) -> None:
    project = make_project(yard.folder, "base:1")
    planned = yard.command("run", project.template, "--plan", "--json").json()
    assert planned["status"] is None
    assert [action["status"] for stage in planned["stages"] for action in stage["actions"]] == [None, None]
    assert planned["published"][0]["references"] == ["team/app:#{SourceVars.CommitId}", "team/app:latest"]
    assert not yard.home.exists()


def test_show_tells_what_happened_with_the_log_of_each_action(yard: Yard) -> None:
    project = make_project(yard.folder, yard.publish_base())
    ran = yard.command("run", project.template, "--source", f"Checkout={project.repository}", "--json").json()
    shown = yard.command("show", ran["execution_id"][:8])
    assert "app-pipeline" in shown.out
    assert "Log of Build / Image" in shown.out
    assert "RUN" in shown.out
    assert yard.command("show", ran["execution_id"], "--json").json()["published"] == ran["published"]
    assert ran["execution_id"] in yard.command("executions", "app-pipeline").out
    assert "RUN" not in yard.command("logs", ran["execution_id"], "--action", "Checkout").out
    assert "Checkout, Image" in yard.command("logs", ran["execution_id"], "--action", "Nope", code=2).err


SLOW = """\
FROM {base}
COPY names.txt /
RUN echo begun && sleep {seconds}
"""


@pytest.mark.parametrize("how", ["interrupt", "kill"])
def test_a_run_that_is_ended_in_the_middle_leaves_no_tag_and_nothing_stuck(yard: Yard, how: str) -> None:
    seconds = str(1_000_000 + os.getpid())  # a word by which the process is found
    project = make_project(yard.folder, yard.publish_base(), SLOW.replace("{seconds}", seconds))
    source = f"Checkout={project.repository}"
    process = yard.start("run", project.template, "--source", source, "--progress", "plain")
    assert process.stderr is not None
    for line in process.stderr:
        if "| begun" in line:
            break
    else:
        raise AssertionError("the RUN never began")
    sleeper = sleepers(seconds)
    while not sleeper:  # the shell has printed and not yet started it
        assert process.poll() is None
        sleeper = sleepers(seconds)
    process.send_signal(signal.SIGINT if how == "interrupt" else signal.SIGKILL)
    process.communicate(timeout=30)
    assert process.returncode == (1 if how == "interrupt" else -signal.SIGKILL)
    wait_until_gone(sleeper)
    assert yard.tags("team/app") == []
    commit(project.repository, {"service/Dockerfile": "FROM scratch\nCOPY names.txt /\n"}, "Faster")
    again = yard.command("run", project.template, "--source", source, "--json").json()
    assert again["status"] == "Succeeded"
    statuses = {line.split()[-1] for line in yard.command("executions").out.splitlines()}
    assert statuses == {"Succeeded", "Stopped"}


def sleepers(seconds: str) -> set[int]:
    """Processes `sleep SECONDS`, wherever they run."""
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                words = Path(entry.path, "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[:2] == [b"sleep", seconds.encode()]:
                found.add(int(entry.name))
    return found


def wait_until_gone(processes: set[int]) -> None:
    for _ in range(500):
        if not any(Path(f"/proc/{number}").exists() for number in processes):
            return
        time.sleep(0.02)
    raise AssertionError(f"still alive: {processes}")


def test_a_failed_execution_goes_on_where_it_ended(yard: Yard) -> None:
    project = make_project(yard.folder, yard.publish_base(), "FROM nowhere-near.invalid/x\n")
    source = f"Checkout={project.repository}"
    failed = yard.command("run", project.template, "--source", source, "--json", code=1).json()
    retried = yard.command("retry", failed["execution_id"][:8], "--json", code=1).json()
    assert retried["execution_id"] == failed["execution_id"]
    first, again = (document["stages"][0]["actions"][0] for document in (failed, retried))
    assert first["action_execution_id"] == again["action_execution_id"]
    second, anew = (document["stages"][1]["actions"][0] for document in (failed, retried))
    assert second["action_execution_id"] != anew["action_execution_id"]


def test_a_home_may_have_any_name(yard: Yard) -> None:
    project = make_project(yard.folder, "scratch")
    homes = yard.folder / "homes"
    for name in ("a b", "a?b=c", "50%20 #1", "\u00fcn\u00ef"):
        home = str(homes / name)
        yard.command("run", project.template, "--source", f"Checkout={project.repository}", PIPEYARD_HOME=home, code=1)
        assert "Failed" in yard.command("executions", PIPEYARD_HOME=home).out
        assert (homes / name / "pipeyard.sqlite").exists()
        assert (homes / name / "dispatch.sqlite").stat().st_size > 100_000
    assert len(list(homes.iterdir())) == 4  # nothing beside them


def test_changes_that_are_not_committed_are_left_out_and_told(yard: Yard) -> None:
    project = make_project(yard.folder, "", "FROM scratch\nCOPY names.txt /\n")
    (project.repository / "service/names.txt").write_text("not committed\n")
    answer = yard.command("run", project.template, "--source", f"Checkout={project.repository}")
    assert "1 changed file in" in answer.err
