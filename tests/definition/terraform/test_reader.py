import json
from pathlib import Path

import msgspec
import pytest

from pipeyard.definition.model import PipelineDeclaration
from pipeyard.definition.places import Inputs, Reading
from pipeyard.definition.terraform import TerraformReader, evaluate_in
from pipeyard.definition.terraform.plain import to_plain
from pipeyard.errors import Place
from tests.definition.terraform.conftest import Read, Write
from tests.definition.terraform.samples import SMALL, SOURCE_AND_BUILD


def only_pipeline(reading: Reading) -> PipelineDeclaration:
    assert reading.definition is not None, [f"{one.place}: {one.message}" for one in reading.problems]
    (pipeline,) = reading.definition.pipelines
    return pipeline


def configuration(reading: Reading) -> dict[str, str]:
    return only_pipeline(reading).stages[0].actions[0].configuration


def messages(reading: Reading) -> list[str]:
    return [problem.message for problem in reading.problems if problem.severity == "error"]


def test_a_pipeline_with_variables_locals_and_references_is_read_as_a_deployment_would_have_it(read: Read) -> None:
    reading = read({"main.tf": SOURCE_AND_BUILD})
    pipeline = only_pipeline(reading)
    assert pipeline.name == "shop"
    assert pipeline.role_arn == "arn:aws:iam::123456789012:role/pipeline"
    assert pipeline.artifact_store is not None
    assert pipeline.artifact_store.location == "artifacts-123456789012"
    source, build = (stage.actions[0] for stage in pipeline.stages)
    assert source.configuration["FullRepositoryId"] == "acme/shop"
    assert source.configuration["DetectChanges"] == "false"
    assert source.configuration["ConnectionArn"].startswith(
        "arn:aws:codestar-connections:us-east-1:123456789012:connection/"
    )
    assert build.configuration == {"ECRRepositoryName": "shop", "ImageTags": "#{SourceVars.CommitId},latest"}
    assert build.run_order == 2
    assert [one.name for one in build.input_artifacts] == ["source"]
    definition = reading.definition
    assert definition is not None
    (repository,) = definition.repositories
    assert (repository.name, repository.image_tag_mutability, repository.scan_on_push) == ("shop", "IMMUTABLE", True)
    assert definition.buckets == ("artifacts-123456789012",)
    assert definition.connections[0].arn == source.configuration["ConnectionArn"]
    assert reading.problems == ()


def test_every_value_knows_its_line(read: Read) -> None:
    reading = read({"main.tf": SOURCE_AND_BUILD})
    keys = ("pipelines", 0, "stages", 1, "actions", 0, "configuration", "ImageTags")
    line = SOURCE_AND_BUILD.splitlines().index('        ImageTags         = "#{SourceVars.CommitId},latest"') + 1
    assert reading.places[keys].line == line
    assert reading.places[keys].file.endswith("root/main.tf")
    assert reading.places[("pipelines", 0, "stages", 0, "name")].line == 13


def test_account_and_region_come_from_the_inputs_unless_the_provider_names_its_region(read: Read) -> None:
    inputs = Inputs(account_id="210987654321", region="eu-west-3")
    text = (
        """
      data "aws_region" "here" {}
      resource "aws_ecr_repository" "r" { name = "x" }
    """
        + SMALL % "{ A = data.aws_region.here.name, B = aws_ecr_repository.r.repository_url }"
    )
    assert configuration(read({"main.tf": text}, inputs)) == {
        "A": "eu-west-3",
        "B": "210987654321.dkr.ecr.eu-west-3.amazonaws.com/x",
    }
    named = text + 'provider "aws" { region = "ap-south-1" }'
    assert configuration(read({"main.tf": named}, inputs))["A"] == "ap-south-1"


