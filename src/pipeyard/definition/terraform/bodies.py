"""The parser of configuration files: attributes and blocks. Source: HCL Native Syntax Specification, "Structural"."""

from pipeyard.definition.terraform.expressions import expression_at
from pipeyard.definition.terraform.scanner import Scanner, Token
from pipeyard.definition.terraform.syntax import Attribute, Block, Body, Literal, Source
from pipeyard.definition.terraform.templates import parse_quoted
from pipeyard.errors import InputError


def parse_body(text: str, file: str) -> Body:
    """A `.tf` or `.tfvars` file. Raises InputError at the first thing that the language does not have."""
    scanner = Scanner(Source(file, text))
    return _body(scanner, "end")


def _body(scanner: Scanner, ending: str, opened: Token | None = None) -> Body:
    start = scanner.at
    attributes: dict[str, Attribute] = {}
    blocks: list[Block] = []
    while True:
        token = scanner.peek()
        if token.kind == "newline":
            scanner.take()
            continue
        if token.kind == "end" if ending == "end" else scanner.sees("}"):
            return Body(attributes, tuple(blocks), scanner.span(start))
        if token.kind == "end":
            assert opened is not None
            hint = f"block {opened.text} begins at {scanner.source.place(opened.start)}"
            raise scanner.wrong("'}' must close the block", hint)
        if token.kind != "name":
            raise scanner.wrong("an argument or a block is expected here")
        scanner.take()
        if scanner.sees("="):
            _add(attributes, _attribute(scanner, token))
        else:
            blocks.append(_block(scanner, token))
        _end_of_line(scanner)


def _add(attributes: dict[str, Attribute], attribute: Attribute) -> None:
    before = attributes.get(attribute.name)
    if before is not None:
        raise InputError(
            f"{attribute.name} is set a second time here",
            place=attribute.span.place,
            hint=f"it is set in line {before.span.place.line}",
        )
    attributes[attribute.name] = attribute


def _attribute(scanner: Scanner, name: Token) -> Attribute:
    scanner.take()
    return Attribute(name.text, expression_at(scanner), scanner.span(name.start))


def _end_of_line(scanner: Scanner) -> None:
    if scanner.peek().kind not in ("newline", "end"):
        raise scanner.wrong("a new line must follow an argument or a block")


def _block(scanner: Scanner, name: Token) -> Block:
    labels: list[str] = []
    while not scanner.sees("{"):
        token = scanner.peek()
        if token.kind == "name":
            labels.append(scanner.take().text)
        elif scanner.sees('"'):
            label = parse_quoted(scanner, expression_at)
            if not isinstance(label, Literal) or not isinstance(label.value, str):
                raise InputError("a label of a block is plain text", place=label.span.place)
            labels.append(label.value)
        else:
            raise scanner.wrong(f"'=' or '{{' must follow {name.text}")
    scanner.take()
    scanner.deeper()
    one_line = scanner.peek().kind not in ("newline", "end")
    inner = _single_line(scanner) if one_line else _body(scanner, "}", name)
    scanner.expect("}", "'}' must close the block", "a block on one line holds one argument")
    scanner.depth -= 1
    return Block(name.text, tuple(labels), inner, scanner.span(name.start))


def _single_line(scanner: Scanner) -> Body:
    start = scanner.at
    if scanner.sees("}"):
        return Body({}, (), scanner.span(start))
    token = scanner.peek()
    if token.kind != "name":
        raise scanner.wrong("an argument is expected here")
    scanner.take()
    if not scanner.sees("="):
        raise scanner.wrong("'=' must follow the name of an argument", "a block on one line cannot hold another block")
    attribute = _attribute(scanner, token)
    return Body({attribute.name: attribute}, (), scanner.span(start))
