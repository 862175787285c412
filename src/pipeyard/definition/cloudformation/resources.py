"""What a deployment would answer to Ref and Fn::GetAtt of a resource, as far as its template determines it.

A name that CloudFormation would generate is generated here too, from the stack's name and the logical id, so that it
is the same at each reading. Source: CloudFormation Template Reference, "Return values" of each resource type.
"""

import hashlib
import uuid
from collections.abc import Mapping

from msgspec import Struct


class Kind(Struct, frozen=True):
    """One resource type. Texts are formats over name, id, token and the stack's partition, region, account, suffix.

    `name` is the property that holds the physical name. `attributes` are GetAtt's; `properties` are attributes that
    are simply the property of that name.
    """

    ref: str = "{name}"
    name: str = ""
    attributes: Mapping[str, str] = {}
    properties: Mapping[str, str] = {}
    lower: bool = False  # generated names are lower case where the service asks for it


NAMELESS = Kind()
"""A type of which nothing is known."""


def _arn(service: str, rest: str) -> str:
    return f"arn:{{partition}}:{service}:{{region}}:{{account}}:{rest}"


_CONNECTION = "connection/{id}"

KINDS: Mapping[str, Kind] = {
    "AWS::S3::Bucket": Kind(
        name="BucketName",
        lower=True,
        attributes={
            "Arn": "arn:{partition}:s3:::{name}",
            "DomainName": "{name}.s3.{suffix}",
            "DualStackDomainName": "{name}.s3.dualstack.{region}.{suffix}",
            "RegionalDomainName": "{name}.s3.{region}.{suffix}",
            "WebsiteURL": "http://{name}.s3-website-{region}.{suffix}",
        },
    ),
    "AWS::ECR::Repository": Kind(
        name="RepositoryName",
        lower=True,
        attributes={
            "Arn": _arn("ecr", "repository/{name}"),
            "RepositoryUri": "{account}.dkr.ecr.{region}.{suffix}/{name}",
        },
    ),
    "AWS::ECR::PublicRepository": Kind(
        name="RepositoryName", lower=True, attributes={"Arn": "arn:{partition}:ecr-public::{account}:repository/{name}"}
    ),
    "AWS::IAM::Role": Kind(name="RoleName", attributes={"Arn": "arn:{partition}:iam::{account}:role{path}{name}"}),
    "AWS::IAM::User": Kind(name="UserName", attributes={"Arn": "arn:{partition}:iam::{account}:user{path}{name}"}),
    "AWS::IAM::ManagedPolicy": Kind(
        name="ManagedPolicyName",
        ref="arn:{partition}:iam::{account}:policy{path}{name}",
        attributes={"PolicyArn": "arn:{partition}:iam::{account}:policy{path}{name}"},
    ),
    "AWS::CodeBuild::Project": Kind(name="Name", attributes={"Arn": _arn("codebuild", "project/{name}")}),
    "AWS::CodePipeline::Pipeline": Kind(name="Name", attributes={"Version": "1"}),
    "AWS::CodeStarConnections::Connection": Kind(
        ref=_arn("codestar-connections", _CONNECTION),
        attributes={"ConnectionArn": _arn("codestar-connections", _CONNECTION), "ConnectionStatus": "PENDING"},
    ),
    "AWS::CodeConnections::Connection": Kind(
        ref=_arn("codeconnections", _CONNECTION),
        attributes={"ConnectionArn": _arn("codeconnections", _CONNECTION), "ConnectionStatus": "PENDING"},
    ),
    "AWS::CodeCommit::Repository": Kind(
        name="RepositoryName",
        ref="{id}",
        attributes={
            "Arn": _arn("codecommit", "{name}"),
            "Name": "{name}",
            "CloneUrlHttp": "https://git-codecommit.{region}.{suffix}/v1/repos/{name}",
            "CloneUrlSsh": "ssh://git-codecommit.{region}.{suffix}/v1/repos/{name}",
        },
    ),
    "AWS::CodeDeploy::Application": Kind(name="ApplicationName"),
    "AWS::CodeDeploy::DeploymentGroup": Kind(name="DeploymentGroupName"),
    "AWS::CodeArtifact::Domain": Kind(
        name="DomainName", ref=_arn("codeartifact", "domain/{name}"), attributes={"Name": "{name}"}
    ),
    "AWS::Lambda::Function": Kind(name="FunctionName", attributes={"Arn": _arn("lambda", "function:{name}")}),
    "AWS::Serverless::Function": Kind(name="FunctionName", attributes={"Arn": _arn("lambda", "function:{name}")}),
    "AWS::SNS::Topic": Kind(
        name="TopicName",
        ref=_arn("sns", "{name}"),
        attributes={"TopicName": "{name}", "TopicArn": _arn("sns", "{name}")},
    ),
    "AWS::SQS::Queue": Kind(
        name="QueueName",
        ref="https://sqs.{region}.{suffix}/{account}/{name}",
        attributes={
            "Arn": _arn("sqs", "{name}"),
            "QueueName": "{name}",
            "QueueUrl": "https://sqs.{region}.{suffix}/{account}/{name}",
        },
    ),
    "AWS::KMS::Key": Kind(ref="{id}", attributes={"Arn": _arn("kms", "key/{id}"), "KeyId": "{id}"}),
    "AWS::KMS::Alias": Kind(name="AliasName"),
    "AWS::ECS::Cluster": Kind(name="ClusterName", attributes={"Arn": _arn("ecs", "cluster/{name}")}),
    "AWS::ECS::Service": Kind(
        name="ServiceName", ref=_arn("ecs", "service/{cluster}/{name}"), attributes={"Name": "{name}"}
    ),
    "AWS::ECS::TaskDefinition": Kind(
        name="Family",
        ref=_arn("ecs", "task-definition/{name}:1"),
        attributes={"TaskDefinitionArn": _arn("ecs", "task-definition/{name}:1")},
    ),
    "AWS::EKS::Cluster": Kind(name="Name", attributes={"Arn": _arn("eks", "cluster/{name}")}),
    "AWS::ElasticBeanstalk::Application": Kind(name="ApplicationName"),
    "AWS::ElasticBeanstalk::Environment": Kind(name="EnvironmentName"),
    "AWS::OpsWorks::Stack": Kind(ref="{id}"),
    "AWS::OpsWorks::App": Kind(ref="{id}"),
    "AWS::OpsWorks::Layer": Kind(ref="{id}"),
    "AWS::Logs::LogGroup": Kind(name="LogGroupName", attributes={"Arn": _arn("logs", "log-group:{name}:*")}),
    "AWS::Events::Rule": Kind(name="Name", attributes={"Arn": _arn("events", "rule/{name}")}),
    "AWS::DynamoDB::Table": Kind(name="TableName", attributes={"Arn": _arn("dynamodb", "table/{name}")}),
    "AWS::StepFunctions::StateMachine": Kind(
        name="StateMachineName",
        ref=_arn("states", "stateMachine:{name}"),
        attributes={"Arn": _arn("states", "stateMachine:{name}"), "Name": "{name}"},
    ),
    "AWS::SSM::Parameter": Kind(name="Name", properties={"Value": "Value", "Type": "Type"}),
    "AWS::SecretsManager::Secret": Kind(
        name="Name",
        ref=_arn("secretsmanager", "secret:{name}-{token}"),
        attributes={"Id": _arn("secretsmanager", "secret:{name}-{token}")},
    ),
    "AWS::CloudFormation::Stack": Kind(ref=_arn("cloudformation", "stack/{name}/{id}")),
    "AWS::CloudFormation::WaitConditionHandle": Kind(
        ref="https://cloudformation-waitcondition-{region}.s3.{suffix}/{id}"
    ),
}
"""Types whose answers a template determines; of any other type they are unknown until it is deployed."""

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def generated_name(stack: str, logical_id: str, *, lower: bool) -> str:
    """`stack-LogicalId-SUFFIX`, as CloudFormation names what its template leaves nameless; 63 characters at most."""
    number = int.from_bytes(hashlib.sha256(f"{stack}/{logical_id}".encode()).digest()[:8], "big")
    suffix = ""
    for _ in range(12):
        number, digit = divmod(number, len(_ALPHABET))
        suffix += _ALPHABET[digit]
    name = f"{stack[:24]}-{logical_id[:24]}-{suffix}"
    return name.lower() if lower else name


def generated_id(stack: str, logical_id: str) -> str:
    """A UUID for what the service identifies by one, always the same for a stack's resource."""
    return str(uuid.UUID(bytes=hashlib.sha256(f"{stack}/{logical_id}".encode()).digest()[:16], version=4))


def generated_token(stack: str, logical_id: str) -> str:
    """Six characters, as Secrets Manager appends to a name."""
    return generated_name(stack, logical_id, lower=False)[-6:]
