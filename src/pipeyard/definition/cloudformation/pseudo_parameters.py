"""The parameters that every template has: the stack, and where it is deployed.

Source: CloudFormation Template Reference, "Pseudo parameters reference".
"""

from pipeyard.definition.cloudformation.resources import generated_id
from pipeyard.definition.declaration import suggestion
from pipeyard.definition.documents import Items, Leaf, Node, text_leaf
from pipeyard.definition.places import Inputs
from pipeyard.errors import InputError, Place


def pseudo_parameter(name: str, inputs: Inputs, stack: str, place: Place) -> Node:
    """The value of Ref for a name that begins with `AWS::`. Raises InputError, placed, when there is none such."""
    values = {
        "AWS::AccountId": inputs.account_id,
        "AWS::Partition": inputs.partition,
        "AWS::Region": inputs.region,
        "AWS::StackId": f"arn:{inputs.partition}:cloudformation:{inputs.region}:{inputs.account_id}"
        f":stack/{stack}/{generated_id(stack, '')}",
        "AWS::StackName": stack,
        "AWS::URLSuffix": inputs.url_suffix,
    }
    if name in values:
        return text_leaf(values[name], place)
    if name == "AWS::NoValue":
        return Leaf(None, "", place)
    if name == "AWS::NotificationARNs":
        return Items((), place)
    known = [*values, "AWS::NoValue", "AWS::NotificationARNs"]
    raise InputError(f"there is no pseudo parameter {name}", place=place, hint=suggestion(name, known))
