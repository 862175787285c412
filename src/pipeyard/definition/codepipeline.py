"""Reader of the service's own form: JSON or YAML as get-pipeline prints it and create-pipeline takes it.

The `pipeline` member may stand alone or beside `metadata`; a document that is the pipeline itself is read as well.
"""

from pathlib import Path

from msgspec import Struct

from pipeyard.definition.declaration import Notes, declare_pipeline, note_repeated_keys
from pipeyard.definition.documents import Items, Node, Table, parse_document, read_text
from pipeyard.definition.model import Definition
from pipeyard.definition.places import Inputs, Places, Reading
from pipeyard.errors import InputError

LOOKED_FOR = "a pipeline as `aws codepipeline get-pipeline` prints it (a mapping with `pipeline` or `stages`)"


class CodePipelineReader(Struct, frozen=True):
    """One file of JSON or YAML."""

    def recognises(self, path: Path) -> bool:
        try:
            return is_pipeline(parse_document(read_text(path), str(path)))
        except InputError:
            return False

    def read(self, path: Path, inputs: Inputs) -> Reading:
        return read_pipeline(parse_document(read_text(path), str(path)), str(path))


def is_pipeline(document: Node) -> bool:
    return isinstance(document, Table) and (
        isinstance(document.get("pipeline"), Table) or isinstance(document.get("stages"), Items)
    )


def has_actions(document: Node) -> bool:
    """Whether it is a pipeline of this service without doubt: other systems' files have `stages` as well."""
    inner = document.get("pipeline") if isinstance(document, Table) else None
    stages = (inner if isinstance(inner, Table) else document).get("stages") if isinstance(document, Table) else None
    return isinstance(stages, Items) and any(
        isinstance(stage, Table) and isinstance(stage.get("actions"), Items) for stage in stages.nodes
    )


def read_pipeline(document: Node, file: str) -> Reading:
    """The reading of a document for which is_pipeline holds."""
    notes = Notes()
    table = document
    if isinstance(document, Table) and isinstance(inner := document.get("pipeline"), Table):
        table = inner
    if not isinstance(table, Table):
        raise InputError(f"{file} is not {LOOKED_FOR}")
    notes.places[()] = document.place
    note_repeated_keys(document, notes)
    pipeline = declare_pipeline(table, ("pipelines", 0), notes, name=Path(file).stem)
    definition = Definition(pipelines=(pipeline,)) if pipeline is not None and not notes.failed else None
    return Reading(definition=definition, places=Places(file, notes.places), problems=tuple(notes.problems))
