"""CodeBuild and Commands actions: what they ask of a build, and what they make of its outcome."""

import json
from pathlib import Path

import pytest
from msgspec import structs

from pipeyard.actions.codebuild import CodeBuild, read_variables
from pipeyard.actions.commands import Commands
from pipeyard.actions.contract import ActionRequest, Artifact
from pipeyard.buildspec.contract import Build, BuildOutcome, BuiltArtifact
from pipeyard.buildspec.reader import read_buildspec
from pipeyard.definition.model import CodeBuildProject, Definition, EnvironmentVariable, OutputArtifact
from pipeyard.errors import ActionFailed
from tests.actions.recording_tools import RecordingTools

PROJECT = CodeBuildProject(
    name="builder",
    image="example.com/build:1",
    privileged_mode=True,
    buildspec="ci/buildspec.yml",
    timeout_in_minutes=5,
    environment_variables=[EnvironmentVariable(name="A", value="project"), EnvironmentVariable(name="B", value="b")],
)


def request(*artifacts: Artifact, outputs: tuple[str, ...] = (), **configuration: str) -> ActionRequest:
    return ActionRequest(
        action_execution_id="action-2",
        pipeline_execution_id="execution-1",
        pipeline="p",
        stage="Build",
        action="Build",
        type_id=CodeBuild.type_id,
        configuration=configuration,
        inputs={artifact.name: artifact for artifact in artifacts},
        outputs=[OutputArtifact(name=name) for name in outputs],
        definition=Definition(projects=(PROJECT,)),
    )


def built(folder: Path, **files: str) -> BuiltArtifact:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return BuiltArtifact(folder=folder, files=len(files))


def test_the_project_says_where_and_how_and_the_action_says_with_what(tmp_path: Path) -> None:
    tools = RecordingTools(tmp_path)
    source = tools.keep("Src", {"a": "1"}, created_s=17)
    variables = json.dumps([{"name": "A", "value": "action"}, {"name": "S", "value": "k", "type": "SECRETS_MANAGER"}])
    CodeBuild().perform(request(source, ProjectName="builder", EnvironmentVariables=variables), tools)
    (wish,) = tools.wishes
    assert (wish.project, wish.environment, wish.privileged) == ("builder", "example.com/build:1", True)
    assert (wish.buildspec, wish.timeout_s, wish.created_s) == ("ci/buildspec.yml", 300, 17)
    assert wish.source == tools.artifacts.folder(source)
    assert wish.variables == {"A": ("PLAINTEXT", "action"), "B": ("PLAINTEXT", "b"), "S": ("SECRETS_MANAGER", "k")}


def test_several_inputs_need_a_primary_source_and_the_others_are_secondary(tmp_path: Path) -> None:
    tools = RecordingTools(tmp_path)
    one, two = tools.keep("One", {"a": "1"}), tools.keep("Two", {"b": "2"})
    with pytest.raises(ActionFailed, match="PrimarySource is needed"):
        CodeBuild().perform(request(one, two, ProjectName="builder"), tools)
    CodeBuild().perform(request(one, two, ProjectName="builder", PrimarySource="Two"), tools)
    assert tools.wishes[0].source == tools.artifacts.folder(two)
    assert list(tools.wishes[0].secondary_sources) == ["One"]


def test_an_unknown_project_is_refused_with_those_that_exist_and_settings_may_declare_it(tmp_path: Path) -> None:
    tools = RecordingTools(tmp_path)
    source = tools.keep("Src", {"a": "1"})
    with pytest.raises(ActionFailed, match="there is no CodeBuild project 'other'") as caught:
        CodeBuild().perform(request(source, ProjectName="other"), tools)
    assert "builder" in caught.value.hint
    tools.projects["other"] = structs.replace(PROJECT, name="other")
    CodeBuild().perform(request(source, ProjectName="other"), tools)
    assert tools.wishes[0].project == "other"


