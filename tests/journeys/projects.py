"""One service and its pipeline, written in each form that people have."""

import json
from pathlib import Path
from typing import Any

from msgspec import Struct

from tests.source.git_repositories import make_repository

TEMPLATE = """\
AWSTemplateFormatVersion: '2010-09-09'
Parameters:
  Service: {Type: String, Default: app}
  Branch: {Type: String, Default: main}
  Connection: {Type: String, Default: 'arn:aws:codeconnections:us-east-1:123456789012:connection/one'}
Resources:
  Pipeline:
    Type: AWS::CodePipeline::Pipeline
    Properties:
      Name: !Sub '${Service}-pipeline'
      PipelineType: V2
      RoleArn: !Sub 'arn:aws:iam::${AWS::AccountId}:role/pipeline'
      ArtifactStore: {Type: S3, Location: !Sub 'artifacts-${AWS::Region}'}
      Stages:
        - Name: Source
          Actions:
            - Name: Checkout
              ActionTypeId: {Category: Source, Owner: AWS, Provider: CodeStarSourceConnection, Version: '1'}
              Configuration:
                ConnectionArn: !Ref Connection
                FullRepositoryId: !Sub 'team/${Service}'
                BranchName: !Ref Branch
              Namespace: SourceVars
              OutputArtifacts: [{Name: SourceOutput}]
        - Name: Build
          Actions:
            - Name: Image
              ActionTypeId: {Category: Build, Owner: AWS, Provider: ECRBuildAndPublish, Version: '1'}
              Configuration:
                ECRRepositoryName: !Sub 'team/${Service}'
                DockerFilePath: service
                ImageTags: '#{SourceVars.CommitId},latest'
              Namespace: BuildVars
              InputArtifacts: [{Name: SourceOutput}]
"""

TERRAFORM = """\
variable "service" { type = string }
variable "branch" { default = "trunk" }
variable "region" { default = "us-east-1" }
locals {
  repository = "team/${var.service}"
  tags       = ["#{SourceVars.CommitId}", "latest"]
}
resource "aws_codepipeline" "service" {
  name          = "${var.service}-pipeline"
  role_arn      = "arn:aws:iam::123456789012:role/pipeline"
  pipeline_type = "V2"
  artifact_store {
    type     = "S3"
    location = "artifacts-${var.region}"
  }
  stage {
    name = "Source"
    action {
      name             = "Checkout"
      category         = "Source"
      owner            = "AWS"
      provider         = "CodeStarSourceConnection"
      version          = "1"
      namespace        = "SourceVars"
      output_artifacts = ["SourceOutput"]
      configuration = {
        ConnectionArn    = "arn:aws:codeconnections:us-east-1:123456789012:connection/one"
        FullRepositoryId = local.repository
        BranchName       = var.branch
      }
    }
  }
  stage {
    name = "Build"
    action {
      name            = "Image"
      category        = "Build"
      owner           = "AWS"
      provider        = "ECRBuildAndPublish"
      version         = "1"
      namespace       = "BuildVars"
      input_artifacts = ["SourceOutput"]
      configuration = {
        ECRRepositoryName = local.repository
        DockerFilePath    = "service"
        ImageTags         = join(",", local.tags)
      }
    }
  }
}
"""

DECLARATION: dict[str, Any] = {
    "pipeline": {
        "name": "app-pipeline",
        "roleArn": "arn:aws:iam::123456789012:role/pipeline",
        "artifactStore": {"type": "S3", "location": "artifacts-us-east-1"},
        "stages": [
            {
                "name": "Source",
                "actions": [
                    {
                        "name": "Checkout",
                        "actionTypeId": {
                            "category": "Source", "owner": "AWS", "version": "1",
                            "provider": "CodeStarSourceConnection",
                        },
                        "runOrder": 1,
                        "configuration": {
                            "ConnectionArn": "arn:aws:codeconnections:us-east-1:123456789012:connection/one",
                            "FullRepositoryId": "team/app",
                            "BranchName": "main",
                        },
                        "outputArtifacts": [{"name": "SourceOutput"}],
                        "inputArtifacts": [],
                        "namespace": "SourceVars",
                    }
                ],
            },
            {
                "name": "Build",
                "actions": [
                    {
                        "name": "Image",
                        "actionTypeId": {
                            "category": "Build", "owner": "AWS", "provider": "ECRBuildAndPublish", "version": "1",
                        },
                        "runOrder": 1,
                        "configuration": {
                            "ECRRepositoryName": "team/app",
                            "DockerFilePath": "service",
                            "ImageTags": "#{SourceVars.CommitId},latest",
                        },
                        "outputArtifacts": [],
                        "inputArtifacts": [{"name": "SourceOutput"}],
                        "namespace": "BuildVars",
                    }
                ],
            },
        ],
        "version": 3,
        "executionMode": "SUPERSEDED",
        "pipelineType": "V2",
    },
    "metadata": {
        "pipelineArn": "arn:aws:codepipeline:us-east-1:123456789012:app-pipeline",
        "created": "2024-05-06T07:08:09+00:00",
        "updated": "2024-05-06T07:08:09+00:00",
    },
}  # fmt: skip

DOCKERFILE = """\
FROM {base} AS build
ARG GREETING=hello
ENV LEVEL=2
WORKDIR /work
COPY names.txt .
RUN while read name; do echo "$GREETING $name"; done < names.txt > greetings.txt
RUN ["/bin/sh", "-c", "wc -l < greetings.txt > count"]

FROM {base}
LABEL org.example.team=one org.example.level="$LEVEL"
ENV PORT=8080
WORKDIR /srv
COPY --from=build /work/greetings.txt /work/count ./
ADD static /srv/static
EXPOSE 8080
VOLUME /data
USER 1000:1000
ENTRYPOINT ["/bin/cat"]
CMD ["/srv/greetings.txt"]
"""

FILES = {
    "service/names.txt": "Ann\nBo\nCy\n",
    "service/static/a.txt": "kept\n",
    "service/static/b.log": "ignored\n",
    "service/.dockerignore": "**/*.log\n",
    "README.md": "outside of the context\n",
}


class Project(Struct, frozen=True):
    repository: Path
    commit: str
    template: Path
    terraform: Path
    json: Path


def make_project(folder: Path, base: str, dockerfile: str = DOCKERFILE) -> Project:
    repository = folder / "app"
    commit = make_repository(repository, {**FILES, "service/Dockerfile": dockerfile.replace("{base}", base)})
    template = folder / "pipeline.yaml"
    template.write_text(TEMPLATE)
    terraform = folder / "infra"
    terraform.mkdir()
    (terraform / "main.tf").write_text(TERRAFORM)
    (terraform / "terraform.tfvars").write_text('service = "app"\n')
    declaration = folder / "pipeline.json"
    declaration.write_text(json.dumps(DECLARATION, indent=2))
    return Project(repository, commit, template, terraform, declaration)
