"""What an expression gives in a scope. Source: HCL specification, "Expressions"; Terraform language, "Expressions".

Nothing here knows what a variable or a resource is: a Scope resolves references and calls functions.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct, structs

from pipeyard.definition.terraform.access import attribute_of, element_of, fault
from pipeyard.definition.terraform.conversion import (
    ConversionError,
    as_string,
    convert,
    equal,
    normalised,
    unify,
)
from pipeyard.definition.terraform.operators import COMPARISONS, arithmetic
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
    Span,
    Splat,
    Template,
    TemplateFor,
    TemplateIf,
    TupleOf,
    Unary,
    Wrap,
)
from pipeyard.definition.terraform.values import (
    BOOL,
    EMPTY_TUPLE,
    NULL,
    NUMBER,
    STRING,
    Attributes,
    Dynamic,
    Primitive,
    TupleType,
    Unknown,
    Value,
    boolean,
    elements,
    friendly,
    is_mapping,
    is_sequence,
    list_of,
    marked,
    number,
    object_of,
    text,
    tuple_of,
    unknown,
)
from pipeyard.errors import InputError, Place


class ReferenceFault(InputError):
    """A reference to what is not declared: wrong whatever the values, so that `try` and `can` let it pass."""


class Scope(Protocol):
    def reference(self, root: str, names: list[str], span: Span) -> tuple[Value, int]:
        """The value of a reference and how many of the names behind its root that took. Raises ReferenceFault."""

    def call(self, name: str, arguments: list[Value], span: Span) -> Value:
        """Raises InputError, with a place or without."""


class Locals(Struct, frozen=True):
    """What an expression itself brings into scope: variables of `for`, and elements of splats."""

    names: Mapping[str, Value] = {}
    elements: tuple[Value, ...] = ()

    def naming(self, **names: Value) -> "Locals":
        return Locals({**self.names, **names}, self.elements)


NO_LOCALS = Locals()


def evaluate(expression: Expression, scope: Scope, local: Locals = NO_LOCALS) -> Value:
    """Raises InputError, placed in the expression, for everything that Terraform would refuse."""
    return _BY_NODE[type(expression)](expression, scope, local)


def _placed(error: InputError, place: Place) -> InputError:
    if error.place is None:
        error.place = place
    return error


def _literal(node: Literal, scope: Scope, local: Locals) -> Value:
    value = node.value
    if value is None:
        return NULL
    if isinstance(value, bool):
        return boolean(value)
    if isinstance(value, str):
        return text(value)
    return number(value.numerator if value.denominator == 1 else value)


def _template(node: Template, scope: Scope, local: Locals) -> Value:
    pieces: list[str] = []
    sensitive = False
    missing: Value | None = None
    for part in node.parts:
        if isinstance(part, Literal) and isinstance(part.value, str):
            pieces.append(part.value)
            continue
        value = evaluate(part, scope, local)
        sensitive = sensitive or value.sensitive
        if value.is_null:
            raise fault("a null value cannot be part of a text", part.span)
        if value.is_unknown:
            missing = missing or value
            pieces.append(value.raw.text or f"${{{part.span.text}}}")
            continue
        try:
            pieces.append(as_string(value))
        except ConversionError:
            hint = "jsonencode or join make text of it"
            raise fault(f"{friendly(value.type)} cannot be part of a text", part.span, hint) from None
    if missing is not None:
        return structs.replace(unknown(*missing.chain, of=STRING, text="".join(pieces)), sensitive=sensitive)
    return structs.replace(normalised("".join(pieces)), sensitive=sensitive)


def _template_if(node: TemplateIf, scope: Scope, local: Locals) -> Value:
    condition = _condition(node.condition, scope, local)
    if condition.is_unknown:
        return unknown(*condition.chain, of=STRING)
    return marked(evaluate(node.then if condition.raw else node.otherwise, scope, local), condition)


def _template_for(node: TemplateFor, scope: Scope, local: Locals) -> Value:
    collection = _iterable(node.collection, scope, local)
    if collection.is_unknown:
        return unknown(*collection.chain, of=STRING)
    pieces: list[str] = []
    for key, item in elements(collection):
        value = evaluate(node.body, scope, _iteration(node.key, node.value, key, item, local))
        if value.is_unknown:
            return value
        pieces.append(value.raw)
    return marked(text("".join(pieces)), collection)


def _wrap(node: Wrap | Parentheses, scope: Scope, local: Locals) -> Value:
    return evaluate(node.inner, scope, local)


def _element(node: Element, scope: Scope, local: Locals) -> Value:
    return local.elements[node.depth]


def _condition(node: Expression, scope: Scope, local: Locals) -> Value:
    value = evaluate(node, scope, local)
    if value.is_null:
        raise fault("a condition must be true or false, not null", node.span)
    try:
        return convert(value, BOOL)
    except ConversionError as error:
        raise fault(f"a condition must be true or false: {error.message}", node.span, error.hint) from None


def _conditional(node: Conditional, scope: Scope, local: Locals) -> Value:
    condition = _condition(node.condition, scope, local)
    then = _result(node.then, condition.raw is False, scope, local)
    otherwise = _result(node.otherwise, condition.raw is True, scope, local)
    if then.is_null and isinstance(then.type, Dynamic):
        kind = otherwise.type
    elif otherwise.is_null and isinstance(otherwise.type, Dynamic):
        kind = then.type
    elif any(isinstance(side.type, Dynamic) or isinstance(side.raw, Attributes) for side in (then, otherwise)):
        # What is unknown may turn out as the other's type; until then each keeps its own.
        kind = then.type if condition.raw is True else otherwise.type
    else:
        found = unify((then.type, otherwise.type))
        if found is None:
            raise fault(
                f"the results of a conditional must have one type, not {friendly(then.type)}"
                f" and {friendly(otherwise.type)}",
                node.span,
            )
        kind = found
    if condition.is_unknown:
        return unknown(*condition.chain, of=kind)
    result = then if condition.raw else otherwise
    try:
        return marked(convert(result, kind), condition)
    except ConversionError as error:
        raise fault(f"the results of a conditional must have one type: {error.message}", node.span) from None


def _result(node: Expression, unused: bool, scope: Scope, local: Locals) -> Value:
    """One of a conditional's results. The one that is not chosen only lends its type, and may fail."""
    if not unused:
        return evaluate(node, scope, local)
    try:
        return evaluate(node, scope, local)
    except ReferenceFault:
        raise
    except InputError as error:
        return unknown(error.message)


