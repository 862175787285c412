"""The query protocol: parameters like `Tags.member.1.Key`, answers in XML. Source: Smithy's AWS Query protocol."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from pipeyard.aws.calls import HttpCall
from pipeyard.aws.refusals import AwsError
from pipeyard.aws.shapes import JSON, in_ms, members

if TYPE_CHECKING:
    from botocore.model import OperationModel, Shape

_MAX_PARAMETERS = 2000


def parameters(call: HttpCall) -> dict[str, str]:
    """Of the address and of a form; the first of several wins. Raises AwsError (MalformedQueryString)."""
    try:
        pairs = parse_qsl(call.query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
        if "x-www-form-urlencoded" in call.header("content-type"):
            pairs += parse_qsl(call.body.decode(), keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError as error:
        raise AwsError("MalformedQueryString", "The query string contains a syntax error.", status=404) from error
    return dict(reversed(pairs))


def structured(shape: "Shape | None", given: Mapping[str, str]) -> dict[str, Any]:
    """The nested values that flat parameters stand for, with our types. Raises AwsError (MalformedInput)."""
    found = _structured(shape, given, "") if shape is not None else None
    return found if isinstance(found, dict) else {}


def answer(operation: "OperationModel", shaped: dict[str, Any], request_id: str) -> bytes:
    name = operation.name
    shape = operation.output_shape
    inner = _members(shape, shaped) if shape is not None else ""
    wrapper = shape.serialization.get("resultWrapper") if shape is not None else None
    if wrapper:
        inner = f"<{wrapper}>{inner}</{wrapper}>"
    namespace = operation.service_model.metadata["xmlNamespace"]
    return (
        f'<{name}Response xmlns="{namespace}">{inner}'
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{name}Response>"
    ).encode()


def error(refused: AwsError, namespace: str, request_id: str) -> bytes:
    kind = "Sender" if refused.status < 500 else "Receiver"
    return (
        f'<ErrorResponse xmlns="{namespace}"><Error><Type>{kind}</Type><Code>{escape(refused.code)}</Code>'
        f"<Message>{_text(refused.message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    ).encode()


def _structured(shape: "Shape", given: Mapping[str, str], name: str) -> Any:
    """None when no parameter speaks of it."""
    match shape.type_name:
        case "structure":
            found = {
                key: value
                for key, member in shape.members.items()
                if (value := _structured(member, given, _dotted(name, member.serialization.get("name", key))))
                is not None
            }
            return found or None
        case "list":
            items: list[Any] = []
            inner = (
                name
                if shape.serialization.get("flattened")
                else f"{name}.{shape.member.serialization.get('name', 'member')}"
            )
            while (item := _structured(shape.member, given, f"{inner}.{len(items) + 1}")) is not None:
                items.append(item)
            return items or ([] if given.get(name) == "" else None)
    text = given.get(name)
    return None if text is None else _scalar(shape, text)


def _scalar(shape: "Shape", text: str) -> Any:
    try:
        match shape.type_name:
            case "integer" | "long":
                return int(text)
            case "float" | "double":
                return float(text)
            case "boolean":
                return {"true": True, "false": False}[text.lower()]
            case "timestamp":
                return round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)
            case "blob":
                return JSON.read_blob(text)
    except (ValueError, KeyError) as error:
        raise AwsError("MalformedInput", f"{text[:100]!r} is not a {shape.type_name}") from error
    return text


def _members(shape: "Shape", value: Mapping[str, Any]) -> str:
    return "".join(
        _element(member.serialization.get("name", name), member, each) for name, member, each in members(shape, value)
    )


def _element(name: str, shape: "Shape", value: Any) -> str:
    match shape.type_name:
        case "structure":
            inner = _members(shape, value)
        case "list":
            inner = "".join(
                _element(shape.member.serialization.get("name", "member"), shape.member, each) for each in value
            )
        case "timestamp":
            inner = datetime.fromtimestamp(in_ms(value) // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case "blob":
            inner = JSON.write_blob(value)
        case "boolean":
            inner = "true" if value else "false"
        case _:
            inner = _text(str(value))
    return f"<{name}>{inner}</{name}>"


def _text(text: str) -> str:
    """What XML 1.0 cannot say is left out: an error may repeat the caller's own words."""
    return escape("".join(char for char in text if char in "\t\n\r" or " " <= char <= "\ufffd" or char > "\uffff"))


def _dotted(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key
