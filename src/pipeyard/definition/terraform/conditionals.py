"""`condition ? then : otherwise`, in expressions and templates. Source: HCL specification, "Conditional Operator"."""

from collections.abc import Iterable

from pipeyard.definition.terraform.access import fault
from pipeyard.definition.terraform.conversion import ConversionError, convert, unify
from pipeyard.definition.terraform.effort import ReferenceFault
from pipeyard.definition.terraform.evaluation import evaluate
from pipeyard.definition.terraform.names import Locals, Scope
from pipeyard.definition.terraform.operators import COMPARISONS
from pipeyard.definition.terraform.syntax import (
    Binary,
    Conditional,
    Expression,
    Parentheses,
    Template,
    TemplateIf,
    Unary,
)
from pipeyard.definition.terraform.values import (
    ANY,
    BOOL,
    NUMBER,
    STRING,
    Attributes,
    Dynamic,
    ListType,
    MapType,
    SetType,
    Type,
    Value,
    friendly,
    is_mapping,
    is_sequence,
    marked,
    unknown,
    weight,
)
from pipeyard.errors import InputError


def condition(node: Expression, scope: Scope, local: Locals) -> Value:
    """A boolean, which may be unknown. Raises InputError for everything else."""
    value = evaluate(node, scope, local)
    if value.is_null:
        raise fault("a condition must be true or false, not null", node.span)
    try:
        return convert(value, BOOL)
    except ConversionError as error:
        raise fault(f"a condition must be true or false: {error.message}", node.span, error.hint) from None


def conditional(node: Conditional, scope: Scope, local: Locals) -> Value:
    decision = condition(node.condition, scope, local)
    then = _result(node.then, decision.raw is False, scope, local)
    otherwise = _result(node.otherwise, decision.raw is True, scope, local)
    kind = _common(node, then, otherwise, chosen=then if decision.raw is True else otherwise)
    if decision.is_unknown:
        return unknown(*decision.chain, of=kind)
    result = then if decision.raw else otherwise
    scope.effort.spend(weight(result), node.span.place)
    try:
        return marked(convert(result, kind), decision)
    except ConversionError as error:
        raise fault(f"the results of a conditional must have one type: {error.message}", node.span) from None


def template_if(node: TemplateIf, scope: Scope, local: Locals) -> Value:
    decision = condition(node.condition, scope, local)
    if decision.is_unknown:
        return unknown(*decision.chain, of=STRING)
    return marked(evaluate(node.then if decision.raw else node.otherwise, scope, local), decision)


def _common(node: Conditional, then: Value, otherwise: Value, chosen: Value) -> Type:
    if then.is_null and isinstance(then.type, Dynamic):
        return otherwise.type
    if otherwise.is_null and isinstance(otherwise.type, Dynamic):
        return then.type
    if any(isinstance(side.type, Dynamic) or isinstance(side.raw, Attributes) for side in (then, otherwise)):
        return chosen.type  # what is unknown may turn out as the other's type; until then each keeps its own
    found = unify((then.type, otherwise.type))
    if found is None and (_is_open(then.type, otherwise.type) or _is_open(otherwise.type, then.type)):
        return chosen.type
    if found is None:
        raise fault(
            f"the results of a conditional must have one type, not {friendly(then.type)}"
            f" and {friendly(otherwise.type)}",
            node.span,
        )
    return found


def _is_open(kind: Type, other: Type) -> bool:
    """Whether a type is that of a collection whose elements may still be of any type, of the other's family."""
    if isinstance(kind, MapType):
        return isinstance(kind.element, Dynamic) and is_mapping(other)
    return isinstance(kind, ListType | SetType) and isinstance(kind.element, Dynamic) and is_sequence(other)


def _result(node: Expression, unused: bool, scope: Scope, local: Locals) -> Value:
    """One of a conditional's results. The one that is not chosen only lends its type, and may fail."""
    if not unused:
        return evaluate(node, scope, local)
    try:
        return evaluate(node, scope, local)
    except ReferenceFault:
        raise
    except InputError as error:
        return unknown(error.message, of=_type_of_failed(node))


def _type_of_failed(node: Expression) -> Type:
    """What type an expression would have had: an operator tells it even where its operands are wrong."""
    while isinstance(node, Parentheses):
        node = node.inner
    match node:
        case Binary():
            return BOOL if node.operator in _LOGICAL else NUMBER
        case Unary():
            return BOOL if node.operator == "!" else NUMBER
        case Template():
            return STRING
    return ANY


_LOGICAL: Iterable[str] = frozenset({*COMPARISONS, "==", "!=", "&&", "||"})
