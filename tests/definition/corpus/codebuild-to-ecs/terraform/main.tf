resource "aws_s3_bucket" "store" {
  bucket = "example-store"
}

resource "aws_ecs_cluster" "apps" {
  name = "apps"
}

resource "aws_ecs_service" "shop" {
  name    = "shop"
  cluster = aws_ecs_cluster.apps.id
}

resource "aws_codebuild_project" "build" {
  name         = "shop-build"
  service_role = "arn:aws:iam::123456789012:role/shop-build"
  artifacts {
    type = "CODEPIPELINE"
  }
  environment {
    compute_type    = "BUILD_GENERAL1_SMALL"
    image           = "aws/codebuild/standard:7.0"
    type            = "LINUX_CONTAINER"
    privileged_mode = true
  }
  source {
    type      = "CODEPIPELINE"
    buildspec = "ci/buildspec.yml"
  }
}

resource "aws_codepipeline" "shop" {
  name     = "shop"
  role_arn = "arn:aws:iam::123456789012:role/shop-pipeline"

  artifact_store {
    type     = "S3"
    location = aws_s3_bucket.store.id
  }

  stage {
    name = "Source"
    action {
      name             = "App"
      category         = "Source"
      owner            = "AWS"
      provider         = "CodeStarSourceConnection"
      version          = "1"
      run_order        = 1
      output_artifacts = ["App"]
      configuration = {
        ConnectionArn        = "arn:aws:codestar-connections:us-east-1:123456789012:connection/9d1c2b3a-0000-4000-8000-00000000abcd"
        FullRepositoryId     = "example/shop"
        BranchName           = "release/2.x"
        OutputArtifactFormat = "CODEBUILD_CLONE_REF"
      }
    }
  }

  stage {
    name = "Build"
    action {
      name             = "Docker"
      category         = "Build"
      owner            = "AWS"
      provider         = "CodeBuild"
      version          = "1"
      input_artifacts  = ["App"]
      output_artifacts = ["Definitions"]
      configuration = {
        ProjectName          = aws_codebuild_project.build.name
        EnvironmentVariables = "[{\"name\":\"STAGE\",\"value\":\"prod\",\"type\":\"PLAINTEXT\"}]"
      }
    }
  }

  stage {
    name = "Deploy"
    action {
      name            = "Service"
      category        = "Deploy"
      owner           = "AWS"
      provider        = "ECS"
      version         = "1"
      input_artifacts = ["Definitions"]
      configuration = {
        ClusterName       = aws_ecs_cluster.apps.name
        ServiceName       = aws_ecs_service.shop.name
        FileName          = "imagedefinitions.json"
        DeploymentTimeout = "15"
      }
    }
  }
}
