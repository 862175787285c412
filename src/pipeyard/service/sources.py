"""Which git repository stands for a source action: told on the command line, by the settings, or found around us."""

import re
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from pipeyard.definition.model import ActionDeclaration, PipelineDeclaration
from pipeyard.definition.places import Keys, Places
from pipeyard.errors import InputError, Place, located
from pipeyard.registry.reference import parse_place
from pipeyard.settings import Settings
from pipeyard.source import GitOrigin, parse_origin
from pipeyard.source.git import enclosing_checkout

GIT, IMAGE, OBJECT = "CodeStarSourceConnection", "ECR", "S3"


class ChosenSource(Struct, frozen=True, kw_only=True):
    """A source action's repository, and in words why it was this one. An empty `ref` is the action's own branch."""

    action: str
    origin: GitOrigin
    reason: str


def source_actions(pipeline: PipelineDeclaration) -> list[tuple[Keys, ActionDeclaration]]:
    """The source actions with their keys within the pipeline, in order of declaration."""
    return [
        (("stages", stage_number, "actions", number), action)
        for stage_number, stage in enumerate(pipeline.stages)
        for number, action in enumerate(stage.actions)
        if action.action_type_id.category == "Source"
    ]


def choose_sources(
    pipeline: PipelineDeclaration,
    pipeline_keys: Keys,
    places: Places,
    given: Mapping[str, str],
    settings: Settings,
    definition_path: Path,
    folder: Path,
) -> dict[str, ChosenSource]:
    """The repository of each source action, by the action's name.

    `given` is `--source`: ACTION -> FOLDER|URL[#REF]; relative folders count from `folder`. Without it the settings'
    connections decide (by repository, then by connection ARN), then the checkout that holds the definition when one
    of its remotes is the action's repository. Raises InputError when a name in `given` is no source action, and
    placed at the action when nothing stands for it.
    """
    actions = source_actions(pipeline)
    _check_names(actions, given)
    chosen = {}
    for keys, action in actions:
        if action.action_type_id.provider != GIT:
            continue
        found = _choose(action, given, settings, definition_path, folder)
        if found is None:
            raise InputError(
                f"nothing stands for the repository of source action {action.name}",
                place=places[(*pipeline_keys, *keys, "configuration", "FullRepositoryId")],
                hint=f"give it: --source {action.name}=FOLDER (a git repository) or --source {action.name}=URL",
            )
        chosen[action.name] = found
    return chosen


def choose_images(pipeline: PipelineDeclaration, given: Mapping[str, str]) -> dict[str, str]:
    """The names of images that `--source` gives to ECR source actions. Raises InputError for one that is no name."""
    chosen = {}
    for _, action in source_actions(pipeline):
        if action.action_type_id.provider == IMAGE and action.name in given:
            with located(Place(f"--source {action.name}")):
                chosen[action.name] = str(parse_place(given[action.name], default_tag=""))
    return chosen


def choose_objects(pipeline: PipelineDeclaration, given: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The paths that `--source` gives to S3 source actions, absolute. Raises InputError for one that is not there."""
    chosen = {}
    for _, action in source_actions(pipeline):
        if action.action_type_id.provider == OBJECT and action.name in given:
            path = (folder / Path(given[action.name]).expanduser()).absolute()
            if not path.exists():
                raise InputError(f"there is no {path}", place=Place(f"--source {action.name}"))
            chosen[action.name] = str(path)
    return chosen


def _check_names(actions: list[tuple[Keys, ActionDeclaration]], given: Mapping[str, str]) -> None:
    providers = {action.name: action.action_type_id.provider for _, action in actions}
    for name in given:
        if name not in providers:
            known = ", ".join(providers) or "none"
            raise InputError(f"--source names {name!r}, which is no source action", hint=f"source actions: {known}")
        if providers[name] not in (GIT, IMAGE, OBJECT):
            raise InputError(
                f"--source names {name!r}, an action of {providers[name]}, for which nothing else can stand",
                hint=f"{GIT} takes a git repository, {IMAGE} the name of an image, {OBJECT} a file or folder",
            )


def _choose(
    action: ActionDeclaration, given: Mapping[str, str], settings: Settings, definition_path: Path, folder: Path
) -> ChosenSource | None:
    repository = action.configuration.get("FullRepositoryId", "")
    arn = action.configuration.get("ConnectionArn", "")
    if action.name in given:
        origin = parse_origin(given[action.name], folder)
        return ChosenSource(action=action.name, origin=origin, reason=f"--source {action.name}")
    for key in (repository, arn):
        if key in settings.connections:
            origin = parse_origin(settings.connections[key], folder)
            return ChosenSource(action=action.name, origin=origin, reason=f"connections.{key} in the settings")
    checkout = enclosing_checkout(definition_path)
    if checkout is not None and any(_is_repository(url, repository) for url in checkout[1]):
        origin = GitOrigin(str(checkout[0]), "HEAD")
        return ChosenSource(action=action.name, origin=origin, reason="the checkout that holds the definition, at HEAD")
    return None


def _is_repository(url: str, repository: str) -> bool:
    """Whether a remote's URL, in any of git's spellings, ends in `owner/name`."""
    path = re.sub(r"\.git/?$", "", url.rstrip("/"))
    return bool(repository) and re.search(rf"[/:]{re.escape(repository)}$", path, re.IGNORECASE) is not None
