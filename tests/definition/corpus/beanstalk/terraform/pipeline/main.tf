variable "name" {}
variable "application" {}
variable "environment" {}

resource "aws_codepipeline" "this" {
  name     = var.name
  role_arn = "arn:aws:iam::123456789012:role/${var.name}"
  artifact_store {
    type     = "S3"
    location = "example-artifacts"
  }
  stage {
    name = "Source"
    action {
      name             = "Zip"
      category         = "Source"
      owner            = "AWS"
      provider         = "S3"
      version          = "1"
      output_artifacts = ["Zip"]
      configuration = {
        S3Bucket    = "example-drop"
        S3ObjectKey = "${var.name}.zip"
      }
    }
  }
  stage {
    name = "Deploy"
    action {
      name            = "Beanstalk"
      category        = "Deploy"
      owner           = "AWS"
      provider        = "ElasticBeanstalk"
      version         = "1"
      input_artifacts = ["Zip"]
      configuration = {
        ApplicationName = var.application
        EnvironmentName = var.environment
      }
    }
  }
}
