"""Reader of CloudFormation templates, in YAML and in JSON."""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from pipeyard.definition.cloudformation.evaluate import Evaluator
from pipeyard.definition.cloudformation.nesting import Nesting, with_nested
from pipeyard.definition.cloudformation.parameters import hidden_parameters, parameter_values
from pipeyard.definition.cloudformation.rules import check_rules
from pipeyard.definition.cloudformation.surroundings import surroundings
from pipeyard.definition.cloudformation.tags import is_template, parse_template
from pipeyard.definition.declaration import Notes, as_property, declare_pipeline, note_repeated_keys
from pipeyard.definition.documents import Items, Leaf, Node, Table, Unknown, read_text
from pipeyard.definition.model import Definition, DisabledTransition, PipelineDeclaration, joined
from pipeyard.definition.places import Inputs, Places, Reading
from pipeyard.errors import InputError, Place

NO_ASSETS: Mapping[str, str] = {}
PIPELINE = "AWS::CodePipeline::Pipeline"
LOOKED_FOR = f"a CloudFormation template (a mapping with `Resources`, one of them of type {PIPELINE})"

_OF_THE_RESOURCE = frozenset({"RestartExecutionOnUpdate", "Tags", "DisableInboundStageTransitions"})
"""Properties of the resource that are no part of the pipeline's declaration."""


class CloudFormationReader(Struct, frozen=True):
    """One template file."""

    def recognises(self, path: Path) -> bool:
        try:
            return is_template(parse_template(read_text(path), str(path)))
        except InputError:
            return False

    def read(self, path: Path, inputs: Inputs) -> Reading:
        return read_template(parse_template(read_text(path), str(path)), str(path), inputs)


def read_template(
    document: Node, file: str, inputs: Inputs, *, alone: bool = True, assets: Mapping[str, str] = NO_ASSETS
) -> Reading:
    """The reading of a document for which is_template holds: all its pipelines and what surrounds them.

    `alone`: that there is no pipeline is an error; a stack among others may just hold what the others' pipelines use.
    `assets` are files beneath the template's folder by the object key under which they are uploaded.
    """
    notes = Notes(planning=inputs.planning)
    notes.places[()] = document.place
    note_repeated_keys(document, notes)
    definition = None
    evaluator = open_template(document, file, inputs, notes, assets)
    try:
        if not notes.failed:
            definition = _definition(evaluator, notes, alone)
    except InputError as error:
        note_fault(error, notes, document.place)
    except RecursionError:
        notes.error("the template is nested too deeply", document.place, rule="wrong-function")
    return Reading(
        definition=None if notes.failed else definition,
        places=Places(file, notes.places),
        problems=tuple(notes.problems),
        open=frozenset(notes.open),
    )


def open_template(
    document: Node, file: str, inputs: Inputs, notes: Notes, assets: Mapping[str, str] = NO_ASSETS
) -> Evaluator:
    """An evaluator for a template; faults of its parameters and rules are in `notes`."""
    if not isinstance(document, Table) or not is_template(document):
        raise InputError(f"{file} is not {LOOKED_FOR}", place=document.place)
    stack = inputs.stack_name or _stack_name(file)
    values = parameter_values(document.get("Parameters"), inputs.parameters, inputs.ssm, notes)
    try:
        nesting = Nesting(Path(file).parent, inputs, notes, assets)
        evaluator = Evaluator(document, values, inputs, stack, nesting.open)
        check_rules(document.get("Rules"), evaluator, notes)
        return evaluator
    except InputError as error:
        note_fault(error, notes, document.place)
        return Evaluator(Table({}, {}, document.place), {}, inputs, stack)


def note_fault(error: InputError, notes: Notes, place: Place) -> None:
    """A function used wrongly, as a problem."""
    notes.error(error.message, error.place or place, rule="wrong-function", hint=error.hint)


def _stack_name(file: str) -> str:
    """What a user would probably call the stack: the file's name as a stack's name may be spelt."""
    stem = Path(file).name.split(".")[0]
    letters = "".join(char if char.isalnum() and char.isascii() else "-" for char in stem).strip("-")
    return letters if letters[:1].isalpha() else f"stack-{letters}".rstrip("-")


def _definition(outer: Evaluator, notes: Notes, alone: bool) -> Definition | None:
    pipelines: list[PipelineDeclaration] = []
    parts: list[Definition] = []
    left_out: list[str] = []
    for evaluator in with_nested(outer):
        transitions = _pipelines(evaluator, pipelines, left_out, notes)
        hidden = _hidden_values(evaluator, hidden_parameters(evaluator.template.get("Parameters")))
        parts.append(surroundings(evaluator, transitions, hidden, notes))
    if alone and not pipelines and not notes.failed:
        _say_none(outer, left_out, notes)
    if notes.failed:
        return None
    return joined([Definition(pipelines=tuple(pipelines)), *parts])


