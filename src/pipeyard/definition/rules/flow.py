"""When actions run, and so which artifacts and variables an action finds.

Stages run one after the other; within a stage, actions of a lower run order end before those of a higher one start.
"""

from collections.abc import Iterator

from msgspec import Struct

from pipeyard.definition.model import ActionDeclaration, PipelineDeclaration
from pipeyard.definition.places import Keys


class Step(Struct, frozen=True):
    """An action with its place in the order: `moment` compares, equal moments run at once."""

    moment: tuple[int, int]
    stage: str
    action: ActionDeclaration
    keys: Keys


def steps(pipeline: PipelineDeclaration) -> tuple[Step, ...]:
    """Every action in the order of declaration."""
    return tuple(_steps(pipeline))


def _steps(pipeline: PipelineDeclaration) -> Iterator[Step]:
    for stage_index, stage in enumerate(pipeline.stages):
        for index, action in enumerate(stage.actions):
            moment = (stage_index, action.run_order)
            yield Step(moment, stage.name, action, ("stages", stage_index, "actions", index))
