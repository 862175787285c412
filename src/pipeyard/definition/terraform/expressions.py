"""The parser of expressions. Source: HCL Native Syntax Specification, "Expressions"."""

import re
from fractions import Fraction

from pipeyard.definition.terraform.numbers import parse_number
from pipeyard.definition.terraform.scanner import Scanner
from pipeyard.definition.terraform.syntax import (
    Binary,
    Call,
    Conditional,
    Element,
    Expression,
    For,
    GetAttribute,
    GetIndex,
    Literal,
    Name,
    ObjectOf,
    Parentheses,
    Source,
    Splat,
    TupleOf,
    Unary,
)
from pipeyard.definition.terraform.templates import for_names, parse_heredoc, parse_quoted, parse_text
from pipeyard.errors import InputError

_PRECEDENCE = {
    "||": 1,
    "&&": 2,
    "==": 3,
    "!=": 3,
    ">": 4,
    ">=": 4,
    "<": 4,
    "<=": 4,
    "+": 5,
    "-": 5,
    "*": 6,
    "/": 6,
    "%": 6,
}
_WORDS = {"true": True, "false": False, "null": None}
_DIGITS = re.compile(r"[0-9]+")


def parse_expression(source: Source, start: int = 0, end: int | None = None) -> Expression:
    """A source, or a stretch of it, that is one expression. Raises InputError at the offending place."""
    scanner = Scanner(source, start, end)
    scanner.lines_matter(False)
    expression = expression_at(scanner)
    if scanner.peek().kind != "end":
        raise scanner.wrong("nothing may follow the expression")
    return expression


def parse_template(source: Source) -> Expression:
    """A source that is a template as a whole, as `templatefile` and the JSON syntax take it."""
    return parse_text(Scanner(source), expression_at)


def expression_at(scanner: Scanner) -> Expression:
    """The expression that begins at the scanner's place; the scanner stands behind it then."""
    scanner.deeper()
    start = scanner.peek().start
    condition = _binary(scanner, 1)
    if not scanner.accept("?"):
        scanner.depth -= 1
        return condition
    then = expression_at(scanner)
    scanner.expect(":", "':' must follow the first result of a conditional")
    otherwise = expression_at(scanner)
    scanner.depth -= 1
    return Conditional(condition, then, otherwise, scanner.span(start))


def _binary(scanner: Scanner, lowest: int) -> Expression:
    start = scanner.peek().start
    left = _operand(scanner)
    links = 0
    while True:
        token = scanner.peek()
        strength = _PRECEDENCE.get(token.text, 0) if token.kind == "mark" else 0
        if strength < lowest:
            return left
        scanner.take()
        links += 1
        if links > 200:
            raise scanner.wrong("more than 200 operators in a row")
        right = _binary(scanner, strength + 1)
        left = Binary(token.text, left, right, scanner.span(start))


def _operand(scanner: Scanner) -> Expression:
    start = scanner.peek().start
    if scanner.sees("-", "!"):
        operator = scanner.take().text
        scanner.deeper()
        operand = _operand(scanner)
        scanner.depth -= 1
        return Unary(operator, operand, scanner.span(start))
    return _steps(scanner, _term(scanner), start, 0)


def _term(scanner: Scanner) -> Expression:
    token = scanner.peek()
    if token.kind == "number":
        try:
            value = parse_number(token.text)
        except ValueError as error:
            raise InputError(str(error), place=scanner.span(token.start).place) from None
        scanner.take()
        return Literal(value, scanner.span(token.start))
    if token.kind == "name":
        return _named(scanner)
    if token.kind == "heredoc":
        return parse_heredoc(scanner, expression_at)
    if scanner.sees('"'):
        return parse_quoted(scanner, expression_at)
    if scanner.sees("("):
        scanner.take()
        scanner.lines_matter(False)
        inner = expression_at(scanner)
        _close(scanner, ")", "')' must close the parenthesis")
        return Parentheses(inner, scanner.span(token.start))
    if scanner.sees("["):
        return _tuple(scanner)
    if scanner.sees("{"):
        return _object(scanner)
    raise scanner.wrong("an expression is expected here")


def _close(scanner: Scanner, mark: str, message: str) -> None:
    """Takes the closing mark and leaves the construct, so that what follows is scanned by the outer rule."""
    if not scanner.sees(mark):
        raise scanner.wrong(message)
    end = scanner.peek().end
    scanner.leave()
    scanner.jump(end)


def _named(scanner: Scanner) -> Expression:
    token = scanner.take()
    name = token.text
    while scanner.sees("::"):
        scanner.take()
        if scanner.peek().kind != "name":
            raise scanner.wrong("a name must follow '::'")
        name += "::" + scanner.take().text
    if scanner.sees("("):
        return _call(scanner, name, token.start)
    if name in _WORDS:
        return Literal(_WORDS[name], scanner.span(token.start))
    return Name(name, scanner.span(token.start))


def _call(scanner: Scanner, name: str, start: int) -> Expression:
    scanner.take()
    scanner.lines_matter(False)
    arguments: list[Expression] = []
    expands = False
    while not scanner.sees(")"):
        arguments.append(expression_at(scanner))
        if scanner.accept("..."):
            expands = True
            scanner.accept(",")
            break
        if not scanner.accept(","):
            break
    _close(scanner, ")", f"',' or ')' must follow an argument of {name}")
    return Call(name, tuple(arguments), expands, scanner.span(start))


