"""A corpus of definitions as people write them: each folder holds one pipeline in several formats, and what it is.

`expected.json` is the pipeline as a deployment would have it, and holds for every format of the folder; `inputs.json`
is what the user gives beside the definition.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeyard.definition.model import Definition, api_document
from pipeyard.definition.places import Inputs, Reading
from pipeyard.definition.reading import read
from pipeyard.definition.validate import validate

CORPUS = Path(__file__).parent / "corpus"
NOT_DEFINITIONS = {"expected.json", "inputs.json"}
DEFINITIONS = sorted(path for path in CORPUS.glob("*/*") if path.name not in NOT_DEFINITIONS)
NEIGHBOURS = ("repositories", "projects", "buckets", "connections", "services", "transitions", "hidden")
TOLD_BY_HAND = ("template.yaml", "template.json", "pipeline.yaml", "pipeline.json")


def names(path: Path) -> str:
    return str(path.relative_to(CORPUS))


def reading_of(path: Path) -> Reading:
    given = path.parent / "inputs.json"
    inputs = msgspec.json.decode(given.read_bytes()) if given.exists() else {}
    return read(path, Inputs(**{**inputs, "variables": tuple(inputs.get("variables", {}).items())}))


def expected(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path.parent / "expected.json").read_text())
    return found


def read_well(path: Path) -> Definition:
    reading = reading_of(path)
    assert [problem for problem in reading.problems if problem.severity == "error"] == []
    assert reading.definition is not None
    return reading.definition


def test_the_corpus_is_large_enough_to_mean_something() -> None:
    assert len(DEFINITIONS) >= 40


@pytest.mark.parametrize("path", DEFINITIONS, ids=names)
def test_the_same_pipeline_reads_equal_from_every_format(path: Path) -> None:
    wanted = expected(path)["pipelines"]
    assert [api_document(pipeline) for pipeline in read_well(path).pipelines] == wanted


@pytest.mark.parametrize("path", DEFINITIONS, ids=names)
def test_what_the_service_takes_passes_validation(path: Path) -> None:
    reading = reading_of(path)
    assert reading.definition is not None
    found = validate(reading.definition, reading.places)
    assert [problem for problem in found if problem.severity == "error"] == []


@pytest.mark.parametrize("case", sorted(folder for folder in CORPUS.iterdir() if folder.is_dir()), ids=names)
def test_what_surrounds_a_pipeline_in_its_template_becomes_part_of_the_model(case: Path) -> None:
    path = next(case / name for name in TOLD_BY_HAND if (case / name).exists())
    definition = read_well(path)
    wanted = expected(path)
    for name in NEIGHBOURS:
        assert list(msgspec.to_builtins(getattr(definition, name))) == wanted.get(name, []), name


@pytest.mark.parametrize("path", [path for path in DEFINITIONS if path.is_file()], ids=names)
def test_every_value_has_a_place_within_its_file(path: Path) -> None:
    reading = reading_of(path)
    lines = path.read_text().splitlines()
    assert reading.definition is not None
    for keys, place in reading.places.items():
        assert place.file == str(path), keys
        assert 1 <= place.line <= len(lines), keys
        assert 1 <= place.column <= len(lines[place.line - 1]) + 1, keys
