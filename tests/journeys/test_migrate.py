"""`migrate`: the same image before and after, in the user's own file, or a reason why not."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeyard.definition.migrate.script import understand
from tests.journeys.migrations import PAIRS, Pair
from tests.journeys.test_buildspec import publish_environment
from tests.journeys.yard import Yard
from tests.source.git_repositories import make_repository


def run(yard: Yard, definition: Path) -> dict[str, Any]:
    answer = yard.command(
        "run", definition, "--source", f"Checkout={yard.folder / 'app'}", "--json",
        PIPEYARD_BUILD_IMAGES="aws/codebuild/=environment:1",
    ).json()  # fmt: skip
    assert answer["status"] == "Succeeded"
    (image,) = answer["published"]
    return dict(image)


def layers(yard: Yard, image: dict[str, Any]) -> list[str]:
    answer = yard.command("image", "inspect", "--raw", f"{image['repository']}@{image['digest']}")
    return [layer["digest"] for layer in json.loads(answer.out)["layers"]]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_both_publish_the_same_layers_under_the_same_tags(yard: Yard, pair: Pair) -> None:
    publish_environment(yard)
    make_repository(yard.folder / "app", pair.sources)
    (yard.folder / "infra").mkdir()
    file = yard.folder / "infra" / pair.file
    file.write_text(pair.text)
    definition = file if file.suffix == ".yaml" else file.parent
    before = run(yard, definition)
    proposed = yard.command("migrate", definition, "--source", yard.folder / "app")
    assert file.read_text() == pair.text, "without --write nothing is written"
    assert proposed.out.startswith(f"--- a/infra/{pair.file}\n+++ b/infra/{pair.file}\n")
    yard.command("migrate", definition, "--source", yard.folder / "app", "--write")
    text = file.read_text()
    for piece in (*pair.after, *pair.kept):
        assert piece in text, text
    for word in pair.gone:
        assert word not in text, text
    after = run(yard, definition)
    assert sorted(after["tags"]) == sorted(before["tags"])
    assert after["repository"] == before["repository"]
    assert layers(yard, after) == layers(yard, before)
    again = yard.command("migrate", definition)
    assert (again.out, "no action is performed by CodeBuild" in again.err) == ("", True)


HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


@pytest.mark.parametrize(
    ("commands", "reason"),
    [
        (["docker build --build-arg A=1 -t {h}/a .", "docker push {h}/a"], "--build-arg has no counterpart"),
        (["npm test", "docker build -t {h}/a .", "docker push {h}/a"], "`npm test`: runs besides the image's build"),
        (["T=${{CODEBUILD_SOURCE_VERSION:0:7}}; docker build -t {h}/a:$T .; docker push {h}/a:$T"], "computed"),
        (["T=$(git describe)", "docker build -t {h}/a:$T .", "docker push {h}/a:$T"], "computed while the build runs"),
        (["docker build -t {h}/a -f docker/Dockerfile .", "docker push {h}/a"], "lies outside of the context"),
        (["docker build -t {h}/a . && docker build -t {h}/b b; docker push {h}/a; docker push {h}/b"], "several"),
        (["docker build -t ghcr.io/a/b .", "docker push ghcr.io/a/b"], "no ECR registry"),
        (["docker push {h}/a"], "does not build"),
        (["echo done"], "pushes no image"),
        (["docker build -t {h}/a . && docker push {h}/a", "printf '[]' > imagedefinitions.json"], "runs besides"),
        (["if true; then docker push {h}/a; fi"], "runs besides"),
    ],
)  # fmt: skip
def test_what_cannot_be_carried_over_is_told_with_the_command(commands: list[str], reason: str) -> None:
    understood = understand([command.format(h=HOST) for command in commands], {})
    assert understood.pushed is None
    assert any(reason in each for each in understood.reasons), understood.reasons


def test_a_project_that_cannot_be_carried_over_leaves_the_file_and_exits_with_1(yard: Yard) -> None:
    pair = PAIRS[0]
    file = yard.folder / pair.file
    file.write_text(pair.text)
    (yard.folder / "buildspec.yml").write_text(
        pair.sources["buildspec.yml"].replace("docker build", "docker build --target x")
    )
    answer = yard.command("migrate", file, "--write", code=1)
    assert "--target has no counterpart in ECRBuildAndPublish" in answer.err
    assert (answer.out, file.read_text()) == ("", pair.text)


def test_a_definition_that_lacks_a_value_is_told_which_and_how_to_give_it(yard: Yard) -> None:
    file = yard.folder / "pipeline.yaml"
    declared = "Repository: {Type: String, Default: team/app}"
    (text,) = (pair.text for pair in PAIRS if declared in pair.text)
    file.write_text(text.replace(declared, "Repository: {Type: String}").replace("app-pipeline", "!Ref Repository"))
    answer = yard.command("migrate", file, code=2)
    assert "give it with --parameter Repository=" in answer.err
    assert "run pipeyard validate" not in answer.err, "which asks for no parameters"
    assert answer.out == ""
