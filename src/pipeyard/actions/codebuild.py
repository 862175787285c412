"""CodeBuild: the input artifacts are built as the project and its buildspec say.

Source: CodePipeline User Guide, "AWS CodeBuild build and test action reference".
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from shutil import copytree
from typing import ClassVar

from msgspec import Struct, field

from pipeyard.actions.configuration import check_keys, read_configuration
from pipeyard.actions.contract import ActionRequest, ActionResult, Artifact, Published, Tools
from pipeyard.buildspec.contract import Build, BuildWish
from pipeyard.definition.model import ActionTypeId, CodeBuildProject
from pipeyard.errors import ActionFailed

_STANDARD_IMAGE = "aws/codebuild/amazonlinux2-x86_64-standard:5.0"
_TIMEOUT_MINUTES = 60


class CodeBuildConfiguration(Struct, frozen=True, kw_only=True):
    project_name: str = field(name="ProjectName")
    primary_source: str = field(name="PrimarySource", default="")
    batch_enabled: str = field(name="BatchEnabled", default="false")
    buildspec_override: str = field(name="BuildspecOverride", default="")
    combine_artifacts: str = field(name="CombineArtifacts", default="false")
    environment_variables: str = field(name="EnvironmentVariables", default="")


class CodeBuild:
    """Runs in the project's image; exported variables become the action's output variables."""

    type_id: ClassVar[ActionTypeId] = ActionTypeId(category="Build", owner="AWS", provider="CodeBuild", version="1")

    def check(self, configuration: Mapping[str, str]) -> Iterable[str]:
        yield from check_keys(CodeBuildConfiguration, configuration)
        told = configuration.get("EnvironmentVariables", "")
        if told and "#{" not in told:
            try:
                read_variables(told)
            except ActionFailed as error:
                yield error.message

    def perform(self, request: ActionRequest, tools: Tools) -> ActionResult:
        wanted = read_configuration(CodeBuildConfiguration, request.configuration)
        project = find_project(request, wanted.project_name, tools)
        primary = _primary(request, wanted.primary_source)
        batch = wanted.batch_enabled.lower() == "true"
        build = tools.run_build(
            BuildWish(
                project=project.name,
                source=tools.artifacts.folder(primary),
                secondary_sources={
                    name: tools.artifacts.folder(artifact)
                    for name, artifact in request.inputs.items()
                    if name != primary.name
                },
                buildspec=wanted.buildspec_override or project.buildspec or "",
                environment=project.image or _STANDARD_IMAGE,
                privileged=project.privileged_mode,
                variables={
                    **{each.name: (each.type, each.value) for each in project.environment_variables},
                    **read_variables(wanted.environment_variables),
                },
                timeout_s=60 * (request_minutes(request) or project.timeout_in_minutes or _TIMEOUT_MINUTES),
                source_version=primary.revision,
                created_s=primary.created_s,
                initiator=f"codepipeline/{request.pipeline}",
                batch=batch,
            ),
            request.action_execution_id,
        )
        return finished(request, tools, build, combine=wanted.combine_artifacts.lower() == "true")


class CodeBuildTest(CodeBuild):
    """The same, as a test."""

    type_id: ClassVar[ActionTypeId] = ActionTypeId(category="Test", owner="AWS", provider="CodeBuild", version="1")


def request_minutes(request: ActionRequest) -> int:
    """The action's own limit; 0 when it has none."""
    return (request.timeout_s or 0) // 60


def find_project(request: ActionRequest, name: str, tools: Tools) -> CodeBuildProject:
    """Raises ActionFailed, naming the projects that there are."""
    for project in request.definition.projects:
        if project.name == name:
            return project
    found = tools.project(name)
    if found is None:
        known = ", ".join(project.name for project in request.definition.projects) or "none"
        raise ActionFailed(
            f"there is no CodeBuild project {name!r}",
            hint=f"the definition declares {known}; add [projects.{name}] to pipeyard.toml for one from elsewhere",
        )
    return found