@pytest.mark.parametrize(
    ("files", "inputs", "value"),
    [
        ({}, Inputs(), "default"),
        ({}, Inputs(environment={"TF_VAR_v": "environment"}), "environment"),
        ({"terraform.tfvars": 'v = "tfvars"'}, Inputs(environment={"TF_VAR_v": "environment"}), "tfvars"),
        ({"terraform.tfvars": 'v = "tfvars"', "terraform.tfvars.json": '{"v": "json"}'}, Inputs(), "json"),
        ({"terraform.tfvars": 'v = "tfvars"', "a.auto.tfvars": 'v = "a"'}, Inputs(), "a"),
        ({"b.auto.tfvars.json": '{"v": "b"}', "a.auto.tfvars": 'v = "a"'}, Inputs(), "b"),
        ({"a.auto.tfvars": 'v = "a"'}, Inputs(variables=(("v", "flag"),)), "flag"),
    ],
)
def test_the_value_of_a_variable_comes_from_the_highest_place_that_gives_one(
    read: Read, files: dict[str, str], inputs: Inputs, value: str
) -> None:
    main = 'variable "v" { default = "default" }' + SMALL % "{ V = var.v }"
    assert configuration(read({"main.tf": main, **files}, inputs)) == {"V": value}


def test_a_file_of_variables_from_the_command_line_is_above_the_automatic_ones(read: Read, tmp_path: Path) -> None:
    chosen = tmp_path / "prod.tfvars"
    chosen.write_text('v = "chosen"\n')
    main = 'variable "v" {}' + SMALL % "{ V = var.v }"
    reading = read({"main.tf": main, "a.auto.tfvars": 'v = "a"'}, Inputs(variables=(chosen,)))
    assert configuration(reading) == {"V": "chosen"}


def test_a_variable_of_a_structured_type_is_given_as_an_expression(read: Read) -> None:
    main = (
        """
      variable "branches" { type = list(object({ name = string, tag = optional(string, "latest") })) }
    """
        + SMALL % '{ V = join(",", [for b in var.branches : "${b.name}:${b.tag}"]) }'
    )
    inputs = Inputs(variables=(("branches", '[{ name = "main" }, { name = "dev", tag = "edge" }]'),))
    assert configuration(read({"main.tf": main}, inputs)) == {"V": "main:latest,dev:edge"}


def test_a_variable_without_value_is_an_error_only_where_the_pipeline_needs_it(read: Read) -> None:
    unused = read({"main.tf": 'variable "v" { type = string }' + SMALL % '{ A = "x" }'})
    assert configuration(unused) == {"A": "x"}
    used = read({"main.tf": 'variable "v" { type = string }\n' + SMALL % "{ A = var.v }"})
    assert used.definition is None
    assert "variable v has no value and no default" in messages(used)[0]


def test_an_unknown_value_tells_the_chain_of_references_that_led_to_it(read: Read) -> None:
    main = (
        """
      resource "aws_instance" "host" { ami = "x" }
      locals {
        address = "http://${aws_instance.host.private_ip}"
        hook    = { url = local.address }
      }
    """
        + SMALL % "{ Url = local.hook.url }"
    )
    reading = read({"main.tf": main})
    (message,) = messages(reading)
    positions = [message.index(part) for part in ("local.hook.url", "local.address", "aws_instance.host.private_ip")]
    assert positions == sorted(positions)
    assert "only after a deployment" in message


def test_what_only_a_cloud_needs_may_be_unknown(read: Read) -> None:
    main = SMALL % '{ A = "x" }'
    main = main.replace('"arn:aws:iam::123456789012:role/p"', "aws_iam_role.r.arn").replace(
        '"bucket"', "aws_s3_bucket.b.id"
    )
    main += 'resource "aws_iam_role" "r" { name_prefix = "r" }\nresource "aws_s3_bucket" "b" { bucket_prefix = "b" }'
    pipeline = only_pipeline(read({"main.tf": main}))
    assert pipeline.role_arn is None
    assert pipeline.artifact_store is None


