"""The part of Go's templates that scripts use in `--format`: fields, `index`, `json`, `len`, text around them."""

import json
import re
from typing import Any

from pipeyard.errors import InputError

_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_WORD = re.compile(r'"[^"]*"|\S+')


def render(template: str, value: Any) -> str:
    """Raises InputError for what this subset has not."""
    if template == "json":
        return json.dumps(value)
    text = template.removeprefix("table ").replace("\\t", "\t").replace("\\n", "\n")
    loop = re.fullmatch(r"(.*?)\{\{-?\s*range\s+([^\s}]+)\s*-?\}\}(.*?)\{\{-?\s*end\s*-?\}\}(.*)", text, re.DOTALL)
    if loop:
        items = _value(loop[2], value) or []
        return render(loop[1], value) + "".join(render(loop[3], item) for item in items) + render(loop[4], value)
    return _ACTION.sub(lambda found: _shown(_evaluated(found[1], value)), text)


def _evaluated(action: str, value: Any) -> Any:
    words = _WORD.findall(action.replace("|", " | ").strip("()"))
    if "|" in words:
        at = words.index("|")
        return _call(words[at + 1], [_evaluated(" ".join(words[:at]), value)], action)
    if words and words[0] in ("json", "index", "len", "println", "print"):
        return _call(words[0], [_value(word, value) for word in words[1:]], action)
    if len(words) == 1:
        return _value(words[0], value)
    raise InputError(f"template parsing error: {{{{{action}}}}} is more than pipeyard's docker knows")


def _call(name: str, arguments: list[Any], action: str) -> Any:
    if name == "json" and len(arguments) == 1:
        return json.dumps(arguments[0])
    if name == "len" and len(arguments) == 1:
        return len(arguments[0] or ())
    if name in ("print", "println"):
        return " ".join(_shown(argument) for argument in arguments) + ("\n" if name == "println" else "")
    if name == "index" and arguments:
        found = arguments[0]
        for key in arguments[1:]:
            try:
                found = found[int(key)] if isinstance(found, list) else (found or {}).get(key)
            except (IndexError, ValueError, TypeError) as error:
                raise InputError(f"template: error calling index: index out of range: {key}") from error
        return found
    raise InputError(f"template parsing error: {{{{{action}}}}} is more than pipeyard's docker knows")


def _value(word: str, value: Any) -> Any:
    if word.startswith('"'):
        return word.strip('"')
    if word.isdigit():
        return int(word)
    if not word.startswith("."):
        raise InputError(f'template parsing error: function "{word}" not defined')
    for part in word.split("."):
        if part:
            if not isinstance(value, dict) or part not in value:
                raise InputError(f"template: can't evaluate field {part}")
            value = value[part]
    return value


def _shown(value: Any) -> str:
    """As Go prints it."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{' '.join(_shown(item) for item in value)}]"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_shown(item)}' for key, item in sorted(value.items()))}]"
    return str(value)
