data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

locals {
  production = var.environment == "prod"
  stack      = "api-pipeline"
}

resource "aws_s3_bucket" "artifacts" {
  bucket = "artifacts-${data.aws_caller_identity.current.account_id}-${data.aws_region.current.name}"
}

resource "aws_ecr_repository" "images" {
  name                 = format("%s/%s", var.environment, element(split("/", var.repository), 1))
  image_tag_mutability = "IMMUTABLE"
  image_scanning_configuration {
    scan_on_push = local.production
  }
}

resource "aws_iam_role" "pipeline" {
  name = "${local.stack}-role"
  path = "/pipelines/"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "codepipeline.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_codepipeline" "this" {
  name           = "${local.stack}-${var.environment}"
  role_arn       = aws_iam_role.pipeline.arn
  pipeline_type  = "V2"
  execution_mode = "QUEUED"

  artifact_store {
    type     = "S3"
    location = aws_s3_bucket.artifacts.bucket
  }

  stage {
    name = "Source"
    action {
      name             = "Checkout"
      category         = "Source"
      owner            = "AWS"
      provider         = "CodeStarSourceConnection"
      version          = "1"
      namespace        = "Git"
      output_artifacts = ["Code"]
      configuration = {
        ConnectionArn    = "arn:aws:codeconnections:eu-central-1:210987654321:connection/6e2f0f0e-1111-4222-8333-444455556666"
        FullRepositoryId = var.repository
        BranchName       = local.production ? var.branches[1] : var.branches[0]
      }
    }
  }

  stage {
    name = "Image"
    action {
      name            = "Build"
      category        = "Build"
      owner           = "AWS"
      provider        = "ECRBuildAndPublish"
      version         = "1"
      input_artifacts = ["Code"]
      configuration = {
        ECRRepositoryName = aws_ecr_repository.images.name
        ImageTags         = "#{Git.CommitId},${var.environment}"
      }
    }
  }
}
