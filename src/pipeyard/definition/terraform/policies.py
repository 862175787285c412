"""The JSON of `data "aws_iam_policy_document"`. Source: the AWS provider's documentation of that data source."""

import json
from collections.abc import Mapping
from typing import Any

from pipeyard.definition.terraform.plain import to_plain
from pipeyard.definition.terraform.values import Value, first_unknown, text, unknown

_STATEMENT = {
    "sid": "Sid",
    "effect": "Effect",
    "actions": "Action",
    "not_actions": "NotAction",
    "resources": "Resource",
    "not_resources": "NotResource",
}


def policy_document(entries: Mapping[str, Value]) -> Value:
    """The rendered policy; unknown when a part of it is."""
    for name in ("statement", "version", "policy_id", "source_policy_documents", "override_policy_documents"):
        value = entries.get(name)
        missing = first_unknown(value) if value is not None else None
        if missing is not None:
            return unknown(*missing.chain, of=text("").type)
    plain = {name: to_plain(value) for name, value in entries.items() if name in _KNOWN}
    statements = [_statement(given) for given in plain.get("statement") or []]
    document: dict[str, Any] = {"Version": plain.get("version") or "2012-10-17"}
    if plain.get("policy_id"):
        document["Id"] = plain["policy_id"]
    document["Statement"] = _combined(
        plain.get("source_policy_documents") or [], statements, plain.get("override_policy_documents") or []
    )
    return text(json.dumps(document, indent=2, ensure_ascii=False))


_KNOWN = frozenset({"statement", "version", "policy_id", "source_policy_documents", "override_policy_documents"})


def _statement(given: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, written in _STATEMENT.items():
        value = given.get(name)
        if name == "effect":
            made[written] = value or "Allow"
        elif value:
            made[written] = _one_or_many(value) if isinstance(value, list) else value
    for name, written in (("principals", "Principal"), ("not_principals", "NotPrincipal")):
        if given.get(name):
            made[written] = _principals(given[name])
    if given.get("condition"):
        conditions: dict[str, dict[str, Any]] = {}
        for condition in given["condition"]:
            test = conditions.setdefault(condition["test"], {})
            values = [str(value) for value in condition.get("values") or []]
            test.setdefault(condition["variable"], []).extend(values)
        made["Condition"] = {
            test: {variable: values[0] if len(values) == 1 else values for variable, values in variables.items()}
            for test, variables in conditions.items()
        }
    return made


def _one_or_many(values: list[Any]) -> Any:
    found = sorted({str(value) for value in values}, reverse=True)
    return found[0] if len(found) == 1 else found


def _principals(given: list[Mapping[str, Any]]) -> Any:
    found: dict[str, list[str]] = {}
    for principal in given:
        found.setdefault(principal["type"], []).extend(str(one) for one in principal.get("identifiers") or [])
    if found == {"*": ["*"]}:
        return "*"
    return {kind: _one_or_many(names) for kind, names in found.items()}


def _combined(sources: list[str], own: list[dict[str, Any]], overrides: list[str]) -> list[dict[str, Any]]:
    """Statements of sources, then our own, then overrides; one with a Sid replaces an earlier one with that Sid."""
    statements: list[dict[str, Any]] = []
    for text_of in sources:
        statements += _statements_of(text_of)
    statements += own
    for text_of in overrides:
        for statement in _statements_of(text_of):
            same = [
                index
                for index, old in enumerate(statements)
                if statement.get("Sid") and old.get("Sid") == statement["Sid"]
            ]
            if same:
                statements[same[0]] = statement
            else:
                statements.append(statement)
    return statements


def _statements_of(document: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(document).get("Statement", [])
    except (ValueError, AttributeError):
        return []
    return found if isinstance(found, list) else [found]
