"""Who is let in: only a request that a key's holder signed, as it is, just now."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeyard.aws.calls import HttpCall
from pipeyard.aws.signatures import BadSignature, check_signature, read_signature
from tests.aws.conftest import ACCOUNT, KEY, SECRET_KEY, Yard, code_of

TARGET = "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories"
JSON = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": TARGET}
IDENTITY = b"Action=GetCallerIdentity&Version=2011-06-15"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def signed(yard: Yard, body: bytes = b"{}", headers: dict[str, str] = JSON, service: str = "ecr") -> AWSRequest:
    request = AWSRequest(method="POST", url=f"{yard.url}/", data=body, headers=headers)
    SigV4Auth(Credentials(KEY, SECRET_KEY), service, "us-east-1").add_auth(request)
    return request


def sent(url: str, headers: Any, body: bytes | None = b"{}") -> tuple[int, str]:
    """Status and the code of the refusal, or the body."""
    try:
        with urlopen(Request(url, data=body, headers=dict(headers)), timeout=20) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as refused:
        text = refused.read().decode()
        return refused.code, json.loads(text)["__type"] if text.startswith("{") else text.split("Code>")[1][:-2]


def test_a_signed_request_is_answered(yard: Yard) -> None:
    request = signed(yard)
    assert sent(request.url, request.headers)[0] == 200


def test_a_body_that_was_not_signed_is_refused(yard: Yard) -> None:
    request = signed(yard)
    assert sent(request.url, request.headers, b'{"maxResults":5}') == (400, "InvalidSignatureException")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Amz-Target", "AmazonEC2ContainerRegistry_V20150921.DescribeRegistry"),
        ("X-Amz-Date", "20000101T000000Z"),
        ("X-Amz-Security-Token", "something"),
        ("X-Amz-More", "not signed"),
        ("Host", "elsewhere.example.com"),
    ],
)
def test_a_header_that_was_changed_or_added_is_refused(yard: Yard, header: str, value: str) -> None:
    request = signed(yard)
    headers = {**dict(request.headers), header: value}
    status, code = sent(request.url, headers)
    assert status == 400
    assert code in ("InvalidSignatureException", "UnrecognizedClientException")


def test_a_path_or_query_that_was_not_signed_is_refused(yard: Yard) -> None:
    request = signed(yard)
    assert sent(f"{yard.url}/?a=b", request.headers) == (400, "InvalidSignatureException")


def test_an_unsigned_request_is_told_that_a_signature_is_missing(yard: Yard) -> None:
    assert sent(f"{yard.url}/", JSON) == (400, "MissingAuthenticationTokenException")
    assert sent(f"{yard.url}/", FORM, IDENTITY) == (403, "MissingAuthenticationToken")


def test_a_wrong_secret_has_each_protocols_own_code(yard: Yard) -> None:
    wrong = {"aws_access_key_id": KEY, "aws_secret_access_key": "wrong"}
    with pytest.raises(ClientError) as json_error:
        yard.client("ecr", **wrong).describe_repositories()
    with pytest.raises(ClientError) as query_error:
        yard.client("sts", **wrong).get_caller_identity()
    assert (code_of(json_error), code_of(query_error)) == ("InvalidSignatureException", "SignatureDoesNotMatch")


def test_an_unknown_key_has_each_protocols_own_code(yard: Yard) -> None:
    unknown = {"aws_access_key_id": "AKIANOBODY", "aws_secret_access_key": SECRET_KEY}
    with pytest.raises(ClientError) as json_error:
        yard.client("ecr", **unknown).describe_repositories()
    with pytest.raises(ClientError) as query_error:
        yard.client("sts", **unknown).get_caller_identity()
    assert (code_of(json_error), code_of(query_error)) == ("UnrecognizedClientException", "InvalidClientTokenId")


@pytest.mark.parametrize(("minutes", "message"), [(6, "Signature expired"), (-6, "Signature not yet current")])
def test_a_request_of_another_time_is_refused(yard: Yard, minutes: int, message: str) -> None:
    yard.clock.offset_ms = minutes * 60_000
    with pytest.raises(ClientError, match=message) as error:
        yard.client("ecr").describe_repositories()
    assert code_of(error) == "InvalidSignatureException"


def test_a_signature_for_another_service_is_refused(yard: Yard) -> None:
    request = signed(yard, service="sts")
    assert sent(request.url, request.headers) == (400, "InvalidSignatureException")


@pytest.mark.parametrize(
    "header", ["AWS4-HMAC-SHA256 Credential=a/b", "Basic YTpi", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 " + "x=y," * 999]
)
def test_a_malformed_authorization_is_refused_as_incomplete(yard: Yard, header: str) -> None:
    assert sent(f"{yard.url}/", {**JSON, "Authorization": header}) == (400, "IncompleteSignatureException")


def presigned(yard: Yard, expires_s: int = 60) -> str:
    request = AWSRequest(method="GET", url=f"{yard.url}/?{IDENTITY.decode()}", headers={})
    SigV4QueryAuth(Credentials(KEY, SECRET_KEY), "sts", "us-east-1", expires=expires_s).add_auth(request)
    return str(request.url)


def test_a_presigned_address_tells_who_signed_it_until_it_expires(yard: Yard) -> None:
    url = presigned(yard)
    status, body = sent(url, {}, None)
    assert status == 200
    assert f"<Arn>arn:aws:iam::{ACCOUNT}:root</Arn>" in body
    yard.clock.offset_ms = 61_000
    assert sent(url, {}, None) == (400, "RequestExpired")


def test_a_presigned_address_that_was_changed_is_refused(yard: Yard) -> None:
    url = presigned(yard).replace("X-Amz-Expires=60", "X-Amz-Expires=61")
    assert sent(url, {}, None) == (403, "SignatureDoesNotMatch")


def test_a_session_has_its_own_identity_and_ends(yard: Yard) -> None:
    sts = yard.client("sts")
    made = sts.assume_role(
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/ci/deployer", RoleSessionName="build", DurationSeconds=900
    )
    found = made["Credentials"]
    keys = {
        "aws_access_key_id": found["AccessKeyId"],
        "aws_secret_access_key": found["SecretAccessKey"],
        "aws_session_token": found["SessionToken"],
    }
    identity = yard.client("sts", **keys).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/deployer/build" == made["AssumedRoleUser"]["Arn"]
    assert sts.get_access_key_info(AccessKeyId=found["AccessKeyId"])["Account"] == ACCOUNT
    assert abs(found["Expiration"] - datetime.now(UTC) - timedelta(seconds=900)) < timedelta(seconds=60)

    for broken in (
        {**keys, "aws_session_token": found["SessionToken"][:-8] + "AAAAAAAA"},
        {**keys, "aws_access_key_id": KEY},
        {"aws_access_key_id": found["AccessKeyId"], "aws_secret_access_key": found["SecretAccessKey"]},
    ):
        with pytest.raises(ClientError) as error:
            yard.client("ecr", **broken).describe_repositories()
        assert code_of(error) == "UnrecognizedClientException"
    yard.clock.offset_ms = 901_000
    with pytest.raises(ClientError) as expired:
        yard.client("ecr", **keys).describe_repositories()
    assert code_of(expired) == "ExpiredTokenException"


def test_nobody_gets_credentials_for_an_identity_that_nobody_vouched_for(yard: Yard) -> None:
    with pytest.raises(ClientError) as error:
        yard.client("sts").assume_role_with_web_identity(
            RoleArn=f"arn:aws:iam::{ACCOUNT}:role/deployer", RoleSessionName="build", WebIdentityToken="x" * 20
        )
    assert code_of(error) == "InvalidIdentityToken"


texts = st.text(min_size=1, max_size=12)


@given(st.dictionaries(texts, texts, max_size=4), st.binary(max_size=50), st.text("ab \t", max_size=9), st.booleans())
def test_whatever_botocore_signs_is_accepted_and_a_changed_byte_is_not(
    query: dict[str, str], body: bytes, spaced: str, presigned: bool
) -> None:
    if any(key.startswith("X-Amz-") for key in query):
        return
    encoded = "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in query.items())
    path = "/service/Some_Thing/operation/Do"
    credentials = Credentials(KEY, SECRET_KEY, "a token" if spaced else None)
    request = AWSRequest(
        method="GET" if presigned else "POST",
        url=f"http://example.com{path}?{encoded}",
        data=b"" if presigned else body,
        headers={} if presigned else {"X-Amz-Spaced": f"x{spaced}y"},
    )
    kind = SigV4QueryAuth if presigned else SigV4Auth
    kind(credentials, "ecr", "us-east-1").add_auth(request)
    call = HttpCall(
        method=request.method,
        path=path,
        query=urlsplit(request.url).query,
        headers=[("host", "example.com"), *((name.lower(), value) for name, value in request.headers.items())],
        body=b"" if presigned else body,
    )
    claimed = read_signature(call)
    now_s = datetime.now(UTC).timestamp()
    check_signature(call, claimed, SECRET_KEY, now_s)
    for other in (
        replace(call, body=call.body + b"x"),
        replace(call, path=f"{path}s"),
        replace(call, query=f"{call.query}&more=1"),
        replace(call, method="PUT"),
    ):
        with pytest.raises(BadSignature):
            check_signature(other, claimed, SECRET_KEY, now_s)