def _name(node: Name, scope: Scope, local: Locals) -> Value:
    return _steps(node, scope, local)


def _steps(node: Expression, scope: Scope, local: Locals) -> Value:
    """A reference with all that follows it, without recursion into its steps."""
    steps: list[GetAttribute | GetIndex] = []
    at = node
    while isinstance(at, GetAttribute | GetIndex):
        steps.append(at)
        at = at.of
    steps.reverse()
    taken = 0
    if isinstance(at, Name):
        found = local.names.get(at.name)
        if found is None:
            names: list[str] = []
            for step in steps:
                if not isinstance(step, GetAttribute):
                    break
                names.append(step.name)
            try:
                found, taken = scope.reference(at.name, names, node.span)
            except InputError as error:
                raise _placed(error, node.span.place) from None
        value = found
    else:
        value = evaluate(at, scope, local)
    for step in steps[taken:]:
        if isinstance(step, GetAttribute):
            value = attribute_of(value, step)
        else:
            value = element_of(value, evaluate(step.key, scope, local), step.span)
    if isinstance(value.raw, Unknown) and isinstance(at, Name) and at.name not in local.names:
        return _through(value, node.span)
    return value


def _through(value: Value, span: Span) -> Value:
    """Remembers by which reference an unknown came here."""
    chain = value.chain
    shown = span.text
    if "\n" in shown:
        return value
    written = value.raw.text or f"${{{shown}}}"
    if len(chain) <= 20 and not (chain and chain[0].startswith(shown)):
        chain = (f"{shown} ({span.place.file}:{span.place.line})", *chain)
    return Value(value.type, Unknown(chain, written), value.sensitive)


