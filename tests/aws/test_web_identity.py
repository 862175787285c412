"""AssumeRoleWithWebIdentity: a token counts when a configured issuer signed it for us, and not otherwise."""

import hashlib
import json
import random
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeyard.aws.refusals import AwsError
from pipeyard.aws.web_identity import verified_claims
from tests.aws.conftest import Yard, code_of, open_yard

ISSUER = "https://ci.example.com"
_DER = bytes.fromhex("3031300d060960864801650304020105000420")


def _prime(chance: random.Random, bits: int) -> int:
    while True:
        candidate = chance.getrandbits(bits) | (3 << (bits - 2)) | 1
        if all(pow(base, candidate - 1, candidate) == 1 for base in (2, 3, 5, 7, 11)) and (candidate - 1) % 65537:
            return candidate


def _b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    """An RSA key, made for the tests alone."""

    def __init__(self, seed: int, name: str = "one") -> None:
        chance = random.Random(seed)
        p, q = _prime(chance, 512), _prime(chance, 512)
        self.n, self.name = p * q, name
        self._d = pow(65537, -1, (p - 1) * (q - 1))

    @property
    def public(self) -> dict[str, str]:
        size = (self.n.bit_length() + 7) // 8
        return {"kty": "RSA", "kid": self.name, "n": _b64(self.n.to_bytes(size, "big")), "e": "AQAB"}

    def token(self, claims: dict[str, Any], **header: Any) -> str:
        told = {"alg": "RS256", "kid": self.name, **header}
        signed = f"{_b64(json.dumps(told).encode())}.{_b64(json.dumps(claims).encode())}"
        size = (self.n.bit_length() + 7) // 8
        digest = _DER + hashlib.sha256(signed.encode()).digest()
        padded = b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest
        signature = pow(int.from_bytes(padded, "big"), self._d, self.n).to_bytes(size, "big")
        return f"{signed}.{_b64(signature)}"


KEY, OTHER = Key(1), Key(2)


@pytest.fixture
def federated(tmp_path: Path) -> Iterator[Yard]:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [{"kty": "EC", "kid": "one"}, KEY.public]}))
    with ExitStack() as lifetime:
        yield open_yard(tmp_path / "home", lifetime, oidc_providers={ISSUER: str(keys)})


def assumed(yard: Yard, token: str) -> Any:
    return yard.client("sts").assume_role_with_web_identity(
        RoleArn="arn:aws:iam::123456789012:role/deploy", RoleSessionName="ci", WebIdentityToken=token
    )


def claims(yard: Yard, **changes: Any) -> dict[str, Any]:
    now = yard.clock() // 1000
    return {"iss": ISSUER, "sub": "repo:team/app", "aud": "sts.amazonaws.com", "exp": now + 600, **changes}


def test_a_token_of_a_configured_issuer_takes_the_role(federated: Yard) -> None:
    answer = assumed(federated, KEY.token(claims(federated)))
    assert (answer["SubjectFromWebIdentityToken"], answer["Provider"]) == ("repo:team/app", ISSUER)
    keys = answer["Credentials"]
    caller = federated.client(
        "sts",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    ).get_caller_identity()
    assert caller["Arn"] == "arn:aws:sts::123456789012:assumed-role/deploy/ci"


def test_every_other_token_is_refused(federated: Yard) -> None:
    good = claims(federated)
    head, body, signature = KEY.token(good).split(".")
    wrong = {
        "another key": OTHER.token(good),
        "an issuer nobody named": KEY.token({**good, "iss": "https://evil.example.com"}),
        "another audience": KEY.token({**good, "aud": ["other"]}),
        "no signature": f"{head}.{body}.",
        "no algorithm": f"{_b64(json.dumps({'alg': 'none'}).encode())}.{body}.",
        "changed claims": f"{head}.{_b64(json.dumps({**good, 'sub': 'root'}).encode())}.{signature}",
        "no token": "not a token at all",
        "an unknown key": KEY.token(good, kid="two"),
        "without an end": KEY.token({**good, "exp": None}),
        "with an end that is no number": KEY.token({**good, "exp": float("nan")}),
        "without any end": KEY.token({**good, "exp": float("inf")}),
    }
    for reason, token in wrong.items():
        with pytest.raises(ClientError) as error:
            assumed(federated, token)
        assert code_of(error) == "InvalidIdentityToken", reason
    with pytest.raises(ClientError) as error:
        assumed(federated, KEY.token({**good, "exp": good["exp"] - 3600}))
    assert code_of(error) == "ExpiredTokenException"


def test_without_providers_nobody_is_believed(yard: Yard) -> None:
    with pytest.raises(ClientError) as error:
        assumed(yard, KEY.token(claims(yard)))
    assert code_of(error) == "InvalidIdentityToken"


@settings(deadline=None)
@given(st.text(max_size=80), st.dictionaries(st.text(max_size=4), st.integers() | st.none() | st.text(max_size=4)))
def test_no_token_and_no_key_breaks_verification_but_by_a_refusal(text: str, key: dict[str, Any]) -> None:
    keys = json.dumps({"keys": [{"kty": "RSA", **key}, key]}).encode()
    body = _b64(json.dumps({"iss": ISSUER}).encode())
    for token in (text, f"{_b64(b'{}')}.{body}.{text}", f"{_b64(text.encode(errors='replace'))}.{body}."):
        with pytest.raises(AwsError):
            verified_claims(token, {ISSUER: "keys"}, lambda where: keys, 0)