def test_a_refused_value_is_a_problem_with_the_rules_own_words(read: Read) -> None:
    main = (
        """
      variable "env" {
        default = "prod"
        validation {
          condition     = contains(["dev", "prod"], var.env)
          error_message = "env is dev or prod."
        }
      }
    """
        + SMALL % '{ A = "x" }'
    )
    assert configuration(read({"main.tf": main})) == {"A": "x"}
    (message,) = messages(read({"main.tf": main}, Inputs(variables=(("env", "test"),))))
    assert message == "variable env has an invalid value: env is dev or prod"


def test_a_misspelt_name_gets_a_suggestion_and_its_place(read: Read) -> None:
    reading = read({"main.tf": 'variable "branch" { default = "x" }\n' + SMALL % "{ A = var.brunch }"})
    (problem,) = (one for one in reading.problems if one.severity == "error")
    assert "brunch" in problem.message
    assert "branch" in problem.hint
    assert problem.place.line == 19
    reading = read({"main.tf": SMALL.replace("input_artifacts", "x").replace("role_arn", "role_arm") % "{}"})
    (problem,) = (one for one in reading.problems if one.severity == "error")
    assert problem.hint == "did you mean role_arn?"


def test_an_unknown_variable_on_the_command_line_is_refused(read: Read) -> None:
    reading = read({"main.tf": 'variable "branch" {}' + SMALL % "{}"}, Inputs(variables=(("brunch", "x"),)))
    (problem,) = reading.problems
    assert problem.place == Place("--var")
    assert "branch" in problem.hint


def test_locals_that_need_each_other_are_reported_as_the_chain(read: Read) -> None:
    main = "locals {\n  a = local.b\n  b = local.c\n  c = local.a\n}\n" + SMALL % "{ A = local.a }"
    (message,) = messages(read({"main.tf": main}))
    assert "local.a needs local.b needs local.c needs local.a" in message


@pytest.mark.parametrize("iterator", ["each_stage", "self"])  # any name will do
def test_dynamic_blocks_make_stages_and_actions(read: Read, iterator: str) -> None:
    main = """
      variable "stages" {
        default = [
          { name = "Build", actions = { api = "one", web = "two" } },
          { name = "Deploy", actions = {} },
        ]
      }
      resource "aws_codepipeline" "p" {
        name = "p"
        dynamic "stage" {
          for_each = [for s in var.stages : s if length(s.actions) > 0]
          iterator = each_stage
          content {
            name = each_stage.value.name
            dynamic "action" {
              for_each = each_stage.value.actions
              content {
                name      = "${each_stage.value.name}-${action.key}"
                run_order = each_stage.key + 1
                category  = "Build"
                owner     = "AWS"
                provider  = "CodeBuild"
                version   = 1
                configuration = { ProjectName = action.value }
              }
            }
          }
        }
      }
    """
    (stage,) = only_pipeline(read({"main.tf": main.replace("each_stage", iterator)})).stages
    assert [(one.name, one.configuration["ProjectName"]) for one in stage.actions] == [
        ("Build-api", "one"),
        ("Build-web", "two"),
    ]


def test_count_and_for_each_make_several_pipelines_or_none(read: Read) -> None:
    header = 'resource "aws_codepipeline" "p" {\n'
    one = SMALL % "{}"
    counted = one.replace(header, header + "count = 2\n").replace('name     = "p"', 'name = "p-${count.index}"')
    reading = read({"main.tf": counted})
    assert reading.definition is not None
    assert [pipeline.name for pipeline in reading.definition.pipelines] == ["p-0", "p-1"]
    each = one.replace(header, header + 'for_each = { b = "x", a = "y" }\n').replace(
        'name     = "p"', 'name = "${each.key}-${each.value}"'
    )
    reading = read({"main.tf": each})
    assert reading.definition is not None
    assert [pipeline.name for pipeline in reading.definition.pipelines] == ["a-y", "b-x"]
    none = read({"main.tf": one.replace(header, header + "count = 0\n")})
    assert none.definition is None
    assert messages(none) == ["no pipeline is made: aws_codepipeline.p has no instances"]


