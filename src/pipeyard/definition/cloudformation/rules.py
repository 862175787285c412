"""The Rules section: assertions over parameters that CloudFormation checks before it makes a stack.

Source: CloudFormation User Guide, "Rules". What only the service knows (Fn::RefAll, Fn::ValueOf) counts as held.
"""

from pipeyard.definition.cloudformation.evaluate import Evaluator
from pipeyard.definition.declaration import Notes
from pipeyard.definition.documents import Items, Leaf, Node, Table, Unknown, plain

_OF_THE_SERVICE = frozenset({"Fn::RefAll", "Fn::ValueOf", "Fn::ValueOfAll"})


def check_rules(rules: Node | None, evaluator: Evaluator, notes: Notes) -> None:
    """Notes an error for each assertion that does not hold. Raises InputError for a rule that is no rule."""
    for name, rule in rules.entries.items() if isinstance(rules, Table) else ():
        if not isinstance(rule, Table):
            continue
        condition = rule.get("RuleCondition")
        if condition is not None and _holds(condition, evaluator) is not True:
            continue
        assertions = rule.get("Assertions")
        for assertion in assertions.nodes if isinstance(assertions, Items) else ():
            checked = assertion.get("Assert") if isinstance(assertion, Table) else None
            if checked is not None and _holds(checked, evaluator) is False:
                told = assertion.get("AssertDescription") if isinstance(assertion, Table) else None
                why = told.text if isinstance(told, Leaf) else "its assertion does not hold"
                # Of the defaults alone it says that they are no set of parameters to deploy with.
                note = notes.warning if notes.planning and not evaluator.inputs.parameters else notes.error
                note(f"rule {name}: {why}", checked.place, rule="template-rule")


def _holds(node: Node, evaluator: Evaluator) -> bool | None:
    """None: only the service can tell."""
    if not isinstance(node, Table) or len(node.entries) != 1:
        truth = evaluator.conditions.holds(node)
        return None if isinstance(truth, Unknown) else truth
    ((key, argument),) = node.entries.items()
    arguments = argument.nodes if isinstance(argument, Items) else (argument,)
    match key:
        case "Fn::Contains" if len(arguments) == 2:
            return _each(arguments[1], arguments[0], evaluator)
        case "Fn::EachMemberIn" if len(arguments) == 2:
            return _each(arguments[0], arguments[1], evaluator)
        case "Fn::EachMemberEquals" if len(arguments) == 2:
            return _each(arguments[0], Items((arguments[1],), arguments[1].place), evaluator)
        case "Fn::Not" if len(arguments) == 1:
            inner = _holds(arguments[0], evaluator)
            return None if inner is None else not inner
        case "Fn::And" | "Fn::Or":
            decisive = key == "Fn::Or"
            truths = [_holds(child, evaluator) for child in arguments]
            return decisive if decisive in truths else None if None in truths else not decisive
    if _asks_the_service(node):
        return None
    found = evaluator.conditions.holds(node)
    return None if isinstance(found, Unknown) else found


def _each(members: Node, allowed: Node, evaluator: Evaluator) -> bool | None:
    if _asks_the_service(members) or _asks_the_service(allowed):
        return None
    values, known = evaluator.evaluate(members), evaluator.evaluate(allowed)
    if isinstance(values, Unknown) or isinstance(known, Unknown):
        return None
    wanted = values.nodes if isinstance(values, Items) else (values,)
    texts = [str(plain(node)) for node in known.nodes] if isinstance(known, Items) else []
    return all(str(plain(node)) in texts for node in wanted)


def _asks_the_service(node: Node) -> bool:
    match node:
        case Table():
            return any(key in _OF_THE_SERVICE or _asks_the_service(child) for key, child in node.entries.items())
        case Items():
            return any(_asks_the_service(child) for child in node.nodes)
        case _:
            return False
