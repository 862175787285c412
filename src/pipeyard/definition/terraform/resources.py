"""Attributes of AWS resources that follow from what is written: names, identifiers, ARNs.

Source: the AWS provider's documentation, "Attribute Reference" of each resource. What is not here is known only after
a deployment.
"""

import uuid
from collections.abc import Callable, Mapping

from msgspec import Struct

from pipeyard.definition.places import Inputs
from pipeyard.definition.terraform.policies import policy_document
from pipeyard.definition.terraform.values import STRING, Unknown, Value, list_of, text, unknown


class _Naming(Struct, frozen=True):
    """How a type makes its identity: ARN of `service`, with the name behind `prefix`."""

    service: str = ""
    prefix: str = ""
    argument: str = "name"
    id: str = "name"  # the attribute that is also the id: name, arn, or empty when it is not known
    regional: bool = True
    account: bool = True
    aliases: tuple[str, ...] = ()  # attributes that have the name as well


_NAMING: Mapping[str, _Naming] = {
    "aws_codepipeline": _Naming("codepipeline"),
    "aws_codebuild_project": _Naming("codebuild", "project/", id="arn"),
    "aws_ecr_repository": _Naming("ecr", "repository/"),
    "aws_s3_bucket": _Naming("s3", argument="bucket", id="bucket", regional=False, account=False),
    "aws_codecommit_repository": _Naming("codecommit", argument="repository_name", id="repository_name"),
    "aws_iam_role": _Naming("iam", "role/", regional=False),
    "aws_iam_policy": _Naming("iam", "policy/", id="arn", regional=False),
    "aws_sns_topic": _Naming("sns", id="arn"),
    "aws_sfn_state_machine": _Naming("states", "stateMachine:", id="arn"),
    "aws_sqs_queue": _Naming("sqs", id=""),
    "aws_ecs_cluster": _Naming("ecs", "cluster/", id="arn"),
    "aws_lambda_function": _Naming("lambda", "function:", argument="function_name", id="function_name"),
    "aws_codedeploy_app": _Naming("codedeploy", "application:", id=""),
    "aws_codeartifact_domain": _Naming("codeartifact", "domain/", argument="domain", id="arn"),
    "aws_cloudwatch_log_group": _Naming("logs", "log-group:"),
    "aws_dynamodb_table": _Naming("dynamodb", "table/"),
    "aws_ssm_parameter": _Naming("ssm", "parameter"),
    "aws_cloudformation_stack": _Naming(id=""),
    "aws_kms_alias": _Naming("kms"),
    "aws_cloudwatch_event_rule": _Naming("events", "rule/"),
}


def computed_attributes(kind: str, entries: Mapping[str, Value], inputs: Inputs, region: str) -> dict[str, Value]:
    """What a deployment would compute for a resource with these arguments, as far as that is certain."""
    special = _SPECIAL.get(kind)
    if special is not None:
        return special(entries, inputs, region)
    naming = _NAMING.get(kind)
    if naming is None:
        return {}
    name = entries.get(naming.argument)
    if name is None or not isinstance(name.raw, str):
        reason = name.chain if name is not None and name.is_unknown else ()
        return _all_unknown(naming, reason)
    return _named(naming, name.raw, inputs, region)


def _named(naming: _Naming, name: str, inputs: Inputs, region: str) -> dict[str, Value]:
    known = {naming.argument: text(name)}
    if naming.service:
        known["arn"] = text(_arn(naming, name, inputs, region))
    if naming.id:
        known["id"] = known[naming.id]
    if naming.service == "ecr":
        known["registry_id"] = text(inputs.account_id)
        known["repository_url"] = text(f"{inputs.account_id}.dkr.ecr.{region}.{inputs.url_suffix}/{name}")
    elif naming.service == "s3":
        known["bucket_domain_name"] = text(f"{name}.s3.{inputs.url_suffix}")
        known["bucket_regional_domain_name"] = text(f"{name}.s3.{region}.{inputs.url_suffix}")
        known["region"] = text(region)
    elif naming.service == "codecommit":
        host = f"git-codecommit.{region}.{inputs.url_suffix}/v1/repos/{name}"
        known["clone_url_http"], known["clone_url_ssh"] = text(f"https://{host}"), text(f"ssh://{host}")
    elif naming.service == "sqs":
        url = text(f"https://sqs.{region}.{inputs.url_suffix}/{inputs.account_id}/{name}")
        known["url"], known["id"] = url, url
    return known


