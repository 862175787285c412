"""Stacks within stacks: their pipelines are read, their outputs known, when their templates lie beside them."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeyard.definition.reading import read
from tests.definition.pipelines import declaration, pipeline
from tests.definition.written import template_of


def nested(url: Any, **parameters: Any) -> dict[str, Any]:
    return {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url, "Parameters": parameters}}


def write(folder: Path, name: str, document: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1))
    return path


REPOSITORIES = {
    "Parameters": {"Names": {"Type": "CommaDelimitedList"}, "Prefix": {"Type": "String"}},
    "Resources": {
        "Images": {
            "Type": "AWS::ECR::Repository",
            "Properties": {
                "RepositoryName": {"Fn::Sub": ["${Prefix}/${N}", {"N": {"Fn::Select": [0, {"Ref": "Names"}]}}]}
            },
        }
    },
    "Outputs": {"Name": {"Value": {"Ref": "Images"}}},
}


def outer(url: Any) -> dict[str, Any]:
    document = template_of(declaration(pipeline()))
    document["Resources"]["Registry"] = nested(url, Names=["web", "api"], Prefix={"Ref": "AWS::Region"})
    build = document["Resources"]["P"]["Properties"]["Stages"][1]["Actions"][0]
    build["Configuration"]["ECRRepositoryName"] = {"Fn::GetAtt": ["Registry", "Outputs.Name"]}
    return document


def test_the_outputs_of_a_nested_stack_are_known_and_its_repository_is_a_neighbour(tmp_path: Path) -> None:
    write(tmp_path, "parts/registry.json", REPOSITORIES)
    reading = read(write(tmp_path, "t.json", outer("./parts/registry.json")))
    assert reading.problems == ()
    assert reading.definition is not None
    (found,) = reading.definition.pipelines
    assert found.stages[1].actions[0].configuration["ECRRepositoryName"] == "us-east-1/web"
    assert [repository.name for repository in reading.definition.repositories] == ["us-east-1/web"]


def test_a_pipeline_within_a_nested_stack_is_read_with_places_in_its_own_file(tmp_path: Path) -> None:
    inner = write(tmp_path, "inner.json", template_of(declaration(pipeline())))
    reading = read(write(tmp_path, "t.json", {"Resources": {"Inner": nested("inner.json")}}))
    assert reading.definition is not None
    assert reading.definition.pipelines == (declaration(pipeline()),)
    assert reading.places[("pipelines", 0, "stages", 1)].file == str(inner)


def test_an_asset_of_the_cdk_is_found_by_its_object_key(tmp_path: Path) -> None:
    write(tmp_path, "inner.nested.template.json", template_of(declaration(pipeline())))
    url = {"Fn::Join": ["", ["https://s3.", {"Ref": "AWS::Region"}, ".amazonaws.com/assets/0123abcd.json"]]}
    write(tmp_path, "App.template.json", {"Resources": {"Inner": nested(url)}})
    asset = {"source": {"path": "inner.nested.template.json"}, "destinations": {"a": {"objectKey": "0123abcd.json"}}}
    write(tmp_path, "App.assets.json", {"version": "40.0.0", "files": {"0123abcd": asset}})
    stack = {"type": "aws:cloudformation:stack", "properties": {"templateFile": "App.template.json"}}
    write(tmp_path, "manifest.json", {"version": "40.0.0", "artifacts": {"App": stack}})
    reading = read(tmp_path)
    assert reading.definition is not None
    assert [found.name for found in reading.definition.pipelines] == ["web"]


def test_a_template_elsewhere_stays_unknown(tmp_path: Path) -> None:
    write(tmp_path, "registry.json", REPOSITORIES)
    for url in ("https://example-bucket.s3.amazonaws.com/registry.json", "../registry.json", "nothing.json"):
        reading = read(write(tmp_path, "inside/t.json", outer(url)))
        assert reading.definition is None
        assert "AWS::CloudFormation::Stack tells it only when it is deployed" in reading.problems[0].message


def test_a_template_that_names_itself_comes_to_an_end(tmp_path: Path) -> None:
    document = template_of(declaration(pipeline()))
    document["Resources"] |= {"One": nested("t.json"), "Two": nested("t.json")}
    reading = read(write(tmp_path, "t.json", document))
    assert reading.definition is not None
    assert len(reading.definition.pipelines) == 21


@pytest.mark.parametrize(
    "url",
    [
        "https://${Bucket}.s3.amazonaws.com/v1/parts/registry.json",
        "https://s3.amazonaws.com/${Bucket}/parts/registry.json",
        "${Bucket}/parts/registry.json",
        "${Bucket}parts/registry.json",
    ],
)
def test_an_uploaded_template_is_read_from_the_file_with_the_end_of_its_path(tmp_path: Path, url: str) -> None:
    write(tmp_path, "parts/registry.json", REPOSITORIES)
    document = {**outer({"Fn::Sub": url}), "Parameters": {"Bucket": {"Type": "String"}}}
    reading = read(write(tmp_path, "t.json", document))
    assert reading.definition is not None
    (found,) = reading.definition.pipelines
    assert found.stages[1].actions[0].configuration["ECRRepositoryName"] == "us-east-1/web"
    (problem,) = reading.problems
    assert (problem.severity, problem.rule) == ("warning", "nested-template")
    assert problem.message == f"taken for the nested template {url}"
    assert problem.place.file == str(tmp_path / "parts/registry.json")


def test_an_application_of_sam_is_a_nested_stack(tmp_path: Path) -> None:
    write(tmp_path, "parts/registry.json", REPOSITORIES)
    document = outer("")
    document["Resources"]["Registry"] = {
        "Type": "AWS::Serverless::Application",
        "Properties": {"Location": "parts/registry.json", "Parameters": {"Names": "web,api", "Prefix": "p"}},
    }
    reading = read(write(tmp_path, "t.json", document))
    assert reading.definition is not None
    (found,) = reading.definition.pipelines
    assert found.stages[1].actions[0].configuration["ECRRepositoryName"] == "p/web"


def test_an_application_of_the_repository_is_known_only_when_deployed(tmp_path: Path) -> None:
    document = outer("")
    document["Resources"]["Registry"] = {
        "Type": "AWS::Serverless::Application",
        "Properties": {"Location": {"ApplicationId": "arn:aws:serverlessrepo:::x", "SemanticVersion": "1.0.0"}},
    }
    reading = read(write(tmp_path, "t.json", document))
    assert "AWS::Serverless::Application tells it only when it is deployed" in reading.problems[0].message
