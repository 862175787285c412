"""Which repository stands for a source action."""

from pathlib import Path

import pytest
from msgspec import structs

from pipeyard.definition.model import ActionDeclaration, ActionTypeId, PipelineDeclaration, StageDeclaration
from pipeyard.definition.places import Places
from pipeyard.errors import InputError, Place
from pipeyard.service.sources import ChosenSource, choose_sources
from pipeyard.settings import Settings
from pipeyard.source import GitOrigin
from tests.source.git_repositories import git, make_repository

ARN = "arn:aws:codeconnections:us-east-1:123456789012:connection/1"
ACTION = ActionDeclaration(
    name="Checkout",
    action_type_id=ActionTypeId(category="Source", owner="AWS", provider="CodeStarSourceConnection"),
    configuration={"ConnectionArn": ARN, "FullRepositoryId": "team/app", "BranchName": "main"},
)
PIPELINE = PipelineDeclaration(name="p", stages=[StageDeclaration(name="Source", actions=[ACTION])])
PLACES = Places("t.yaml", {(): Place("t.yaml", 1), ("pipelines", 0, "stages", 0, "actions", 0): Place("t.yaml", 9)})


def chosen(folder: Path, given: dict[str, str] | None = None, **settings: dict[str, str]) -> ChosenSource:
    found = choose_sources(
        PIPELINE,
        ("pipelines", 0),
        PLACES,
        given or {},
        Settings(home=folder, connections=settings.get("connections", {})),
        folder / "t.yaml",
        folder,
    )
    return found["Checkout"]


def test_what_is_given_goes_before_the_settings(tmp_path: Path) -> None:
    source = chosen(tmp_path, {"Checkout": "here#v1"}, connections={"team/app": "elsewhere"})
    assert source.origin == GitOrigin(str(tmp_path / "here"), "v1")


@pytest.mark.parametrize("key", ["team/app", ARN])
def test_the_settings_connections_are_found_by_repository_and_by_arn(tmp_path: Path, key: str) -> None:
    source = chosen(tmp_path, connections={key: "https://git.example.com/team/app.git"})
    assert source.origin == GitOrigin("https://git.example.com/team/app.git", "")


@pytest.mark.parametrize(
    "remote",
    ["git@git.example.com:team/app.git", "https://git.example.com/Team/App", "ssh://git@x.example.com/team/app/"],
)
def test_the_checkout_around_the_definition_counts_when_its_remote_is_the_repository(
    tmp_path: Path, remote: str
) -> None:
    make_repository(tmp_path / "work", {"a": ""})
    git(tmp_path / "work", "remote", "add", "origin", remote)
    source = chosen(tmp_path / "work")
    assert source.origin.ref == "HEAD"
    assert Path(source.origin.location).samefile(tmp_path / "work")


@pytest.mark.parametrize("remote", ["git@git.example.com:other/app.git", "https://git.example.com/big-team/app"])
def test_another_repositorys_checkout_does_not_count(tmp_path: Path, remote: str) -> None:
    make_repository(tmp_path / "work", {"a": ""})
    git(tmp_path / "work", "remote", "add", "origin", remote)
    with pytest.raises(InputError, match="nothing stands for the repository") as caught:
        chosen(tmp_path / "work")
    assert caught.value.place == Place("t.yaml", 9)
    assert "--source Checkout=" in caught.value.hint


def test_a_name_that_is_no_source_action_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'Build'") as caught:
        chosen(tmp_path, {"Build": "here"})
    assert "Checkout" in caught.value.hint


def test_source_actions_of_other_providers_need_no_repository(tmp_path: Path) -> None:
    other = structs.replace(ACTION, action_type_id=ActionTypeId(category="Source", owner="AWS", provider="S3"))
    pipeline = structs.replace(PIPELINE, stages=[StageDeclaration(name="Source", actions=[other])])
    settings = Settings(home=tmp_path)
    assert choose_sources(pipeline, ("pipelines", 0), PLACES, {}, settings, tmp_path / "t.yaml", tmp_path) == {}
