"""`pipeyard validate` as its users call it: text for people, JSON for scripts, SARIF for code scanning."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CORPUS = Path(__file__).parent / "corpus"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"HOME": str(folder), "PIPEYARD_HOME": str(folder / "home"), "PATH": os.defpath}
    command = [sys.executable, "-m", "pipeyard", "validate", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    text = (CORPUS / "container-image/template.yaml").read_text()
    (tmp_path / "template.yaml").write_text(text.replace("CommitId", "CommitID"))
    return tmp_path


def test_a_good_definition_ends_with_0(tmp_path: Path) -> None:
    done = run(tmp_path, str(CORPUS / "container-image/template.yaml"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "web: 0 errors, 0 warnings\n"


def test_an_error_is_shown_like_a_compiler_shows_it_and_ends_with_2(wrong: Path) -> None:
    done = run(wrong, "template.yaml")
    assert done.returncode == 2
    assert done.stdout == "web: 1 error, 0 warnings\n"
    lines = done.stderr.splitlines()
    assert lines[0] == (
        "template.yaml:42:28: error[undefined-variable]: "
        "ImageTags uses #{SourceVars.CommitID}, which no action puts out"
    )
    assert lines[1].endswith('ImageTags: "#{SourceVars.CommitID},latest"')
    assert lines[2].endswith("^")
    assert lines[3].startswith("  hint: names are case-sensitive: CommitId")


def test_json_tells_the_same_to_a_script(wrong: Path) -> None:
    done = run(wrong, "template.yaml", "--json")
    assert done.returncode == 2
    document = json.loads(done.stdout)
    assert (document["valid"], document["pipelines"]) == (False, ["web"])
    (problem,) = document["problems"]
    assert (problem["rule"], problem["file"], problem["line"], problem["column"]) == (
        "undefined-variable",
        "template.yaml",
        42,
        28,
    )


def test_sarif_tells_the_same_to_code_scanning(wrong: Path) -> None:
    done = run(wrong, "template.yaml", "--sarif")
    assert done.returncode == 2
    (scan,) = json.loads(done.stdout)["runs"]
    (result,) = scan["results"]
    assert (result["ruleId"], result["level"]) == ("undefined-variable", "error")
    location = result["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == "template.yaml"
    assert location["region"] == {"startLine": 42, "startColumn": 28}
    assert [rule["id"] for rule in scan["tool"]["driver"]["rules"]] == ["undefined-variable"]


def test_wrong_syntax_is_a_problem_for_scripts_too(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("a: [1\nb: 2\n")
    done = run(tmp_path, "t.yaml", "--json")
    assert done.returncode == 2
    (problem,) = json.loads(done.stdout)["problems"]
    assert problem["rule"] == "not-readable"
    assert problem["line"] == 2


def test_parameters_reach_the_template(tmp_path: Path) -> None:
    template = str(CORPUS / "approval-in-production/template.yaml")
    unknown = run(tmp_path, template)
    assert "warning[unknown-value]" in unknown.stderr
    assert "hint: give it with --parameter Stage=..." in unknown.stderr
    given = run(tmp_path, template, "--parameter", "Stage=test")
    assert (given.returncode, "unknown-value" in given.stderr) == (0, False)
    refused = run(tmp_path, template, "--parameter", "Stage=prod", "--parameter", "Colour=red")
    assert refused.returncode == 2
    assert "error[unknown-parameter]: the template has no parameter 'Colour'" in refused.stderr


def test_terraform_variables_reach_the_configuration(tmp_path: Path) -> None:
    folder = str(CORPUS / "approval-in-production/terraform")
    assert run(tmp_path, folder, "--var", "stage=test").stdout.startswith("site-test: 0 errors")
    (tmp_path / "my.tfvars").write_text('stage = "prod"\n')
    assert run(tmp_path, folder, "--var-file", "my.tfvars").stdout.startswith("site-prod: 0 errors")


def test_imports_and_parameter_store_come_from_the_settings(tmp_path: Path) -> None:
    (tmp_path / "pipeyard.toml").write_text(
        '[imports]\nqa-role = "arn:aws:iam::123456789012:role/qa"\nartifacts = "example"\n'
        '[ssm_parameters]\n"/app/version" = "2.0"\n'
    )
    done = run(tmp_path, str(CORPUS / "long-forms/template.json"))
    assert done.returncode == 0
    assert done.stdout.startswith("long-qa-2.0: 0 errors")
