"""Expressions and small projects beside what Terraform itself gave for them: type, value, or that it refuses."""

from pathlib import Path
from typing import Any

import pytest

from pipeyard.definition.places import Inputs
from pipeyard.definition.terraform import evaluate_in
from pipeyard.definition.terraform.reader import open_module
from pipeyard.definition.terraform.values import first_unknown
from pipeyard.errors import InputError
from tests.definition.terraform.conftest import Write
from tests.definition.terraform.recorded import as_terraform_writes, exactly, record

RECORD = record("terraform-1.11.4.json")
PROJECTS = record("projects-1.11.4.json")["cases"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("recorded")
    for name, text in RECORD["files"].items():
        (made / name).parent.mkdir(exist_ok=True)
        (made / name).write_text(text, encoding="utf-8")
    return made


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


def outputs(folder: Path, case: dict[str, Any]) -> Any:
    given = [folder / one if isinstance(one, str) else tuple(one) for one in case.get("variables", ())]
    try:
        inputs = Inputs(variables=tuple(given), environment=case.get("environment", {}))
        module = open_module(folder, inputs, [])
        for name in module.configuration.variables:
            module.variable(name)
        values = {name: module.output(name) for name in module.configuration.outputs}
    except InputError:
        return "refused"
    return {
        name: "unknown"
        if first_unknown(value) is not None
        else {"type": as_terraform_writes(value.type), "value": exactly(value)}
        for name, value in values.items()
    }


@pytest.mark.parametrize("case", PROJECTS, ids=[case["name"].replace(" ", "-") for case in PROJECTS])
def test_projects_have_the_outputs_that_terraform_plans_for_them(write: Write, case: dict[str, Any]) -> None:
    assert outputs(write(case["files"]), case) == ("refused" if case.get("error") else case["outputs"])
