"""Values of a template's parameters: what the user gives, else the default, held against the declared constraints."""

import re
from collections.abc import Mapping

from pipeyard.definition.declaration import Notes, suggestion
from pipeyard.definition.documents import Items, Leaf, Node, Table, Unknown, text_leaf
from pipeyard.definition.patterns import PatternError, compile_pattern
from pipeyard.errors import Place

_SSM_VALUE = re.compile(r"AWS::SSM::Parameter::Value<(.+)>")
_LIST = re.compile(r"List<.+>")


def parameter_values(
    declared: Node | None, given: Mapping[str, str], ssm: Mapping[str, str], notes: Notes
) -> dict[str, Node]:
    """Each parameter's value; an Unknown for one that has neither value nor default, or waits for Parameter Store.

    A given value that no parameter takes, or that a constraint refuses, is an error in `notes`. `ssm` are the values
    of Parameter Store by name. Source: CloudFormation User Guide, "Parameters".
    """
    table = declared if isinstance(declared, Table) else Table({}, {}, Place(""))
    place = declared.place if declared is not None else Place("")
    for name in given:
        if name not in table.entries:
            notes.error(
                f"the template has no parameter {name!r}",
                place,
                rule="unknown-parameter",
                hint=suggestion(name, table.entries) or _known(table),
            )
    return {name: _value(name, node, table.key_place(name), given, ssm, notes) for name, node in table.entries.items()}


def hidden_parameters(declared: Node | None) -> frozenset[str]:
    """Names of the parameters declared with NoEcho: their values are shown nowhere."""
    if not isinstance(declared, Table):
        return frozenset()
    return frozenset(
        name
        for name, node in declared.entries.items()
        if isinstance(node, Table) and _text(node, "NoEcho").lower() == "true"
    )


def _known(table: Table) -> str:
    return f"it has {', '.join(table.entries)}" if table.entries else "it has none"


def _value(name: str, node: Node, place: Place, given: Mapping[str, str], ssm: Mapping[str, str], notes: Notes) -> Node:
    if not isinstance(node, Table):
        notes.error(f"parameter {name} must be a mapping with a Type", place, rule="wrong-parameter")
        return Unknown((f"parameter {name}",), place)
    kind = _text(node, "Type") or "String"
    default = node.get("Default")
    if name in given:
        text, origin = given[name], place
    elif isinstance(default, Leaf):
        text, origin = default.text, default.place
    else:
        return Unknown(
            (f"parameter {name} has no default and no value was given",),
            place,
            hint=f"give it with --parameter {name}=...",
            text=f"${{{name}}}",
        )
    pattern = _text(node, "AllowedPattern")
    if name in given and pattern and _matches(pattern, "") is None:
        message = f"parameter {name}: only the service can read its AllowedPattern; the value is not checked"
        notes.warning(message, node.key_place("AllowedPattern"), rule="pattern-not-checked")
    hidden = _text(node, "NoEcho").lower() == "true"
    from_store = _SSM_VALUE.fullmatch(kind)
    complaint = _complaint(node, "String" if from_store else kind, text)
    if complaint and name not in given and notes.planning:
        # Such a default asks for a value: a deployment without one would be refused.
        what = "its default" if hidden else f"its default {text!r}"
        return Unknown(
            (f"parameter {name}: {what} {complaint}",),
            origin,
            hint=f"give it with --parameter {name}=...",
            text=f"${{{name}}}",
        )
    if complaint:
        shown = "its value" if hidden else repr(text)
        notes.error(
            f"parameter {name}: {shown} {complaint}",
            origin,
            rule="parameter-value",
            hint=_text(node, "ConstraintDescription"),
        )
    if from_store:
        if text not in ssm:
            return Unknown(
                (f"parameter {name} is the value of the Parameter Store's {text}",),
                place,
                hint="values of Parameter Store are given in the settings' table ssm_parameters",
                text=f"${{{name}}}",
            )
        text, kind = ssm[text], from_store[1]
    return _typed(kind, text, origin)


def _typed(kind: str, text: str, place: Place) -> Node:
    if kind == "CommaDelimitedList" or _LIST.fullmatch(kind):
        parts = [part.strip() for part in text.split(",")] if text else []
        return Items(tuple(text_leaf(part, place) for part in parts), place)
    return text_leaf(text, place)


def _complaint(node: Table, kind: str, text: str) -> str:
    """What is wrong with a value, as the end of a sentence that begins with the value."""
    is_list = kind == "CommaDelimitedList" or bool(_LIST.fullmatch(kind))
    parts = [part.strip() for part in text.split(",")] if is_list and text else [] if is_list else [text]
    allowed = node.get("AllowedValues")
    if isinstance(allowed, Items):
        values = [item.text for item in allowed.nodes if isinstance(item, Leaf)]
        if any(part not in values for part in parts):
            return f"is not one of {', '.join(values)}"
    pattern = _text(node, "AllowedPattern")
    if pattern and any(_matches(pattern, part) is False for part in parts):
        return f"does not match {pattern}"
    if kind in ("Number", "List<Number>"):
        return next((found for part in parts if (found := _number_complaint(node, part))), "")
    if not is_list:
        shortest, longest = _number(node, "MinLength"), _number(node, "MaxLength")
        if shortest is not None and len(text) < shortest:
            return f"has fewer than {shortest:g} characters"
        if longest is not None and len(text) > longest:
            return f"has more than {longest:g} characters"
    return ""


def _matches(pattern: str, text: str) -> bool | None:
    """Whether the whole text fits; None for a pattern that only Java reads: lookaround, intersections of classes."""
    if "&&" in pattern:  # RE2 would take it for characters of the class
        return None
    try:
        return compile_pattern(rf"\A(?:{pattern})\z").search(text) is not None
    except PatternError:
        return None


def _number_complaint(node: Table, text: str) -> str:
    try:
        value = float(text)
    except ValueError:
        return "is not a number"
    least, most = _number(node, "MinValue"), _number(node, "MaxValue")
    if least is not None and value < least:
        return f"is less than {least:g}"
    if most is not None and value > most:
        return f"is more than {most:g}"
    return ""


def _number(node: Table, key: str) -> float | None:
    try:
        return float(_text(node, key))
    except ValueError:
        return None


def _text(node: Table, key: str) -> str:
    found = node.get(key)
    return found.text if isinstance(found, Leaf) else ""
