"""The JSON of `terraform show -json`, of a plan or of a state: everything is resolved there already.

What a deployment alone can tell is absent from the values and marked in `after_unknown`; it is an error where the
pipeline needs it. Source: Terraform, "JSON Output Format".
"""

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from pipeyard.definition.declaration import Notes, declare_pipeline
from pipeyard.definition.documents import Items, Leaf, Node, Table, Unknown, parse_json
from pipeyard.definition.model import Definition, PipelineDeclaration
from pipeyard.definition.places import Inputs, Places, Reading
from pipeyard.definition.terraform.pipelines import PIPELINE, Shape, finished, put
from pipeyard.definition.terraform.plain import from_plain
from pipeyard.definition.terraform.resources import computed_attributes
from pipeyard.definition.terraform.surroundings import described
from pipeyard.definition.terraform.values import Value, object_of
from pipeyard.errors import InputError, Place

MAX_SIZE = 200_000_000


class Planned(Struct, frozen=True):
    """A resource of a plan; `unknown` marks what is missing from its values."""

    address: str
    type: str
    values: Table
    unknown: Node | None
    place: Place


def is_plan_file(path: Path) -> bool:
    """Whether a file is what `terraform show -json` prints."""
    if not path.is_file() or path.suffix != ".json":
        return False
    try:
        with path.open(encoding="utf-8") as lines:
            if '"format_version"' not in lines.read(2_000):
                return False
        return _is_plan(parse_json(_text(path), str(path)))
    except (InputError, OSError, UnicodeDecodeError):
        return False


def read_plan(path: Path, inputs: Inputs) -> Reading:
    """Raises InputError when the file is no plan."""
    document = parse_json(_text(path), str(path))
    if not _is_plan(document) or not isinstance(document, Table):
        raise InputError(f"{path} is not the JSON of `terraform show -json`", place=document.place)
    notes = Notes(planning=inputs.planning)
    notes.places[()] = document.place
    resources = list(_resources(document))
    region = _provider_region(document) or inputs.region
    pipelines: list[PipelineDeclaration] = []
    for resource in resources:
        if resource.type == "aws_codepipeline":
            table = finished(
                _table(resource.values, resource.unknown, PIPELINE, _Filling(resources, inputs, region)), notes
            )
            name = resource.address.rpartition(".")[2]
            found = declare_pipeline(table, ("pipelines", len(pipelines)), notes, name=name)
            if found is not None:
                pipelines.append(found)
    if not pipelines and not notes.failed:
        notes.error("the plan has no pipeline (no aws_codepipeline)", document.place, rule="no-pipeline")
    definition = None if notes.failed else _definition(resources, tuple(pipelines), inputs, region, notes)
    return Reading(
        definition=definition,
        places=Places(str(path), notes.places),
        problems=tuple(notes.problems),
        open=frozenset(notes.open),
    )


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_SIZE:
            raise InputError(f"{path} is larger than {MAX_SIZE // 1_000_000} MB")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error


def _is_plan(document: Node) -> bool:
    return isinstance(document, Table) and isinstance(document.get("planned_values") or document.get("values"), Table)


def _resources(document: Table) -> Iterator[Planned]:
    unknown: dict[str, Node] = {}
    changes = document.get("resource_changes")
    for change in changes.nodes if isinstance(changes, Items) else ():
        address, inner = _member(change, "address"), _member(change, "change")
        after = _member(inner, "after_unknown")
        if isinstance(address, Leaf) and after is not None:
            unknown[address.text] = after
    values = document.get("planned_values") or document.get("values")
    yield from _module_resources(_member(values, "root_module"), unknown)


def _module_resources(module: Node | None, unknown: dict[str, Node]) -> Iterator[Planned]:
    found = _member(module, "resources")
    for resource in found.nodes if isinstance(found, Items) else ():
        address, kind, values = (_member(resource, name) for name in ("address", "type", "values"))
        mode = _member(resource, "mode")
        if isinstance(mode, Leaf) and mode.text != "managed":
            continue
        if isinstance(address, Leaf) and isinstance(kind, Leaf) and isinstance(values, Table):
            yield Planned(address.text, kind.text, values, unknown.get(address.text), resource.place)
    children = _member(module, "child_modules")
    for child in children.nodes if isinstance(children, Items) else ():
        yield from _module_resources(child, unknown)


