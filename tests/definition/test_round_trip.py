"""A pipeline written down in any format reads back equal."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from pipeyard.definition.model import PipelineDeclaration
from pipeyard.definition.reading import read
from tests.definition.written import WRITERS, as_terraform_can_say, pipelines


@pytest.mark.parametrize("name", WRITERS)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(pipeline=pipelines)
def test_a_pipeline_reads_back_equal(tmp_path: Path, name: str, pipeline: PipelineDeclaration) -> None:
    format_name, write = WRITERS[name]
    if format_name == "Terraform":
        pipeline = as_terraform_can_say(pipeline)
    path = tmp_path / name
    path.write_text(write(pipeline), encoding="utf-8")
    reading = read(tmp_path if format_name == "Terraform" else path)
    assert [problem for problem in reading.problems if problem.severity == "error"] == []
    assert reading.definition is not None
    assert reading.definition.pipelines == (pipeline,)


@settings(deadline=None)
@given(pipeline=pipelines)
def test_a_pipeline_survives_its_own_encoding(pipeline: PipelineDeclaration) -> None:
    assert msgspec.json.decode(msgspec.json.encode(pipeline), type=PipelineDeclaration) == pipeline
