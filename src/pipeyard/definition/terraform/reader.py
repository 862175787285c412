"""A folder of Terraform configuration as a definition."""

import os.path
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeyard.definition.declaration import Notes, declare_pipeline
from pipeyard.definition.documents import Leaf, Table, Unknown
from pipeyard.definition.model import Definition, PipelineDeclaration
from pipeyard.definition.places import Inputs, Places, Reading
from pipeyard.definition.terraform.contents import Contents
from pipeyard.definition.terraform.modules import FromElsewhere, Module, WrongCall
from pipeyard.definition.terraform.pipelines import pipeline_table
from pipeyard.definition.terraform.project import Project
from pipeyard.definition.terraform.repetition import Repetition
from pipeyard.definition.terraform.surroundings import surroundings
from pipeyard.definition.terraform.syntax import Block
from pipeyard.definition.terraform.values import STRING, way_out
from pipeyard.definition.terraform.variables import root_values
from pipeyard.errors import InputError, Place, Problem

PIPELINE = "aws_codepipeline"


def read_folder(folder: Path, inputs: Inputs) -> Reading:
    """The pipelines of a folder and its local modules. What is wrong in the files is among the problems."""
    notes = Notes(planning=inputs.planning)
    definition: Definition | None = None
    try:
        root = open_module(folder, inputs, notes.problems)
        definition = _definition(root, notes)
    except InputError as error:
        notes.error(error.message, error.place or Place(str(folder)), rule="wrong-expression", hint=error.hint)
    except RecursionError:
        notes.error("the configuration is nested too deeply", Place(str(folder)), rule="wrong-expression")
    return Reading(
        definition=None if notes.failed else definition,
        places=Places(str(folder), notes.places),
        problems=tuple(notes.problems),
        open=frozenset(notes.open),
    )


def open_module(folder: Path, inputs: Inputs, problems: list[Problem]) -> Module:
    """The root module of a folder, with the values that the user gives to its variables. Raises InputError."""
    shown = _shown(folder)
    project = Project(folder, inputs, shown)
    declared = frozenset(project.configuration(project.folders.root).variables)
    given = root_values(project.folders.root, inputs, declared, shown, problems)
    return Module(project, project.folders.root, given=given)


def _shown(folder: Path) -> Callable[[Path], str]:
    """Paths as the user would write them: as he gave the folder."""
    resolved = folder.resolve()

    def shown(path: Path) -> str:
        return os.path.normpath(folder / os.path.relpath(path, resolved))

    return shown


def _definition(root: Module, notes: Notes) -> Definition | None:
    pipelines: list[PipelineDeclaration] = []
    left_out: list[str] = []
    unread: list[InputError] = []
    for module, block in _declared(root, notes, unread):
        name = f"{block.labels[0]}.{block.labels[1]}"
        try:
            repetitions = module.repetitions(block, name)
        except InputError as error:
            notes.error(error.message, error.place or block.span.place, rule="wrong-expression", hint=error.hint)
            continue
        if not repetitions:
            left_out.append(module.called(name))
        for repetition in repetitions:
            if repetition.unknown:
                _say_open(repetition, block, notes)
                if not notes.planning:
                    continue
            found = _pipeline(module, block, repetition, len(pipelines), notes)
            if found is not None:
                pipelines.append(found)
    _check_variables(root, notes)
    for left in unread:
        from_elsewhere = isinstance(left, FromElsewhere)
        if pipelines and from_elsewhere:
            continue
        say = notes.warning if pipelines or from_elsewhere else notes.error  # a pipeline may be in it
        place = left.place or Place(root.project.shown(root.folder))
        say(left.message, place, rule="module-not-read", hint=left.hint)
    if not pipelines and not notes.failed:
        _say_none(root, left_out, notes)
    if notes.failed:
        return None
    return surroundings(root, tuple(pipelines), _hidden(root), notes)


def _declared(module: Module, notes: Notes, unread: list[InputError]) -> Iterator[tuple[Module, Block]]:
    """Blocks that declare pipelines, of a module and of all instances of those that it calls.

    Why a module cannot be read is added to `unread`: it is no matter as long as the pipeline is elsewhere.
    """
    for (kind, _), block in module.configuration.resources.items():
        if kind == PIPELINE:
            yield module, block
    for name, block in module.configuration.modules.items():
        try:
            children = module.child(name)
        except InputError as error:
            if isinstance(error, WrongCall):
                notes.error(error.message, error.place or block.span.place, rule="wrong-variable", hint=error.hint)
            else:
                unread.append(error)
            continue
        for repetition, child in children:
            if repetition.unknown and next(_declared(child, Notes(), []), None) is None:
                continue
            if repetition.unknown:
                _say_open(repetition, block, notes)
            if notes.planning or not repetition.unknown:
                yield from _declared(child, notes, unread)


def _say_open(repetition: Repetition, block: Block, notes: Notes) -> None:
    why, hint = "; ".join(repetition.unknown), way_out(repetition.unknown)
    if notes.planning:
        notes.warning(f"planned as if there were one: {why}", block.span.place, rule="unknown-value", hint=hint)
    else:
        notes.error(why, block.span.place, rule="unknown-value", hint=hint)


def _pipeline(
    module: Module, block: Block, repetition: Repetition, index: int, notes: Notes
) -> PipelineDeclaration | None:
    table = pipeline_table(Contents(module, block.body, repetition), notes)
    entries = dict(table.entries)
    name = entries.get("name")
    if isinstance(name, Unknown) and name.chain:
        why = "; ".join(name.chain)
        notes.warning(
            f"the pipeline's name is not known here, and it is called {block.labels[1]!r}: {why}",
            name.place,
            rule="unknown-value",
        )
        entries["name"] = Leaf(block.labels[1], block.labels[1], name.place)
    table = Table(entries, table.key_places, block.span.place)
    return declare_pipeline(table, ("pipelines", index), notes, name=block.labels[1])


def _check_variables(root: Module, notes: Notes) -> None:
    """A value that its variable refuses is refused even when nothing uses it."""
    for name, block in root.configuration.variables.items():
        try:
            root.variable(name)
        except InputError as error:
            place = error.place or block.span.place
            if all((known.message, known.place) != (error.message, place) for known in notes.problems):
                notes.error(error.message, place, rule="wrong-variable", hint=error.hint)


def _hidden(root: Module) -> tuple[str, ...]:
    values = (root.variable(name) for name in root.configuration.variables)
    return tuple(sorted({value.raw for value in values if value.sensitive and value.type == STRING and value.raw}))


def _say_none(root: Module, left_out: list[str], notes: Notes) -> None:
    place = Place(root.project.shown(root.folder))
    if left_out:
        hint = "variables decide over count and for_each; give them with --var NAME=VALUE"
        notes.error(
            f"no pipeline is made: {', '.join(left_out)} has no instances", place, rule="no-pipeline", hint=hint
        )
        return
    kinds = sorted({kind for kind, _ in root.configuration.resources})
    hint = f"its resources are of type {', '.join(kinds[:6])}" if kinds else ""
    notes.error(f"the configuration declares no pipeline (no {PIPELINE})", place, rule="no-pipeline", hint=hint)
