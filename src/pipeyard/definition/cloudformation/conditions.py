"""A template's conditions: true, false, or not to be known before a deployment."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from pipeyard.definition.cloudformation.computing import Values, arguments, because
from pipeyard.definition.declaration import suggestion
from pipeyard.definition.documents import Leaf, Node, Table, Unknown, plain
from pipeyard.errors import InputError, Place

CONDITION_FUNCTIONS = frozenset({"Fn::And", "Fn::Or", "Fn::Not", "Fn::Equals"})


class Conditions:
    """Each named condition is computed once, when somebody asks for it.

    `computing` holds a name for as long as it is being computed and raises InputError for a circle.
    """

    def __init__(
        self, declared: Table, values: Values, computing: Callable[[str, Place], AbstractContextManager[None]]
    ) -> None:
        self._declared = declared
        self._values = values
        self._computing = computing
        self._known: dict[str, bool | Unknown] = {}

    def named(self, name: str, place: Place) -> bool | Unknown:
        """Raises InputError when there is no such condition, or it refers to itself."""
        if name in self._known:
            return self._known[name]
        node = self._declared.get(name)
        if node is None:
            hint = suggestion(name, self._declared.entries)
            raise InputError(f"there is no condition {name!r}", place=place, hint=hint)
        with self._computing(f"condition {name}", place):
            found = self.holds(node)
        self._known[name] = because(found, f"condition {name}") if isinstance(found, Unknown) else found
        return self._known[name]

    def holds(self, node: Node) -> bool | Unknown:
        """What a condition function, or a value that is true or false, comes to. Raises InputError for another value.

        What decides an And or Or decides it whatever the others are.
        """
        if isinstance(node, Table) and len(node.entries) == 1:
            ((key, argument),) = node.entries.items()
            match key:
                case "Condition":
                    return self.named(self._values.literal(argument, "Condition"), node.place)
                case "Fn::Equals":
                    left, right = arguments(argument, key, 2, 2)
                    return _equal(self._values.evaluate(left), self._values.evaluate(right))
                case "Fn::Not":
                    (inner,) = arguments(argument, key, 1, 1)
                    truth = self.holds(inner)
                    return truth if isinstance(truth, Unknown) else not truth
                case "Fn::And" | "Fn::Or":
                    decisive = key == "Fn::Or"
                    truths = [self.holds(child) for child in arguments(argument, key, 1, 10)]
                    if any(truth is decisive for truth in truths):
                        return decisive
                    return next((truth for truth in truths if isinstance(truth, Unknown)), not decisive)
        value = self._values.evaluate(node)
        if isinstance(value, Unknown):
            return value
        if isinstance(value, Leaf) and value.text in ("true", "false"):
            return value.text == "true"
        raise InputError(
            "a condition is needed here (Fn::Equals, Fn::And, Fn::Or, Fn::Not, Condition)", place=node.place
        )


def _equal(left: Node, right: Node) -> bool | Unknown:
    for side in (left, right):
        if isinstance(side, Unknown):
            return side
    if isinstance(left, Leaf) and isinstance(right, Leaf):
        return left.text == right.text
    return bool(plain(left) == plain(right))
