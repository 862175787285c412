"""The same service as teams built it before ECRBuildAndPublish: a CodeBuild project whose buildspec calls docker."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, structs

from pipeyard.files import replace_file
from pipeyard.oci.platforms import native
from pipeyard.registry.reference import Reference
from pipeyard.service.demo.project import BASE_REPOSITORY, DemoProject, make_project
from pipeyard.service.demo.walk import DemoWalk
from pipeyard.service.images import ecr_host, open_images
from pipeyard.settings import Settings
from pipeyard.threads import StopSignal

_BUILDSPEC = """\
version: 0.2

phases:
  pre_build:
    commands:
      - echo Logging in to Amazon ECR...
      - REGISTRY=$AWS_ACCOUNT_ID.dkr.ecr.$AWS_DEFAULT_REGION.amazonaws.com
      - aws ecr get-login-password --region $AWS_DEFAULT_REGION | docker login --username AWS --password-stdin $REGISTRY
  build:
    commands:
      - echo Build started on `date`
      - docker build -t $IMAGE_REPO_NAME:latest .
      - docker tag $IMAGE_REPO_NAME:latest $REGISTRY/$IMAGE_REPO_NAME:latest
      - docker tag $IMAGE_REPO_NAME:latest $REGISTRY/$IMAGE_REPO_NAME:$CODEBUILD_RESOLVED_SOURCE_VERSION
  post_build:
    commands:
      - echo Build completed on `date`
      - docker push $REGISTRY/$IMAGE_REPO_NAME:latest
      - docker push $REGISTRY/$IMAGE_REPO_NAME:$CODEBUILD_RESOLVED_SOURCE_VERSION
"""

_TEMPLATE = """\
# Builds the greeter service with Docker in CodeBuild, as teams have done for years.
AWSTemplateFormatVersion: '2010-09-09'
Parameters:
  ServiceName: {Type: String, Default: greeter}
Resources:
  BuildProject:
    Type: AWS::CodeBuild::Project
    Properties:
      Name: !Sub '${ServiceName}-build'
      ServiceRole: !GetAtt BuildRole.Arn
      Artifacts: {Type: CODEPIPELINE}
      Source: {Type: CODEPIPELINE}
      Environment:
        Type: LINUX_CONTAINER
        ComputeType: BUILD_GENERAL1_SMALL
        Image: aws/codebuild/amazonlinux2-x86_64-standard:5.0
        PrivilegedMode: true  # for Docker
        EnvironmentVariables:
          - {Name: AWS_ACCOUNT_ID, Value: !Ref AWS::AccountId}
          - {Name: IMAGE_REPO_NAME, Value: !Sub 'demo/${ServiceName}'}

  BuildLogs:
    Type: AWS::Logs::LogGroup
    Properties:
      LogGroupName: !Sub '/aws/codebuild/${BuildProject}'

  BuildRole:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Statement:
          - {Effect: Allow, Principal: {Service: codebuild.amazonaws.com}, Action: 'sts:AssumeRole'}

  Pipeline:
    Type: AWS::CodePipeline::Pipeline
    Properties:
      Name: !Sub '${ServiceName}-pipeline'
      PipelineType: V2
      Stages:
        - Name: Source
          Actions:
            - Name: Checkout
              ActionTypeId: {Category: Source, Owner: AWS, Provider: CodeStarSourceConnection, Version: '1'}
              Configuration:
                ConnectionArn: arn:aws:codeconnections:us-east-1:123456789012:connection/5c1f4e5e
                FullRepositoryId: !Sub 'example/${ServiceName}'
                BranchName: main
              Namespace: SourceVars
              OutputArtifacts: [{Name: SourceOutput}]
        - Name: Build
          Actions:
            - Name: Image
              ActionTypeId: {Category: Build, Owner: AWS, Provider: CodeBuild, Version: '1'}
              Configuration:
                ProjectName: !Ref BuildProject
              InputArtifacts: [{Name: SourceOutput}]
"""


class Published(Struct, frozen=True):
    """What a tag names: the manifest's digest, its layers, the digest of the configuration and history."""

    digest: str
    layers: tuple[str, ...]
    configuration: str


class ClassicWalk:
    """`folder` receives the project, `settings.home` everything else."""

    def __init__(
        self, settings: Settings, environ: Mapping[str, str], folder: Path, *, now_s: int, stop: StopSignal
    ) -> None:
        # AWS's own build images cannot be pulled; the demonstration's base image stands for them.
        image = f"{ecr_host(settings)}/{BASE_REPOSITORY}:1"
        self._settings = structs.replace(settings, build_images={"aws/codebuild/": image})
        self._environ = environ
        self._folder = folder
        self.walk = DemoWalk(self._settings, environ, folder, now_s=now_s, stop=stop, make=make_classic_project)

    def migrate(self) -> str:
        """Rewrites the template in place; gives what changed, as a diff."""
        from pipeyard.definition.reading import read
        from pipeyard.service.migration import migrate

        project = self.walk.project
        found = migrate(read(project.template), [project.repository], self._folder)
        for file, text in found.texts.items():
            with replace_file(file, durable=False) as out:
                out.write(text.encode())
        return found.diff

    def forget_cache(self) -> None:
        """The next build finds nothing of earlier ones."""
        shutil.rmtree(self._settings.home / "cache")

    def published(self, tag: str) -> Published:
        with open_images(self._settings, self._environ) as images:
            image = images.origin().resolve(Reference(images.own_host, "demo/greeter", tag), native())
        return Published(
            digest=image.descriptor.digest,
            layers=tuple(layer.digest for layer in image.manifest.layers),
            configuration=image.manifest.config.digest,
        )


def make_classic_project(folder: Path, account: str, region: str, at_s: int) -> DemoProject:
    """Writes the service's repository, buildspec included, and the template under `folder`."""
    return make_project(folder, account, region, at_s, template=_TEMPLATE, more={"buildspec.yml": _BUILDSPEC})
