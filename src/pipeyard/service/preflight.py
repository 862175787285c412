"""Everything that can be known to be wrong before a pipeline starts, and what its run would publish."""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, structs

from pipeyard.actions.catalogue import find_action, type_ids
from pipeyard.actions.ecr_build_and_publish import EcrBuildAndPublish, split_tags
from pipeyard.definition.expressions import resolve
from pipeyard.definition.model import ActionDeclaration, Definition, PipelineDeclaration
from pipeyard.definition.places import Keys, Places, Reading
from pipeyard.definition.validate import validate
from pipeyard.errors import InputError, InvalidDefinition, Place, Problem, counted
from pipeyard.progress import Observer, Warned, ignore
from pipeyard.service.images import published_reference
from pipeyard.service.outcome import Outcome, PublishedImage, planned
from pipeyard.service.sources import ChosenSource, choose_images, choose_objects, choose_sources, source_actions
from pipeyard.settings import Settings
from pipeyard.source import resolve as resolve_source
from pipeyard.source import uncommitted_changes
from pipeyard.source.git import NoSuchRef
from pipeyard.threads import NEVER, Stop


class RunRequest(Struct, frozen=True, kw_only=True):
    """What to run of a definition, and how. `sources` is ACTION -> FOLDER|URL[#REF], or an image's name."""

    pipeline: str = ""  # needed when the definition has several
    sources: Mapping[str, str] = {}
    variables: Mapping[str, str] = {}
    publish: str = ""  # empty: as the settings say
    until: str = ""  # the last stage to run


class ReadyRun(Struct, frozen=True, kw_only=True):
    """A run that nothing known stands against. `revisions` is the commit of each source action."""

    definition: Definition  # with this one pipeline
    pipeline: PipelineDeclaration
    sources: dict[str, ChosenSource]
    revisions: dict[str, str]
    objects: dict[str, str]  # files and folders that stand for S3 source actions
    images: dict[str, str]  # names of images that stand for ECR source actions
    variables: dict[str, str]
    publish: str
    warnings: tuple[Problem, ...]


def choose_pipeline(reading: Reading, name: str) -> tuple[int, PipelineDeclaration]:
    """The pipeline to run and its number. Raises InvalidDefinition with all errors of the reading, InputError."""
    errors = tuple(problem for problem in reading.problems if problem.severity == "error")
    if reading.definition is None or errors:
        raise InvalidDefinition(f"the definition has {counted(len(errors), 'error')}", reading.problems)
    pipelines = reading.definition.pipelines
    names = ", ".join(pipeline.name for pipeline in pipelines)
    if not pipelines:
        raise InputError("the definition declares no pipeline", place=reading.places[()])
    if not name and len(pipelines) > 1:
        raise InputError(f"the definition declares {len(pipelines)} pipelines", hint=f"choose with --pipeline: {names}")
    for number, pipeline in enumerate(pipelines):
        if name in ("", pipeline.name):
            return number, pipeline
    raise InputError(f"the definition has no pipeline {name!r}", hint=f"it declares {names}")


def prepare(
    reading: Reading,
    request: RunRequest,
    settings: Settings,
    path: Path,
    folder: Path,
    *,
    observe: Observer = ignore,
    stop: Stop = NEVER,
) -> ReadyRun:
    """Validates the chosen pipeline for a run here and now, and resolves its sources to commits.

    Raises InvalidDefinition with every problem, and InputError for what was chosen beside the definition.
    """
    number, pipeline = choose_pipeline(reading, request.pipeline)
    assert reading.definition is not None
    problems = (*reading.problems, *validate(reading.definition, reading.places, implemented=type_ids()))
    if count := sum(problem.severity == "error" for problem in problems):
        raise InvalidDefinition(f"the definition has {counted(count, 'error')}", problems)
    for stage_number, stage in enumerate(pipeline.stages):
        for action_number, action in enumerate(stage.actions):
            keys = ("pipelines", number, "stages", stage_number, "actions", action_number)
            _check_action(action, keys, reading.places)
    chosen = _until(pipeline, request.until) if request.until else pipeline
    variables = _variables(pipeline, request.variables)
    publish = checked_publish(request, settings)
    own_keys = ("pipelines", number)
    sources = choose_sources(chosen, own_keys, reading.places, request.sources, settings, path, folder)
    known = {"variables": _all_variables(chosen, variables)}
    revisions: dict[str, str] = {}
    for inner_keys, action in source_actions(chosen):
        if action.name in sources:
            branch = reading.places[(*own_keys, *inner_keys, "configuration", "BranchName")]
            revisions[action.name] = _revision(action, branch, sources[action.name], known, settings, observe, stop)
    return ReadyRun(
        definition=structs.replace(reading.definition, pipelines=(chosen,)),
        pipeline=chosen,
        sources=sources,
        revisions=revisions,
        images=choose_images(chosen, request.sources),
        objects=choose_objects(chosen, request.sources, folder),
        variables=variables,
        publish=publish,
        warnings=problems,
    )


