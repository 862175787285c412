"""Signature Version 4, checked: that whoever holds the secret sent this very request, just now.

What is signed is made again from the request as it came: method, path, query, the signed headers, the hash of the body
that is really there. Nothing is decided before the whole signature was compared, in constant time.

Source: AWS IAM User Guide, "Create a signed AWS API request" and "Troubleshoot Signature Version 4".
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import quote, unquote

from msgspec import Struct

from pipeyard.aws.calls import HttpCall
from pipeyard.aws.refusals import AwsError

SKEW_S = 300
_MAX_PRESIGNED_S = 7 * 24 * 3600
_ALGORITHM = "AWS4-HMAC-SHA256"
_TIME = re.compile(r"\d{8}T\d{6}Z")
_FORMAT = "%Y%m%dT%H%M%SZ"
_FIELD = re.compile(r"\s*(Credential|SignedHeaders|Signature)=([^,\s]+)\s*")

Fault = Literal["missing", "malformed", "mismatch", "scope", "expired", "early", "presigned-expired"]


class BadSignature(Exception):
    """`fault` becomes the service's own code: its name differs between protocols."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault: Fault = fault
        self.message = message


class Signature(Struct, frozen=True, kw_only=True):
    """What a request claims about itself."""

    access_key: str
    day: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    at: str  # 20260131T235959Z
    token: str = ""  # of a session
    expires_s: int | None = None  # of a presigned request

    @property
    def scope(self) -> str:
        return f"{self.day}/{self.region}/{self.service}/aws4_request"


def is_signed(call: HttpCall) -> bool:
    return bool(call.header("authorization")) or "X-Amz-Signature=" in call.query or "X-Amz-Algorithm=" in call.query


def read_signature(call: HttpCall) -> Signature:
    """From the Authorization header or the query. Raises BadSignature (missing, malformed)."""
    header = call.header("authorization")
    if header:
        kind, _, rest = header.partition(" ")
        if kind != _ALGORITHM:
            raise BadSignature("malformed", f"Unsupported AWS 'algorithm': '{kind[:100]}'.")
        found = (match for part in rest.split(",") if (match := _FIELD.fullmatch(part)))
        fields = {match[1]: match[2] for match in found}
        missing = [name for name in ("Credential", "Signature", "SignedHeaders") if name not in fields]
        if missing:
            told = " ".join(f"Authorization header requires '{name}' parameter." for name in missing)
            raise BadSignature("malformed", told)
        return _claims(
            fields["Credential"], fields["SignedHeaders"], fields["Signature"],
            at=call.header("x-amz-date"), token=call.header("x-amz-security-token"),
        )  # fmt: skip
    query = dict(_pairs(call.query))
    if query.get("X-Amz-Algorithm") != _ALGORITHM or "X-Amz-Signature" not in query:
        raise BadSignature("missing", "Missing Authentication Token")
    expires = query.get("X-Amz-Expires", "")
    if not re.fullmatch(r"[0-9]{1,6}", expires) or not 1 <= int(expires) <= _MAX_PRESIGNED_S:
        raise BadSignature("malformed", "X-Amz-Expires must be a number of seconds between 1 and 604800")
    return _claims(
        query.get("X-Amz-Credential", ""), query.get("X-Amz-SignedHeaders", ""), query["X-Amz-Signature"],
        at=query.get("X-Amz-Date", ""), token=query.get("X-Amz-Security-Token", ""), expires_s=int(expires),
    )  # fmt: skip


