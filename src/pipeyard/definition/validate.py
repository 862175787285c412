"""Whether the service would accept a definition, and what in it is legal and still wrong.

Knows nothing of files or formats: places are looked up, so that the AWS endpoint answers CreatePipeline with it too.
"""

from collections.abc import Collection

from pipeyard.definition.declaration import suggestion
from pipeyard.definition.model import ActionTypeId, Definition, PipelineDeclaration
from pipeyard.definition.places import Keys, Places
from pipeyard.definition.rules.artifacts import check_artifacts
from pipeyard.definition.rules.conditions import check_conditions
from pipeyard.definition.rules.configuration import check_configuration
from pipeyard.definition.rules.findings import Findings
from pipeyard.definition.rules.habits import check_habits, project_secrets
from pipeyard.definition.rules.structure import check_regions, check_structure
from pipeyard.definition.rules.triggers import check_triggers
from pipeyard.definition.rules.variables import check_variables
from pipeyard.errors import Problem


def validate(
    definition: Definition, places: Places, *, implemented: Collection[ActionTypeId] | None = None
) -> tuple[Problem, ...]:
    """Every problem of every pipeline, errors first, then in the order of the text; empty when there is nothing to say.

    `implemented` are the action types that can be carried out here: with it, a type that only the service knows is a
    warning, and one that is in `implemented` alone is no error. The rules are listed in `rules.findings.RULES`.
    """
    problems: list[Problem] = []
    names: set[str] = set()
    for index, pipeline in enumerate(definition.pipelines):
        keys: Keys = ("pipelines", index)
        problems += validate_pipeline(pipeline, places, root=keys, implemented=implemented, hidden=definition.hidden)
        if pipeline.name in names:
            message = f"there is a pipeline {pipeline.name!r} already"
            problems.append(Problem("error", message, places[(*keys, "name")], "", "duplicate-name"))
        names.add(pipeline.name)
    problems += _transitions(definition, places)
    problems += project_secrets(definition, places)
    return in_order(problems)


def validate_pipeline(
    pipeline: PipelineDeclaration,
    places: Places,
    *,
    root: Keys = (),
    implemented: Collection[ActionTypeId] | None = None,
    hidden: Collection[str] = (),
) -> tuple[Problem, ...]:
    """The problems of one pipeline whose values' places begin with `root`; `hidden` are secrets that it is given."""
    findings = Findings(places, root)
    check_structure(pipeline, findings)
    check_regions(pipeline, findings)
    check_configuration(pipeline, implemented, findings)
    check_artifacts(pipeline, findings)
    check_variables(pipeline, findings)
    check_conditions(pipeline, findings)
    check_triggers(pipeline, findings)
    check_habits(pipeline, frozenset(hidden), findings)
    return in_order(findings.problems)


def in_order(problems: Collection[Problem]) -> tuple[Problem, ...]:
    """Errors first, then by place; what is said twice is kept once."""
    unique = list(dict.fromkeys(problems))
    return tuple(
        sorted(
            unique,
            key=lambda found: (found.severity != "error", found.place.file, found.place.line, found.place.column),
        )
    )


def _transitions(definition: Definition, places: Places) -> list[Problem]:
    out = []
    for transition in definition.transitions:
        for index, pipeline in enumerate(definition.pipelines):
            stages = [stage.name for stage in pipeline.stages]
            if pipeline.name == transition.pipeline and transition.stage not in stages:
                message = f"a disabled transition leads into stage {transition.stage}, which does not exist"
                place = places[("pipelines", index)]
                out.append(Problem("error", message, place, suggestion(transition.stage, stages), "transition"))
    return out
