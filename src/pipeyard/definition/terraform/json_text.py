"""JSON as `jsonencode` writes it: keys in order, no spaces, and the characters that HTML would mind escaped."""

import json
import re

from pipeyard.definition.terraform.numbers import number_text
from pipeyard.definition.terraform.values import Value, is_mapping, is_sequence
from pipeyard.errors import InputError

_ESCAPED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_NEEDS_ESCAPE = re.compile("[<>&\u2028\u2029\x7f]")


def encode_json(value: Value) -> str:
    """Raises InputError for an infinite number."""
    if value.raw is None:
        return "null"
    if isinstance(value.raw, bool):
        return "true" if value.raw else "false"
    if isinstance(value.raw, str):
        return encode_text(value.raw)
    if is_sequence(value.type):
        return "[" + ",".join(encode_json(item) for item in value.items) + "]"
    if is_mapping(value.type):
        entries = (f"{encode_text(name)}:{encode_json(item)}" for name, item in sorted(value.entries.items()))
        return "{" + ",".join(entries) + "}"
    if isinstance(value.raw, float):
        raise InputError("an infinite number cannot be written as JSON")
    return number_text(value.raw)


def encode_text(text: str) -> str:
    written = json.dumps(text, ensure_ascii=False)
    written = _NEEDS_ESCAPE.sub(lambda found: _ESCAPED.get(found[0], found[0]), written)
    return re.sub(r"\\(?:\\|([bf])|.)", _go_escape, written)


def _go_escape(found: re.Match[str]) -> str:
    return {"b": "\\b", "f": "\\f"}.get(found[1], found[0]) if found[1] else found[0]
