"""What an expression gives in a scope. Source: HCL specification, "Expressions"; Terraform language, "Expressions".

Nothing here knows what a variable or a resource is: a Scope resolves references and calls functions.
"""

from collections.abc import Callable
from functools import cache

from msgspec import structs

from pipeyard.definition.declaration import suggestion
from pipeyard.definition.terraform.access import attribute_of, element_of, fault
from pipeyard.definition.terraform.conversion import (
    ConversionError,
    as_string,
    convert,
    equal,
    normalised,
)
from pipeyard.definition.terraform.effort import MAX_PARTS, MAX_TEXT, ReferenceFault, check_size
from pipeyard.definition.terraform.names import NO_LOCALS, Locals, Scope
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
    NULL,
    NUMBER,
    STRING,
    Entries,
    Parts,
    Primitive,
    Unknown,
    Value,
    boolean,
    friendly,
    is_sequence,
    marked,
    number,
    object_of,
    text,
    tuple_of,
    unknown,
    weight,
)
from pipeyard.errors import InputError, Place


def evaluate(expression: Expression, scope: Scope, local: Locals = NO_LOCALS) -> Value:
    """Raises InputError, placed in the expression, for everything that Terraform would refuse; TooMuch where the
    effort of the scope is spent, or a value becomes too large."""
    effort = scope.effort
    effort.left -= 1
    if effort.left < 0:
        effort.spend(0, expression.span.place)
    kind = type(expression)
    value = (_BY_NODE.get(kind) or _handler(kind))(expression, scope, local)
    raw = value.raw
    if isinstance(raw, Parts | Entries):
        if raw.weight > MAX_PARTS:
            check_size(raw.weight, 0, expression.span.place)
    elif isinstance(raw, str) and len(raw) > MAX_TEXT:
        check_size(0, len(raw), expression.span.place)
    return value


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


def _wrap(node: Wrap | Parentheses, scope: Scope, local: Locals) -> Value:
    return evaluate(node.inner, scope, local)


def _element(node: Element, scope: Scope, local: Locals) -> Value:
    return local.elements[node.depth]


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
                error.hint = error.hint or suggestion(at.name, local.names)
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


def _call(node: Call, scope: Scope, local: Locals) -> Value:
    if node.name in ("try", "can"):
        return _attempt(node, scope, local)
    if node.name == "templatestring":
        _check_template(node)
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


def _check_template(node: Call) -> None:
    template = node.arguments[0] if node.arguments else None
    while isinstance(template, Parentheses):
        template = template.inner
    if template is not None and not isinstance(template, Name | GetAttribute | GetIndex):
        hint = "a template that is written out is a string with ${...} in it"
        raise fault("templatestring takes a reference to a template", template.span, hint)


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
        hint = 'a template joins text: "${a}${b}"' if operator == "+" and value.type == STRING else ""
        raise fault(f"the operand of {operator} is unsuitable: {error.message}", node.span, hint) from None


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
        scope.effort.spend(min(weight(left), weight(right)), node.span.place)
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


Handler = Callable[..., Value]

_BY_NODE: dict[type, Handler] = {
    Literal: _literal,
    Template: _template,
    Wrap: _wrap,
    Parentheses: _wrap,
    Name: _name,
    GetAttribute: _steps,
    GetIndex: _steps,
    Element: _element,
    Call: _call,
    Binary: _binary,
    Unary: _unary,
    TupleOf: _tuple,
    ObjectOf: _object,
}


@cache
def _handler(kind: type) -> Handler:
    # They evaluate parts of their nodes in turn, so that they are imported when the first of them is met.
    from pipeyard.definition.terraform.conditionals import conditional, template_if
    from pipeyard.definition.terraform.iterations import for_expression, splat, template_for

    handlers: dict[type, Handler] = {
        Conditional: conditional,
        For: for_expression,
        Splat: splat,
        TemplateFor: template_for,
        TemplateIf: template_if,
    }
    return handlers[kind]