def _pipelines(
    evaluator: Evaluator, pipelines: list[PipelineDeclaration], left_out: list[str], notes: Notes
) -> tuple[DisabledTransition, ...]:
    """Adds the template's pipelines to those found so far; gives the transitions that it disables."""
    transitions: list[DisabledTransition] = []
    for logical_id, resource in evaluator.resources.entries.items():
        if not isinstance(resource, Table) or evaluator.resource_type(resource) != PIPELINE:
            continue
        wanted = evaluator.is_wanted(logical_id)
        if isinstance(wanted, Unknown):
            note = notes.warning if notes.planning else notes.error
            why = f"whether {logical_id} is made cannot be known: {'; '.join(wanted.chain)}"
            note(why, resource.place, rule="unknown-value", hint=wanted.hint)
            wanted = notes.planning
        elif not wanted:
            left_out.append(logical_id)
        if wanted:
            pipeline, stopped = _pipeline(evaluator, logical_id, ("pipelines", len(pipelines)), notes)
            if pipeline is not None:
                pipelines.append(pipeline)
                transitions += stopped
    return tuple(transitions)


def _hidden_values(evaluator: Evaluator, names: frozenset[str]) -> tuple[str, ...]:
    found = (evaluator.parameters[name] for name in names)
    return tuple(sorted(node.text for node in found if isinstance(node, Leaf) and node.text))


def _say_none(evaluator: Evaluator, left_out: list[str], notes: Notes) -> None:
    if left_out:
        message = f"no pipeline is made: the condition of {', '.join(left_out)} is false"
        hint = "the template's parameters decide its conditions; give them with --parameter NAME=VALUE"
    else:
        message = f"the template declares no pipeline (no resource of type {PIPELINE})"
        others = sorted(
            {evaluator.resource_type(node) for node in evaluator.resources.entries.values() if isinstance(node, Table)}
        )
        hint = f"its resources are of type {', '.join(others[:6])}" if others else ""
    notes.error(message, evaluator.template.key_place("Resources"), rule="no-pipeline", hint=hint)


def _pipeline(
    evaluator: Evaluator, logical_id: str, keys: tuple[str | int, ...], notes: Notes
) -> tuple[PipelineDeclaration | None, list[DisabledTransition]]:
    written = evaluator.properties(logical_id)
    evaluated = evaluate_kindly(evaluator, written, notes)
    if not isinstance(evaluated, Table):
        return None, []
    entries = {key: node for key, node in evaluated.entries.items() if key not in _OF_THE_RESOURCE}
    if isinstance(stores := entries.get("ArtifactStores"), Items):
        entries["ArtifactStores"] = _by_region(stores)
    table = Table(entries, evaluated.key_places, evaluated.place)
    pipeline = declare_pipeline(table, keys, notes, spell=as_property, name=logical_id)
    if pipeline is None:
        return None, []
    return pipeline, _disabled(pipeline.name, evaluated.get("DisableInboundStageTransitions"))


def evaluate_kindly(evaluator: Evaluator, node: Node, notes: Notes, depth: int = 0) -> Node:
    """The node's value; a wrong function is noted and becomes a reported Unknown, and its siblings are still read."""
    if (
        isinstance(node, Table)
        and not any(key == "Ref" or key.startswith("Fn::") for key in node.entries)
        and depth < 90
    ):
        values = {key: evaluate_kindly(evaluator, child, notes, depth + 1) for key, child in node.entries.items()}
        kept: Mapping[str, Node] = {key: value for key, value in values.items() if not _is_nothing(value)}
        return Table(kept, node.key_places, node.place)
    if isinstance(node, Items) and depth < 90:
        items = (evaluate_kindly(evaluator, child, notes, depth + 1) for child in node.nodes)
        return Items(tuple(value for value in items if not _is_nothing(value)), node.place)
    try:
        return evaluator.evaluate(node)
    except InputError as error:
        note_fault(error, notes, node.place)
        return Unknown((), node.place)


def _by_region(stores: Items) -> Table:
    """CloudFormation's list of {Region, ArtifactStore} as the API's mapping by region."""
    entries: dict[str, Node] = {}
    places: dict[str, Place] = {}
    for entry in stores.nodes:
        region = entry.get("Region") if isinstance(entry, Table) else None
        store = entry.get("ArtifactStore") if isinstance(entry, Table) else None
        if isinstance(region, Leaf) and store is not None:
            location = store.get("Location") if isinstance(store, Table) else None
            if not isinstance(location, Unknown):  # a bucket of another stack, which nothing here needs
                entries[region.text] = store
                places[region.text] = region.place
    return Table(entries, places, stores.place)


def _disabled(pipeline: str, node: Node | None) -> list[DisabledTransition]:
    out = []
    for entry in node.nodes if isinstance(node, Items) else ():
        stage = entry.get("StageName") if isinstance(entry, Table) else None
        reason = entry.get("Reason") if isinstance(entry, Table) else None
        if isinstance(stage, Leaf):
            why = reason.text if isinstance(reason, Leaf) else ""
            out.append(DisabledTransition(pipeline=pipeline, stage=stage.text, reason=why))
    return out


def _is_nothing(node: Node) -> bool:
    return isinstance(node, Leaf) and node.value is None
