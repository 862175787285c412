"""Container pipelines as people wrote them before ECRBuildAndPublish: definition, source tree, what it must become."""

from msgspec import Struct

from tests.journeys.buildspecs import CLASSIC


class Pair(Struct, frozen=True):
    """`after`: pieces of the migrated text, whose white space counts; `gone`: words that must not be in it any more."""

    name: str
    file: str  # the definition's, in a folder of its own
    text: str
    sources: dict[str, str]
    after: tuple[str, ...]
    gone: tuple[str, ...]
    kept: tuple[str, ...] = ()


DOCKERFILE = "FROM scratch\nCOPY app /app\n"
APP = {"Dockerfile": DOCKERFILE, "app": "program\n"}
BUILDX = """\
version: 0.2
phases:
  pre_build:
    commands:
      - $(aws ecr get-login --no-include-email --region $AWS_REGION)
      - docker buildx create --use
  build:
    commands:
      - docker buildx build --push -t "$REPOSITORY_URI:$CODEBUILD_RESOLVED_SOURCE_VERSION" -t "$REPOSITORY_URI:latest" -f services/api/Dockerfile services/api
"""  # noqa: E501 - as people write it
FOLDER = """\
version: 0.2
env:
  variables:
    REGISTRY: 123456789012.dkr.ecr.us-east-1.amazonaws.com
phases:
  build:
    commands:
      - aws ecr get-login-password | docker login --username AWS --password-stdin $REGISTRY
      - export IMAGE="${REGISTRY}/${REPOSITORY}"
      - |
        cd services/api
        docker build --pull -t $IMAGE:${TAG:-stable} .
        docker tag $IMAGE:${TAG:-stable} $IMAGE:stable
      - docker push --all-tags $IMAGE
"""
MONOREPO = {"services/api/Dockerfile": DOCKERFILE, "services/api/app": "program\n", "README.md": "api\n"}

SOURCE = """\
        - Name: Source
          Actions:
            - Name: Checkout
              ActionTypeId: {Category: Source, Owner: AWS, Provider: CodeStarSourceConnection, Version: '1'}
              Configuration:
                ConnectionArn: arn:aws:codeconnections:us-east-1:123456789012:connection/one
                FullRepositoryId: team/app
                BranchName: main
              OutputArtifacts: [{Name: SourceOutput}]
"""
PIPELINE = """\
  Pipeline:
    Type: AWS::CodePipeline::Pipeline
    Properties:
      Name: app-pipeline
      PipelineType: V2
      RoleArn: !GetAtt PipelineRole.Arn
      ArtifactStore: {Type: S3, Location: artifacts}
      Stages:
"""

CLASSIC_TEMPLATE = f"""\
# The service's pipeline.
AWSTemplateFormatVersion: '2010-09-09'
Parameters:
  Repository: {{Type: String, Default: team/app}}
Resources:
  # Builds the image.
  BuildProject:
    Type: AWS::CodeBuild::Project
    Properties:
      Name: app-build
      ServiceRole: !GetAtt BuildRole.Arn
      Artifacts: {{Type: CODEPIPELINE}}
      Source: {{Type: CODEPIPELINE}}
      Environment:
        Type: LINUX_CONTAINER
        ComputeType: BUILD_GENERAL1_SMALL
        Image: aws/codebuild/standard:7.0
        PrivilegedMode: true
        EnvironmentVariables:
          - Name: AWS_ACCOUNT_ID
            Value: !Ref AWS::AccountId
          - Name: IMAGE_REPO_NAME
            Value: !Ref Repository
          - Name: IMAGE_TAG
            Value: v1

  BuildLogs:
    Type: AWS::Logs::LogGroup
    Properties:
      LogGroupName: !Sub '/aws/codebuild/${{BuildProject}}'

  BuildRole:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Statement:
          - {{Effect: Allow, Principal: {{Service: codebuild.amazonaws.com}}, Action: 'sts:AssumeRole'}}

  PipelineRole:  # who may do what
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Statement:
          - {{Effect: Allow, Principal: {{Service: codepipeline.amazonaws.com}}, Action: 'sts:AssumeRole'}}
      Policies:
        - PolicyName: pipeline
          PolicyDocument:
            Statement:
              - Effect: Allow
                Action: s3:*
                Resource: '*'
              - Effect: Allow
                Action: [codebuild:StartBuild, codebuild:BatchGetBuilds]
                Resource: !GetAtt BuildProject.Arn

{PIPELINE}{SOURCE}\
        - Name: Build
          Actions:
            - Name: Image  # with Docker
              RunOrder: 1
              ActionTypeId:
                Category: Build
                Owner: AWS
                Provider: CodeBuild
                Version: '1'
              Configuration:
                ProjectName: !Ref BuildProject
              InputArtifacts: [{{Name: SourceOutput}}]
              OutputArtifacts: [{{Name: Unused}}]
"""


