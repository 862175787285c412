"""Data sources that need no cloud: templates, files beneath the configuration, and what merely passes values on.

Source: the documentation of the providers `template`, `local` and `null`.
"""

import base64
import hashlib
from collections.abc import Mapping

from pipeyard.definition.terraform.conversion import ConversionError, convert
from pipeyard.definition.terraform.functions.paths import render_template
from pipeyard.definition.terraform.functions.signature import FunctionCall
from pipeyard.definition.terraform.values import STRING, MapType, Value, object_of, text
from pipeyard.errors import InputError


def local_data(kind: str, address: str, entries: Mapping[str, Value], context: FunctionCall) -> dict[str, Value]:
    """What such a data source computes from its arguments. Raises InputError where a template or file is wrong."""
    match kind:
        case "template_file":
            return _template(address, entries, context)
        case "local_file" | "local_sensitive_file":
            return _file(entries, context)
        case "null_data_source":
            return {"outputs": entries["inputs"]} if "inputs" in entries else {}
    return {}


def _template(address: str, entries: Mapping[str, Value], context: FunctionCall) -> dict[str, Value]:
    template = entries.get("template")
    if template is None or template.is_null:
        return {}
    if not isinstance(template.raw, str):
        return {"rendered": Value(STRING, template.raw)} if template.is_unknown else {}
    variables = entries.get("vars")
    if variables is None or variables.is_null:
        variables = object_of({})
    if not variables.is_unknown:
        try:
            variables = convert(variables, MapType(STRING))  # all that the provider hands to a template is text
        except ConversionError as error:
            raise InputError(f"vars of the template are unsuitable: {error.message}") from None
    if variables.is_unknown:
        return {"rendered": Value(STRING, variables.raw)}
    return {"rendered": render_template(context, f"template of {address}", template.raw, variables)}


def _file(entries: Mapping[str, Value], context: FunctionCall) -> dict[str, Value]:
    name = entries.get("filename")
    if name is None or not isinstance(name.raw, str):
        return {}
    data = context.folders.read(name.raw)
    return {
        "content": text(data.decode(errors="replace")),
        "content_base64": text(base64.b64encode(data).decode()),
        "content_md5": text(hashlib.md5(data, usedforsecurity=False).hexdigest()),
        "content_sha1": text(hashlib.sha1(data, usedforsecurity=False).hexdigest()),
        "content_sha256": text(hashlib.sha256(data).hexdigest()),
        "content_base64sha256": text(base64.b64encode(hashlib.sha256(data).digest()).decode()),
    }