def _splat(node: Splat, scope: Scope, local: Locals) -> Value:
    value = evaluate(node.of, scope, local)
    if value.is_unknown:
        return unknown(*value.chain)
    if value.is_null:
        if is_sequence(value.type):
            raise fault("null has no elements", node.span)
        return EMPTY_TUPLE
    depth = node_depth(node.each)
    outer = local.elements[:depth]

    def one(item: Value) -> Value:
        return evaluate(node.each, scope, Locals(local.names, (*outer, item)))

    if not is_sequence(value.type):
        return marked(tuple_of([one(value)]), value)
    results = [one(item) for item in value.items]
    if not isinstance(value.type, TupleType) and len({result.type for result in results}) == 1:
        return marked(list_of(results, results[0].type), value)
    return marked(tuple_of(results), value)


def node_depth(each: Expression) -> int:
    """Which splat an inner expression belongs to."""
    at = each
    while not isinstance(at, Element):
        if not isinstance(at, GetAttribute | GetIndex | Splat):
            raise TypeError("the inside of a splat begins with its element")
        at = at.of
    return at.depth


def _call(node: Call, scope: Scope, local: Locals) -> Value:
    if node.name in ("try", "can"):
        return _attempt(node, scope, local)
    arguments = [evaluate(argument, scope, local) for argument in node.arguments]
    if node.expands:
        last = arguments.pop()
        if last.is_unknown:
            return unknown(*last.chain)
        if last.is_null or not is_sequence(last.type):
            raise fault("only a list, set or tuple can be expanded with '...'", node.arguments[-1].span)
        arguments += [marked(item, last) for item in last.items]
    try:
        return scope.call(node.name, arguments, node.span)
    except InputError as error:
        raise _placed(error, node.span.place) from None


def _attempt(node: Call, scope: Scope, local: Locals) -> Value:
    if not node.arguments:
        raise fault(f"{node.name} needs an argument", node.span)
    first: InputError | None = None
    if node.name == "can" and len(node.arguments) != 1:
        raise fault("can takes one argument", node.span)
    for argument in node.arguments:
        try:
            value = evaluate(argument, scope, local)
        except ReferenceFault:
            raise
        except InputError as error:
            first = first or error
        else:
            return value if node.name == "try" else boolean(True)
    if node.name == "can":
        return boolean(False)
    reason = f": the first with {first.message}" if first else ""
    raise fault(f"every expression in try failed{reason}", node.span)


def _operand(node: Expression, kind: Primitive, operator: str, scope: Scope, local: Locals) -> Value:
    value = evaluate(node, scope, local)
    if value.is_null:
        raise fault(f"null cannot be an operand of {operator}", node.span)
    try:
        return convert(value, kind)
    except ConversionError as error:
        raise fault(f"the operand of {operator} is unsuitable: {error.message}", node.span) from None


def _unary(node: Unary, scope: Scope, local: Locals) -> Value:
    kind = BOOL if node.operator == "!" else NUMBER
    value = _operand(node.operand, kind, node.operator, scope, local)
    if value.is_unknown:
        return value
    return marked(boolean(not value.raw) if kind == BOOL else number(-value.raw), value)


def _binary(node: Binary, scope: Scope, local: Locals) -> Value:
    operator = node.operator
    if operator in ("==", "!="):
        left, right = evaluate(node.left, scope, local), evaluate(node.right, scope, local)
        outcome = equal(left, right)
        if outcome is None:
            return unknown(*(left.chain or right.chain or ("a part of what is compared is not known",)), of=BOOL)
        return marked(boolean(outcome == (operator == "==")), left, right)
    kind = BOOL if operator in ("&&", "||") else NUMBER
    left = _operand(node.left, kind, operator, scope, local)
    right = _operand(node.right, kind, operator, scope, local)
    if kind == BOOL:
        decides = operator == "||"
        if left.raw is decides or right.raw is decides:
            return marked(boolean(decides), left, right)
    if left.is_unknown or right.is_unknown:
        return unknown(*(left.chain or right.chain), of=BOOL if operator in COMPARISONS else kind)
    if kind == BOOL:
        return marked(boolean(not decides), left, right)
    if operator in COMPARISONS:
        return marked(boolean(COMPARISONS[operator](left.raw, right.raw)), left, right)
    try:
        return marked(number(arithmetic(operator, left.raw, right.raw)), left, right)
    except ConversionError as error:
        raise _placed(error, node.span.place) from None