def inline(text: str, indent: int) -> str:
    return "".join(f"{' ' * indent}{line}\n" for line in text.splitlines())


INLINE_TEMPLATE = f"""\
AWSTemplateFormatVersion: '2010-09-09'
Resources:
  Build:
    Type: AWS::CodeBuild::Project
    Properties:
      Name: app-build
      ServiceRole: arn:aws:iam::123456789012:role/build
      Artifacts: {{Type: CODEPIPELINE}}
      Source:
        Type: CODEPIPELINE
        BuildSpec: |
{inline(BUILDX, 10)}\
      Environment:
        Type: LINUX_CONTAINER
        ComputeType: BUILD_GENERAL1_SMALL
        Image: aws/codebuild/standard:7.0
        PrivilegedMode: true
        EnvironmentVariables:
          - Name: REPOSITORY_URI
            Value: !Sub '${{AWS::AccountId}}.dkr.ecr.${{AWS::Region}}.amazonaws.com/team/api'
  PipelineRole:
    Type: AWS::IAM::Role
    Properties: {{AssumeRolePolicyDocument: {{}}}}
{PIPELINE}{SOURCE}\
        - Name: Build
          Actions:
            - Name: Image
              ActionTypeId: {{Category: Build, Owner: AWS, Provider: CodeBuild, Version: '1'}}
              Configuration: {{ProjectName: app-build}}
              InputArtifacts: [{{Name: SourceOutput}}]
Outputs:
  Name: {{Value: !Ref Pipeline}}
"""

ACTION_VARIABLES_TEMPLATE = (
    INLINE_TEMPLATE.replace(inline(BUILDX, 10), inline(FOLDER, 10))
    .replace("REPOSITORY_URI", "REPOSITORY")
    .replace("!Sub '${AWS::AccountId}.dkr.ecr.${AWS::Region}.amazonaws.com/team/api'", "team/api")
    .replace(
        "Configuration: {ProjectName: app-build}",
        "Configuration:\n                ProjectName: !Ref Build  # the builder\n"
        '                EnvironmentVariables: \'[{"name": "TAG", "value": "v7"}]\'',
    )
)

HCL_PIPELINE = """\
resource "aws_codepipeline" "app" {
  name          = "app-pipeline"
  role_arn      = "arn:aws:iam::123456789012:role/pipeline"
  pipeline_type = "V2"

  artifact_store {
    type     = "S3"
    location = "artifacts"
  }

  stage {
    name = "Source"
    action {
      name             = "Checkout"
      category         = "Source"
      owner            = "AWS"
      provider         = "CodeStarSourceConnection"
      version          = "1"
      output_artifacts = ["SourceOutput"]
      configuration = {
        ConnectionArn    = "arn:aws:codeconnections:us-east-1:123456789012:connection/one"
        FullRepositoryId = "team/app"
        BranchName       = "main"
      }
    }
  }

  stage {
    name = "Build"
    action {
      name            = "Image" # with Docker
      category        = "Build"
      owner           = "AWS"
      provider        = "CodeBuild"
      version         = "1"
      input_artifacts = ["SourceOutput"]
      configuration = {
        ProjectName = PROJECT
      }
    }
  }
}
"""
HCL_PROJECT = """\
resource "aws_codebuild_project" "build" {
  name         = "app-build"
  service_role = ROLE

  artifacts { type = "CODEPIPELINE" }

  source {
    type      = "CODEPIPELINE"
    buildspec = BUILDSPEC
  }

  environment {
    type            = "LINUX_CONTAINER"
    compute_type    = "BUILD_GENERAL1_SMALL"
    image           = "aws/codebuild/standard:7.0"
    privileged_mode = true
VARIABLES  }
}
"""


def project(buildspec: str, role: str, variables: dict[str, str]) -> str:
    told = "".join(
        f'\n    environment_variable {{\n      name  = "{name}"\n      value = {value}\n    }}\n'
        for name, value in variables.items()
    )
    return HCL_PROJECT.replace("ROLE", role).replace("BUILDSPEC", buildspec).replace("VARIABLES", told)


def heredoc(text: str) -> str:
    return "<<-EOT\n" + inline(text.replace("${", "$${"), 6) + "    EOT"


