"""The source action puts out the branch's files and the real action's variables."""

from pathlib import Path

import pytest

from pipeyard.actions.codestar_source_connection import CodeStarSourceConnection
from pipeyard.actions.contract import ActionRequest
from pipeyard.definition.model import Connection, Definition, OutputArtifact
from pipeyard.errors import ActionFailed, InputError
from pipeyard.source import GitOrigin
from tests.actions.recording_tools import RecordingTools
from tests.source.git_repositories import commit, git, make_repository

ARN = "arn:aws:codeconnections:us-east-1:123456789012:connection/1"


def request(revision: str = "", definition: Definition | None = None, **changed: str) -> ActionRequest:
    configuration = {"ConnectionArn": ARN, "FullRepositoryId": "team/app", "BranchName": "main", **changed}
    return ActionRequest(
        action_execution_id="action-1",
        pipeline_execution_id="execution-1",
        pipeline="p",
        stage="Source",
        action="Checkout",
        type_id=CodeStarSourceConnection.type_id,
        configuration={key: value for key, value in configuration.items() if value},
        inputs={},
        outputs=[OutputArtifact(name="SourceOutput")],
        definition=definition or Definition(),
        source_revision=revision,
    )


def test_the_variables_are_those_of_the_real_action(tmp_path: Path) -> None:
    commit_id = make_repository(tmp_path / "work", {"Dockerfile": "FROM scratch\n"}, "Begin\n\nwith words")
    tools = RecordingTools(tmp_path, GitOrigin(str(tmp_path / "work")))
    connection = Connection(name="c", arn=ARN, provider_type="GitLab")
    result = CodeStarSourceConnection().perform(request(definition=Definition(connections=(connection,))), tools)
    assert result.variables == {
        "AuthorDate": "2024-05-06T05:08:09Z",
        "AuthorDisplayName": "Ann Author",
        "AuthorEmail": "ann@example.com",
        "AuthorId": "ann@example.com",
        "BranchName": "main",
        "CommitId": commit_id,
        "CommitMessage": "Begin\n\nwith words",
        "ConnectionArn": ARN,
        "FullRepositoryName": "team/app",
        "ProviderType": "GitLab",
    }
    artifact = result.outputs["SourceOutput"]
    assert (artifact.revision, artifact.created_s) == (commit_id, 1714972090)
    assert (tools.artifacts.folder(artifact) / "Dockerfile").read_text() == "FROM scratch\n"


def test_the_branch_is_the_declared_one_and_not_what_is_checked_out(tmp_path: Path) -> None:
    make_repository(tmp_path / "work", {"a": "main"})
    git(tmp_path / "work", "checkout", "-q", "-b", "other")
    commit(tmp_path / "work", {"a": "other"}, "Elsewhere")
    tools = RecordingTools(tmp_path, GitOrigin(str(tmp_path / "work")))
    result = CodeStarSourceConnection().perform(request(), tools)
    assert (tools.artifacts.folder(result.outputs["SourceOutput"]) / "a").read_text() == "main"


def test_an_execution_started_for_a_revision_gets_that_one_although_the_branch_moved_on(tmp_path: Path) -> None:
    first = make_repository(tmp_path / "work", {"a": "first"})
    commit(tmp_path / "work", {"a": "second"}, "Move on")
    tools = RecordingTools(tmp_path, GitOrigin(str(tmp_path / "work")))
    result = CodeStarSourceConnection().perform(request(first), tools)
    assert result.variables["CommitId"] == first


def test_performing_again_after_a_crash_leaves_the_same_artifact(tmp_path: Path) -> None:
    make_repository(tmp_path / "work", {"a": "x"})
    tools = RecordingTools(tmp_path, GitOrigin(str(tmp_path / "work")))
    first = CodeStarSourceConnection().perform(request(), tools)
    assert CodeStarSourceConnection().perform(request(), tools) == first
    assert [p.name for p in (tmp_path / "artifacts/action-1").iterdir()] == ["SourceOutput"]


def test_wrong_configuration_is_told_by_its_key(tmp_path: Path) -> None:
    tools = RecordingTools(tmp_path)
    with pytest.raises(ActionFailed, match="BranchName is missing"):
        CodeStarSourceConnection().perform(request(BranchName=""), tools)
    complaints = list(
        CodeStarSourceConnection().check({"ConnectionArn": "a", "FullRepositoryID": "b", "BranchName": "c"})
    )
    assert any("did you mean FullRepositoryId?" in complaint for complaint in complaints)


def test_a_missing_branch_fails_with_those_that_exist(tmp_path: Path) -> None:
    make_repository(tmp_path / "work", {"a": "x"})
    tools = RecordingTools(tmp_path, GitOrigin(str(tmp_path / "work")))
    with pytest.raises(InputError, match="no branch") as caught:
        CodeStarSourceConnection().perform(request(BranchName="mian"), tools)
    assert "main" in caught.value.hint
