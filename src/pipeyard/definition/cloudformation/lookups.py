"""What a template looks up elsewhere: in its mappings, in other stacks, in macros of the service.

Each function has the value of the intrinsic function of its name; `place` is the function's. They raise InputError.
Source: CloudFormation Template Reference, "Intrinsic function reference".
"""

from pipeyard.definition.cloudformation.computing import Values, arguments, because, placed
from pipeyard.definition.declaration import suggestion
from pipeyard.definition.documents import Leaf, Node, Table, Unknown, text_leaf
from pipeyard.definition.places import NO_INPUTS, Inputs
from pipeyard.errors import InputError, Place


def find_in_map(values: Values, mappings: Table, argument: Node, place: Place) -> Node:
    given = arguments(argument, "Fn::FindInMap", 3, 4)
    default = given[3].get("DefaultValue") if len(given) == 4 and isinstance(given[3], Table) else None
    node: Node = mappings
    path: list[str] = []
    for part in given[:3]:
        key = values.text(part, "a key of Fn::FindInMap")
        if isinstance(key, Unknown):
            return because(key, "Fn::FindInMap", place)
        path.append(key.text)
        found = node.get(key.text) if isinstance(node, Table) else None
        if found is None:
            if default is not None:
                return values.evaluate(default)
            return _not_found(path, node, values.inputs, place)
        node = found
    return placed(values.evaluate(node), place)


def _not_found(path: list[str], node: Node, inputs: Inputs, place: Place) -> Unknown:
    """Raises InputError, except for an account or region that nobody chose: the map may well hold the real one."""
    known = node.entries if isinstance(node, Table) else {}
    there = f"there are {', '.join(known)}" if known else ""
    message = f"Fn::FindInMap finds no {'.'.join(path)}"
    for setting, used, default in (
        ("account_id", inputs.account_id, NO_INPUTS.account_id),
        ("region", inputs.region, NO_INPUTS.region),
    ):
        if path[-1] == used == default:
            hint = f"{setting} in the settings tells where it is deployed"
            return Unknown((message,), place, f"{hint}; {there}" if there else hint, f"${{Fn::FindInMap {path[0]}}}")
    raise InputError(message, place=place, hint=suggestion(path[-1], known) or there)


def import_value(values: Values, argument: Node, place: Place) -> Node:
    name = values.text(argument, "the name of Fn::ImportValue")
    if isinstance(name, Unknown):
        return because(name, "Fn::ImportValue", place)
    if name.text in values.inputs.imports:
        return text_leaf(values.inputs.imports[name.text], place)
    return Unknown(
        (f"Fn::ImportValue {name.text} is the output of another stack",),
        place,
        "values of other stacks are given in the settings' table imports",
        f"${{Fn::ImportValue {name.text}}}",
    )


def transform(argument: Node, place: Place) -> Node:
    name = argument.get("Name") if isinstance(argument, Table) else None
    what = name.text if isinstance(name, Leaf) else "a macro"
    return Unknown((f"Fn::Transform {what} is computed by the service",), place, "", f"${{Fn::Transform {what}}}")
