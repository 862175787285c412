locals {
  rule = { category = "Rule", owner = "AWS", version = "1" }
}

resource "aws_codepipeline" "monorepo" {
  name           = "monorepo"
  role_arn       = "arn:aws:iam::123456789012:role/monorepo"
  pipeline_type  = "V2"
  execution_mode = "PARALLEL"

  artifact_store {
    type     = "S3"
    location = "example-artifacts"
  }

  variable {
    name          = "tag"
    default_value = "nightly"
    description   = "what the image is called"
  }
  variable {
    name = "audience"
  }

  trigger {
    provider_type = "CodeStarSourceConnection"
    git_configuration {
      source_action_name = "Checkout"
      push {
        branches {
          includes = ["main", "release/**"]
          excludes = ["wip/*"]
        }
        file_paths {
          includes = ["services/**"]
          excludes = ["**/*.md"]
        }
      }
      push {
        tags {
          includes = ["v*"]
        }
      }
      pull_request {
        events = ["OPEN", "UPDATED"]
        branches {
          includes = ["main"]
        }
        file_paths {
          includes = ["services/**"]
        }
      }
    }
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
        ConnectionArn        = "arn:aws:codeconnections:us-east-1:123456789012:connection/bbbb"
        FullRepositoryId     = "example/monorepo"
        BranchName           = "main"
        OutputArtifactFormat = "CODE_ZIP"
      }
    }
  }

  stage {
    name = "Build"
    before_entry {
      condition {
        result = "SKIP"
        rule {
          name = "OnlyMain"
          rule_type_id {
            category = local.rule.category
            owner    = local.rule.owner
            provider = "VariableCheck"
            version  = local.rule.version
          }
          configuration = {
            Operator = "EQ"
            Variable = "#{Git.BranchName}"
            Value    = "main"
          }
        }
      }
    }
    on_success {
      condition {
        result = "FAIL"
        rule {
          name               = "Quiet"
          region             = "us-east-1"
          timeout_in_minutes = 10
          rule_type_id {
            category = local.rule.category
            owner    = local.rule.owner
            provider = "CloudWatchAlarm"
            version  = local.rule.version
          }
          configuration = {
            AlarmName = "errors"
            WaitTime  = "5"
          }
        }
      }
    }
    on_failure {
      result = "RETRY"
      retry_configuration {
        retry_mode = "FAILED_ACTIONS"
      }
    }
    action {
      name            = "Image"
      category        = "Build"
      owner           = "AWS"
      provider        = "ECRBuildAndPublish"
      version         = "1"
      input_artifacts = ["Code"]
      configuration = {
        ECRRepositoryName = "monorepo"
        ImageTags         = "#{variables.tag},#{Git.CommitId}"
      }
    }
  }
}
