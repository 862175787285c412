terraform {
  required_version = ">= 1.5"
}

variable "name" {
  type    = string
  default = "web"
}

locals {
  tags = join(",", ["#{SourceVars.CommitId}", "latest"])
}

resource "aws_codepipeline" "this" {
  name          = var.name
  role_arn      = "arn:aws:iam::123456789012:role/pipeline"
  pipeline_type = "V2"

  artifact_store {
    type     = "S3"
    location = "example-artifacts"
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
      output_artifacts = ["Source"]
      configuration = {
        ConnectionArn    = "arn:aws:codeconnections:us-east-1:123456789012:connection/8b8a0c54-0001-4b6f-9c1d-2f1f6c0a9e11"
        FullRepositoryId = "example/${var.name}"
        BranchName       = "main"
        DetectChanges    = true
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
      input_artifacts = ["Source"]
      configuration = {
        ECRRepositoryName = var.name
        DockerFilePath    = "service"
        ImageTags         = local.tags
      }
    }
  }
}
