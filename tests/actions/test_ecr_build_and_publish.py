"""The build action finds the Dockerfile, splits the tags, and refuses what no registry would take."""

from pathlib import Path

import pytest

from pipeyard.actions.catalogue import find_action
from pipeyard.actions.contract import ActionRequest, Artifact
from pipeyard.actions.ecr_build_and_publish import EcrBuildAndPublish, find_dockerfile, parse_tags
from pipeyard.definition.model import ActionTypeId, Definition
from pipeyard.errors import ActionFailed
from tests.actions.recording_tools import RecordingTools


def request(artifact: Artifact, **configuration: str) -> ActionRequest:
    return ActionRequest(
        action_execution_id="action-2",
        pipeline_execution_id="execution-1",
        pipeline="p",
        stage="Build",
        action="Image",
        type_id=EcrBuildAndPublish.type_id,
        configuration=configuration,
        inputs={artifact.name: artifact},
        definition=Definition(),
    )


def test_the_defaults_are_the_root_dockerfile_latest_and_a_private_registry(tmp_path: Path) -> None:
    tools = RecordingTools(tmp_path)
    artifact = tools.keep("Src", {"Dockerfile": "FROM scratch\n"}, created_s=1700000000)
    result = EcrBuildAndPublish().perform(request(artifact, ECRRepositoryName="team/app"), tools)
    (build,) = tools.builds
    assert build.dockerfile == tools.artifacts.folder(artifact) / "Dockerfile"
    assert build.context == tools.artifacts.folder(artifact)
    assert (list(build.tags), build.registry_type, build.epoch_s) == (["latest"], "private", 1700000000)
    assert result.variables == {"ECRImageDigestId": "sha256:" + "0" * 64, "ECRRepositoryName": "team/app"}


@pytest.mark.parametrize("path", ["svc", "./svc/", "svc/Dockerfile", "/svc", "svc/../svc"])
def test_a_folder_or_a_file_names_the_dockerfile_and_its_folder_is_the_context(tmp_path: Path, path: str) -> None:
    tools = RecordingTools(tmp_path)
    artifact = tools.keep("Src", {"svc/Dockerfile": "FROM scratch\n"})
    EcrBuildAndPublish().perform(request(artifact, ECRRepositoryName="a", DockerFilePath=path), tools)
    assert tools.builds[0].context == tools.artifacts.folder(artifact) / "svc"


def test_a_dockerfile_by_another_name_is_taken(tmp_path: Path) -> None:
    (tmp_path / "prod.Dockerfile").write_text("FROM scratch\n")
    assert find_dockerfile(tmp_path, "prod.Dockerfile") == tmp_path / "prod.Dockerfile"


def test_a_missing_dockerfile_is_refused_with_those_that_exist(tmp_path: Path) -> None:
    (tmp_path / "svc").mkdir()
    (tmp_path / "svc/Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(ActionFailed, match=r"there is no Dockerfile at '\.'") as caught:
        find_dockerfile(tmp_path, ".")
    assert "svc/Dockerfile" in caught.value.hint


@pytest.mark.parametrize("path", ["../outside", "out", "link/Dockerfile", "folder"])
def test_nothing_outside_the_source_is_read(tmp_path: Path, path: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "Dockerfile").write_text("FROM scratch\n")
    source = tmp_path / "source"
    (source / "folder").mkdir(parents=True)
    (source / "out").symlink_to("../outside/Dockerfile")
    (source / "link").symlink_to(outside)
    (source / "folder/Dockerfile").symlink_to("/etc/passwd")
    with pytest.raises(ActionFailed, match="leads out of the source"):
        find_dockerfile(source, path)


def test_tags_are_separated_by_commas_and_counted_once() -> None:
    assert parse_tags(" abc, latest,abc,") == ("abc", "latest")


@pytest.mark.parametrize("text", ["feature/login", "-x", "a b", "", " , ", "x" * 129, "#{a.b}"])
def test_what_no_registry_takes_as_a_tag_fails_the_action(text: str) -> None:
    with pytest.raises(ActionFailed):
        parse_tags(text)


def test_a_repository_with_a_host_or_capitals_is_refused(tmp_path: Path) -> None:
    tools = RecordingTools(tmp_path)
    artifact = tools.keep("Src", {"Dockerfile": "FROM scratch\n"})
    for name in ("Team/App", "localhost:5000/app", "../app"):
        with pytest.raises(ActionFailed, match="is not a repository's name"):
            EcrBuildAndPublish().perform(request(artifact, ECRRepositoryName=name), tools)
    assert tools.builds == []


def test_an_unknown_provider_is_refused_by_naming_those_that_exist() -> None:
    with pytest.raises(ActionFailed) as caught:
        find_action(ActionTypeId(category="Build", owner="AWS", provider="ECRBuild"))
    assert "ECRBuildAndPublish" in caught.value.hint
