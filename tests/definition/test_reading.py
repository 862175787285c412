"""The one entrance: formats are recognised by content, and what is nothing is refused by name."""

import json
import shutil
from pathlib import Path

import pytest

from pipeyard.definition.model import api_document
from pipeyard.definition.places import Inputs
from pipeyard.definition.reading import read
from pipeyard.errors import InputError
from tests.definition.pipelines import declaration, pipeline, source

TEMPLATE = {"Resources": {"P": {"Type": "AWS::CodePipeline::Pipeline", "Properties": {}}}}


def template() -> str:
    def capital(node: object) -> object:
        if isinstance(node, dict):
            return {
                key[:1].upper() + key[1:]: value if key == "configuration" else capital(value)
                for key, value in node.items()
            }
        return [capital(entry) for entry in node] if isinstance(node, list) else node

    properties = capital(pipeline())
    return json.dumps({"Resources": {"P": {"Type": "AWS::CodePipeline::Pipeline", "Properties": properties}}}, indent=1)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", json.dumps(pipeline())),
        ("b.json", json.dumps({"pipeline": pipeline(), "metadata": {"created": "2025-01-01T00:00:00Z"}})),
        ("c.yaml", json.dumps({"pipeline": pipeline()})),
        ("d.template", template()),
        ("e.yml", template()),
        ("f.json", template()),
        ("with-mark.json", "\ufeff" + template()),
        ("no-suffix", template()),
    ],
)
def test_the_same_pipeline_reads_equal_from_every_document(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    reading = read(path)
    assert reading.problems == ()
    assert reading.definition is not None
    assert reading.definition.pipelines == (declaration(pipeline()),)
    assert read(tmp_path if "." in name else path).definition == reading.definition


@pytest.mark.parametrize(
    "text",
    [
        "",
        "just text",
        "[1, 2]",
        "{}",
        "a: b",
        '{"Resources": 1}',
        "services:\n  web: {}\n",
        "{",
        "\x00\x01",
        "a: [",
        "- x",
    ],
)
def test_what_is_no_definition_is_refused_naming_what_was_looked_for(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        read(path)
    assert "looked for a CloudFormation template" in refused.value.hint or "not valid" in refused.value.message
    assert refused.value.place is not None


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "nothing.yaml")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(InputError, match="is not text in UTF-8"):
        read(tmp_path / "x.yaml")


def test_a_folder_with_exactly_one_definition_is_read(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(template())
    (tmp_path / "compose.yaml").write_text("services: {web: {stages: 1}}\n")
    (tmp_path / "broken.json").write_text('{"stages": ')
    (tmp_path / "network.yaml").write_text("Resources: {Net: {Type: 'AWS::EC2::VPC'}}\n")
    assert read(tmp_path).definition is not None


def test_a_folder_with_two_definitions_asks_which(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(template())
    (tmp_path / "two.json").write_text(json.dumps(pipeline()))
    with pytest.raises(InputError) as refused:
        read(tmp_path)
    assert refused.value.hint == "name one: one.yaml, two.json"


def test_an_empty_folder_is_refused_naming_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        read(tmp_path)
    assert "a folder of .tf or .tf.json files" in refused.value.hint


def test_a_cdk_app_that_was_not_synthesized_is_told_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "cdk.json").write_text('{"app": "node app.js"}')
    with pytest.raises(InputError) as refused:
        read(tmp_path)
    assert "`cdk synth`" in refused.value.hint


def test_a_template_without_a_pipeline_is_an_error_at_its_resources(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("Description: x\nResources:\n  Bucket:\n    Type: AWS::S3::Bucket\n")
    reading = read(path)
    assert reading.definition is None
    (problem,) = reading.problems
    assert (problem.rule, problem.place.line) == ("no-pipeline", 2)
    assert problem.hint == "its resources are of type AWS::S3::Bucket"


@pytest.mark.parametrize(
    ("bend", "rule", "said"),
    [
        (lambda p: p["stages"][1].update(Actionz=[]), "unknown-key", "stage Build has no key 'Actionz'"),
        (lambda p: p["stages"][1]["actions"][0].pop("name"), "missing-key", "an action has no name"),
        (lambda p: p["stages"][1]["actions"][0].update(runOrder="x"), "wrong-type", "must be a whole number, not 'x'"),
        (
            lambda p: p["stages"][1]["actions"][0].update(configuration=[]),
            "wrong-type",
            "must be a mapping, not a list",
        ),
        (lambda p: p.update(stages={}), "wrong-type", "stages of web must be a list, not a mapping"),
    ],
)
def test_a_wrong_shape_is_an_error_at_its_place(tmp_path: Path, bend: object, rule: str, said: str) -> None:
    document = pipeline()
    assert callable(bend)
    bend(document)
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"pipeline": document}, indent=1))
    reading = read(path)
    assert reading.definition is None
    (problem,) = reading.problems
    assert said in problem.message
    assert problem.rule == rule
    assert problem.place.line > 1


