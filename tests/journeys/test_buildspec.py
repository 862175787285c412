"""CodeBuild's buildspecs, run by pipelines and alone, with no Docker on the machine."""

import json
import os
from pathlib import Path

import pytest

from tests.buildspec.machines import make_root
from tests.journeys.buildspecs import CLASSIC, TEMPLATE
from tests.journeys.yard import Yard
from tests.source.git_repositories import make_repository

APP = {"Dockerfile": "FROM scratch\nCOPY app /app\n", "app": "program\n"}


def publish_environment(yard: Yard) -> str:
    """An image with a shell and its tools: where builds run."""
    root = make_root(yard.folder / "environment")
    (root / "Dockerfile").write_text("FROM scratch\nCOPY bin /bin\nCOPY etc /etc\nCOPY root /root\nENV PATH=/bin\n")
    yard.command("image", "build", root, "-t", "environment:1", "-q")
    return "environment:1"


def test_the_classic_pipeline_publishes_through_codebuild_and_docker_word_for_word(yard: Yard) -> None:
    publish_environment(yard)
    commit = make_repository(yard.folder / "app", {**APP, "buildspec.yml": CLASSIC})
    template = yard.folder / "pipeline.yaml"
    template.write_text(TEMPLATE)
    answer = yard.command(
        "run", template, "--source", f"Checkout={yard.folder / 'app'}", "--json",
        PIPEYARD_BUILD_IMAGES="aws/codebuild/=environment:1",
    ).json()  # fmt: skip
    assert answer["status"] == "Succeeded"
    (image,) = answer["published"]
    assert (image["repository"], image["tags"]) == ("team/app", [commit])
    assert yard.tags("team/app") == [commit]


def test_an_image_of_aws_that_nothing_stands_for_is_told_with_the_setting(yard: Yard) -> None:
    make_repository(yard.folder / "app", {**APP, "buildspec.yml": CLASSIC})
    template = yard.folder / "pipeline.yaml"
    template.write_text(TEMPLATE)
    answer = yard.command("run", template, "--source", f"Checkout={yard.folder / 'app'}", code=1)
    assert "aws/codebuild/standard:7.0 is an image of AWS's own" in answer.err
    assert "build_images" in answer.out + answer.err


def test_build_runs_a_folder_alone_and_leaves_it_as_it_is(yard: Yard) -> None:
    image = publish_environment(yard)
    folder = yard.folder / "project"
    folder.mkdir()
    (folder / "buildspec.yml").write_text("""\
version: 0.2
env: {exported-variables: [TAG]}
phases:
  build:
    commands: ['export TAG=$NAME-1', 'mkdir out && echo $TAG > out/tag']
artifacts: {files: ['**/*'], base-directory: out}
""")
    answer = yard.command(
        "build", folder, "--environment", image, "--env", "NAME=app", "--artifacts", yard.folder / "kept"
    )
    assert answer.out == "TAG=app-1\n"
    assert (yard.folder / "kept/tag").read_text() == "app-1\n"
    assert sorted(path.name for path in folder.iterdir()) == ["buildspec.yml"]


def test_a_failed_build_exits_with_1_and_a_wrong_buildspec_with_2_at_its_line(yard: Yard) -> None:
    image = publish_environment(yard)
    folder = yard.folder / "project"
    folder.mkdir()
    (folder / "buildspec.yml").write_text("version: 0.2\nphases: {build: {commands: ['exit 4']}}\n")
    assert "exit status 4" in yard.command("build", folder, "--environment", image, code=1).err
    (folder / "buildspec.yml").write_text("version: 0.2\nphases:\n  build:\n    commands:\n      - echo a: b\n")
    answer = yard.command("build", folder, "--environment", image, code=2)
    assert "buildspec.yml:5:9: error: commands[0] is a mapping and no text" in answer.err


