"""No text makes a reader crash, hang, or look outside of its folder."""

import builtins
import io
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeyard.definition.places import Inputs
from pipeyard.definition.reading import read
from pipeyard.definition.validate import validate
from pipeyard.errors import InputError
from tests.definition.pipelines import declaration, pipeline
from tests.definition.written import template_of

TEMPLATE = json.dumps(template_of(declaration(pipeline())), indent=1)
FUNCTIONS = """\
Parameters: {A: {Type: String, Default: a}, L: {Type: CommaDelimitedList, Default: 'a,b'}}
Mappings: {M: {a: {b: c}}}
Conditions: {C: !Equals [!Ref A, a], D: !Not [!Condition C]}
Resources:
  B: {Type: AWS::S3::Bucket}
  P:
    Type: AWS::CodePipeline::Pipeline
    Properties:
      Name: !Sub ['${A}-${x}', {x: !Select [0, !Ref L]}]
      Stages:
        - Name: !FindInMap [M, !Ref A, b]
          Actions:
            - Name: !Join ['-', !Ref L]
              ActionTypeId: {Category: Source, Owner: AWS, Provider: S3, Version: 1}
              Configuration:
                S3Bucket: !If [C, !Ref B, !GetAtt B.Arn]
                S3ObjectKey: !Base64 a
                'Fn::ForEach::X': [K, [a, b], {'${K}': 1}]
"""

SEEDS = [TEMPLATE, FUNCTIONS, json.dumps({"pipeline": pipeline()})]
PIECES = [
    "!Ref ",
    "!Sub ",
    "{",
    "}",
    "[",
    "]",
    ":",
    "\n",
    "  ",
    "&a ",
    "*a",
    "<<: ",
    '"',
    "'",
    "${",
    "Fn::",
    "null",
    "- ",
]


@st.composite
def bent(draw: st.DrawFn) -> str:
    """A definition after a few cuts, repetitions and insertions."""
    text = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 30)))
        put = draw(st.one_of(st.sampled_from(PIECES), st.text(max_size=4), st.just(text[start:end] * 2)))
        text = text[:start] + put + text[end:]
    return text


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=150
)
@given(text=bent(), name=st.sampled_from(["t.yaml", "t.json"]))
def test_a_bent_definition_is_read_or_refused_and_never_crashes(tmp_path: Path, text: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        reading = read(path)
    except InputError:
        return
    assert (reading.definition is None) == any(problem.severity == "error" for problem in reading.problems)
    if reading.definition is not None:
        validate(reading.definition, reading.places)


def _nested(depth: int, function: str) -> Any:
    node: Any = "x"
    for _ in range(depth):
        node = {function: ["", [node]]} if function == "Fn::Join" else {function: node}
    return node


@pytest.mark.parametrize(
    "value", [_nested(90, "Fn::Join"), _nested(90, "Fn::Sub"), _nested(90, "a"), {"Ref": {"Ref": "P"}}]
)
def test_towers_of_functions_are_refused_quickly(tmp_path: Path, value: Any) -> None:
    document = template_of(declaration(pipeline()))
    document["Resources"]["P"]["Properties"]["Name"] = value
    path = tmp_path / "t.json"
    path.write_text(json.dumps(document))
    started = time.monotonic()
    try:
        assert read(path).definition is None
    except InputError:
        pass
    assert time.monotonic() - started < 5


def test_texts_that_double_are_refused(tmp_path: Path) -> None:
    document = template_of(declaration(pipeline()))
    resources = document["Resources"]
    for number in range(40):
        name = {"Fn::Sub": f"${{B{number + 1}}}${{B{number + 1}}}"}
        resources[f"B{number}"] = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}}
    resources["B40"] = {"Type": "AWS::S3::Bucket"}
    resources["P"]["Properties"]["Name"] = {"Ref": "B0"}
    path = tmp_path / "t.json"
    path.write_text(json.dumps(document))
    assert "more than 1000000 characters" in read(path).problems[0].message


def test_a_long_chain_of_references_is_refused_and_not_a_crash(tmp_path: Path) -> None:
    document = template_of(declaration(pipeline()))
    resources = document["Resources"]
    for number in range(500):
        resources[f"B{number}"] = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": {"Ref": f"B{number + 1}"}}}
    resources["B500"] = {"Type": "AWS::S3::Bucket"}
    resources["P"]["Properties"]["Name"] = {"Ref": "B0"}
    path = tmp_path / "t.json"
    path.write_text(json.dumps(document))
    reading = read(path)
    assert reading.definition is None
    assert reading.problems[0].place.line == 1


def test_reading_touches_no_file_outside_of_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text(TEMPLATE)
    inside = tmp_path / "inside"
    inside.mkdir()
    artifacts = {"S": {"type": "aws:cloudformation:stack", "properties": {"templateFile": "../secret.yaml"}}}
    (inside / "manifest.json").write_text(json.dumps({"version": "40.0.0", "artifacts": artifacts}))
    opened: list[str] = []
    real = io.open

    def watching(file: Any, *rest: Any, **more: Any) -> Any:
        opened.append(os.fspath(file) if not isinstance(file, int) else str(file))
        return real(file, *rest, **more)

    monkeypatch.setattr(builtins, "open", watching)
    monkeypatch.setattr(io, "open", watching)
    with pytest.raises(InputError, match="lies outside of its folder"):
        read(inside, Inputs())
    assert str(secret) not in opened
    assert any("manifest.json" in name for name in opened)
