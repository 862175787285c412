"""Values for a definition, as people give them on the command line."""

import json
from pathlib import Path

import pytest

from pipeyard.cli.program import run_command_line
from tests.definition.terraform.samples import SMALL


@pytest.mark.parametrize(
    ("order", "value"),
    [
        (["--var", "v=one", "--var-file", "f.tfvars"], "file"),
        (["--var-file=f.tfvars", "--var=v=one"], "one"),
        (["--var", "v=one", "--var-file", "f.tfvars", "--var", "v=a=b"], "a=b"),
        (["--var-file", "f.tfvars", "--var", "w=other"], "file"),
    ],
)
def test_of_several_values_for_a_terraform_variable_the_last_one_on_the_command_line_counts(
    order: list[str],
    value: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    variables = 'variable "v" {}\nvariable "w" { default = "w" }\n'
    (tmp_path / "main.tf").write_text(variables + SMALL % '{ S3Bucket = var.v, S3ObjectKey = "key.zip" }')
    (tmp_path / "f.tfvars").write_text('v = "file"\n')
    monkeypatch.chdir(tmp_path)
    assert run_command_line(["run", ".", "--plan", "--json", *order]) in (0, 2)
    (stage,) = json.loads(capsys.readouterr().out)["stages"]
    assert stage["actions"][0]["configuration"]["S3Bucket"] == value
