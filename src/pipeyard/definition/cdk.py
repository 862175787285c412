"""Reader of a CDK cloud assembly: the folder (`cdk.out`) that `cdk synth` leaves, with any number of stacks.

Its manifest names the stacks, their templates and environments; assemblies may hold others (stages of a CDK app).
Source: `@aws-cdk/cloud-assembly-schema`, Manifest.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from pipeyard.definition.cloudformation import open_template, parse_template, read_template
from pipeyard.definition.declaration import Notes
from pipeyard.definition.documents import Leaf, Table, read_text
from pipeyard.definition.model import Definition, joined
from pipeyard.definition.places import Inputs, Keys, Places, Reading
from pipeyard.errors import InputError, Place, Problem

_MAX_NESTING = 5


class Stack(Struct, frozen=True, kw_only=True):
    """One stack of an assembly; `account` and `region` are empty where the app does not fix them."""

    name: str
    template: Path
    account: str = ""
    region: str = ""
    parameters: Mapping[str, str] = {}


class _AssetSource(Struct, frozen=True):
    path: str = ""


class _AssetDestination(Struct, frozen=True, rename="camel"):
    object_key: str = ""


class _Asset(Struct, frozen=True):
    source: _AssetSource = _AssetSource()
    destinations: dict[str, _AssetDestination] = {}


class _AssetManifest(Struct, frozen=True):
    files: dict[str, _Asset] = {}


class CdkReader(Struct, frozen=True):
    """A `cdk.out` folder."""

    def recognises(self, path: Path) -> bool:
        return is_assembly(path)

    def read(self, path: Path, inputs: Inputs) -> Reading:
        return read_assembly(path, inputs)


def is_assembly(folder: Path) -> bool:
    try:
        return isinstance(_manifest(folder).get("artifacts"), dict)
    except InputError:
        return False


def read_assembly(folder: Path, inputs: Inputs) -> Reading:
    """All pipelines of all stacks; stacks see each other's exports. Raises InputError for a broken manifest."""
    stacks = list(_stacks(folder, folder.resolve(), 0))
    documents = [(stack, parse_template(read_text(stack.template), str(stack.template))) for stack in stacks]
    imports = dict(inputs.imports)
    for _ in stacks:  # an export may be made of an import; a chain is at most as long as there are stacks
        before = len(imports)
        for stack, document in documents:
            imports.update(_exports(document, stack, _inputs_of(stack, inputs, imports)))
        if len(imports) == before:
            break
    readings = [
        read_template(
            document,
            str(stack.template),
            _inputs_of(stack, inputs, imports),
            alone=False,
            assets=_assets(stack.template.parent),
        )
        for stack, document in documents
    ]
    return _joined(folder, readings)


def _inputs_of(stack: Stack, inputs: Inputs, imports: Mapping[str, str]) -> Inputs:
    return msgspec.structs.replace(
        inputs,
        imports=imports,
        stack_name=stack.name,
        account_id=stack.account or inputs.account_id,
        region=stack.region or inputs.region,
        parameters={**stack.parameters, **inputs.parameters},
    )


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not the manifest of a cloud assembly: {error}", place=Place(str(path))) from error
    if not isinstance(found, dict):
        raise InputError(f"{path} is not the manifest of a cloud assembly", place=Place(str(path)))
    return found


def _stacks(folder: Path, root: Path, depth: int) -> Iterator[Stack]:
    for identifier, artifact in (_manifest(folder).get("artifacts") or {}).items():
        if not isinstance(artifact, dict):
            continue
        properties = artifact.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        if artifact.get("type") == "aws:cloudformation:stack":
            template = _inside(folder, str(properties.get("templateFile", "")), root)
            where = re.fullmatch(r"aws://([^/]+)/([^/]+)", str(artifact.get("environment", "")))
            account, region = where.groups() if where else ("", "")
            given = properties.get("parameters")
            yield Stack(
                name=str(properties.get("stackName") or artifact.get("displayName") or identifier),
                template=template,
                account="" if account.startswith("unknown-") else account,
                region="" if region.startswith("unknown-") else region,
                parameters={str(key): str(value) for key, value in given.items()} if isinstance(given, dict) else {},
            )
        elif artifact.get("type") == "cdk:cloud-assembly" and depth < _MAX_NESTING:
            yield from _stacks(_inside(folder, str(properties.get("directoryName", "")), root), root, depth + 1)


def _inside(folder: Path, name: str, root: Path) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(root):
        raise InputError(f"the manifest names {name!r}, which lies outside of its folder", place=Place(str(folder)))
    return path


def _assets(folder: Path) -> dict[str, str]:
    """Files of an assembly by the object key under which they are uploaded: nested templates are among them.

    Source: `@aws-cdk/cloud-assembly-schema`, AssetManifest.
    """
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.assets.json")):
        try:
            files = msgspec.json.decode(path.read_bytes(), type=_AssetManifest).files
        except (OSError, msgspec.MsgspecError, RecursionError):
            continue  # without its list of assets a nested stack stays unknown, and says so where it is needed
        for asset in files.values():
            found.update({destination.object_key: asset.source.path for destination in asset.destinations.values()})
    return found


def _exports(document: Any, stack: Stack, inputs: Inputs) -> Iterator[tuple[str, str]]:
    outputs = document.get("Outputs") if isinstance(document, Table) else None
    if not isinstance(outputs, Table):
        return
    # A parameter of another stack is no fault of this one.
    own = msgspec.structs.replace(inputs, parameters=_own_parameters(document, inputs.parameters))
    evaluator = open_template(document, str(stack.template), own, Notes())
    for output in outputs.entries.values():
        export = output.get("Export") if isinstance(output, Table) else None
        name = export.get("Name") if isinstance(export, Table) else None
        value = output.get("Value") if isinstance(output, Table) else None
        if name is None or value is None:
            continue
        try:
            spelled, found = evaluator.evaluate(name), evaluator.evaluate(value)
        except InputError:
            continue
        if isinstance(spelled, Leaf) and isinstance(found, Leaf):
            yield spelled.text, found.text


def _own_parameters(document: Any, given: Mapping[str, str]) -> dict[str, str]:
    declared = document.get("Parameters") if isinstance(document, Table) else None
    known = declared.entries if isinstance(declared, Table) else {}
    return {name: value for name, value in given.items() if name in known}


def _joined(folder: Path, readings: list[Reading]) -> Reading:
    """One reading of all stacks."""
    file = str(folder / "manifest.json")
    places: dict[Keys, Place] = {(): Place(file, 1, 1)}
    problems: list[Problem] = []
    left_open: set[Place] = set()
    parts: list[Definition] = []
    count = 0
    for reading in readings:
        problems += reading.problems
        left_open |= reading.open
        if reading.definition is None:
            continue
        for keys, place in reading.places.items():
            if keys[:1] == ("pipelines",) and len(keys) > 1 and isinstance(keys[1], int):
                places[("pipelines", keys[1] + count, *keys[2:])] = place
        count += len(reading.definition.pipelines)
        parts.append(reading.definition)
    failed = any(problem.severity == "error" for problem in problems)
    if not count and not failed:
        problems.append(
            Problem("error", "no stack of the assembly declares a pipeline", Place(file, 1, 1), rule="no-pipeline")
        )
        failed = True
    return Reading(
        definition=None if failed else joined(parts),
        places=Places(file, places),
        problems=tuple(problems),
        open=frozenset(left_open),
    )