def test_every_fault_is_reported_and_not_only_the_first(tmp_path: Path) -> None:
    document = pipeline()
    document["stages"][0]["actions"][0].pop("actionTypeId")
    document["stages"][1]["actions"][0]["runOrder"] = "x"
    document["colour"] = "blue"
    path = tmp_path / "p.json"
    path.write_text(json.dumps(document, indent=1))
    assert len(read(path).problems) == 3


def test_a_place_answers_for_every_value_and_for_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"pipeline": pipeline()}, indent=1))
    lines = path.read_text().splitlines()
    places = read(path).places
    keys = ("pipelines", 0, "stages", 1, "actions", 0, "configuration", "ImageTags")
    assert "ImageTags" in lines[places[keys].line - 1]
    assert places[(*keys[:-1], "Nothing")] == places[keys[:-1]]


def test_a_missing_type_is_v1_as_for_the_service_unless_only_v2_fits(tmp_path: Path) -> None:
    document = pipeline()
    document.pop("pipelineType")
    path = tmp_path / "p.json"
    path.write_text(json.dumps(document))
    reading = read(path)
    assert reading.definition is not None
    assert reading.definition.pipelines[0].pipeline_type == "V2"
    assert [problem.rule for problem in reading.problems] == ["pipeline-without-type"]
    document["stages"].pop()
    path.write_text(json.dumps(document))
    plain = read(path)
    assert plain.definition is not None
    assert plain.definition.pipelines[0].pipeline_type == "V1"
    assert plain.problems == ()


def test_unknown_values_that_only_a_cloud_needs_are_left_out_without_noise(tmp_path: Path) -> None:
    document = json.loads(template())
    properties = document["Resources"]["P"]["Properties"]
    properties["RoleArn"] = {"Fn::ImportValue": "role"}
    properties["ArtifactStore"] = {"Type": "S3", "Location": "b", "EncryptionKey": {"Fn::GetAtt": ["Key", "X"]}}
    document["Resources"]["Key"] = {"Type": "Custom::Key"}
    path = tmp_path / "t.json"
    path.write_text(json.dumps(document))
    reading = read(path, Inputs())
    assert reading.problems == ()
    assert reading.definition is not None
    assert reading.definition.pipelines[0].role_arn is None
    store = reading.definition.pipelines[0].artifact_store
    assert store is not None
    assert (store.location, store.encryption_key) == ("b", None)
    properties["ArtifactStore"]["Location"] = {"Fn::ImportValue": "bucket"}
    path.write_text(json.dumps(document))
    without = read(path).definition
    assert without is not None
    assert without.pipelines[0].artifact_store is None


def test_the_model_prints_as_the_service_prints_it_and_reads_back_equal() -> None:
    printed = api_document(declaration(pipeline()))
    assert printed["version"] == 1
    assert printed["executionMode"] == "SUPERSEDED"
    assert printed["artifactStore"] == {"type": "S3", "location": "example-artifacts"}
    assert printed["stages"][0]["actions"][0] == {**source(), "runOrder": 1, "inputArtifacts": []}
    assert declaration(printed) == declaration(pipeline())