def _tuple(node: TupleOf, scope: Scope, local: Locals) -> Value:
    return tuple_of([evaluate(item, scope, local) for item in node.items])


def _object(node: ObjectOf, scope: Scope, local: Locals) -> Value:
    entries: dict[str, Value] = {}
    missing: Value | None = None
    sensitive = False
    for key_node, value_node in node.items:
        if isinstance(
            key_node, GetAttribute | GetIndex | Splat
        ):  # names providers in a module's call, and nothing else
            hint = f"write ({key_node.span.text}) for its value as the key"
            raise fault("a key of an object is a name, a string or an expression in parentheses", key_node.span, hint)
        key = evaluate(key_node, scope, local)
        value = evaluate(value_node, scope, local)
        sensitive = sensitive or key.sensitive
        if key.is_null:
            raise fault("a key cannot be null", key_node.span)
        if key.is_unknown:
            missing = key
            continue
        try:
            entries[as_string(key)] = value
        except ConversionError:
            raise fault(f"a key must be text, not a {friendly(key.type)}", key_node.span) from None
    if missing is not None:
        return unknown(*missing.chain)
    result = object_of(entries)
    return structs.replace(result, sensitive=True) if sensitive else result


def _iterable(node: Expression, scope: Scope, local: Locals) -> Value:
    value = evaluate(node, scope, local)
    if value.is_null:
        raise fault("null cannot be iterated over", node.span)
    if not value.is_unknown and not (is_sequence(value.type) or is_mapping(value.type)):
        raise fault(f"a {friendly(value.type)} cannot be iterated over", node.span)
    if value.is_unknown and isinstance(value.type, Primitive):
        raise fault(f"a {friendly(value.type)} cannot be iterated over", node.span)
    return value


def _iteration(key_name: str, value_name: str, key: Value, item: Value, local: Locals) -> Locals:
    names = {value_name: item}
    if key_name:
        names[key_name] = key
    return Locals({**local.names, **names}, local.elements)


def _for(node: For, scope: Scope, local: Locals) -> Value:
    collection = _iterable(node.collection, scope, local)
    if collection.is_unknown:
        return unknown(*collection.chain)
    results: list[Value] = []
    entries: dict[str, list[Value]] = {}
    for key, item in elements(collection):
        inner = _iteration(node.key, node.value, key, item, local)
        if node.condition is not None:
            condition = _condition(node.condition, scope, inner)
            if condition.is_unknown:
                return unknown(*condition.chain)
            if not condition.raw:
                continue
        value = evaluate(node.value_result, scope, inner)
        if node.key_result is None:
            results.append(value)
            continue
        name = evaluate(node.key_result, scope, inner)
        if name.is_null:
            raise fault("a key cannot be null", node.key_result.span)
        if name.is_unknown:
            return unknown(*name.chain)
        try:
            written = as_string(name)
        except ConversionError:
            raise fault(f"a key must be text, not a {friendly(name.type)}", node.key_result.span) from None
        if written in entries and not node.groups:
            raise fault(
                f"two items have the key {written!r}", node.key_result.span, "'...' after the value groups them by key"
            )
        entries.setdefault(written, []).append(value)
    if node.key_result is None:
        return marked(tuple_of(results), collection)
    grouped = {name: tuple_of(found) if node.groups else found[0] for name, found in entries.items()}
    return marked(object_of(grouped), collection)


_BY_NODE: dict[type, Callable[..., Value]] = {
    Literal: _literal,
    Template: _template,
    TemplateIf: _template_if,
    TemplateFor: _template_for,
    Wrap: _wrap,
    Parentheses: _wrap,
    Name: _name,
    GetAttribute: _steps,
    GetIndex: _steps,
    Splat: _splat,
    Element: _element,
    Call: _call,
    Conditional: _conditional,
    Binary: _binary,
    Unary: _unary,
    TupleOf: _tuple,
    ObjectOf: _object,
    For: _for,
}
