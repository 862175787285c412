"""The ECR source action puts out imageDetail.json and the real action's variables."""

import json
from pathlib import Path

import pytest
from msgspec import structs

from pipeyard.actions.contract import ActionRequest, SourceImage
from pipeyard.actions.ecr_source import EcrSource
from pipeyard.definition.model import Definition, OutputArtifact
from pipeyard.errors import ActionFailed
from tests.actions.recording_tools import RecordingTools

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
DIGEST = "sha256:" + "a1" * 32
IMAGE = SourceImage(
    registry_id="123456789012",
    repository="team/app",
    name=f"{HOST}/team/app",
    tag="latest",
    uri=f"{HOST}/team/app:latest",
    digest=DIGEST,
    size=44728918,
    tags=("598", "latest"),
    pushed_ms=1670432706123,
)


def request(configuration: dict[str, str], outputs: int = 1) -> ActionRequest:
    return ActionRequest(
        action_execution_id="action-1",
        pipeline_execution_id="execution-1",
        pipeline="p",
        stage="Source",
        action="Image",
        type_id=EcrSource.type_id,
        configuration=configuration,
        inputs={},
        outputs=[OutputArtifact(name="SourceOutput")][:outputs],
        definition=Definition(),
    )


def test_the_artifact_and_the_variables_are_those_of_the_real_action(tmp_path: Path) -> None:
    tools = RecordingTools(tmp_path, image=IMAGE)
    result = EcrSource().perform(request({"RepositoryName": "team/app"}), tools)
    assert result.variables == {
        "RegistryId": "123456789012",
        "RepositoryName": "team/app",
        "ImageTag": "latest",
        "ImageDigest": DIGEST,
        "ImageURI": f"{HOST}/team/app:latest",
    }
    artifact = result.outputs["SourceOutput"]
    assert artifact.revision == DIGEST
    folder = tools.artifacts.folder(artifact)
    assert [path.name for path in folder.iterdir()] == ["imageDetail.json"]
    assert json.loads((folder / "imageDetail.json").read_text()) == {
        "ImageSizeInBytes": "44728918",
        "ImageDigest": DIGEST,
        "Version": "1.0",
        "ImagePushedAt": "Wed Dec 07 17:05:06 UTC 2022",
        "RegistryId": "123456789012",
        "RepositoryName": "team/app",
        "ImageURI": f"{HOST}/team/app@{DIGEST}",
        "ImageTags": ["598", "latest"],
    }


def test_what_a_registry_does_not_tell_is_left_out(tmp_path: Path) -> None:
    tools = RecordingTools(tmp_path, image=structs.replace(IMAGE, pushed_ms=0, size=None))
    result = EcrSource().perform(request({"RepositoryName": "team/app", "ImageTag": "598"}), tools)
    assert result.variables["ImageTag"] == "598"
    detail = json.loads((tools.artifacts.folder(result.outputs["SourceOutput"]) / "imageDetail.json").read_text())
    assert not {"ImagePushedAt", "ImageSizeInBytes"} & set(detail)


@pytest.mark.parametrize(
    ("configuration", "complaint"),
    [
        ({}, "RepositoryName is missing"),
        ({"RepositoryName": "App"}, "'App' is not a repository's name"),
        ({"RepositoryName": "app", "ImageTag": "a b"}, "'a b' is not a tag"),
        ({"RepositoryName": "app", "ImageTags": "1"}, "did you mean ImageTag?"),
    ],
)
def test_a_wrong_configuration_is_told_before_and_when_it_runs(
    tmp_path: Path, configuration: dict[str, str], complaint: str
) -> None:
    assert any(complaint in each for each in EcrSource().check(configuration))
    with pytest.raises(ActionFailed) as caught:
        EcrSource().perform(request(configuration), RecordingTools(tmp_path, image=IMAGE))
    assert complaint in caught.value.message


def test_an_expression_is_no_mistake_yet() -> None:
    assert list(EcrSource().check({"RepositoryName": "#{variables.Name}", "ImageTag": "#{variables.Tag}"})) == []


def test_without_an_output_artifact_it_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ActionFailed, match="one output artifact"):
        EcrSource().perform(request({"RepositoryName": "app"}, outputs=0), RecordingTools(tmp_path, image=IMAGE))