def _member(node: Node | None, name: str) -> Node | None:
    return node.get(name) if isinstance(node, Table) else None


def _provider_region(document: Table) -> str:
    configuration = _member(document.get("configuration"), "provider_config")
    region = _member(_member(_member(configuration, "aws"), "expressions"), "region")
    constant = _member(region, "constant_value")
    if isinstance(constant, Leaf):
        return constant.text
    references = _member(region, "references")
    for reference in references.nodes if isinstance(references, Items) else ():
        if isinstance(reference, Leaf) and reference.text.startswith("var."):
            value = _member(_member(document.get("variables"), reference.text[4:]), "value")
            if isinstance(value, Leaf):
                return value.text
    return ""


class _Filling(Struct, frozen=True):
    """Values that a plan leaves open although they follow from it."""

    resources: list[Planned]
    inputs: Inputs
    region: str

    def connection(self) -> str | None:
        """The ARN of the one connection that the plan makes; None when there are more, or none."""
        found = [one for one in self.resources if one.type in _CONNECTIONS]
        if len(found) != 1:
            return None
        entries = _value(found[0].values).entries
        arn = computed_attributes(found[0].type, entries, self.inputs, self.region).get("arn")
        return str(arn.raw) if arn is not None else None


_CONNECTIONS = ("aws_codestarconnections_connection", "aws_codeconnections_connection")


def _table(values: Table, unknown: Node | None, shape: Shape, filling: _Filling) -> Table:
    entries: dict[str, Node] = {}
    places: dict[str, Place] = {}
    for name, written in shape.arguments.items():
        node = values.get(name)
        missing = _member(unknown, name)
        place = node.place if node is not None else values.place
        if node is None or (isinstance(node, Leaf) and node.value is None) or isinstance(missing, Table | Items):
            node = _with_unknown(node, missing, name, place, filling)
        if node is not None and not (isinstance(node, Leaf) and node.value is None):
            put(entries, places, written, node, place)
    for name, (written, inner) in (*shape.one.items(), *shape.many.items()):
        found = values.get(name)
        marks = _member(unknown, name)
        nodes = [
            _table(
                item,
                marks.nodes[index] if isinstance(marks, Items) and index < len(marks.nodes) else None,
                inner,
                filling,
            )
            for index, item in enumerate(found.nodes if isinstance(found, Items) else ())
            if isinstance(item, Table)
        ]
        if nodes:
            entries[written] = nodes[0] if name in shape.one else Items(tuple(nodes), nodes[0].place)
            places[written] = nodes[0].place
    return Table(entries, places, values.place)


def _with_unknown(node: Node | None, missing: Node | None, name: str, place: Place, filling: _Filling) -> Node | None:
    """A value with what is marked as unknown in it."""
    if isinstance(missing, Leaf) and missing.value is True:
        arn = filling.connection() if name == "ConnectionArn" else None
        if arn is not None:
            return Leaf(arn, arn, place)
        return Unknown((f"the plan leaves {name} open: it is known after apply",), place)
    if isinstance(missing, Table):
        known = node.entries if isinstance(node, Table) else {}
        entries = dict(known)
        for key, mark in missing.entries.items():
            made = _with_unknown(known.get(key), mark, key, place, filling)
            if made is not None:
                entries[key] = made
        return Table(entries, node.key_places if isinstance(node, Table) else {}, place)
    return node


def _value(node: Node) -> Value:
    match node:
        case Leaf():
            return from_plain(node.value)
        case Items():
            return (
                from_plain([])
                if not node.nodes
                else Value(from_plain([None] * len(node.nodes)).type, tuple(_value(item) for item in node.nodes))
            )
        case Table():
            return object_of({name: _value(item) for name, item in node.entries.items()})
        case Unknown():
            raise TypeError("a file of JSON has no unknowns")


def _definition(
    resources: list[Planned], pipelines: tuple[PipelineDeclaration, ...], inputs: Inputs, region: str, notes: Notes
) -> Definition:
    def of_type(kind: str) -> Iterator[tuple[Place, Value]]:
        for resource in resources:
            if resource.type == kind:
                entries = _value(resource.values).entries
                computed = computed_attributes(kind, entries, inputs, region)
                known = {**computed, **{name: value for name, value in entries.items() if not value.is_null}}
                yield resource.place, object_of(known)

    return described(of_type, pipelines, (), notes)