def test_exported_variables_and_the_only_artifact_are_the_outputs(tmp_path: Path) -> None:
    tools = RecordingTools(tmp_path)
    source = tools.keep("Src", {"a": "1"})
    outcome = BuildOutcome(
        status="SUCCEEDED", phases=(), exported={"TAG": "v1"}, artifact=built(tmp_path / "made", app="x")
    )
    tools.build = Build(outcome=outcome)
    result = CodeBuild().perform(request(source, outputs=("Out",), ProjectName="builder"), tools)
    assert result.variables == {"TAG": "v1"}
    assert (tools.artifacts.folder(result.outputs["Out"]) / "app").read_text() == "x"


def test_several_outputs_are_those_of_the_same_names(tmp_path: Path) -> None:
    tools = RecordingTools(tmp_path)
    source = tools.keep("Src", {"a": "1"})
    secondary = {"Docs": built(tmp_path / "docs", d="d"), "App": built(tmp_path / "app", a="a")}
    tools.build = Build(outcome=BuildOutcome(status="SUCCEEDED", phases=(), secondary=secondary))
    result = CodeBuild().perform(request(source, outputs=("App", "Docs"), ProjectName="builder"), tools)
    assert [sorted(p.name for p in tools.artifacts.folder(one).iterdir()) for one in result.outputs.values()] == [
        ["a"],
        ["d"],
    ]


def test_an_output_that_the_build_did_not_make_is_told_with_what_to_add(tmp_path: Path) -> None:
    tools = RecordingTools(tmp_path)
    with pytest.raises(ActionFailed, match="made no artifact for the output One") as caught:
        CodeBuild().perform(
            request(tools.keep("Src", {"a": "1"}), outputs=("One", "Out"), ProjectName="builder"), tools
        )
    assert "buildspec" in caught.value.hint


def test_the_only_output_of_a_build_without_artifacts_is_empty(tmp_path: Path) -> None:
    tools = RecordingTools(tmp_path)
    source = tools.keep("Src", {"a": "1"})
    result = CodeBuild().perform(request(source, outputs=("Out",), ProjectName="builder"), tools)
    assert list(tools.artifacts.folder(result.outputs["Out"]).iterdir()) == []


def test_a_failed_build_fails_the_action_with_its_first_error(tmp_path: Path) -> None:
    tools = RecordingTools(tmp_path)
    tools.build = Build(outcome=BuildOutcome(status="FAILED", phases=(), error="build: make failed"))
    with pytest.raises(ActionFailed, match="build: make failed"):
        CodeBuild().perform(request(tools.keep("Src", {"a": "1"}), ProjectName="builder"), tools)


@pytest.mark.parametrize("text", ["{", "{}", '[{"name": "A"}]', '["A"]'])
def test_wrong_environment_variables_are_told_before_anything_runs(text: str) -> None:
    with pytest.raises(ActionFailed, match="EnvironmentVariables"):
        read_variables(text)
    assert list(CodeBuild().check({"ProjectName": "p", "EnvironmentVariables": text}))


def test_commands_are_a_buildspec_of_one_phase(tmp_path: Path) -> None:
    tools = RecordingTools(tmp_path)
    source = tools.keep("Src", {"a": "1"})
    wanted = structs.replace(
        request(source),
        type_id=Commands.type_id,
        commands=["echo 'a: b'", "make"],
        output_variables=["TAG"],
        outputs=[OutputArtifact(name="Out", files=["dist/**/*"])],
        environment_variables=[EnvironmentVariable(name="K", value="v")],
    )
    tools.build = Build(
        outcome=BuildOutcome(
            status="SUCCEEDED", phases=(), artifact=built(tmp_path / "m", x="x"), exported={"TAG": "1"}
        )
    )
    result = Commands().perform(wanted, tools)
    (wish,) = tools.wishes
    spec = read_buildspec(wish.buildspec, "commands")
    assert [command.text for command in spec.phases[0].commands] == ["echo 'a: b'", "make"]
    assert spec.env.exported_variables == ("TAG",)
    assert spec.artifacts.primary is not None
    assert spec.artifacts.primary.files == ("dist/**/*",)
    assert wish.variables == {"K": ("PLAINTEXT", "v")}
    assert result.variables == {"TAG": "1"}