def test_a_local_module_gives_its_pipeline_and_its_outputs(read: Read) -> None:
    files = {
        "main.tf": """
          module "registry" {
            source   = "./modules/registry"
            for_each = toset(["api", "web"])
            name     = "shop-${each.key}"
          }
          module "pipeline" {
            source       = "./modules/pipeline"
            repositories = { for name, one in module.registry : name => one.repository }
            stages       = [{ name = "Api" }, { name = "Web", order = 3 }]
          }
        """,
        "modules/registry/main.tf": """
          variable "name" { type = string }
          resource "aws_ecr_repository" "this" { name = var.name }
          output "repository" { value = aws_ecr_repository.this.name }
          output "role" { value = aws_iam_role.nobody_needs_it.arn }
        """,
        "modules/pipeline/variables.tf": """
          variable "repositories" { type = map(string) }
          variable "stages" { type = list(object({ name = string, order = optional(number, 1) })) }
        """,
        "modules/pipeline/main.tf": """
          resource "aws_codepipeline" "this" {
            name = basename(path.module)
            dynamic "stage" {
              for_each = var.stages
              content {
                name = stage.value.name
                action {
                  name      = "Build"
                  run_order = stage.value.order
                  category  = "Build"
                  owner     = "AWS"
                  provider  = "ECRBuildAndPublish"
                  version   = "1"
                  configuration = {
                    ECRRepositoryName = var.repositories[lower(stage.value.name)]
                    DockerFilePath    = trimspace(file("${path.module}/dockerfile.txt"))
                  }
                }
              }
            }
          }
        """,
        "modules/pipeline/dockerfile.txt": "docker\n",
    }
    reading = read(files)
    pipeline = only_pipeline(reading)
    assert pipeline.name == "pipeline"
    assert [stage.actions[0].configuration for stage in pipeline.stages] == [
        {"ECRRepositoryName": "shop-api", "DockerFilePath": "docker"},
        {"ECRRepositoryName": "shop-web", "DockerFilePath": "docker"},
    ]
    assert [stage.actions[0].run_order for stage in pipeline.stages] == [1, 3]
    assert reading.definition is not None
    assert [one.name for one in reading.definition.repositories] == ["shop-api", "shop-web"]


def test_a_module_from_elsewhere_is_an_error_only_where_the_pipeline_needs_it(read: Read) -> None:
    module = 'module "vpc" {\n  source = "terraform-aws-modules/vpc/aws"\n}\n'
    reading = read({"main.tf": module + SMALL % '{ A = "x" }'})
    assert configuration(reading) == {"A": "x"}
    assert reading.problems == ()
    needed = read({"main.tf": module + SMALL % "{ A = module.vpc.vpc_id }"})
    assert any("module.vpc.vpc_id" in message and "terraform-aws-modules" in message for message in messages(needed))


