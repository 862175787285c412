"""Whose access key it is: the operator's own keys, and sessions that STS made from them.

A session's token carries all that is known of it, authenticated by a secret of this home; its secret key follows from
the token. So nothing is stored, and a session lives on through a restart and ends by itself.
"""

import hashlib
import hmac
import secrets
from base64 import b32decode, b32encode, b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from pipeyard.aws.arns import arn

_HEADER = b"\x15\x0a\x06er/aws\x10"  # what the tokens of AWS begin with: FQoGZXIvYXdzE...
_MAC = 32
_PAYLOAD = 267 - len(_HEADER) - _MAC  # 356 characters in all, unless there is more to say
_ACCOUNT_BITS = 0x7FFFFFFFFF80


class Identity(Struct, frozen=True, kw_only=True):
    account: str
    user_id: str
    arn_resource: str  # service, then resource: ("iam", "root")
    arn_service: str

    def arn(self, region: str) -> str:
        """In the partition of the region that is asked."""
        return arn(self.arn_service, region, self.account, self.arn_resource, is_global=True)


class Caller(Struct, frozen=True, kw_only=True):
    """Who asks, where. The operator's keys may do everything; so may the sessions made with them."""

    identity: Identity
    access_key: str
    region: str
    host: str = ""  # as the client reached us

    @property
    def account(self) -> str:
        return self.identity.account

    @property
    def arn(self) -> str:
        return self.identity.arn(self.region)


class Session(Struct, frozen=True, kw_only=True):
    access_key: str
    secret_key: str
    token: str
    expires_ms: int


class Known(Struct, frozen=True, kw_only=True):
    """An access key that is ours, with what its signatures are made with."""

    identity: Identity
    secret: str


class UnknownKey(Exception):
    """The key, or the session token with it, is not one of ours; `expired` when it was."""

    def __init__(self, *, expired: bool = False) -> None:
        super().__init__("expired" if expired else "unknown")
        self.expired = expired


class _Claims(Struct, frozen=True, kw_only=True):
    key: str
    expires_ms: int
    identity: Identity


class AccessKeys:
    """The keys of one home. Safe for any number of threads."""

    def __init__(self, keys: Mapping[str, str], account: str, secret: bytes) -> None:
        self._keys = dict(keys)
        self._secret = secret
        self.account = account
        self.root = Identity(account=account, user_id=account, arn_service="iam", arn_resource="root")

    def find(self, access_key: str, token: str, now_ms: int) -> Known:
        """Raises UnknownKey."""
        if not token:
            secret = self._keys.get(access_key)
            if secret is None:
                raise UnknownKey
            return Known(identity=self.root, secret=secret)
        claims, raw = self._read(token)
        if not hmac.compare_digest(claims.key.encode(), access_key.encode("utf-8", "surrogateescape")):
            raise UnknownKey
        if claims.expires_ms <= now_ms:
            raise UnknownKey(expired=True)
        return Known(identity=claims.identity, secret=self._session_secret(raw))

    def start_session(self, identity: Identity, expires_ms: int) -> Session:
        key = new_key_id("ASIA", identity.account)
        claims = msgspec.json.encode(_Claims(key=key, expires_ms=expires_ms, identity=identity))
        payload = claims.ljust(_PAYLOAD)
        payload += b" " * (-(len(_HEADER) + _MAC + len(payload)) % 3)
        raw = _HEADER + self._mac(b"token", payload) + payload
        return Session(
            access_key=key, secret_key=self._session_secret(raw), token=b64encode(raw).decode(), expires_ms=expires_ms
        )

    def account_of(self, access_key: str) -> str | None:
        """Of our keys the account; of others what their id says; None when it says nothing."""
        return self.account if access_key in self._keys else account_in(access_key)

    def password(self, registry: str, expires_ms: int) -> str:
        """What `docker login -u AWS` sends: good for the registry until then."""
        claims = f"{registry}:{expires_ms}".encode()
        return b64encode(claims + b":" + self._mac(b"registry", claims).hex().encode()).decode()

    def check_password(self, password: str, now_ms: int) -> bool:
        try:
            claims, _, mac = b64decode(password, validate=True).rpartition(b":")
        except (Base64Error, ValueError):
            return False
        if not hmac.compare_digest(mac, self._mac(b"registry", claims).hex().encode()):
            return False
        return int(claims.rpartition(b":")[2]) > now_ms

    def _read(self, token: str) -> tuple[_Claims, bytes]:
        try:
            raw = b64decode(token, validate=True)
        except (Base64Error, ValueError):
            raise UnknownKey from None
        start = len(_HEADER)
        mac, payload = raw[start : start + _MAC], raw[start + _MAC :]
        if not raw.startswith(_HEADER) or not hmac.compare_digest(mac, self._mac(b"token", payload)):
            raise UnknownKey
        return msgspec.json.decode(payload, type=_Claims), raw

    def _session_secret(self, raw: bytes) -> str:
        return b64encode(self._mac(b"secret", raw)[:30]).decode()

    def _mac(self, use: bytes, text: bytes) -> bytes:
        return hmac.new(self._secret, use + b":" + text, hashlib.sha256).digest()


def new_key_id(prefix: str, account: str) -> str:
    """Twenty characters that tell the account, as those of AWS do."""
    number = (1 << 47) | (int(account) << 7) | secrets.randbits(7)
    return prefix + b32encode(number.to_bytes(6, "big") + secrets.token_bytes(4)).decode()


def account_in(access_key: str) -> str | None:
    """The account that an access key's id tells; None when it is not of that form.

    Source: the ids' first 48 bits after the prefix, as AWS documents it for GetAccessKeyInfo: no secret is needed.
    """
    try:
        number = int.from_bytes(b32decode(access_key[4:])[:6], "big")
    except (Base64Error, ValueError):
        return None
    account = (number & _ACCOUNT_BITS) >> 7
    return f"{account:012d}" if len(access_key) == 20 and account < 10**12 else None


def derived_id(prefix: str, *causes: str) -> str:
    """An id as IAM's are, the same for the same thing: `AROA` and 17 letters and digits."""
    return prefix + b32encode(hashlib.sha256("\0".join(causes).encode()).digest())[:17].decode()
