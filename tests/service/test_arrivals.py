"""Announcements become executions, and wait where no execution may begin now."""

from pathlib import Path

import pytest
from msgspec import structs

from pipeyard.definition.model import (
    ActionDeclaration,
    ActionTypeId,
    Definition,
    OutputArtifact,
    PipelineDeclaration,
    PipelineVariable,
    StageDeclaration,
)
from pipeyard.engine.engine import Engine
from pipeyard.registry.announcements import Announcement, listening
from pipeyard.registry.manifests import examine
from pipeyard.registry.store import ContentStore
from pipeyard.service.arrivals import sources_of, start_for_arrivals
from pipeyard.service.yard import Pipeyard
from pipeyard.settings import Settings
from tests.registry.running import digest_of, manifest

ARRIVED = Announcement(number=1, repository="team/app", tag="latest", digest=digest_of(b""), at_ms=1)  # type: ignore[arg-type]


def pipeline(*sources: dict[str, str], provider: str = "ECR", name: str = "p") -> PipelineDeclaration:
    actions = [
        ActionDeclaration(
            name=f"Image{number}",
            action_type_id=ActionTypeId(category="Source", owner="AWS", provider=provider),
            configuration=configuration,
            output_artifacts=[OutputArtifact(name=f"Image{number}")],
        )
        for number, configuration in enumerate(sources)
    ]
    ask = ActionDeclaration(
        name="Ask", action_type_id=ActionTypeId(category="Approval", owner="AWS", provider="Manual")
    )
    return PipelineDeclaration(
        name=name,
        execution_mode="PARALLEL",
        variables=[PipelineVariable(name="Tag", default_value="latest"), PipelineVariable(name="None")],
        stages=[StageDeclaration(name="Source", actions=actions), StageDeclaration(name="Ask", actions=[ask])],
    )


@pytest.mark.parametrize(
    ("configuration", "names"),
    [
        ({"RepositoryName": "team/app"}, True),
        ({"RepositoryName": "team/app", "ImageTag": ""}, True),
        ({"RepositoryName": "team/app", "ImageTag": "#{variables.Tag}"}, True),
        ({"RepositoryName": "team/app", "ImageTag": "#{variables.Missing}"}, False),
        ({"RepositoryName": "team/app", "ImageTag": "v1"}, False),
        ({"RepositoryName": "team/app2"}, False),
        ({}, False),
    ],
)
def test_an_ecr_source_waits_for_its_repository_and_tag(configuration: dict[str, str], names: bool) -> None:
    assert sources_of(pipeline(configuration), ARRIVED) == (("Image0",) if names else ())


def test_other_sources_wait_for_no_image_and_two_actions_may_wait_for_one() -> None:
    named = {"RepositoryName": "team/app"}
    assert sources_of(pipeline(named, provider="CodeCommit"), ARRIVED) == ()
    assert sources_of(pipeline(named, {"RepositoryName": "other"}, named), ARRIVED) == ("Image0", "Image2")


def arrive(store: ContentStore, content: str) -> None:
    facts = examine(manifest(b"{}", annotations={"content": content}))
    with listening(store.root, 1):
        store.put("team/app", [facts], ["latest"], adopt=False, sparse=True)


def count(engine: Engine, name: str) -> int:
    return len(engine.store.executions(name, limit=1000))


def test_an_image_waits_for_a_pipeline_that_is_full_and_keeps_no_other_one_back(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    store = ContentStore(tmp_path / "registry")
    full, free = (
        PipelineDeclaration(
            name=name,
            execution_mode="PARALLEL",
            stages=pipeline({"RepositoryName": "team/app"}).stages,
        )
        for name in ("full", "free")
    )
    with Pipeyard(settings, {}).asking() as engine:
        for each in (full, free):
            engine.register(Definition(pipelines=(each,)), each)
        running = [engine.start("full") for _ in range(50)]
        arrive(store, "first")
        for _ in range(3):
            start_for_arrivals(settings, store, lambda: engine)
        assert (count(engine, "full"), count(engine, "free")) == (50, 1)
        assert len(store.catalog.announcements()) == 1
        engine.stop(running[0], abandon=True)
        start_for_arrivals(settings, store, lambda: engine)
        assert (count(engine, "full"), count(engine, "free")) == (51, 1)
        assert store.catalog.announcements() == ()
    store.close()


def test_what_was_acted_on_and_not_settled_before_a_kill_starts_nothing_twice(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    store = ContentStore(tmp_path / "registry")
    one = structs.replace(pipeline({"RepositoryName": "team/app"}), variables=[])
    with Pipeyard(settings, {}).asking() as engine:
        engine.register(Definition(pipelines=(one,)), one)
        arrive(store, "first")
        (pushed,) = store.catalog.announcements()
        start_for_arrivals(settings, store, lambda: engine)
        with store.catalog.database.writing() as db:  # as if the process had died before it settled it
            db.execute("INSERT INTO announcement VALUES (?, ?, ?, ?, ?)", structs.astuple(pushed))
        assert store.catalog.announcements() == (pushed,)
        start_for_arrivals(settings, store, lambda: engine)
        assert (count(engine, "p"), store.catalog.announcements()) == (1, ())
    store.close()


def test_an_image_starts_nothing_whose_images_are_looked_for_elsewhere(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, connections={"team/app": "docker://ghcr.io/team/app"})
    store = ContentStore(tmp_path / "registry")
    one = structs.replace(pipeline({"RepositoryName": "team/app"}), variables=[])
    with Pipeyard(settings, {}).asking() as engine:
        engine.register(Definition(pipelines=(one,)), one)
        arrive(store, "first")
        start_for_arrivals(settings, store, lambda: engine)
        assert (count(engine, "p"), store.catalog.announcements()) == (0, ())
    store.close()


def test_an_engine_that_cannot_open_leaves_what_arrived_to_the_next_one(tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "registry")
    arrive(store, "first")

    def broken() -> Engine:
        raise RuntimeError("no database")

    start_for_arrivals(Settings(home=tmp_path), store, broken)
    assert len(store.catalog.announcements()) == 1
    store.close()
