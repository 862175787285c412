"""The container pipeline that everybody had: a CodeBuild project in privileged mode, and its buildspec."""

CLASSIC = """\
version: 0.2

phases:
  pre_build:
    commands:
      - echo Logging in to Amazon ECR...
      - aws ecr get-login-password --region $AWS_DEFAULT_REGION | docker login --username AWS --password-stdin $AWS_ACCOUNT_ID.dkr.ecr.$AWS_DEFAULT_REGION.amazonaws.com
  build:
    commands:
      - echo Build started on `date`
      - echo Building the Docker image...
      - docker build -t $IMAGE_REPO_NAME:$IMAGE_TAG .
      - docker tag $IMAGE_REPO_NAME:$IMAGE_TAG $AWS_ACCOUNT_ID.dkr.ecr.$AWS_DEFAULT_REGION.amazonaws.com/$IMAGE_REPO_NAME:$IMAGE_TAG
  post_build:
    commands:
      - echo Build completed on `date`
      - echo Pushing the Docker image...
      - docker push $AWS_ACCOUNT_ID.dkr.ecr.$AWS_DEFAULT_REGION.amazonaws.com/$IMAGE_REPO_NAME:$IMAGE_TAG
"""  # noqa: E501 - word for word

TEMPLATE = """\
AWSTemplateFormatVersion: '2010-09-09'
Resources:
  Project:
    Type: AWS::CodeBuild::Project
    Properties:
      Name: app-build
      ServiceRole: !Sub 'arn:aws:iam::${AWS::AccountId}:role/build'
      Artifacts: {Type: CODEPIPELINE}
      Source: {Type: CODEPIPELINE}
      Environment:
        Type: LINUX_CONTAINER
        ComputeType: BUILD_GENERAL1_SMALL
        Image: aws/codebuild/standard:7.0
        PrivilegedMode: true
        EnvironmentVariables:
          - {Name: AWS_ACCOUNT_ID, Value: !Ref AWS::AccountId}
          - {Name: IMAGE_REPO_NAME, Value: team/app}
          - {Name: IMAGE_TAG, Value: latest}
  Pipeline:
    Type: AWS::CodePipeline::Pipeline
    Properties:
      Name: app-pipeline
      PipelineType: V2
      RoleArn: !Sub 'arn:aws:iam::${AWS::AccountId}:role/pipeline'
      ArtifactStore: {Type: S3, Location: artifacts}
      Stages:
        - Name: Source
          Actions:
            - Name: Checkout
              ActionTypeId: {Category: Source, Owner: AWS, Provider: CodeStarSourceConnection, Version: '1'}
              Configuration:
                ConnectionArn: arn:aws:codeconnections:us-east-1:123456789012:connection/one
                FullRepositoryId: team/app
                BranchName: main
              Namespace: SourceVars
              OutputArtifacts: [{Name: SourceOutput}]
        - Name: Build
          Actions:
            - Name: Image
              ActionTypeId: {Category: Build, Owner: AWS, Provider: CodeBuild, Version: '1'}
              Configuration:
                ProjectName: !Ref Project
                EnvironmentVariables: '[{"name": "IMAGE_TAG", "value": "#{SourceVars.CommitId}"}]'
              InputArtifacts: [{Name: SourceOutput}]
"""