def test_a_batch_runs_every_build_of_its_matrix(yard: Yard) -> None:
    image = publish_environment(yard)
    folder = yard.folder / "project"
    folder.mkdir()
    (folder / "buildspec.yml").write_text("""\
version: 0.2
batch:
  build-matrix: {dynamic: {env: {variables: {V: [one, two]}}}}
phases:
  build: {commands: ['echo value $V', 'test $V = one']}
""")
    answer = yard.command("build", folder, "--environment", image, "--batch", "--json", code=1)
    document = json.loads(answer.out)
    assert {name: one["status"] for name, one in document["batch"].items()} == {
        "build0": "SUCCEEDED",
        "build1": "FAILED",
    }


@pytest.mark.skipif(os.geteuid() != 0 and not Path("/proc/self/ns/user").exists(), reason="no namespaces")
def test_the_environment_host_has_this_machines_tools_and_cannot_change_it(yard: Yard) -> None:
    folder = yard.folder / "project"
    folder.mkdir()
    (folder / "buildspec.yml").write_text("""\
version: 0.2
phases:
  build:
    commands:
      - python3 -c 'print("from python")'
      - if touch /usr/mark 2>/dev/null; then exit 9; fi
      - echo x > /tmp/mine; echo y > ~/mine; echo z > here
""")
    answer = yard.command("build", folder, "--progress", "plain")
    assert "from python" in answer.err
    assert not (yard.folder / "mine").exists()


def test_a_build_in_a_kept_image_imports_nothing_that_it_does_not_use(yard: Yard) -> None:
    """Its start-up is mostly imports: the builder, the client of registries, databases and AWS's are for others."""
    image = publish_environment(yard)
    folder = yard.folder / "project"
    folder.mkdir()
    (folder / "buildspec.yml").write_text("version: 0.2\nphases: {build: {commands: ['true']}}\n")
    said = yard.command("build", folder, "--environment", image, PYTHONPROFILEIMPORTTIME="1").err
    imported = {line.rpartition("|")[2].strip() for line in said.splitlines() if line.startswith("import time:")}
    assert "pipeyard.service.builds" in imported
    heavy = ("pipeyard.image.build.building", "pipeyard.registry.client.wire", "sqlalchemy", "botocore", "rich", "ssl")
    assert not imported.intersection(heavy)


@pytest.mark.parametrize("strategy", ["equal-distribution", "stability"])
def test_a_fan_out_runs_each_test_file_in_one_of_its_builds(yard: Yard, strategy: str) -> None:
    image = publish_environment(yard)
    folder = yard.folder / "project"
    names = [f"pkg{number % 3}/it's {number}.test.js" for number in range(7)]
    for name in (*names, "pkg0/other.js", "node_modules/x/a.test.jsx"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    (folder / "buildspec.yml").write_text(f"""\
version: 0.2
batch: {{build-fanout: {{parallelism: 3}}}}
env: {{exported-variables: [RAN, SHARD]}}
phases:
  build:
    commands:
      - |
        codebuild-tests-run --sharding-strategy '{strategy}' \\
          --files-search "codebuild-glob-search '**/*.test.{{js,ts}}'" \\
          --test-command 'printf "%s\\n" >> ran'
      - export RAN="$(cat ran 2>/dev/null)"
      - |
        codebuild-tests-run --sharding-strategy={strategy} --files-search="codebuild-glob-search '**/*.test.js'" \\
          --test-command='echo "$CODEBUILD_CURRENT_SHARD_FILES" > shard'
      - export SHARD="$(cat shard 2>/dev/null)"
""")
    builds = json.loads(yard.command("build", folder, "--environment", image, "--batch", "--json").out)["batch"]
    builds = dict(sorted(builds.items()))
    ran = [build["exported"]["RAN"].splitlines() for build in builds.values()]
    assert sorted(name for names in ran for name in names) == sorted(names)
    assert ran == [build["exported"]["SHARD"].splitlines() for build in builds.values()]
    if strategy == "equal-distribution":
        assert [len(names) for names in ran] == [2, 2, 3]
