"""When actions run, and so which artifacts and variables an action finds.

Stages run one after the other; within a stage, actions of a lower run order end before those of a higher one start.
"""

from collections.abc import Iterator

from msgspec import Struct

from pipeyard.definition.model import ActionDeclaration, PipelineDeclaration, RuleDeclaration
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


class RuleStep(Struct, frozen=True):
    """A rule of a stage's condition: it finds what the actions before its moment have left."""

    moment: tuple[int, int]
    rule: RuleDeclaration
    keys: Keys


def rule_steps(pipeline: PipelineDeclaration) -> Iterator[RuleStep]:
    """Every rule in the order of declaration; those of entry conditions before, the others after a stage's actions."""
    for index, stage in enumerate(pipeline.stages):
        for key, holder, order in (
            ("beforeEntry", stage.before_entry, 0),
            ("onSuccess", stage.on_success, _AFTER_ALL),
            ("onFailure", stage.on_failure, _AFTER_ALL),
        ):
            for number, condition in enumerate(holder.conditions if holder else []):
                for position, rule in enumerate(condition.rules):
                    keys: Keys = ("stages", index, key, "conditions", number, "rules", position)
                    yield RuleStep((index, order), rule, keys)


_AFTER_ALL = 1000  # run orders end at 999