def check_signature(call: HttpCall, claimed: Signature, secret: str, now_s: float) -> None:
    """Raises BadSignature when the request is not the one that was signed, or not of now."""
    if "host" not in claimed.signed_headers:
        raise BadSignature("malformed", "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    unsigned = [name for name, _ in call.headers if name.startswith("x-amz-") and name not in claimed.signed_headers]
    expected = hmac.new(_key(secret, claimed), _text_to_sign(call, claimed).encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, claimed.signature) or unsigned:
        raise BadSignature(
            "mismatch",
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details.",
        )
    _check_time(claimed, now_s)


def canonical_request(call: HttpCall, signed_headers: Sequence[str]) -> str:
    """The text whose hash is signed."""
    headers: dict[str, list[str]] = {name: [] for name in signed_headers}
    for name, value in call.headers:
        if name in headers:
            headers[name].append(" ".join(value.split()))
    query = sorted((_encoded(key), _encoded(value)) for key, value in _pairs(call.query) if key != "X-Amz-Signature")
    return "\n".join(
        (
            call.method,
            _canonical_path(call.path),
            "&".join(f"{key}={value}" for key, value in query),
            *(f"{name}:{','.join(headers[name])}" for name in signed_headers),
            "",
            ";".join(signed_headers),
            hashlib.sha256(call.body).hexdigest(),
        )
    )


def refusal(fault: Fault, message: str, protocol: str) -> AwsError:
    """The services of the query protocol have other names, and 403, for the same faults.

    Source: API references of STS and ECR, "Common Errors".
    """
    query, other = {
        "missing": ("MissingAuthenticationToken", "MissingAuthenticationTokenException"),
        "malformed": ("IncompleteSignature", "IncompleteSignatureException"),
        "mismatch": ("SignatureDoesNotMatch", "InvalidSignatureException"),
        "scope": ("SignatureDoesNotMatch", "InvalidSignatureException"),
        "expired": ("SignatureDoesNotMatch", "InvalidSignatureException"),
        "early": ("SignatureDoesNotMatch", "InvalidSignatureException"),
        "presigned-expired": ("RequestExpired", "RequestExpired"),
    }[fault]
    if protocol != "query":
        return AwsError(other, message)
    told = "Request is missing Authentication Token" if fault == "missing" else message
    return AwsError(query, told, status=400 if fault in ("malformed", "presigned-expired") else 403)


def _claims(
    credential: str, signed_headers: str, signature: str, *, at: str, token: str, expires_s: int | None = None
) -> Signature:
    parts = credential.rsplit("/", 4)  # an access key's own id has no slash, but nobody promises it
    if len(parts) != 5 or not all(parts) or parts[4] != "aws4_request":
        raise BadSignature(
            "malformed",
            "Credential must have exactly 5 slash-delimited elements, "
            f"e.g. keyid/date/region/service/term, got '{credential[:200]}'",
        )
    if not _TIME.fullmatch(at):
        raise BadSignature("malformed", f"Date must be in ISO-8601 'basic format'. Got '{at[:100]}'.")
    if not at.startswith(parts[1]):
        raise BadSignature(
            "scope", f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date: {at}"
        )
    return Signature(
        access_key=parts[0],
        day=parts[1],
        region=parts[2],
        service=parts[3],
        signed_headers=tuple(signed_headers.split(";")),
        signature=signature,
        at=at,
        token=token,
        expires_s=expires_s,
    )


def _check_time(claimed: Signature, now_s: float) -> None:
    try:
        then_s = datetime.strptime(claimed.at, _FORMAT).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise BadSignature("malformed", f"Date must be in ISO-8601 'basic format'. Got '{claimed.at}'.") from None
    if claimed.expires_s is not None and then_s + claimed.expires_s < now_s:
        raise BadSignature("presigned-expired", "Request has expired.")
    if claimed.expires_s is None and then_s < now_s - SKEW_S:
        limit, now = (datetime.fromtimestamp(at, UTC).strftime(_FORMAT) for at in (now_s - SKEW_S, now_s))
        raise BadSignature("expired", f"Signature expired: {claimed.at} is now earlier than {limit} ({now} - 5 min.)")
    if then_s > now_s + SKEW_S:
        limit, now = (datetime.fromtimestamp(at, UTC).strftime(_FORMAT) for at in (now_s + SKEW_S, now_s))
        raise BadSignature(
            "early", f"Signature not yet current: {claimed.at} is still later than {limit} ({now} + 5 min.)"
        )


def _text_to_sign(call: HttpCall, claimed: Signature) -> str:
    hashed = hashlib.sha256(canonical_request(call, claimed.signed_headers).encode("utf-8", "surrogateescape"))
    return "\n".join((_ALGORITHM, claimed.at, claimed.scope, hashed.hexdigest()))


def _key(secret: str, claimed: Signature) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (claimed.day, claimed.region, claimed.service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _canonical_path(path: str) -> str:
    """Encoded once more: every service but S3 signs the path as it stands on the wire."""
    return quote(path, safe="/~-_.") or "/"


def _pairs(query: str) -> list[tuple[str, str]]:
    """Decoded, but `+` stays: it is no space in what was signed."""
    split = (part.partition("=") for part in query.split("&") if part)
    return [
        (unquote(key, errors="surrogateescape"), unquote(value, errors="surrogateescape")) for key, _, value in split
    ]


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~", errors="surrogateescape")
