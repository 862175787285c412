"""Data sources whose answer follows from what is written, and those that only a cloud can answer."""

import pytest

from pipeyard.definition.places import Inputs
from tests.definition.terraform.conftest import Read
from tests.definition.terraform.samples import SMALL
from tests.definition.terraform.test_reader import configuration, messages

DATA = """
variable "name" {}
data "template_file" "spec" {
  template = file("spec.tpl")
  vars     = { name = "shop", retries = 3, on = true }
}
data "template_file" "many" {
  count    = 2
  template = "$${what} ${count.index}"
  vars     = { what = "part" }
}
data "template_file" "open" {
  template = "$${name}!"
  vars     = { name = var.name }
}
data "template_file" "wrong" {
  template = "$${nope}"
  vars     = {}
}
data "local_file" "note" { filename = "${path.module}/note.txt" }
data "local_file" "outside" { filename = "../secret.txt" }
data "null_data_source" "both" { inputs = { a = "x" } }
data "aws_availability_zones" "all" { state = "available" }
data "aws_region" "here" {}
data "aws_caller_identity" "me" {}
data "aws_partition" "part" {}
data "aws_codestarconnections_connection" "git" { arn = "arn:aws:codestar-connections:eu-west-1:1:connection/2" }
data "aws_ecr_repository" "app" { name = "team/app" }
data "aws_s3_bucket" "files" { bucket = "files" }
data "aws_iam_role" "deploy" { name = "deploy" }
data "aws_ami" "linux" { owners = ["amazon"] }
"""
FILES = {"spec.tpl": 'name: ${name}\nretries: ${retries}\n%{ if on == "true" }on%{ endif }\n', "note.txt": "hello"}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("data.template_file.spec.rendered", "name: shop\nretries: 3\non\n"),
        ('join(",", data.template_file.many[*].rendered)', "part 0,part 1"),
        ("data.template_file.open.rendered", "${var.name}!"),
        ("data.local_file.note.content", "hello"),
        ("data.local_file.note.content_md5", "5d41402abc4b2a76b9719d911017c592"),
        ("data.null_data_source.both.outputs.a", "x"),
        ('join(",", data.aws_availability_zones.all.names)', "eu-west-1a,eu-west-1b,eu-west-1c"),
        ("data.aws_region.here.name", "eu-west-1"),
        ("data.aws_caller_identity.me.account_id", "123456789012"),
        ("data.aws_partition.part.dns_suffix", "amazonaws.com"),
        ("data.aws_codestarconnections_connection.git.arn", "arn:aws:codestar-connections:eu-west-1:1:connection/2"),
        ("data.aws_ecr_repository.app.repository_url", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app"),
        ("data.aws_s3_bucket.files.id", "files"),
        ("data.aws_iam_role.deploy.arn", "arn:aws:iam::123456789012:role/deploy"),
        ("data.aws_ami.linux.id", "${data.aws_ami.linux.id}"),
    ],
)
def test_a_data_source_gives_what_a_deployment_would(read: Read, expression: str, value: str) -> None:
    files = {"main.tf": DATA + SMALL % f"{{ A = {expression} }}", **FILES}
    assert configuration(read(files, Inputs(planning=True, region="eu-west-1"))) == {"A": value}


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("data.template_file.wrong.rendered", "the template uses nope"),
        ("data.local_file.outside.content", "outside of the configuration's folder"),
    ],
)
def test_a_data_source_that_cannot_be_read_is_an_error_where_it_is_needed(
    read: Read, expression: str, reason: str
) -> None:
    unused = read({"main.tf": DATA + SMALL % '{ A = "x" }', **FILES})
    assert configuration(unused) == {"A": "x"}
    needed = read({"main.tf": DATA + SMALL % f"{{ A = {expression} }}", **FILES})
    assert any(reason in message for message in messages(needed))
