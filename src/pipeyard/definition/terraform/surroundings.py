"""What surrounds a configuration's pipelines and is used by them: repositories, projects, buckets, connections."""

from collections.abc import Callable, Iterator

from pipeyard.definition.declaration import Notes
from pipeyard.definition.model import (
    CodeBuildProject,
    Connection,
    Definition,
    EcrRepository,
    EcsService,
    EnvironmentVariable,
    PipelineDeclaration,
)
from pipeyard.definition.terraform.conversion import ConversionError, as_string
from pipeyard.definition.terraform.modules import Module
from pipeyard.definition.terraform.values import Value, is_mapping, is_sequence
from pipeyard.errors import InputError, Place

_CONNECTIONS = ("aws_codestarconnections_connection", "aws_codeconnections_connection")


def surroundings(
    root: Module, pipelines: tuple[PipelineDeclaration, ...], hidden: tuple[str, ...], notes: Notes
) -> Definition:
    """The definition with every neighbour that can be read; what is unknown in one of them is left at its default."""
    return described(lambda kind: _resources(root, kind), pipelines, hidden, notes)


OfType = Callable[[str], Iterator[tuple[Place, Value]]]


def described(
    of_type: OfType, pipelines: tuple[PipelineDeclaration, ...], hidden: tuple[str, ...], notes: Notes
) -> Definition:
    """The definition from the instances of each resource type, with their places."""
    return Definition(
        pipelines=pipelines,
        hidden=hidden,
        repositories=tuple(_repository(one) for _, one in of_type("aws_ecr_repository") if _text(one, "name")),
        projects=tuple(
            _project(one, place, notes) for place, one in of_type("aws_codebuild_project") if _text(one, "name")
        ),
        buckets=tuple(name for _, one in of_type("aws_s3_bucket") if (name := _text(one, "bucket"))),
        connections=tuple(
            Connection(name=_text(one, "name"), arn=_text(one, "arn"), provider_type=_text(one, "provider_type"))
            for kind in _CONNECTIONS
            for _, one in of_type(kind)
            if _text(one, "name")
        ),
        services=tuple(
            EcsService(name=_text(one, "name"), cluster=_text(one, "cluster") or "default")
            for _, one in of_type("aws_ecs_service")
            if _text(one, "name")
        ),
    )


def _resources(module: Module, kind: str) -> Iterator[tuple[Place, Value]]:
    """Every instance of a type, in a module and all that it calls, as an object."""
    for (found, name), block in module.configuration.resources.items():
        if found != kind:
            continue
        value = module.forgiving(module.resource, kind, name)
        if value.is_unknown:
            continue
        if {"count", "for_each"} & block.body.attributes.keys():
            instances = value.items if is_sequence(value.type) else tuple(value.entries.values())
            yield from ((block.span.place, instance) for instance in instances)
        else:
            yield block.span.place, value
    for name in module.configuration.modules:
        try:
            children = module.child(name)
        except InputError:
            continue
        for repetition, child in children:
            if not repetition.unknown:
                yield from _resources(child, kind)


def _get(value: Value, *path: str) -> Value | None:
    """A part of a resource; nested blocks are lists, of which the first counts. None for what is null or unknown."""
    at = value
    for name in path:
        if at.is_unknown or at.is_null:
            return None
        if is_sequence(at.type):
            if not at.items:
                return None
            at = at.items[0]
        if at.is_unknown or at.is_null or not is_mapping(at.type) or name not in at.entries:
            return None
        at = at.entries[name]
    return None if at.is_unknown or at.is_null else at


def _text(value: Value, *path: str) -> str:
    found = _get(value, *path)
    if found is None:
        return ""
    try:
        return as_string(found)
    except ConversionError:
        return ""


def _repository(one: Value) -> EcrRepository:
    return EcrRepository(
        name=_text(one, "name"),
        image_tag_mutability=_text(one, "image_tag_mutability") or "MUTABLE",
        scan_on_push=_text(one, "image_scanning_configuration", "scan_on_push") == "true",
    )


def _project(one: Value, place: Place, notes: Notes) -> CodeBuildProject:
    timeout = _text(one, "build_timeout")
    modes = _get(one, "cache", "modes")
    return CodeBuildProject(
        name=_text(one, "name"),
        image=_text(one, "environment", "image"),
        compute_type=_text(one, "environment", "compute_type"),
        environment_type=_text(one, "environment", "type") or "LINUX_CONTAINER",
        privileged_mode=_text(one, "environment", "privileged_mode") == "true",
        environment_variables=_environment(one, place, notes),
        buildspec=_text(one, "source", "buildspec") or None,
        timeout_in_minutes=int(timeout) if timeout.isdigit() else None,
        cache_paths=[str(item.raw) for item in modes.items] if modes is not None and is_sequence(modes.type) else [],
    )


def _environment(one: Value, place: Place, notes: Notes) -> list[EnvironmentVariable]:
    found = _get(one, "environment")
    inner = found.items[0] if found is not None and is_sequence(found.type) and found.items else None
    variables = _get(inner, "environment_variable") if inner is not None else None
    out: list[EnvironmentVariable] = []
    for variable in variables.items if variables is not None and is_sequence(variables.type) else ():
        name = _text(variable, "name")
        value = variable.entries.get("value") if is_mapping(variable.type) and not variable.is_unknown else None
        if not name or value is None:
            continue
        if value.is_unknown:
            notes.warning(
                f"variable {name} of CodeBuild project {_text(one, 'name')} is left out: {'; '.join(value.chain)}",
                place,
                rule="unknown-value",
            )
            continue
        out.append(
            EnvironmentVariable(name=name, value=_text(variable, "value"), type=_text(variable, "type") or "PLAINTEXT")
        )
    return out
