"""Which operation a request asks for, in which protocol; and how its answer or refusal is written."""

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from pipeyard.aws import cbor, query
from pipeyard.aws.calls import HttpCall, Reply
from pipeyard.aws.refusals import AwsError
from pipeyard.aws.services import BY_TARGET, BY_VERSION, Protocol, Service, model
from pipeyard.aws.shapes import JSON, Notation, read, write

if TYPE_CHECKING:
    from botocore.model import OperationModel

_JSON = "application/x-amz-json-1.1"
_CBOR = "application/cbor"
_RPC = "/service/"


class Asked(Struct, frozen=True):
    protocol: Protocol
    service: Service
    operation: str


def _cbor_time(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a time")
    return round(value * 1000)


def _cbor_blob(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("not bytes")
    return value


_CBOR_NOTATION = Notation(_cbor_time, _cbor_blob, lambda ms: cbor.Moment(ms / 1000), lambda data: data)


def is_aws(method: str, path: str, query_string: str) -> bool:
    """Whether a request on the common port is for a service and not for the registry."""
    return (path == "/" and (method == "POST" or "Action=" in query_string)) or path.startswith(_RPC)


def protocol_of(call: HttpCall) -> Protocol:
    """Told before the operation is known: also a refusal needs one."""
    if call.path.startswith(_RPC):
        return "cbor"
    return "json" if call.header("x-amz-target") or "json" in call.header("content-type") else "query"


def asked(call: HttpCall) -> Asked:
    """Raises AwsError (UnknownOperationException, InvalidAction) for a service that is not spoken here."""
    match protocol_of(call):
        case "cbor":
            parts = unquote(call.path).removeprefix(_RPC).split("/")
            service = BY_TARGET.get(parts[0])
            if service is None or len(parts) != 3 or parts[1] != "operation" or call.method != "POST":
                raise AwsError("UnknownOperationException", f"there is no operation at {call.path[:200]}", status=404)
            return Asked("cbor", service, parts[2])
        case "json":
            prefix, _, operation = call.header("x-amz-target").partition(".")
            service = BY_TARGET.get(prefix)
            if service is None:
                raise AwsError("UnknownOperationException", f"no service here is called {prefix[:100]!r}")
            return Asked("json", service, operation)
        case "query":
            given = query.parameters(call)
            service = BY_VERSION.get(given.get("Version", ""))
            action = given.get("Action", "")
            if service is None:
                version = given.get("Version", "NO_VERSION_SPECIFIED")[:20]
                raise AwsError("InvalidAction", f"Could not find operation {action[:100]} for version {version}")
            return Asked("query", service, action)


def read_input(what: Asked, operation: "OperationModel", call: HttpCall) -> dict[str, Any]:
    """The input with our types. Raises AwsError (SerializationException)."""
    shape = operation.input_shape
    if what.protocol == "query":
        return query.structured(shape, query.parameters(call))
    try:
        if what.protocol == "cbor":
            return read(shape, cbor.decode(call.body) if call.body else {}, _CBOR_NOTATION)
        return read(shape, msgspec.json.decode(call.body) if call.body else {}, JSON)
    except (ValueError, RecursionError, msgspec.DecodeError) as error:
        raise AwsError("SerializationException", f"the request's body cannot be read: {error}") from error


def answered(what: Asked, operation: "OperationModel", answer: dict[str, Any], request_id: str) -> Reply:
    """Raises TypeError for an answer that the model does not know."""
    shape = operation.output_shape
    if what.protocol == "query":
        return Reply(status=200, content_type="text/xml", body=query.answer(operation, answer, request_id))
    if what.protocol == "cbor":
        shaped = write(shape, answer, _CBOR_NOTATION) if shape is not None else {}
        return _reply("cbor", 200, cbor.encode(shaped))
    shaped = write(shape, answer, JSON) if shape is not None else {}
    return _reply("json", 200, msgspec.json.encode(shaped))


def refused(protocol: Protocol, service: Service | None, error: AwsError, request_id: str) -> Reply:
    if protocol == "query":
        namespace = model(service.name).metadata["xmlNamespace"] if service else "https://webservices.amazon.com/"
        return Reply(status=error.status, content_type="text/xml", body=query.error(error, namespace, request_id))
    document = {"__type": error.code, "message": error.message, **error.fields}
    return _reply(
        protocol, error.status, cbor.encode(document) if protocol == "cbor" else msgspec.json.encode(document)
    )


def _reply(protocol: Protocol, status: int, body: bytes) -> Reply:
    if protocol == "cbor":
        return Reply(status=status, content_type=_CBOR, body=body, headers=(("smithy-protocol", "rpc-v2-cbor"),))
    return Reply(status=status, content_type=_JSON, body=body)
