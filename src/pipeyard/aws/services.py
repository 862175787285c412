"""The services that are spoken here, each described by botocore's own model of it, loaded when first asked."""

import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from botocore.model import OperationModel, ServiceModel

Protocol = Literal["json", "query", "cbor"]


class Service(Struct, frozen=True, kw_only=True):
    name: str  # botocore's, and our module's
    target: str = ""  # X-Amz-Target without the operation; empty: query protocol
    signing_name: str
    invalid: str  # code for input that breaks a constraint of the model
    unsigned: frozenset[str] = frozenset()  # operations that anybody may call


SERVICES = (
    Service(
        name="ecr",
        target="AmazonEC2ContainerRegistry_V20150921",
        signing_name="ecr",
        invalid="InvalidParameterException",
    ),
    Service(name="codebuild", target="CodeBuild_20161006", signing_name="codebuild", invalid="InvalidInputException"),
    Service(
        name="codepipeline",
        target="CodePipeline_20150709",
        signing_name="codepipeline",
        invalid="ValidationException",
    ),
    Service(name="logs", target="Logs_20140328", signing_name="logs", invalid="InvalidParameterException"),
    Service(
        name="sts",
        signing_name="sts",
        invalid="ValidationError",
        unsigned=frozenset({"AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"}),
    ),
)
BY_TARGET: Mapping[str, Service] = {service.target: service for service in SERVICES if service.target}
BY_VERSION: Mapping[str, Service] = {"2011-06-15": next(each for each in SERVICES if each.name == "sts")}


@functools.cache
def model(service: str) -> "ServiceModel":
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


def operation_model(service: Service, operation: str) -> "OperationModel | None":
    """None for an operation that the service does not have."""
    described = model(service.name)
    return described.operation_model(operation) if operation in described.operation_names else None


def snake_case(operation: str) -> str:
    """`GetCallerIdentity` is the function get_caller_identity, `AssumeRoleWithSAML` assume_role_with_saml."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", operation).lower()
