"""The providers there are: built-in ones and those of installed packages (entry points `pipeyard.actions`)."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module

from pipeyard.actions.contract import Action
from pipeyard.definition.model import ActionTypeId
from pipeyard.errors import ActionFailed

_BUILT_IN = {
    "Build/AWS/CodeBuild/1": "pipeyard.actions.codebuild:CodeBuild",
    "Test/AWS/CodeBuild/1": "pipeyard.actions.codebuild:CodeBuildTest",
    "Compute/AWS/Commands/1": "pipeyard.actions.commands:Commands",
    "Approval/AWS/Manual/1": "pipeyard.actions.manual_approval:ManualApproval",
    "Source/AWS/CodeStarSourceConnection/1": "pipeyard.actions.codestar_source_connection:CodeStarSourceConnection",
    "Source/AWS/S3/1": "pipeyard.actions.s3_source:S3Source",
    "Source/AWS/ECR/1": "pipeyard.actions.ecr_source:EcrSource",
    "Build/AWS/ECRBuildAndPublish/1": "pipeyard.actions.ecr_build_and_publish:EcrBuildAndPublish",
}


@cache
def action_names() -> Mapping[str, str]:
    """Action type ids as text, each with the `module:class` that performs it. Imports none of them."""
    from importlib.metadata import entry_points

    installed = {point.name: point.value for point in entry_points(group="pipeyard.actions")}
    return {**installed, **_BUILT_IN}


def type_ids() -> tuple[ActionTypeId, ...]:
    """What can be performed here, for validation and for error messages."""
    return tuple(
        ActionTypeId(category=category, owner=owner, provider=provider, version=version)
        for category, owner, provider, version in (name.split("/") for name in action_names())
    )


def find_action(type_id: ActionTypeId) -> Action:
    """Raises ActionFailed, naming the providers that exist, when nobody performs this type."""
    target = action_names().get(str(type_id))
    if target is None:
        known = ", ".join(sorted({known.provider for known in type_ids()}))
        raise ActionFailed(f"no provider performs {type_id}", hint=f"available are {known}")
    module, _, name = target.partition(":")
    action: Action = getattr(import_module(module), name)()
    return action
