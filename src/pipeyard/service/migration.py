"""`pipeyard migrate`: reads a definition and its buildspecs, and proposes ECRBuildAndPublish in the user's own text."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from pipeyard.buildspec.model import PHASES, Buildspec
from pipeyard.buildspec.reader import read_buildspec
from pipeyard.definition.migrate.carrying import ActionText, CarriedOver, carry_over
from pipeyard.definition.migrate.edits import diff
from pipeyard.definition.migrate.script import COMMIT, Pushed, understand
from pipeyard.definition.model import ActionDeclaration, CodeBuildProject, PipelineDeclaration
from pipeyard.definition.places import Reading
from pipeyard.errors import InputError, InvalidDefinition, PipeyardError, Place, counted

_NAMESPACE = "SourceVariables"


class Finding(Struct, frozen=True):
    """One CodeBuild action: what became of it. `reasons` say why nothing did; `notes` what is left to do by hand."""

    action: str
    place: Place
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Migration(Struct, frozen=True, kw_only=True):
    """`texts` are the new texts of changed files; `diff` is all of it as one unified diff."""

    findings: tuple[Finding, ...]
    texts: Mapping[Path, str]
    diff: str


def migrate(reading: Reading, sources: Sequence[Path], folder: Path) -> Migration:
    """`sources` are folders in which a project's buildspec file is looked for, in order; names count from `folder`.

    Raises InvalidDefinition, with every problem, when the definition could not be read.
    """
    if reading.definition is None:
        count = sum(problem.severity == "error" for problem in reading.problems)
        raise InvalidDefinition(f"the definition has {counted(count, 'error')}", reading.problems)
    definition = reading.definition
    findings: list[Finding] = []
    texts: dict[Path, str] = {}
    before: dict[Path, str] = {}
    projects = {project.name: project for project in definition.projects}
    for number, pipeline in enumerate(definition.pipelines):
        for stage_number, stage in enumerate(pipeline.stages):
            for action_number, action in enumerate(stage.actions):
                if action.action_type_id.provider != "CodeBuild":
                    continue
                place = reading.places["pipelines", number, "stages", stage_number, "actions", action_number, "name"]
                shown = f"{stage.name} / {action.name}"
                project = projects.get(action.configuration.get("ProjectName", ""))
                pushed, reasons, missing = _understood(pipeline, action, project, sources)
                if pushed is None or project is None:
                    findings.append(Finding(shown, place, reasons))
                    continue
                file = Path(place.file)
                text = texts.get(file)
                if text is None:
                    text = before[file] = file.read_text(encoding="utf-8")
                place_of_source = _source_place(pipeline, action, reading, number) if missing else None
                try:
                    done: CarriedOver = carry_over(
                        text,
                        ActionText(
                            file=place.file,
                            stage=stage.name,
                            name=action.name,
                            project=project,
                            pushed=pushed,
                            source=place_of_source or "",
                            namespace=_NAMESPACE,
                            has_outputs=bool(action.output_artifacts),
                        ),
                    )
                except PipeyardError as error:
                    findings.append(Finding(shown, place, (error.message,)))
                    continue
                texts[file] = done.text
                findings.append(Finding(shown, place, notes=done.notes))
    told = "".join(diff(before[file], text, os.path.relpath(file, folder)) for file, text in texts.items())
    return Migration(findings=tuple(findings), texts=texts, diff=told)


def _understood(
    pipeline: PipelineDeclaration,
    action: ActionDeclaration,
    project: CodeBuildProject | None,
    sources: Sequence[Path],
) -> tuple[Pushed | None, tuple[str, ...], bool]:
    """What the action pushes, or why that cannot be carried over; whether the source action lacks a namespace."""
    if project is None:
        return (
            None,
            (f"its project {action.configuration.get('ProjectName', '')} is not part of the definition",),
            False,
        )
    try:
        spec = _buildspec(action, project, sources)
    except PipeyardError as error:
        return None, (str(error),), False
    reasons = list(_other_reasons(pipeline, action, spec))
    variables = {
        **spec.env.variables,
        **{each.name: each.value for each in project.environment_variables if each.type == "PLAINTEXT"},
        **_action_variables(action),
    }
    commands = [
        command.text
        for name in PHASES
        if (phase := spec.phase(name)) is not None
        for command in (*phase.commands, *phase.finally_)
    ]
    understood = understand(commands, variables)
    reasons += understood.reasons
    if understood.pushed is None or reasons:
        return None, tuple(dict.fromkeys(reasons)), False
    pushed = understood.pushed
    missing = False
    if any(COMMIT in tag for tag in pushed.tags):
        source = _source_of(pipeline, action)
        if source is None:
            return None, ("its tag is the commit id, and no source action of git's makes its input",), False
        missing = source.namespace is None
        commit = f"#{{{source.namespace or _NAMESPACE}.CommitId}}"
        pushed = Pushed(
            repository=pushed.repository,
            tags=tuple(tag.replace(COMMIT, commit) for tag in pushed.tags),
            dockerfile=pushed.dockerfile,
        )
    return pushed, (), missing


def _buildspec(action: ActionDeclaration, project: CodeBuildProject, sources: Sequence[Path]) -> Buildspec:
    text = action.configuration.get("BuildspecOverride") or project.buildspec or ""
    if "\n" in text.strip() or text.lstrip().startswith("{"):
        return read_buildspec(text, f"the buildspec of {project.name}")
    name = text or "buildspec.yml"
    for folder in sources:
        file = folder / name
        if file.is_file():
            return read_buildspec(file.read_text(encoding="utf-8"), str(file))
    raise InputError(f"its buildspec {name} was not found", hint="give the source's folder with --source FOLDER")


def _other_reasons(pipeline: PipelineDeclaration, action: ActionDeclaration, spec: Buildspec) -> list[str]:
    reasons = []
    if pipeline.pipeline_type != "V2":
        reasons.append("ECRBuildAndPublish needs a pipeline of type V2")
    if len(action.input_artifacts) != 1:
        reasons.append("ECRBuildAndPublish takes exactly one input artifact")
    if action.configuration.get("BatchEnabled", "").lower() == "true":
        reasons.append("it is a batch build")
    if spec.env.parameter_store or spec.env.secrets_manager:
        reasons.append("its buildspec uses secrets, which ECRBuildAndPublish cannot get")
    if spec.reports:
        reasons.append("its buildspec makes test reports")
    outputs = {output.name for output in action.output_artifacts}
    for stage in pipeline.stages:
        for other in stage.actions:
            used = outputs & {artifact.name for artifact in other.input_artifacts}
            if used:
                reasons.append(f"{stage.name} / {other.name} uses its output {', '.join(sorted(used))}")
            if action.namespace and any(f"#{{{action.namespace}." in value for value in other.configuration.values()):
                reasons.append(f"{stage.name} / {other.name} uses its variables ({action.namespace})")
    return reasons


def _action_variables(action: ActionDeclaration) -> dict[str, str]:
    from pipeyard.actions.codebuild import read_variables

    told = read_variables(action.configuration.get("EnvironmentVariables", ""))
    return {name: value for name, (kind, value) in told.items() if kind == "PLAINTEXT"}


def _source_of(pipeline: PipelineDeclaration, action: ActionDeclaration) -> ActionDeclaration | None:
    wanted = action.input_artifacts[0].name
    for _, other in pipeline.actions():
        made = any(output.name == wanted for output in other.output_artifacts)
        if made and other.action_type_id.provider in ("CodeStarSourceConnection", "CodeCommit", "GitHub"):
            return other
    return None


def _source_place(pipeline: PipelineDeclaration, action: ActionDeclaration, reading: Reading, number: int) -> str:
    """The name of the source action, if it lies in the same file."""
    del reading, number
    source = _source_of(pipeline, action)
    return source.name if source else ""
