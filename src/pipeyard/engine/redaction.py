"""Secret values of a declaration stay in the stored definition; states, events and views hold `****` in their place.

Source: CodePipeline API, ActionConfigurationProperty `secret`; GetPipeline answers with the same mask.
"""

from collections.abc import Mapping

from msgspec import structs

from pipeyard.definition.model import ActionDeclaration, Definition, PipelineDeclaration
from pipeyard.engine.commands import StartAction

MASK = "****"
SECRET_KEYS = frozenset({"OAuthToken", "Password", "Secret", "SecretToken"})


def redacted(declaration: PipelineDeclaration) -> PipelineDeclaration:
    """The declaration without the values that are secret by the name of their key."""
    stages = [
        structs.replace(stage, actions=[_redacted(action) for action in stage.actions]) for stage in declaration.stages
    ]
    return structs.replace(declaration, stages=stages)


def _redacted(action: ActionDeclaration) -> ActionDeclaration:
    if SECRET_KEYS.isdisjoint(action.configuration):
        return action
    masked = {key: MASK if key in SECRET_KEYS else value for key, value in action.configuration.items()}
    return structs.replace(action, configuration=masked)


def restored(pipeline: str, command: StartAction, definition: Definition) -> dict[str, str]:
    """A resolved configuration with its secret values, which no expression can be part of, put back."""
    missing = [key for key, value in command.configuration.items() if key in SECRET_KEYS and value == MASK]
    if not missing:
        return command.configuration
    declared = _declared(pipeline, command, definition)
    return command.configuration | {key: declared[key] for key in missing if key in declared}


def _declared(pipeline: str, command: StartAction, definition: Definition) -> Mapping[str, str]:
    return next(
        (
            action.configuration
            for declaration in definition.pipelines
            if declaration.name == pipeline
            for stage, action in declaration.actions()
            if stage.name == command.stage and action.name == command.declaration.name
        ),
        {},
    )