def test_a_repeated_key_counts_with_its_last_value_and_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    text = (Path(__file__).parent / "corpus/container-image/template.yaml").read_text()
    path.write_text(text.replace("      PipelineType: V2\n", "      PipelineType: V1\n      PipelineType: V2\n"))
    reading = read(path)
    assert reading.definition is not None
    assert reading.definition.pipelines[0].pipeline_type == "V2"
    (problem,) = reading.problems
    assert (problem.severity, problem.rule) == ("warning", "repeated-key")
    assert problem.message == "key 'PipelineType' is here a second time, and only this value counts"
    assert path.read_text().splitlines()[problem.place.line - 1].strip() == "PipelineType: V2"


def test_a_folder_without_a_definition_tells_where_beneath_it_there_are_some(tmp_path: Path) -> None:
    corpus = Path(__file__).parent / "corpus"
    for place in ("infra/stacks/web.yaml", "node_modules/x/other.yaml", "a/b/c/d/e/deep.yaml", ".hidden/h.yaml"):
        (tmp_path / place).parent.mkdir(parents=True)
        shutil.copy(corpus / "container-image/template.yaml", tmp_path / place)
    (tmp_path / "infra/notes.yaml").write_text("stages: [1\n")
    with pytest.raises(InputError, match="holds no pipeline definition") as refused:
        read(tmp_path)
    assert refused.value.hint == "beneath it there is infra/stacks/web.yaml"
    shutil.copytree(Path(__file__).parent / "cdk/cdk.out", tmp_path / "app/cdk.out")
    with pytest.raises(InputError) as refused:
        read(tmp_path)
    assert refused.value.hint == "beneath it there are app/cdk.out, infra/stacks/web.yaml"


def test_a_folder_whose_terraform_is_only_in_subfolders_names_them(tmp_path: Path) -> None:
    for place, text in (
        ("live/prod/main.tf", 'module "pipeline" { source = "../../modules/delivery" }\n'),
        ("modules/delivery/main.tf.json", '{"resource": {"aws_codepipeline": {"p": {}}}}'),
        ("modules/network/main.tf", 'resource "aws_vpc" "v" {}\n'),
        (".terraform/modules/p/main.tf", 'resource "aws_codepipeline" "p" {}\n'),
    ):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text(text)
    with pytest.raises(InputError, match="holds no pipeline definition") as refused:
        read(tmp_path)
    assert refused.value.hint == "beneath it there are live/prod, modules/delivery"


VARIABLES, PARAMETERS = Inputs(variables=(("A", "b"),), strict=True), Inputs(parameters={"A": "b"}, strict=True)


@pytest.mark.parametrize(
    ("name", "inputs", "said", "hint"),
    [
        ("t.yaml", VARIABLES, "takes no variables of Terraform", "--parameter NAME=VALUE"),
        ("main.tf", PARAMETERS, "takes no parameters of CloudFormation", "--var NAME=VALUE"),
        ("p.json", VARIABLES, "takes no variables of Terraform", "--variable NAME=VALUE"),
        ("p.json", PARAMETERS, "takes no parameters of CloudFormation", "--variable NAME=VALUE"),
    ],
)
def test_values_of_another_format_are_refused(tmp_path: Path, name: str, inputs: Inputs, said: str, hint: str) -> None:
    path = tmp_path / name
    path.write_text({"t.yaml": template(), "p.json": json.dumps(pipeline()), "main.tf": "locals {}\n"}[name])
    with pytest.raises(InputError, match=said) as refused:
        read(path, inputs)
    assert hint in refused.value.hint


def test_files_of_other_systems_with_stages_do_not_hide_terraform(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text('resource "aws_codepipeline" "p" {\n  name = "p"\n}\n')
    (tmp_path / ".gitlab-ci.yml").write_text("stages: [build, test]\n")
    (tmp_path / "azure-pipelines.yml").write_text("stages:\n- stage: Build\n  jobs: []\n")
    reading = read(tmp_path)
    assert reading.definition is not None
    assert [pipeline.name for pipeline in reading.definition.pipelines] == ["p"]