def _check_action(action: ActionDeclaration, keys: Keys, places: Places) -> None:
    """Raises InputError for a provider that nobody here performs, and for a configuration that it complains about."""
    known = type_ids()
    if action.action_type_id not in known:
        raise InputError(
            f"action {action.name} uses {action.action_type_id}, which cannot run here",
            place=places[(*keys, "actionTypeId", "provider")],
            hint=f"what can: {', '.join(sorted({each.provider for each in known}))}; --plan shows the rest",
        )
    for complaint in find_action(action.action_type_id).check(action.configuration):
        raise InputError(f"action {action.name}: {complaint}", place=places[(*keys, "configuration")])


def plan(reading: Reading, request: RunRequest, settings: Settings) -> tuple[Outcome, tuple[Problem, ...]]:
    """What would happen, and every problem that stands against it; fetches and publishes nothing.

    An action whose provider only the service has is planned like any other. Raises as `choose_pipeline`, and
    InputError for what was chosen beside the definition.
    """
    _, pipeline = choose_pipeline(reading, request.pipeline)
    assert reading.definition is not None
    chosen = _until(pipeline, request.until) if request.until else pipeline
    variables = _variables(pipeline, request.variables, needed=False)
    images = planned_images(chosen, variables, checked_publish(request, settings))
    # A rule that stumbles over the text in the place of a value that is not known says nothing about the pipeline.
    found = [each for each in validate(reading.definition, reading.places) if each.place not in reading.open]
    return planned(chosen, images), (*reading.problems, *found)


def checked_publish(request: RunRequest, settings: Settings) -> str:
    """Where the run publishes: `embedded`, `ecr`, or HOST[/PREFIX]. Raises InputError for anything else."""
    publish = request.publish or settings.publish
    if publish not in ("embedded", "ecr"):
        published_reference(publish, "name")
    return publish


def planned_images(pipeline: PipelineDeclaration, variables: Mapping[str, str], publish: str) -> list[PublishedImage]:
    """What the pipeline's ECRBuildAndPublish actions would publish, as far as it is known before it runs.

    Tags that only the run can know stand as declared.
    """
    images = []
    known = {"variables": _all_variables(pipeline, variables)}
    for _, action in pipeline.actions():
        if action.action_type_id != EcrBuildAndPublish.type_id:
            continue
        repository = _resolved(action.configuration.get("ECRRepositoryName", ""), known)
        name = repository if publish in ("embedded", "ecr") else f"{publish.rstrip('/')}/{repository}"
        tags = list(split_tags(_resolved(action.configuration.get("ImageTags", "latest"), known)))
        references = [f"{name}:{tag}" for tag in tags]
        images.append(PublishedImage(repository=name, tags=tags, digest=None, size=None, references=references))
    return images


def _revision(
    action: ActionDeclaration,
    branch: Place,
    source: ChosenSource,
    known: Mapping[str, Mapping[str, str]],
    settings: Settings,
    observe: Observer,
    stop: Stop,
) -> str:
    """An error stands where the wrong word came from: `branch` is the place of the action's own BranchName."""
    origin, declared = source.origin, not source.origin.ref
    if declared:
        origin = structs.replace(origin, ref=_resolved(action.configuration.get("BranchName", ""), known))
    try:
        commit_id = resolve_source(origin, settings.home / "git", observe, stop).commit_id
        if changed := uncommitted_changes(origin):
            left_out = f"{counted(changed, 'changed file')} in {origin.location} not committed, and so not in the image"
            observe(Warned(left_out))
        return commit_id
    except InputError as error:
        error.place = branch if declared and isinstance(error, NoSuchRef) else Place(source.reason)
        raise


def _variables(pipeline: PipelineDeclaration, given: Mapping[str, str], *, needed: bool = True) -> dict[str, str]:
    """Raises InputError for a variable that is not declared, and for one that has no value at all."""
    declared = {variable.name: variable.default_value for variable in pipeline.variables}
    for name in given:
        if name not in declared:
            known = ", ".join(declared) or "none"
            raise InputError(f"the pipeline declares no variable {name!r}", hint=f"it declares {known}")
    for name, default in declared.items():
        if needed and default is None and name not in given:
            raise InputError(f"the pipeline's variable {name} has no default", hint=f"give it: --variable {name}=VALUE")
    return dict(given)


def _all_variables(pipeline: PipelineDeclaration, given: Mapping[str, str]) -> dict[str, str]:
    defaults = {variable.name: variable.default_value or "" for variable in pipeline.variables}
    return {**defaults, **given}


def _resolved(text: str, values: Mapping[str, Mapping[str, str]]) -> str:
    """With what is known already; the text as it stands when something in it is not."""
    try:
        return resolve(text, values)
    except InputError:
        return text


def _until(pipeline: PipelineDeclaration, stage: str) -> PipelineDeclaration:
    names = [declared.name for declared in pipeline.stages]
    if stage not in names:
        raise InputError(f"--until names {stage!r}, which is no stage", hint=f"its stages are {', '.join(names)}")
    return structs.replace(pipeline, stages=pipeline.stages[: names.index(stage) + 1])
