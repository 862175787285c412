"""The AWS region of a module's resources: of the provider configuration that each of them uses.

Source: Terraform language, "Provider Configuration" (alias), "Providers Within Modules" (inheritance, `providers`).
"""

from collections.abc import Callable, Mapping

from pipeyard.definition.terraform.syntax import Block, Expression, GetAttribute, Literal, Name, ObjectOf, Template
from pipeyard.definition.terraform.values import Value

DEFAULT = "aws"

Evaluate = Callable[[Expression], Value]


def provider_regions(
    declared: tuple[Block, ...], inherited: Mapping[str, str], evaluate: Evaluate
) -> Mapping[str, str]:
    """Regions by the provider's name in a module: `aws`, `aws.west`. One that cannot be told is not among them."""
    regions = dict(inherited)
    for block in declared:
        region = block.body.attributes.get("region")
        if block.labels != (DEFAULT,) or region is None:
            continue
        value = evaluate(region.value)
        alias = block.body.attributes.get("alias")
        name = f"{DEFAULT}.{evaluate(alias.value).raw}" if alias is not None else DEFAULT
        if isinstance(value.raw, str):
            regions[name] = value.raw
    return regions


def passed_regions(call: Block, regions: Mapping[str, str]) -> Mapping[str, str]:
    """What a called module inherits: the default provider, and what `providers` gives under the callee's names."""
    passed = {DEFAULT: regions[DEFAULT]} if DEFAULT in regions else {}
    given = call.body.attributes.get("providers")
    for key, value in given.value.items if given is not None and isinstance(given.value, ObjectOf) else ():
        region = regions.get(_provider(value))
        if region is not None:
            passed[_provider(key)] = region
    return passed


def region_of(resource: Block, regions: Mapping[str, str]) -> str:
    """The region of a resource's or data source's provider; empty when it cannot be told."""
    provider = resource.body.attributes.get("provider")
    return regions.get(_provider(provider.value) if provider is not None else DEFAULT, "")


def _provider(expression: Expression) -> str:
    """`aws` or `aws.west`, which in older configurations and in JSON is text."""
    match expression:
        case Name(name):
            return name
        case GetAttribute(Name(name), alias):
            return f"{name}.{alias}"
        case Literal(str(text)) | Template((Literal(str(text)),)):
            return text
    return ""
