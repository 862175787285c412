"""Bad input is 2 with its place; what fails inside an action is 1, and nothing is published."""

from pathlib import Path

import pytest

from tests.journeys.projects import TEMPLATE, make_project
from tests.journeys.yard import Yard
from tests.source.git_repositories import commit


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("AWS::CodePipeline::Pipeline", "AWS::S3::Bucket", "no pipeline"),
        ("Provider: ECRBuildAndPublish", "Provider: EcrBuild", "ECRBuildAndPublish"),
        ("#{SourceVars.CommitId}", "#{SourceVars.CommitID}", "CommitId"),
        ("#{SourceVars.CommitId}", "#{Sauce.CommitId}", "SourceVars"),
        ("InputArtifacts: [{Name: SourceOutput}]", "InputArtifacts: [{Name: Sauce}]", "Sauce"),
        ("!Ref Branch", "!Ref Brunch", "Brunch"),
        ("ECRRepositoryName:", "RepositoryName:", "ECRRepositoryName"),
        ("  Pipeline:\n", "  Pipeline:\n    {", "pipeline.yaml:"),
    ],
)
def test_a_wrong_template_is_refused_at_its_line(yard: Yard, old: str, new: str, complaint: str) -> None:
    project = make_project(yard.folder, "scratch")
    assert old in TEMPLATE
    project.template.write_text(TEMPLATE.replace(old, new))
    answer = yard.command("run", project.template, "--source", f"Checkout={project.repository}", code=2)
    assert complaint in answer.err
    assert "pipeline.yaml:" in answer.err
    assert not (yard.home / "pipeyard.sqlite").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--parameter", "Nope=1"], "Nope"),
        (["--parameter", "Nope"], "NAME=VALUE"),
        (["--source", "app"], "ACTION=FOLDER"),
        (["--source", "Checkout=missing"], "--source Checkout: error: there is no folder"),
        (["--source", "Checkout=app#nowhere"], "--source Checkout: error: "),
        (["--source", "Checkout=app#nowhere"], "its branches: main"),
        (["--source", "Checkout=app", "--parameter", "Branch=nowhere"], "BranchName: !Ref Branch"),
        (["--source", "Chekout=app"], "Checkout"),
        (["--source", "Checkout=app", "--until", "Deploy"], "Source, Build"),
        (["--source", "Checkout=app", "--publish", "nonsense"], "HOST"),
        (["--source", "Checkout=app", "--pipeline", "other"], "app-pipeline"),
        (["--source", "Checkout=app", "--variable", "x=1"], "declares no variable"),
        ([], "--source Checkout="),
    ],
)
def test_a_wrong_option_is_refused_with_the_next_move(yard: Yard, arguments: list[str], complaint: str) -> None:
    project = make_project(yard.folder, "scratch")
    answer = yard.command("run", project.template, *arguments, code=2)
    assert complaint in answer.err


def test_a_path_that_is_not_there_is_refused(yard: Yard) -> None:
    assert "nowhere.yaml" in yard.command("run", "nowhere.yaml", code=2).err


def test_what_only_a_cloud_needs_is_a_warning(yard: Yard) -> None:
    project = make_project(yard.folder, "scratch", "FROM scratch\nCOPY names.txt /\n")
    lines = TEMPLATE.splitlines(keepends=True)
    kept = [
        line for line in lines if not line.strip().startswith(("Name: !Sub '${Service}-p", "RoleArn", "ArtifactStore"))
    ]
    project.template.write_text("".join(kept))
    answer = yard.command("run", project.template, "--source", f"Checkout={project.repository}", "--json")
    assert answer.err.count("warning") >= 3
    assert answer.json()["status"] == "Succeeded"


@pytest.mark.parametrize(
    ("dockerfile", "complaints"),
    [
        (None, ["there is no Dockerfile at 'service'"]),
        ("FROM scratch\nCOPPY a /\n", ["Dockerfile:2", "COPPY"]),
        (
            "FROM {base}\nRUN echo first words && echo last words && exit 3\n",
            ["Dockerfile:2", "echo first words", "last words", "exit code: 3"],
        ),
        ("FROM scratch\nCOPY nothing-here /\n", ["nothing-here"]),
        ("FROM no-such-image-anywhere.invalid/x:1\n", ["no-such-image-anywhere.invalid"]),
    ],
)
def test_what_goes_wrong_inside_an_action_fails_the_pipeline(
    yard: Yard, dockerfile: str | None, complaints: list[str]
) -> None:
    base = yard.publish_base()
    project = make_project(yard.folder, base, dockerfile or "FROM scratch\n")
    if dockerfile is None:
        (project.repository / "service/Dockerfile").unlink()
        commit(project.repository, {}, "Lose it")
    answer = yard.command("run", project.template, "--source", f"Checkout={project.repository}", code=1)
    for complaint in complaints:
        assert complaint in answer.out, answer.out + answer.err
    assert yard.tags("team/app") == []
    shown = yard.command("run", project.template, "--source", f"Checkout={project.repository}", "--json", code=1).json()
    error = shown["stages"][1]["actions"][0]["error"]
    assert error["message"]
    assert shown["status"] == "Failed"


def test_image_build_tells_a_wrong_dockerfile_from_a_failing_run(yard: Yard) -> None:
    base = yard.publish_base()
    context = yard.folder / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nCOPPY a /\n")
    wrong = yard.command("image", "build", context, "-t", "x", code=2)
    assert "Dockerfile:2" in wrong.err
    (context / "Dockerfile").write_text(f"FROM {base}\nRUN echo words && exit 3\n")
    failed = yard.command("image", "build", context, "-t", "x", code=1)
    for complaint in ("words", "exit code: 3", "Dockerfile:2"):
        assert complaint in failed.err
    assert yard.tags("x") == []


def test_a_template_cannot_make_the_run_read_outside_its_source(yard: Yard, tmp_path: Path) -> None:
    project = make_project(yard.folder, "scratch", "FROM scratch\nCOPY names.txt /\n")
    project.template.write_text(TEMPLATE.replace("DockerFilePath: service", "DockerFilePath: ../../../../etc"))
    answer = yard.command("run", project.template, "--source", f"Checkout={project.repository}", code=1)
    assert "leads out of the source" in answer.out