CLASSIC_PROJECT = project(
    '"buildspec.yml"',
    "aws_iam_role.build.arn",
    {"AWS_ACCOUNT_ID": '"123456789012"', "IMAGE_REPO_NAME": "var.repository", "IMAGE_TAG": '"v1"'},
)
TERRAFORM_CLASSIC = f"""\
# The service's pipeline.
variable "repository" {{ default = "team/app" }}

# Builds the image.
{CLASSIC_PROJECT}
resource "aws_cloudwatch_log_group" "build" {{
  name = "/aws/codebuild/${{aws_codebuild_project.build.name}}"
}}

resource "aws_iam_role" "build" {{
  name               = "build"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}}

data "aws_iam_policy_document" "assume" {{
  statement {{
    actions = ["sts:AssumeRole"]
  }}
}}

data "aws_iam_policy_document" "pipeline" {{
  statement {{
    actions   = ["s3:*"]
    resources = ["*"]
  }}
  statement {{
    actions   = ["codebuild:StartBuild", "codebuild:BatchGetBuilds"]
    resources = [aws_codebuild_project.build.arn]
  }}
}}

{HCL_PIPELINE.replace("PROJECT", "aws_codebuild_project.build.name")}"""

PAIRS = (
    Pair(
        "cloudformation-classic",
        "pipeline.yaml",
        CLASSIC_TEMPLATE,
        {**APP, "buildspec.yml": CLASSIC},
        (
            "                Provider: ECRBuildAndPublish\n",
            "              Configuration:\n                ECRRepositoryName: !Ref Repository\n",
            "                ImageTags: v1\n",
            "            - Name: Image  # with Docker\n",
            "              - Effect: Allow\n                Action: s3:*\n",
        ),
        ("BuildProject", "BuildRole", "BuildLogs", "codebuild", "Unused"),
        ("# The service's pipeline.", "PipelineRole:  # who may do what"),
    ),
    Pair(
        "cloudformation-inline-buildx",
        "pipeline.yaml",
        INLINE_TEMPLATE,
        MONOREPO,
        (
            "Namespace: SourceVariables\n",
            "Configuration: {ECRRepositoryName: team/api, DockerFilePath: services/api, "
            "ImageTags: '#{SourceVariables.CommitId},latest'}\n",
        ),
        ("CodeBuild", "buildx"),
        ("Outputs:\n  Name: {Value: !Ref Pipeline}\n",),
    ),
    Pair(
        "cloudformation-folder-and-variables",
        "pipeline.yaml",
        ACTION_VARIABLES_TEMPLATE,
        MONOREPO,
        ("                ImageTags: 'v7,stable'\n", "                DockerFilePath: services/api\n"),
        ("CodeBuild",),
    ),
    Pair(
        "terraform-classic",
        "main.tf",
        TERRAFORM_CLASSIC,
        {**APP, "buildspec.yml": CLASSIC},
        (
            '      provider        = "ECRBuildAndPublish"\n',
            '        ECRRepositoryName = var.repository\n        ImageTags         = "v1"\n',
            '      name            = "Image" # with Docker\n',
        ),
        ("aws_codebuild_project", "aws_cloudwatch_log_group", "aws_iam_role", '"assume"', "codebuild:"),
        ("# The service's pipeline.", '    actions   = ["s3:*"]'),
    ),
    Pair(
        "terraform-inline-buildx",
        "main.tf",
        project(
            heredoc(BUILDX),
            '"arn:aws:iam::123456789012:role/build"',
            {"REPOSITORY_URI": '"123456789012.dkr.ecr.us-east-1.amazonaws.com/team/api"'},
        )
        + "\n"
        + HCL_PIPELINE.replace("PROJECT", '"app-build"'),
        MONOREPO,
        (
            '      namespace = "SourceVariables"\n',
            '        ImageTags         = "#{SourceVariables.CommitId},latest"\n',
            '        DockerFilePath    = "services/api"\n',
        ),
        ("codebuild",),
    ),
    Pair(
        "terraform-folder-and-variables",
        "main.tf",
        project(heredoc(FOLDER), '"arn:aws:iam::123456789012:role/build"', {"REPOSITORY": '"team/api"'})
        + "\n"
        + HCL_PIPELINE.replace("PROJECT", "aws_codebuild_project.build.name"),
        MONOREPO,
        ('        ECRRepositoryName = "team/api"\n', '        DockerFilePath    = "services/api"\n'),
        ("codebuild",),
    ),
)