def test_no_file_outside_of_the_folder_is_read(read: Read, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    for path in ("../secret.txt", str(tmp_path / "secret.txt"), "link.txt"):
        folder = tmp_path / "root"
        folder.mkdir(exist_ok=True)
        if not (folder / "link.txt").is_symlink():
            (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
        reading = read({"main.tf": SMALL % f'{{ A = file("{path}") }}'})
        assert reading.definition is None
        assert "outside of the configuration's folder" in messages(reading)[0]


def test_the_json_syntax_reads_as_the_native_one(read: Read, write: Write) -> None:
    native = read({"main.tf": SOURCE_AND_BUILD}).definition
    document = {
        "variable": {"owner": {"default": "acme"}, "branch": {"type": "string", "default": "main"}},
        "locals": {"name": "shop"},
        "data": {
            "aws_caller_identity": {"current": {}},
            "aws_iam_policy_document": {"trust": {"statement": {"actions": ["sts:AssumeRole"]}}},
        },
        "resource": {
            "aws_s3_bucket": {
                "artifacts": {"bucket": "artifacts-${data.aws_caller_identity.current.account_id}"},
            },
            "aws_iam_role": {"pipeline": {"name": "pipeline"}},
            "aws_ecr_repository": {
                "app": {
                    "name": "${local.name}",
                    "image_tag_mutability": "IMMUTABLE",
                    "image_scanning_configuration": {"scan_on_push": True},
                }
            },
            "aws_codestarconnections_connection": {"git": {"name": "git", "provider_type": "GitHub"}},
            "aws_codepipeline": {
                "this": {
                    "//": "a comment",
                    "name": "shop",
                    "role_arn": "${aws_iam_role.pipeline.arn}",
                    "pipeline_type": "V2",
                    "artifact_store": {"location": "${aws_s3_bucket.artifacts.bucket}", "type": "S3"},
                    "dynamic": {
                        "stage": {
                            "for_each": ["Source"],
                            "content": {
                                "name": "${stage.value}",
                                "action": {
                                    "name": "Checkout",
                                    "category": "Source",
                                    "owner": "AWS",
                                    "provider": "CodeStarSourceConnection",
                                    "version": "1",
                                    "namespace": "SourceVars",
                                    "output_artifacts": ["source"],
                                    "configuration": {
                                        "ConnectionArn": "${aws_codestarconnections_connection.git.arn}",
                                        "FullRepositoryId": "${var.owner}/${local.name}",
                                        "BranchName": "${var.branch}",
                                        "DetectChanges": False,
                                    },
                                },
                            },
                        }
                    },
                    "stage": [
                        {
                            "name": "Build",
                            "action": [
                                {
                                    "name": "Image",
                                    "category": "Build",
                                    "owner": "AWS",
                                    "provider": "ECRBuildAndPublish",
                                    "version": "1",
                                    "run_order": 2,
                                    "input_artifacts": ["source"],
                                    "configuration": {
                                        "ECRRepositoryName": "${aws_ecr_repository.app.name}",
                                        "ImageTags": "#{SourceVars.CommitId},latest",
                                    },
                                }
                            ],
                        }
                    ],
                }
            },
        },
    }
    folder = write({"json/main.tf.json": json.dumps(document)}) / "json"
    assert msgspec.to_builtins(TerraformReader().read(folder).definition) == msgspec.to_builtins(native)


def test_conditions_triggers_and_variables_of_a_pipeline_are_read(read: Read) -> None:
    main = """
      resource "aws_codepipeline" "p" {
        name           = "p"
        pipeline_type  = "V2"
        execution_mode = "QUEUED"
        variable {
          name          = "Image"
          default_value = "latest"
        }
        trigger {
          provider_type = "CodeStarSourceConnection"
          git_configuration {
            source_action_name = "Checkout"
            push {
              branches { includes = ["main", "release/*"] }
              file_paths { excludes = ["docs/**"] }
            }
            pull_request {
              events = ["OPEN"]
              branches { includes = ["main"] }
            }
          }
        }
        stage {
          name = "Source"
          before_entry {
            condition {
              result = "SKIP"
              rule {
                name = "R"
                rule_type_id {
                  category = "Rule"
                  provider = "VariableCheck"
                  version  = "1"
                  owner    = "AWS"
                }
                configuration = { Operator = "EQ", Value = "x", Variable = "#{a.b}" }
              }
            }
          }
          on_failure {
            result = "RETRY"
            retry_configuration { retry_mode = "ALL_ACTIONS" }
          }
        }
      }
    """
    pipeline = only_pipeline(read({"main.tf": main}))
    shape = msgspec.to_builtins(pipeline)
    assert shape["executionMode"] == "QUEUED"
    assert shape["variables"] == [{"name": "Image", "defaultValue": "latest"}]
    assert shape["triggers"][0]["gitConfiguration"] == {
        "sourceActionName": "Checkout",
        "push": [{"branches": {"includes": ["main", "release/*"]}, "filePaths": {"excludes": ["docs/**"]}}],
        "pullRequest": [{"events": ["OPEN"], "branches": {"includes": ["main"]}}],
    }
    stage = shape["stages"][0]
    assert stage["beforeEntry"]["conditions"][0]["rules"][0]["ruleTypeId"]["provider"] == "VariableCheck"
    assert stage["onFailure"] == {"result": "RETRY", "retryConfiguration": {"retryMode": "ALL_ACTIONS"}}


def test_a_chain_of_a_thousand_locals_is_followed(read: Read) -> None:
    chain = "".join(f'  a{index} = "${{local.a{index - 1}}}"\n' for index in range(1, 1000))
    reading = read({"main.tf": f'locals {{\n  a0 = "end"\n{chain}}}\n' + SMALL % "{ A = local.a999 }"})
    assert configuration(reading) == {"A": "end"}


def test_locals_that_need_each_other_are_still_told_as_a_circle(read: Read) -> None:
    reading = read({"main.tf": "locals {\n  a = local.b\n  b = [local.a]\n}\n" + SMALL % "{ A = local.a }"})
    assert "local.a needs its own value" in messages(reading)[0]


def test_a_local_that_nothing_needs_may_fail(read: Read) -> None:
    text = 'locals {\n  a = true ? "x" : local.b\n  b = file("absent")\n}\n'
    assert configuration(read({"main.tf": text + SMALL % "{ A = local.a }"})) == {"A": "x"}


TWO_REGIONS = """
provider "aws" { region = "eu-west-1" }
provider "aws" {
  alias  = "west"
  region = var.west
}
variable "west" { default = "us-west-2" }
"""


def test_a_resource_is_in_the_region_of_its_own_provider(read: Read) -> None:
    text = (
        TWO_REGIONS
        + """
      resource "aws_sns_topic" "here" { name = "t" }
      resource "aws_sns_topic" "there" {
        provider = aws.west
        name     = "t"
      }
      resource "aws_sns_topic" "quoted" {
        provider = "aws.west"
        name     = "t"
      }
      resource "aws_sns_topic" "own" {
        region = "eu-north-1"
        name   = "t"
      }
      data "aws_region" "there" { provider = aws.west }
    """
    )
    arns = ", ".join(f"{name} = aws_sns_topic.{name}.arn" for name in ("here", "there", "quoted", "own"))
    reading = read({"main.tf": text + SMALL % f"{{ {arns}, data = data.aws_region.there.name }}"})
    assert configuration(reading) == {
        "here": "arn:aws:sns:eu-west-1:123456789012:t",
        "there": "arn:aws:sns:us-west-2:123456789012:t",
        "quoted": "arn:aws:sns:us-west-2:123456789012:t",
        "own": "arn:aws:sns:eu-north-1:123456789012:t",
        "data": "us-west-2",
    }


def test_a_module_has_the_providers_that_its_call_hands_on(read: Read) -> None:
    inner = """
      resource "aws_sns_topic" "plain" { name = "p" }
      resource "aws_sns_topic" "other" {
        provider = aws.replica
        name     = "r"
      }
      output "arns" { value = "${aws_sns_topic.plain.arn} ${aws_sns_topic.other.arn}" }
    """
    text = (
        TWO_REGIONS
        + """
      module "both" {
        source    = "./inner"
        providers = { aws = aws.west, aws.replica = aws }
      }
    """
    )
    reading = read({"main.tf": text + SMALL % "{ A = module.both.arns }", "inner/main.tf": inner})
    assert configuration(reading)["A"] == "arn:aws:sns:us-west-2:123456789012:p arn:aws:sns:eu-west-1:123456789012:r"


def test_stores_of_several_regions_are_a_mapping_by_region(read: Read) -> None:
    main = (SMALL % "{}").replace(
        'location = "bucket"\n    type     = "S3"', 'location = "a"\n    type = "S3"\n    region = "us-east-1"'
    )
    main = main.replace(
        '  stage {\n    name = "Source"',
        '  artifact_store {\n    location = "b"\n    type = "S3"\n    region = "eu-west-1"\n  }\n'
        '  stage {\n    name = "Source"',
        1,
    )
    pipeline = only_pipeline(read({"main.tf": main}))
    assert {region: store.location for region, store in pipeline.artifact_stores.items()} == {
        "us-east-1": "a",
        "eu-west-1": "b",
    }


def test_lines_that_end_as_on_windows_stay_so_in_heredocs_alone(write: Write) -> None:
    folder = write({})
    folder.mkdir()
    text = "locals {\n  a = <<-EOT\n    x\n    y\n  EOT\n  b = [ # c\n    1,\n  ]\n}\n"
    (folder / "main.tf").write_bytes(text.replace("\n", "\r\n").encode())
    assert to_plain(evaluate_in(folder, "[local.a, local.b]")) == ["x\r\ny\r\n", [1]]


def test_a_module_that_is_called_without_a_value_it_needs_is_refused(read: Read) -> None:
    files = {"m/main.tf": 'variable "x" {}\noutput "o" { value = var.x }'}
    main = 'module "m" {\n  source = "./m"\n}\n' + SMALL % "{ A = module.m.o }"
    (message,) = messages(read({"main.tf": main, **files}, Inputs(planning=True)))
    assert "module.m needs a value for its variable x" in message


def test_attributes_that_are_text_in_every_resource_have_that_type(read: Read) -> None:
    main = 'resource "aws_instance" "host" {}\n' + SMALL % (
        '{ A = flatten([["a"], [aws_instance.host.id]])[0], B = try(sum([aws_instance.host.arn, "x"]), "no") }'
    )
    assert configuration(read({"main.tf": main}, Inputs(planning=True)))["A"] == "a"


def test_override_files_replace_arguments(read: Read) -> None:
    files = {"main.tf": SMALL % '{ A = "x" }', "override.tf": 'resource "aws_codepipeline" "p" {\n  name = "other"\n}'}
    assert only_pipeline(read(files)).name == "other"


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("locals {\n  a = [1, 2\n}\n", 3, 1),
        ("locals {\n  a = 1\n  a = 2\n}\n", 3, 3),
        ("resource {\n}\n", 1, 1),
        ('locals {\n  a = "x\n}\n', 2, 7),
        ("locals {\n  a = {b 1}\n}\n", 2, 10),
        ("locals {\n  a = <<EOF\nx\n}\n", 2, 7),
        ("loclas {\n}\n", 1, 1),
        ('locals {\n  a = "${1 +}"\n}\n', 2, 13),
    ],
)
def test_a_syntax_error_has_line_and_column(read: Read, text: str, line: int, column: int) -> None:
    (problem,) = read({"main.tf": text}).problems
    assert (problem.place.line, problem.place.column) == (line, column)


