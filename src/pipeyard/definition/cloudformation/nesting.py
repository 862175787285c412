"""Stacks within stacks, when their templates lie beneath the folder of the one that names them.

A TemplateURL may be a path (as `aws cloudformation package` takes it), or the URL of an asset whose file the CDK's
asset manifest names. Of another template in S3, the file with the end of its path is read, with a warning: people
upload their folder. Where there is no such file it stays unknown.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeyard.definition.cloudformation.evaluate import NESTED, Evaluator
from pipeyard.definition.cloudformation.parameters import parameter_values
from pipeyard.definition.cloudformation.tags import is_template, parse_template
from pipeyard.definition.declaration import Notes, note_repeated_keys
from pipeyard.definition.documents import Items, Leaf, Node, Table, read_text
from pipeyard.definition.places import Inputs
from pipeyard.errors import Place

_MAX_NESTED = 20


class Nesting:
    """Opens templates beneath one folder, so few that a template which names itself comes to an end."""

    def __init__(self, folder: Path, inputs: Inputs, notes: Notes, assets: Mapping[str, str]) -> None:
        """`assets` are files beneath the folder by the object key under which they are uploaded."""
        self.folder = folder
        self.assets = assets
        self.inputs = inputs
        self.notes = notes
        self.left = _MAX_NESTED

    def open(self, name: str, parameters: Mapping[str, Node], stack: str) -> Evaluator | None:
        """The evaluator of a nested template; None when there is no such file here.

        Raises InputError, placed, when the file is no well-formed document.
        """
        if "://" in name or "${" in name:  # what stands for an unknown part of the URL
            name = self.assets.get(name.rpartition("/")[2], "") or self._uploaded(name)
        path = self.folder / name
        if not name or self.left <= 0 or not path.resolve().is_relative_to(self.folder.resolve()) or not path.is_file():
            return None
        self.left -= 1
        document = parse_template(read_text(path), str(path))
        if not isinstance(document, Table) or not is_template(document):
            return None
        note_repeated_keys(document, self.notes)
        texts = {key: text for key, node in parameters.items() if (text := _as_given(node)) is not None}
        values = parameter_values(document.get("Parameters"), texts, self.inputs.ssm, self.notes)
        unknown = {key: node for key, node in parameters.items() if key not in texts and key in values}
        return Evaluator(document, {**values, **unknown}, self.inputs, stack, self.open)

    def _uploaded(self, url: str) -> str:
        """The file beneath the folder whose path is the longest end of a URL's; empty when there is none."""
        path = url.partition("?")[0]
        if "://" in path:
            path = path.partition("://")[2].partition("/")[2]
        parts = path.rpartition("}")[2].strip("/").split("/")
        for start in range(len(parts)):
            name = "/".join(parts[start:])
            if parts[-1] and ".." not in parts and (self.folder / name).is_file():
                place = Place(str(self.folder / name))
                message = f"taken for the nested template {url}"
                self.notes.warning(message, place, rule="nested-template")
                return name
        return ""


def with_nested(evaluator: Evaluator) -> Iterator[Evaluator]:
    """The evaluator itself and those of the stacks within it that are made, outer ones first."""
    yield evaluator
    for logical_id, resource in evaluator.resources.entries.items():
        if isinstance(resource, Table) and evaluator.resource_type(resource) in NESTED:
            inner = evaluator.nested_stack(logical_id) if evaluator.is_wanted(logical_id) is True else None
            if inner is not None:
                yield from with_nested(inner)


def _as_given(node: Node) -> str | None:
    """A parameter's value as the text that a parent stack hands over; None when it is not known."""
    if isinstance(node, Leaf):
        return node.text
    if isinstance(node, Items):
        texts = [item.text for item in node.nodes if isinstance(item, Leaf)]
        return ",".join(texts) if len(texts) == len(node.nodes) else None
    return None
