"""Hash functions, and the identifiers that follow from a name."""

import base64
import hashlib
import uuid

from pipeyard.definition.terraform.functions.signature import Function, FunctionFault, Table, string
from pipeyard.definition.terraform.values import STRING, Value, text

_NAMESPACES = {
    "dns": uuid.NAMESPACE_DNS,
    "url": uuid.NAMESPACE_URL,
    "oid": uuid.NAMESPACE_OID,
    "x500": uuid.NAMESPACE_X500,
}


def _hash(algorithm: str, *, in_base64: bool = False) -> Function:
    def body(given: Value) -> Value:
        digest = hashlib.new(algorithm, given.raw.encode(), usedforsecurity=False)
        return text(base64.b64encode(digest.digest()).decode() if in_base64 else digest.hexdigest())

    return Function(body, (string("str"),), returns=STRING)


def _uuid5(namespace: Value, name: Value) -> Value:
    try:
        space = _NAMESPACES.get(namespace.raw) or uuid.UUID(namespace.raw)
    except ValueError:
        raise FunctionFault(
            f"{namespace.raw!r} is no namespace", hint="namespaces are dns, url, oid, x500 and any UUID"
        ) from None
    return text(str(uuid.uuid5(space, name.raw)))


FUNCTIONS: Table = {
    "base64sha256": _hash("sha256", in_base64=True),
    "base64sha512": _hash("sha512", in_base64=True),
    "md5": _hash("md5"),
    "sha1": _hash("sha1"),
    "sha256": _hash("sha256"),
    "sha512": _hash("sha512"),
    "uuidv5": Function(_uuid5, (string("namespace"), string("name")), returns=STRING),
}
