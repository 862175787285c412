"""The S3 source action puts out the object's content and the real action's variables."""

from pathlib import Path

import pytest

from pipeyard.actions.contract import ActionRequest, SourceObject
from pipeyard.actions.s3_source import S3Source
from pipeyard.definition.model import Definition, OutputArtifact
from pipeyard.errors import ActionFailed
from tests.actions.recording_tools import RecordingTools


def request(revision: str = "", kind: str = "", **configuration: str) -> ActionRequest:
    return ActionRequest(
        action_execution_id="action-1",
        pipeline_execution_id="execution-1",
        pipeline="p",
        stage="Source",
        action="Object",
        type_id=S3Source.type_id,
        configuration={"S3Bucket": "sources", "S3ObjectKey": "app.zip", **configuration},
        inputs={},
        outputs=[OutputArtifact(name="SourceOutput")],
        definition=Definition(),
        source_revision=revision,
        source_revision_type=kind,
    )


def test_the_variables_are_those_of_the_real_action(tmp_path: Path) -> None:
    result = S3Source().perform(request(), RecordingTools(tmp_path))
    assert result.variables == {
        "BucketName": "sources",
        "ObjectKey": "app.zip",
        "ETag": "e" * 32,
        "VersionId": "v1",
    }
    artifact = result.outputs["SourceOutput"]
    assert (artifact.revision, artifact.created_s) == ("v1", 7)


def test_where_nothing_is_versioned_the_tag_is_the_revision(tmp_path: Path) -> None:
    tools = RecordingTools(tmp_path, object=SourceObject(etag="abc", version_id="null", modified_s=1))
    assert S3Source().perform(request(), tools).outputs["SourceOutput"].revision == "abc"


@pytest.mark.parametrize(
    ("kind", "allowed", "key", "version"),
    [("S3_OBJECT_VERSION_ID", "false", "app.zip", "other"), ("S3_OBJECT_KEY", "true", "other", "")],
)
def test_an_execution_gets_the_version_or_key_that_it_was_started_for(
    tmp_path: Path, kind: str, allowed: str, key: str, version: str
) -> None:
    tools = RecordingTools(tmp_path)
    result = S3Source().perform(request("other", kind, AllowOverrideForS3ObjectKey=allowed), tools)
    assert result.variables["ObjectKey"] == key
    assert (tools.artifacts.folder(result.outputs["SourceOutput"]) / key).read_text() == version


def test_another_key_needs_the_actions_leave(tmp_path: Path) -> None:
    with pytest.raises(ActionFailed) as caught:
        S3Source().perform(request("other.zip", "S3_OBJECT_KEY"), RecordingTools(tmp_path))
    assert "AllowOverrideForS3ObjectKey" in caught.value.hint


def test_a_wrong_configuration_is_told_by_its_key() -> None:
    assert any("S3ObjectKey" in each for each in S3Source().check({"S3Bucket": "b"}))
    assert any("did you mean S3Bucket?" in each for each in S3Source().check({"S3Buket": "b", "S3ObjectKey": "k"}))