def _primary(request: ActionRequest, name: str) -> Artifact:
    if not request.inputs:
        raise ActionFailed("CodeBuild takes at least one input artifact", hint="name one in InputArtifacts")
    if not name:
        if len(request.inputs) > 1:
            raise ActionFailed("PrimarySource is needed with several input artifacts", hint=", ".join(request.inputs))
        return next(iter(request.inputs.values()))
    if name not in request.inputs:
        raise ActionFailed(f"PrimarySource {name!r} is no input artifact", hint=", ".join(request.inputs))
    return request.inputs[name]


def read_variables(text: str) -> dict[str, tuple[str, str]]:
    """`[{"name": ..., "value": ..., "type": ...}]` as NAME -> (type, value). Raises ActionFailed."""
    if not text.strip():
        return {}
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise ActionFailed(f"EnvironmentVariables is no JSON: {error}") from error
    found = {}
    for entry in entries if isinstance(entries, list) else [None]:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or "value" not in entry:
            raise ActionFailed('EnvironmentVariables must be a list of {"name": ..., "value": ..., "type": ...}')
        found[entry["name"]] = (str(entry.get("type", "PLAINTEXT")), str(entry["value"]))
    return found


def finished(request: ActionRequest, tools: Tools, build: Build, *, combine: bool = False) -> ActionResult:
    """The action's result. Raises ActionFailed for a failed build, and for outputs that the build did not make."""
    outcome = build.outcome
    if outcome.status == "FAILED":
        raise ActionFailed(outcome.error or "the build failed")
    outputs = {}
    for name, folder in _folders(request, build, tools, combine=combine).items():
        outputs[name] = tools.artifacts.keep(name, folder, created_s=_created(request))
    published = [
        Published(
            repository=one.repository,
            tags=list(one.tags),
            digest=one.digest,
            size=one.size,
            references=list(one.references),
        )
        for one in build.published
    ]
    told = [f"{len(build.batch)} builds"] if build.batch else []
    told += [f"{report.count('SUCCEEDED')}/{len(report.cases)} tests of {report.group}" for report in outcome.reports]
    told += [f"{one.repository}:{tag}" for one in build.published for tag in one.tags]
    return ActionResult(
        outputs=outputs, variables=dict(outcome.exported), summary=", ".join(told), published=_merged(published)
    )


def _merged(published: list[Published]) -> list[Published]:
    """One image pushed under several tags is one image."""
    found: dict[tuple[str, str], Published] = {}
    for one in published:
        key = (one.repository, one.digest)
        known = found.get(key)
        if known is None:
            found[key] = one
            continue
        found[key] = Published(
            repository=one.repository,
            tags=list(dict.fromkeys([*known.tags, *one.tags])),
            digest=one.digest,
            size=one.size,
            references=list(dict.fromkeys([*known.references, *one.references])),
        )
    return list(found.values())


def _created(request: ActionRequest) -> int:
    return max((artifact.created_s for artifact in request.inputs.values()), default=0)


def _folders(request: ActionRequest, build: Build, tools: Tools, *, combine: bool) -> dict[str, Path]:
    """The folder of each output artifact: the build's only one, or those of the same names."""
    names = [output.name for output in request.outputs]
    if not names:
        return {}
    made = {name: artifact.folder for name, artifact in build.outcome.secondary.items()}
    if build.outcome.artifact is not None:
        made.setdefault(names[0], build.outcome.artifact.folder)
    for identifier, outcome in build.batch.items():
        if outcome.artifact is not None:
            made[identifier] = outcome.artifact.folder
    if build.batch and combine:
        together = tools.workspace / "combined"
        for identifier, folder in made.items():
            copytree(folder, together / identifier, symlinks=True)
        made = {names[0]: together}
    if not made and not build.batch and len(names) == 1:
        # A buildspec without artifacts is no fault: the console's wizard gives every build an output.
        made = {names[0]: tools.workspace / "no-artifact"}
        made[names[0]].mkdir()
    for name in names:
        if name not in made:
            raise ActionFailed(
                f"the build made no artifact for the output {name}",
                hint=f"add artifacts to the buildspec, with the identifier {name} when there are several",
            )
    return {name: made[name] for name in names}
