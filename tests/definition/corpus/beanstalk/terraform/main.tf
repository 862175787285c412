resource "aws_elastic_beanstalk_application" "app" {
  name = "portal"
}

resource "aws_elastic_beanstalk_environment" "blue" {
  name        = "${aws_elastic_beanstalk_application.app.name}-blue"
  application = aws_elastic_beanstalk_application.app.name
}

module "pipeline" {
  source      = "./pipeline"
  name        = "portal"
  application = aws_elastic_beanstalk_application.app.name
  environment = aws_elastic_beanstalk_environment.blue.name
}