def test_a_name_that_is_drawn_at_random_is_a_warning_and_a_default(read: Read) -> None:
    main = (SMALL % '{ A = "x" }').replace('name     = "p"', 'name = "p-${random_pet.suffix.id}"')
    reading = read({"main.tf": main + 'resource "random_pet" "suffix" {}'})
    assert only_pipeline(reading).name == "p"
    assert [problem.severity for problem in reading.problems] == ["warning"]


def test_a_token_from_a_secret_store_stands_as_the_service_shows_it(read: Read) -> None:
    main = 'data "aws_secretsmanager_secret_version" "t" { secret_id = "x" }' + SMALL % (
        '{ Repo = "shop", OAuthToken = data.aws_secretsmanager_secret_version.t.secret_string }'
    )
    reading = read({"main.tf": main})
    assert configuration(reading) == {"Repo": "shop", "OAuthToken": "****"}
    assert [problem.severity for problem in reading.problems] == ["warning"]


def test_an_encryption_key_that_a_deployment_makes_is_left_out(read: Read) -> None:
    main = (SMALL % "{}").replace(
        'location = "bucket"',
        'location = "bucket"\n    encryption_key {\n      id   = aws_kms_key.k.arn\n      type = "KMS"\n    }',
    )
    store = only_pipeline(read({"main.tf": main + 'resource "aws_kms_key" "k" {}'})).artifact_store
    assert store is not None
    assert (store.location, store.encryption_key) == ("bucket", None)
