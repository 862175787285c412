"""The JSON syntax of configurations and of files of values. Source: Terraform language, "JSON Configuration Syntax".

Whether a property is an argument or a nested block depends on a schema; here it is both, and who reads decides.
"""

from typing import Literal as OneOf

from pipeyard.definition.documents import Items, Leaf, Node, Table, parse_json
from pipeyard.definition.terraform.expressions import parse_expression, parse_template
from pipeyard.definition.terraform.numbers import parse_number
from pipeyard.definition.terraform.syntax import (
    Attribute,
    Block,
    Body,
    Expression,
    Literal,
    ObjectOf,
    Source,
    Span,
    TupleOf,
)
from pipeyard.errors import InputError, Place

_LABELS = {"resource": 2, "data": 2, "ephemeral": 2, "variable": 1, "output": 1, "module": 1, "provider": 1, "check": 1}


class _Within(Source):
    """Text that stands within a string of another file."""

    def __init__(self, place: Place, text: str) -> None:
        super().__init__(place.file, text)
        self.start = place

    def place(self, offset: int) -> Place:
        # One for the quotation mark; escapes before the offset make the true column a little larger.
        return Place(self.start.file, self.start.line, self.start.column + 1 + offset)


def parse_json_body(text: str, file: str, kind: OneOf["configuration", "values"]) -> Body:
    """A `.tf.json` or `.tfvars.json` file. Raises InputError, placed."""
    document = parse_json(text.removeprefix("\ufeff"), file)
    tables = document.nodes if isinstance(document, Items) and kind == "configuration" else (document,)
    blocks: list[Block] = []
    for table in tables:
        if not isinstance(table, Table):
            raise InputError("the file must be a JSON object", place=table.place)
        if kind == "values":
            return _body(table, templates=False, nested=False)
        for name, node in _properties(table):
            blocks += _labelled(name, (), _LABELS.get(name, 0), node)
    return Body({}, tuple(blocks), _span(document))


def _properties(table: Table) -> list[tuple[str, Node]]:
    return [(name, node) for name, node in table.entries.items() if name != "//"]


def _labelled(kind: str, labels: tuple[str, ...], missing: int, node: Node) -> list[Block]:
    if isinstance(node, Items):
        return [block for item in node.nodes for block in _labelled(kind, labels, missing, item)]
    if not isinstance(node, Table):
        raise InputError(f"{kind} must be an object", place=node.place)
    if missing:
        return [
            block for name, inner in _properties(node) for block in _labelled(kind, (*labels, name), missing - 1, inner)
        ]
    if kind == "variable":
        return [Block(kind, labels, _variable(node), _span(node))]
    return [Block(kind, labels, _body(node, templates=True, nested=kind != "locals"), _span(node))]


def _variable(node: Table) -> Body:
    body = _body(node, templates=True, nested=True)
    attributes = dict(body.attributes)
    default, kind = node.get("default"), node.get("type")
    if default is not None:  # a constant: what looks like a template is plain text
        attributes["default"] = Attribute("default", _expression(default, templates=False), _span(default))
    if isinstance(kind, Leaf) and isinstance(kind.value, str):
        source = _Within(kind.place, kind.value)
        attributes["type"] = Attribute("type", parse_expression(source), _span(kind))
    return Body(attributes, body.blocks, body.span, True)


def _body(table: Table, *, templates: bool, nested: bool) -> Body:
    attributes: dict[str, Attribute] = {}
    blocks: list[Block] = []
    for name, node in _properties(table):
        span = Span(_Within(table.key_place(name), name), 0, len(name))
        if name == "dynamic" and nested:
            blocks += _dynamic(node)
            continue
        attributes[name] = Attribute(name, _expression(node, templates=templates), span)
        if nested:
            inner = node.nodes if isinstance(node, Items) else (node,)
            if inner and all(isinstance(item, Table) for item in inner):
                for item in inner:
                    assert isinstance(item, Table)
                    blocks.append(Block(name, (), _body(item, templates=templates, nested=True), _span(item)))
    return Body(attributes, tuple(blocks), _span(table), True)


def _dynamic(node: Node) -> list[Block]:
    out: list[Block] = []
    for table in node.nodes if isinstance(node, Items) else (node,):
        if not isinstance(table, Table):
            raise InputError("dynamic must be an object", place=table.place)
        for label, inner in _properties(table):
            for item in inner.nodes if isinstance(inner, Items) else (inner,):
                if not isinstance(item, Table):
                    raise InputError("a dynamic block must be an object", place=item.place)
                out.append(Block("dynamic", (label,), _body(item, templates=True, nested=True), _span(item)))
    return out


def _expression(node: Node, *, templates: bool) -> Expression:
    span = _span(node)
    if isinstance(node, Items):
        return TupleOf(tuple(_expression(item, templates=templates) for item in node.nodes), span)
    if isinstance(node, Table):
        return ObjectOf(
            tuple(
                (_text(name, node.key_place(name), templates), _expression(item, templates=templates))
                for name, item in node.entries.items()
            ),
            span,
        )
    assert isinstance(node, Leaf)
    if isinstance(node.value, str):
        return _text(node.value, node.place, templates)
    if isinstance(node.value, bool) or node.value is None:
        return Literal(node.value, span)
    try:
        return Literal(parse_number(node.text), span)
    except ValueError as error:
        raise InputError(str(error), place=node.place) from None


def _text(text: str, place: Place, templates: bool) -> Expression:
    source = _Within(place, text)
    if templates and ("${" in text or "%{" in text):
        return parse_template(source)
    return Literal(text, Span(source, 0, len(text)))


def _span(node: Node) -> Span:
    source = _Within(node.place, "")
    return Span(_At(node.place, source.text), 0, 0)


class _At(Source):
    """A value that is no text: all of it is at one place."""

    def __init__(self, place: Place, text: str) -> None:
        super().__init__(place.file, text)
        self.start = place

    def place(self, offset: int) -> Place:
        return self.start
