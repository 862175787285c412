"""Expressions beside what Terraform itself gave for them: type, value to the last digit, or that it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeyard.definition.terraform import evaluate_in
from pipeyard.definition.terraform.numbers import number_text
from pipeyard.definition.terraform.values import (
    NUMBER,
    Dynamic,
    ListType,
    MapType,
    ObjectType,
    Primitive,
    SetType,
    TupleType,
    Type,
    Value,
    is_mapping,
    is_sequence,
)
from pipeyard.errors import InputError

RECORD = json.loads(
    Path(__file__).with_name("terraform-1.11.4.json").read_text(encoding="utf-8"),
    parse_int=lambda digits: ("number", digits),
    parse_float=lambda digits: ("number", digits),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("recorded")
    for name, text in RECORD["files"].items():
        (made / name).parent.mkdir(exist_ok=True)
        (made / name).write_text(text, encoding="utf-8")
    return made


def as_terraform_writes(kind: Type) -> Any:
    match kind:
        case Primitive():
            return kind.name
        case Dynamic():
            return "dynamic"
        case ListType():
            return ["list", as_terraform_writes(kind.element)]
        case SetType():
            return ["set", as_terraform_writes(kind.element)]
        case MapType():
            return ["map", as_terraform_writes(kind.element)]
        case TupleType():
            return ["tuple", [as_terraform_writes(inner) for inner in kind.elements]]
        case ObjectType():
            return ["object", {name: as_terraform_writes(inner) for name, inner in kind.attributes}]


def exactly(value: Value) -> Any:
    if value.is_null:
        return None
    if is_sequence(value.type):
        return [exactly(item) for item in value.items]
    if is_mapping(value.type):
        return {name: exactly(item) for name, item in value.entries.items()}
    return ("number", number_text(value.raw)) if value.type == NUMBER else value.raw


def answer(folder: Path, expression: str) -> dict[str, Any]:
    try:
        value = evaluate_in(folder, expression)
    except InputError:
        return {"expression": expression, "error": True}
    return {"expression": expression, "type": as_terraform_writes(value.type), "value": exactly(value)}


@pytest.mark.parametrize("part", range(8))
def test_expressions_have_the_types_and_values_that_terraform_gives_them(folder: Path, part: int) -> None:
    cases = RECORD["cases"][part::8]
    assert len(cases) > 200
    wrong = [(case, found) for case in cases if (found := answer(folder, case["expression"])) != case]
    assert wrong == []
