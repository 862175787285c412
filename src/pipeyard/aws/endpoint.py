"""One call, from request to reply: authenticated, understood, checked, carried out, shaped."""

import logging
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pipeyard.aws.arns import is_region
from pipeyard.aws.calls import HttpCall, Reply
from pipeyard.aws.identities import Caller, Identity, UnknownKey
from pipeyard.aws.parts import Parts
from pipeyard.aws.protocols import Asked, answered, asked, protocol_of, read_input, refused
from pipeyard.aws.refusals import AwsError
from pipeyard.aws.services import Protocol, Service, operation_model, snake_case
from pipeyard.aws.shapes import broken_constraints, complaint
from pipeyard.aws.signatures import BadSignature, check_signature, is_signed, read_signature, refusal
from pipeyard.errors import PipeyardError

if TYPE_CHECKING:
    from botocore.model import OperationModel

Operation = Callable[[Parts, Caller, dict[str, Any]], dict[str, Any]]

_log = logging.getLogger(__name__)


def respond(parts: Parts, call: HttpCall) -> Reply:
    """Never raises. Safe for any number of threads."""
    request_id = parts.new_id()
    protocol = protocol_of(call)
    service: Service | None = None
    try:
        what = asked(call)
        service = what.service
        reply = _carry_out(parts, call, what, request_id)
    except AwsError as error:
        reply = refused(protocol, service, error, request_id)
    except PipeyardError as error:
        _log.error("%s %s: %s", call.method, call.header("x-amz-target") or call.path, error)
        reply = refused(protocol, service, AwsError("ServerException", error.message, status=500), request_id)
    except Exception:  # noqa: BLE001 - the front door: a fault must not tell callers how we are made
        _log.exception("%s %s failed", call.method, call.header("x-amz-target") or call.path)
        failure = AwsError("InternalFailure", "the request failed because of a fault in pipeyard", status=500)
        reply = refused(protocol, service, failure, request_id)
    return Reply(
        status=reply.status,
        content_type=reply.content_type,
        body=reply.body,
        headers=(("x-amzn-requestid", request_id), *reply.headers),
    )


def _carry_out(parts: Parts, call: HttpCall, what: Asked, request_id: str) -> Reply:
    described = operation_model(what.service, what.operation)
    caller = _authenticate(parts, call, what)
    if described is None:
        raise _unknown_operation(what)
    request = read_input(what, described, call)
    if broken := broken_constraints(described.input_shape, request):
        raise complaint(what.service.invalid, broken)
    perform = find_operation(what.service, described)
    if perform is None:
        raise _unknown_operation(what)
    return answered(what, described, perform(parts, caller, request), request_id)


def find_operation(service: Service, described: "OperationModel") -> Operation | None:
    """The function of that name in the service's module; None while nobody has written it."""
    try:
        module = import_module(f"pipeyard.aws.{service.name}")
    except ModuleNotFoundError as error:
        if error.name != f"pipeyard.aws.{service.name}":
            raise
        return None
    found: Mapping[str, Operation] = vars(module)
    return found.get(snake_case(described.name))


def _authenticate(parts: Parts, call: HttpCall, what: Asked) -> Caller:
    """Raises AwsError with the code that the service has for it."""
    protocol = what.protocol
    if what.operation in what.service.unsigned and not is_signed(call):
        return _anybody(parts, call)
    try:
        claimed = read_signature(call)
        if claimed.service != what.service.signing_name:
            raise BadSignature(
                "scope", f"Credential should be scoped to correct service: '{what.service.signing_name}'."
            )
        if not is_region(claimed.region):
            raise BadSignature("scope", "Credential should be scoped to a valid region.")
        known = parts.keys.find(claimed.access_key, claimed.token, parts.now_ms())
        check_signature(call, claimed, known.secret, parts.now_ms() / 1000)
    except UnknownKey as error:
        raise _unknown_key(protocol, expired=error.expired) from None
    except BadSignature as error:
        raise refusal(error.fault, error.message, protocol) from None
    return Caller(
        identity=known.identity, access_key=claimed.access_key, region=claimed.region, host=call.header("host")
    )


def _anybody(parts: Parts, call: HttpCall) -> Caller:
    nobody = Identity(account="", user_id="", arn_service="sts", arn_resource="anonymous")
    return Caller(identity=nobody, access_key="", region=parts.region, host=call.header("host"))


def _unknown_key(protocol: Protocol, *, expired: bool) -> AwsError:
    if expired:
        code = "ExpiredToken" if protocol == "query" else "ExpiredTokenException"
        return AwsError(
            code, "The security token included in the request is expired", status=403 if protocol == "query" else 400
        )
    code = "InvalidClientTokenId" if protocol == "query" else "UnrecognizedClientException"
    return AwsError(
        code, "The security token included in the request is invalid.", status=403 if protocol == "query" else 400
    )


def _unknown_operation(what: Asked) -> AwsError:
    if what.protocol == "query":
        return AwsError("InvalidAction", f"Could not find operation {what.operation[:100]} for version 2011-06-15")
    return AwsError("UnknownOperationException", f"{what.service.name} has no operation {what.operation[:100]!r} here")
