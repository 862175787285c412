variable "stage" {
  type = string
}

locals {
  production = var.stage == "prod"
  polling    = local.production ? {} : { PollForSourceChanges = "true" }
}

resource "aws_codepipeline" "site" {
  name          = "site-${var.stage}"
  role_arn      = "arn:aws:iam::123456789012:role/site"
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
      provider         = "CodeCommit"
      version          = "1"
      output_artifacts = ["Site"]
      configuration = merge({
        RepositoryName = "site"
        BranchName     = local.production ? "main" : "develop"
      }, local.polling)
    }
  }

  dynamic "stage" {
    for_each = local.production ? ["Approve"] : []
    content {
      name = stage.value
      action {
        name     = "Release"
        category = "Approval"
        owner    = "AWS"
        provider = "Manual"
        version  = "1"
      }
    }
  }

  stage {
    name = "Publish"
    action {
      name            = "Files"
      category        = "Deploy"
      owner           = "AWS"
      provider        = "S3"
      version         = "1"
      input_artifacts = ["Site"]
      configuration = {
        BucketName   = "example-site-${var.stage}"
        Extract      = "true"
        CacheControl = local.production ? "max-age=3600" : "no-cache"
      }
    }
  }
}