def _all_unknown(naming: _Naming, reason: tuple[str, ...]) -> dict[str, Value]:
    if not reason:
        return {}
    return {name: unknown(*reason) for name in ("arn", "id", "repository_url")} if naming.service else {}


def _arn(naming: _Naming, name: str, inputs: Inputs, region: str) -> str:
    where = region if naming.regional else ""
    account = inputs.account_id if naming.account else ""
    if naming.service == "ssm":
        name = name if name.startswith("/") else f"/{name}"
    return f"arn:{inputs.partition}:{naming.service}:{where}:{account}:{naming.prefix}{name}"


def _role(entries: Mapping[str, Value], inputs: Inputs, region: str) -> dict[str, Value]:
    name, path = entries.get("name"), entries.get("path")
    if name is None or not isinstance(name.raw, str) or (path is not None and not isinstance(path.raw, str)):
        return {}
    folder = path.raw if path is not None else "/"
    arn = f"arn:{inputs.partition}:iam::{inputs.account_id}:role{folder}{name.raw}"
    return {"arn": text(arn), "id": name, "name": name}


def _connection(service: str) -> Callable[[Mapping[str, Value], Inputs, str], dict[str, Value]]:
    # The service draws the last part of a connection's ARN. Here it follows from the name, so that settings can find
    # a connection by its ARN, and it is the same on every reading.
    def attributes(entries: Mapping[str, Value], inputs: Inputs, region: str) -> dict[str, Value]:
        name = entries.get("name")
        if name is None or not isinstance(name.raw, str):
            return {}
        drawn = uuid.uuid5(uuid.NAMESPACE_URL, f"{service}:{region}:{inputs.account_id}:{name.raw}")
        arn = text(f"arn:{inputs.partition}:{service}:{region}:{inputs.account_id}:connection/{drawn}")
        return {"arn": arn, "id": arn}

    return attributes


_SPECIAL: Mapping[str, Callable[[Mapping[str, Value], Inputs, str], dict[str, Value]]] = {
    "aws_iam_role": _role,
    "aws_codestarconnections_connection": _connection("codestar-connections"),
    "aws_codeconnections_connection": _connection("codeconnections"),
    "terraform_data": lambda entries, inputs, region: {"output": entries["input"]} if "input" in entries else {},
    "null_resource": lambda entries, inputs, region: {},
}


def known_data(kind: str, entries: Mapping[str, Value], inputs: Inputs, region: str) -> dict[str, Value]:
    """Attributes of a data source whose answer is certain, or follows from the arguments."""
    match kind:
        case "aws_caller_identity":
            arn = f"arn:{inputs.partition}:iam::{inputs.account_id}:root"
            return {"account_id": text(inputs.account_id), "id": text(inputs.account_id), "arn": text(arn)}
        case "aws_region":
            given = entries.get("name") or entries.get("region")
            name = given if given is not None and not given.is_null else text(region)
            return {"name": name, "id": name, "region": name}
        case "aws_partition":
            suffix = text(inputs.url_suffix)
            reverse = ".".join(reversed(inputs.url_suffix.split(".")))
            partition = text(inputs.partition)
            return {"partition": partition, "id": partition, "dns_suffix": suffix, "reverse_dns_prefix": text(reverse)}
        case "aws_iam_policy_document":
            document = policy_document(entries)
            return {"json": document, "minified_json": document}
        case "aws_availability_zones":
            # The same three that Fn::GetAZs gives a template here: every region has at least these.
            return {"names": list_of([text(f"{region}{letter}") for letter in "abc"], STRING), "id": text(region)}
        case "aws_ssm_parameter":
            return _parameter(entries, inputs)
    naming = _NAMING.get(kind)
    if naming is not None:  # what is looked up by its name has that name
        return computed_attributes(kind, entries, inputs, region)
    return computed_attributes(kind, entries, inputs, region) if kind in _SPECIAL else {}


def _parameter(entries: Mapping[str, Value], inputs: Inputs) -> dict[str, Value]:
    name = entries.get("name")
    if name is None or not isinstance(name.raw, str):
        return {}
    if name.raw in inputs.ssm:
        value = text(inputs.ssm[name.raw])
        return {"value": value, "insecure_value": value}
    missing = Unknown((f"SSM parameter {name.raw} is not given in the settings",))
    return {"value": Value(text("").type, missing), "insecure_value": Value(text("").type, missing)}
