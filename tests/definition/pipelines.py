"""A small valid pipeline as the API's dictionary, for tests to bend."""

from typing import Any

import msgspec

from pipeyard.definition.model import PipelineDeclaration

CONNECTION = "arn:aws:codeconnections:us-east-1:123456789012:connection/0a1b2c3d-0000-4000-8000-000000000001"


def type_id(category: str, provider: str, owner: str = "AWS") -> dict[str, str]:
    return {"category": category, "owner": owner, "provider": provider, "version": "1"}


def source(name: str = "Checkout", artifact: str = "Src", namespace: str = "SourceVars") -> dict[str, Any]:
    return {
        "name": name,
        "actionTypeId": type_id("Source", "CodeStarSourceConnection"),
        "configuration": {"ConnectionArn": CONNECTION, "FullRepositoryId": "example/web", "BranchName": "main"},
        "outputArtifacts": [{"name": artifact}],
        "namespace": namespace,
    }


def image(name: str = "Image", artifact: str = "Src", **configuration: str) -> dict[str, Any]:
    return {
        "name": name,
        "actionTypeId": type_id("Build", "ECRBuildAndPublish"),
        "configuration": {"ECRRepositoryName": "web", "ImageTags": "#{SourceVars.CommitId},latest", **configuration},
        "inputArtifacts": [{"name": artifact}],
        "namespace": "BuildVars",
    }


def commands(name: str = "Commands", artifact: str = "Src", *lines: str) -> dict[str, Any]:
    return {
        "name": name,
        "actionTypeId": type_id("Compute", "Commands"),
        "commands": list(lines) or ["make"],
        "inputArtifacts": [{"name": artifact}],
    }


def pipeline() -> dict[str, Any]:
    return {
        "name": "web",
        "roleArn": "arn:aws:iam::123456789012:role/pipeline",
        "artifactStore": {"type": "S3", "location": "example-artifacts"},
        "pipelineType": "V2",
        "stages": [
            {"name": "Source", "actions": [source()]},
            {"name": "Build", "actions": [image()]},
        ],
    }


def declaration(document: dict[str, Any]) -> PipelineDeclaration:
    return msgspec.convert(document, PipelineDeclaration)
