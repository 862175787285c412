"""Tokens of OpenID Connect, verified with the keys of their issuer. RSA signatures (RS256, RS384, RS512).

Source: RFC 7515, 7517, 7518 (3.3), 7519; RFC 8017 (8.2.2, 9.2); AWS STS API Reference, AssumeRoleWithWebIdentity.
"""

import binascii
import hashlib
import hmac
import json
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeyard.aws.refusals import AwsError

AUDIENCE = "sts.amazonaws.com"
_LEEWAY_S = 60
_FOREVER_S = 1 << 53
_MAX_TOKEN = 20_000
_HASHES = {
    # DER of the DigestInfo that stands before the hash. Source: RFC 8017, 9.2, note 1.
    "RS256": ("sha256", bytes.fromhex("3031300d060960864801650304020105000420")),
    "RS384": ("sha384", bytes.fromhex("3041300d060960864801650304020205000430")),
    "RS512": ("sha512", bytes.fromhex("3051300d060960864801650304020305000440")),
}
_SMALLEST = 1024  # bits of a key

ReadKeys = Callable[[str], bytes]
"""The JWKS document of a provider, from the file or URL that the settings have for it. Raises OSError."""


def verified_claims(token: str, providers: Mapping[str, str], read_keys: ReadKeys, now_s: float) -> dict[str, Any]:
    """The claims of a token that one of the providers signed for us.

    `providers` are issuers and where their keys are, `FILE|URL` or `FILE|URL#AUDIENCE`. Raises AwsError:
    InvalidIdentityToken, ExpiredTokenException, IDPCommunicationError.
    """
    head, _, rest = token.partition(".")
    body, _, signature = rest.partition(".")
    header, claims = _object(head), _object(body)
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or issuer not in providers:
        raise _bad("No OpenIDConnect provider found in your account for the token's issuer")
    where, _, audience = providers[issuer].partition("#")
    try:
        keys = json.loads(read_keys(where)).get("keys", ())
    except (OSError, ValueError, AttributeError) as error:
        raise AwsError("IDPCommunicationError", f"the keys of {issuer} cannot be read: {error}") from error
    signed = f"{head}.{body}".encode()
    if not any(_fits(header, key) and _is_signed(header, signed, _bytes(signature), key) for key in keys):
        raise _bad("Couldn't verify the token's signature with the keys of its issuer")
    told = claims.get("aud")
    if (audience or AUDIENCE) not in (told if isinstance(told, list) else [told]):
        raise _bad("Incorrect token audience")
    expires, begins = _time(claims.get("exp")), _time(claims.get("nbf", 0))
    if expires is None or begins is None:
        raise _bad("The token has no end")
    if now_s > expires + _LEEWAY_S:
        raise AwsError("ExpiredTokenException", "Token is expired")
    if now_s < begins - _LEEWAY_S:
        raise _bad("The token is not valid yet")
    if not isinstance(claims.get("sub"), str):
        raise _bad("The token has no subject")
    return claims


def keys_of(where: str) -> bytes:
    """An absolute file, or an https URL."""
    if where.startswith("https://"):
        from urllib.request import urlopen

        with urlopen(where, timeout=10) as answer:  # noqa: S310  (https alone gets here)
            return bytes(answer.read(1 << 20))
    return Path(where).expanduser().read_bytes()


def _fits(header: dict[str, Any], key: Any) -> bool:
    return isinstance(key, dict) and key.get("kty") == "RSA" and header.get("kid") in (None, key.get("kid"))


def _is_signed(header: dict[str, Any], signed: bytes, signature: bytes, key: dict[str, Any]) -> bool:
    """RSASSA-PKCS1-v1_5: what the signature decrypts to has to be the one encoding of the hash that there is."""
    known = _HASHES.get(str(header.get("alg")))
    if known is None or key.get("alg", header["alg"]) != header["alg"]:
        return False
    modulus, exponent = _number(key.get("n")), _number(key.get("e"))
    size = (modulus.bit_length() + 7) // 8
    if modulus.bit_length() < _SMALLEST or exponent < 3 or len(signature) != size:
        return False
    name, prefix = known
    digest = prefix + hashlib.new(name, signed).digest()
    wanted = b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest
    found = pow(int.from_bytes(signature, "big"), exponent, modulus).to_bytes(size, "big")
    return hmac.compare_digest(found, wanted)


def _object(text: str) -> dict[str, Any]:
    if len(text) > _MAX_TOKEN:
        raise _bad("The token is too long")
    try:
        found = json.loads(_bytes(text))
    except (ValueError, RecursionError):
        raise _bad("The ID Token provided is not a valid JWT.") from None
    if not isinstance(found, dict):
        raise _bad("The ID Token provided is not a valid JWT.")
    return found


def _bytes(text: str) -> bytes:
    try:
        return urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (binascii.Error, UnicodeEncodeError, ValueError):
        return b""


def _number(text: Any) -> int:
    return int.from_bytes(_bytes(text), "big") if isinstance(text, str) else 0


def _time(value: Any) -> float | None:
    """None also for NaN, which is after no time and before none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < _FOREVER_S else None


def _bad(message: str) -> AwsError:
    return AwsError("InvalidIdentityToken", message)
