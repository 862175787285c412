"""Ten buildspecs as teams write them. Programs that they call (pip, npm, mvn, go) are stubs that note their calls."""

import os
from pathlib import Path

import pytest
from msgspec import Struct, structs

from pipeyard.buildspec.contract import BuildOutcome
from tests.buildspec.machines import Bench

EXAMPLES = Path(__file__).parent / "examples"
STUB = '#!/bin/sh\necho "$(basename "$0") $*" >> "$CODEBUILD_SRC_DIR/.calls"\ncase "$*" in *--fail*) exit 3;; esac\n'
PROGRAMS = ("pip", "pytest", "npm", "mvn", "go", "docker", "aws", "make", "terraform", "sam", "cdk", "gradle", "yarn")


class Told(Struct, frozen=True):
    """`calls` in order; `artifact` files, `exported` variables."""

    calls: tuple[str, ...]
    artifact: tuple[str, ...] = ()
    exported: dict[str, str] = {}
    files: dict[str, str] = {}
    variables: dict[str, str] = {}


HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
ACCOUNT = {"AWS_ACCOUNT_ID": "123456789012"}
TOLD = {
    "python": Told(
        ("pip install -r requirements.txt", "pytest --junitxml=reports/unit.xml", "pip wheel -w dist ."),
        artifact=("app.whl",),
        files={"requirements.txt": "a\n", "reports/unit.xml": '<testsuite><testcase name="t"/></testsuite>'},
    ),
    "node": Told(
        ("npm ci", "npm run lint", "npm test -- --ci", "npm run build"),
        artifact=("index.html", "js/app.js"),
        exported={"VERSION": "2.1.0"},
        files={"package.json": '{\n  "name": "site",\n  "version": "2.1.0"\n}\n'},
    ),
    "java": Told(
        ("mvn -B -q package -DskipTests=false",), artifact=("app.jar", "appspec.yml"), files={"appspec.yml": "v\n"}
    ),
    "go": Told(
        ("go vet ./...", "go build -o bin/linux/app ./cmd/app", "go build -o bin/darwin/app ./cmd/app"),
        artifact=("darwin/app", "linux/app"),
    ),
    "multi-image": Told(
        (
            f"docker build -t {HOST}/web:abcdef1 web",
            f"docker build -t {HOST}/worker:abcdef1 worker",
            f"docker push {HOST}/web:abcdef1",
            f"docker push {HOST}/worker:abcdef1",
        ),
        artifact=("imagedefinitions.json",),
        variables=ACCOUNT,
    ),
    "buildx": Told(
        (
            "docker buildx create --use --name multi",
            f"docker buildx build --platform linux/amd64,linux/arm64 --tag {HOST}/app:latest --push .",
        ),
        variables={"REPOSITORY": f"{HOST}/app"},
    ),
    "monorepo": Told(
        ("make -C services/api test", "make -C services/api build"), variables={"CHANGED": "services/api"}
    ),
    "terraform": Told(
        ("terraform init -input=false", "terraform plan -out=tfplan -input=false"), artifact=("infra/tfplan",)
    ),
    "serverless": Told(
        ("sam build", "sam package --s3-bucket artifacts --output-template-file packaged.yml"),
        artifact=("packaged.yml",),
    ),
    "gradle-cache": Told(("gradle --build-cache assemble", "gradle --build-cache check"), artifact=("app.jar",)),
}


@pytest.fixture
def stubbed(bench: Bench) -> Bench:
    """The machine's root with the stubs in its PATH."""
    (root,) = bench.machine.lowers
    for program in PROGRAMS:
        (root / "bin" / program).write_text(STUB)
        (root / "bin" / program).chmod(0o755)
    return bench


def run(bench: Bench, name: str) -> tuple[BuildOutcome, list[str]]:
    told = TOLD[name]
    text = (EXAMPLES / f"{name}.yml").read_text()
    bench.write(told.files)
    order = bench.order(text)
    identity = structs.replace(order.identity, source_version="abcdef1234567890")
    outcome = bench.run(text, identity=identity, variables={**order.variables, **told.variables})
    calls = bench.folder / "build-1/attempt-0/output/src1/src/.calls"
    return outcome, calls.read_text().splitlines() if calls.exists() else []


def test_there_are_ten_examples_and_each_is_run() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.yml")} == TOLD.keys()
    assert len(TOLD) == 10


@pytest.mark.parametrize("name", TOLD)
def test_it_runs_as_it_is_written(stubbed: Bench, name: str) -> None:
    outcome, calls = run(stubbed, name)
    assert outcome.error == "", stubbed.log
    told = TOLD[name]
    assert tuple(call for call in calls if call in told.calls) == told.calls
    assert len(calls) == len(told.calls), calls
    assert outcome.exported == told.exported
    found = []
    for artifact in (outcome.artifact, *outcome.secondary.values()):
        if artifact is not None:
            found += [os.path.relpath(path, artifact.folder) for path in artifact.folder.rglob("*") if path.is_file()]
    assert sorted(found) == sorted(told.artifact)
