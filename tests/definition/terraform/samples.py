"""Pieces of configuration that several tests share."""

SOURCE_AND_BUILD = """
resource "aws_codepipeline" "this" {
  name          = "shop"
  role_arn      = aws_iam_role.pipeline.arn
  pipeline_type = "V2"

  artifact_store {
    location = aws_s3_bucket.artifacts.bucket
    type     = "S3"
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
      output_artifacts = ["source"]
      configuration = {
        ConnectionArn    = aws_codestarconnections_connection.git.arn
        FullRepositoryId = "${var.owner}/${local.name}"
        BranchName       = var.branch
        DetectChanges    = false
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
      run_order       = 2
      input_artifacts = ["source"]
      configuration = {
        ECRRepositoryName = aws_ecr_repository.app.name
        ImageTags         = "#{SourceVars.CommitId},latest"
      }
    }
  }
}

variable "owner"  { default = "acme" }
variable "branch" {
  type    = string
  default = "main"
}
locals { name = "shop" }
data "aws_caller_identity" "current" {}
resource "aws_s3_bucket" "artifacts" { bucket = "artifacts-${data.aws_caller_identity.current.account_id}" }
resource "aws_iam_role" "pipeline" {
  name               = "pipeline"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}
data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["codepipeline.amazonaws.com"]
    }
  }
}
resource "aws_ecr_repository" "app" {
  name                 = local.name
  image_tag_mutability = "IMMUTABLE"
  image_scanning_configuration {
    scan_on_push = true
  }
}
resource "aws_codestarconnections_connection" "git" {
  name          = "git"
  provider_type = "GitHub"
}
"""

SMALL = """
resource "aws_codepipeline" "p" {
  name     = "p"
  role_arn = "arn:aws:iam::123456789012:role/p"
  artifact_store {
    location = "bucket"
    type     = "S3"
  }
  stage {
    name = "Source"
    action {
      name             = "S"
      category         = "Source"
      owner            = "AWS"
      provider         = "S3"
      version          = "1"
      output_artifacts = ["o"]
      configuration    = %s
    }
  }
}
"""