def _tuple(scanner: Scanner) -> Expression:
    start = scanner.take().start
    scanner.lines_matter(False)
    if scanner.peek().kind == "name" and scanner.peek().text == "for":
        return _for(scanner, start, "]")
    items: list[Expression] = []
    while not scanner.sees("]"):
        items.append(expression_at(scanner))
        if not scanner.accept(","):
            break
    _close(scanner, "]", "',' or ']' must follow an item of a list")
    return TupleOf(tuple(items), scanner.span(start))


def _object(scanner: Scanner) -> Expression:
    start = scanner.take().start
    scanner.lines_matter(False)
    if scanner.peek().kind == "name" and scanner.peek().text == "for" and _begins_for(scanner):
        return _for(scanner, start, "}")
    scanner.leave()
    scanner.lines_matter(True)
    items: list[tuple[Expression, Expression]] = []
    while True:
        _skip_lines(scanner)
        if scanner.sees("}"):
            break
        items.append(_pair(scanner))
        if scanner.sees(",") or scanner.peek().kind == "newline":
            scanner.take()
            continue
        break
    _close(scanner, "}", "',', a new line or '}' must follow an entry of an object")
    return ObjectOf(tuple(items), scanner.span(start))


def _begins_for(scanner: Scanner) -> bool:
    """`{ for = 1 }` is an object with the key "for"."""
    return re.compile(r"for\s*[=:]").match(scanner.text, scanner.peek().start) is None


def _pair(scanner: Scanner) -> tuple[Expression, Expression]:
    key = expression_at(scanner)
    if isinstance(key, Name):
        key = Literal(key.name, key.span)
    elif isinstance(key, Literal) and key.span.text in _WORDS:
        key = Literal(key.span.text, key.span)
    if not scanner.sees("=", ":"):
        raise scanner.wrong("'=' must separate a key from its value")
    scanner.take()
    return key, expression_at(scanner)


def _skip_lines(scanner: Scanner) -> None:
    while scanner.peek().kind == "newline":
        scanner.take()


def _for(scanner: Scanner, start: int, closing: str) -> Expression:
    scanner.take()
    key, value = for_names(scanner)
    collection = expression_at(scanner)
    scanner.expect(":", "':' must follow the collection of a for expression")
    first = expression_at(scanner)
    key_result: Expression | None = None
    groups = False
    if closing == "}":
        scanner.expect("=>", "'=>' must separate key and value of a for expression in braces")
        key_result = first
        first = expression_at(scanner)
        groups = scanner.accept("...") is not None
    condition: Expression | None = None
    if scanner.peek().kind == "name" and scanner.peek().text == "if":
        scanner.take()
        condition = expression_at(scanner)
    _close(scanner, closing, f"{closing!r} must close the for expression")
    return For(key, value, collection, key_result, first, groups, condition, scanner.span(start))


def _steps(scanner: Scanner, term: Expression, start: int, splats: int) -> Expression:
    """What follows a term: `.name`, `.0`, `[key]`, `[*]` and `.*`."""
    steps = 0
    while True:
        steps += 1
        if steps > 200:
            raise scanner.wrong("more than 200 steps in a reference")
        if scanner.sees("."):
            scanner.take()
            if scanner.sees("*"):
                scanner.take()
                element = Element(splats, scanner.span(start))
                term = Splat(term, _attributes(scanner, element, start), scanner.span(start))
            else:
                term = _dotted(scanner, term, start)
        elif scanner.sees("["):
            scanner.take()
            scanner.lines_matter(False)
            if scanner.sees("*"):
                scanner.take()
                _close(scanner, "]", "']' must close the splat")
                element = Element(splats, scanner.span(start))
                scanner.deeper()
                each = _steps(scanner, element, start, splats + 1)
                scanner.depth -= 1
                return Splat(term, each, scanner.span(start))
            key = expression_at(scanner)
            _close(scanner, "]", "']' must close the index")
            term = GetIndex(term, key, scanner.span(start))
        else:
            return term


def _attributes(scanner: Scanner, each: Expression, start: int) -> Expression:
    """After `.*` only names apply to every element; an index applies to the list of results."""
    steps = 0
    while scanner.sees("."):
        steps += 1
        if steps > 200:
            raise scanner.wrong("more than 200 steps in a reference")
        scanner.take()
        if scanner.sees("*"):
            raise scanner.wrong("a splat cannot follow an attribute-only splat", "write [*]")
        each = _dotted(scanner, each, start)
    return each


def _dotted(scanner: Scanner, of: Expression, start: int) -> Expression:
    # `a.0.1` is two indices, which a scanner of numbers would read as one.
    digits = _DIGITS.match(scanner.text, scanner.at, scanner.limit)
    if digits:
        key = Literal(Fraction(int(digits[0])) if len(digits[0]) < 20 else 0, scanner.span(scanner.at))
        scanner.jump(digits.end())
        if scanner.sees(".") and _DIGITS.match(scanner.text, scanner.at + 1, scanner.limit):
            raise scanner.wrong("two indices cannot follow each other like this", "write [0][1]")
        return GetIndex(of, key, scanner.span(start))
    if scanner.peek().kind != "name":
        raise scanner.wrong("the name of an attribute must follow '.'")
    name = scanner.take().text
    return GetAttribute(of, name, scanner.span(start))
