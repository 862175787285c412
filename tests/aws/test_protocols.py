"""The three protocols: what is asked is understood or refused by name, what is answered can be read."""

import http.client
import json
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeyard.aws import cbor
from pipeyard.aws.pages import BadToken, page
from pipeyard.aws.services import SERVICES, model, snake_case
from tests.aws.conftest import KEY, SECRET_KEY, Yard, code_of

ECR = "AmazonEC2ContainerRegistry_V20150921"


def asked(
    yard: Yard, path: str, body: bytes, headers: dict[str, str], service: str
) -> tuple[int, bytes, dict[str, str]]:
    request = AWSRequest(method="POST", url=f"{yard.url}{path}", data=body, headers=headers)
    SigV4Auth(Credentials(KEY, SECRET_KEY), service, "us-east-1").add_auth(request)
    connection = http.client.HTTPConnection("127.0.0.1", yard.port, timeout=20)
    try:
        connection.request("POST", path, body, dict(request.headers))
        answer = connection.getresponse()
        return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


def json_asked(yard: Yard, target: str, body: bytes = b"{}") -> tuple[int, Any]:
    headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}
    status, answer, _ = asked(yard, "/", body, headers, "ecr")
    return status, json.loads(answer)


@pytest.mark.parametrize("target", [f"{ECR}.NoSuchThing", f"{ECR}.__init__", f"{ECR}.", "Nothing.ListImages", ""])
def test_an_unknown_operation_is_refused_by_name(yard: Yard, target: str) -> None:
    status, answer = json_asked(yard, target)
    assert (status, answer["__type"]) == (400, "UnknownOperationException")


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"{",
        b"[]",
        b'"text"',
        b"\xff",
        b'{"maxResults":"many"}',
        b'{"maxResults":true}',
    ],
    ids=lambda body: repr(body[:20]),
)
def test_a_body_that_is_not_of_the_models_types_is_refused(yard: Yard, body: bytes) -> None:
    status, answer = json_asked(yard, f"{ECR}.DescribeRepositories", body)
    assert (status, answer["__type"]) == (400, "SerializationException")


def test_members_that_the_model_does_not_know_are_ignored(yard: Yard) -> None:
    assert json_asked(yard, f"{ECR}.DescribeRepositories", b'{"unheard":1,"maxResults":null}')[0] == 200


def test_a_broken_constraint_is_told_in_the_services_own_words(yard: Yard) -> None:
    with pytest.raises(ClientError) as ecr:
        yard.client("ecr").create_repository(repositoryName="Upper")
    assert code_of(ecr) == "InvalidParameterException"
    assert "Invalid parameter at 'repositoryName' failed to satisfy constraint" in str(ecr.value)
    with pytest.raises(ClientError) as sts:
        yard.client("sts").assume_role(RoleArn="arn:aws:iam::123456789012:role/x", RoleSessionName="s" * 65)
    assert code_of(sts) == "ValidationError"
    assert f"1 validation error detected: Value '{'s' * 65}' at 'roleSessionName'" in str(sts.value)


def test_every_answer_has_a_request_id(yard: Yard) -> None:
    first, second = (yard.client(name) for name in ("ecr", "sts"))
    ids = {
        first.describe_registry()["ResponseMetadata"]["RequestId"],
        second.get_caller_identity()["ResponseMetadata"]["RequestId"],
    }
    assert len(ids) == 2
    assert all(len(each) == 36 for each in ids)


def test_codebuild_speaks_cbor_with_newer_clients(yard: Yard) -> None:
    headers = {"smithy-protocol": "rpc-v2-cbor", "Content-Type": "application/cbor", "Accept": "application/cbor"}
    project = {
        "name": "app",
        "source": {"type": "NO_SOURCE", "buildspec": "version: 0.2"},
        "artifacts": {"type": "NO_ARTIFACTS"},
        "environment": {"type": "LINUX_CONTAINER", "image": "example", "computeType": "BUILD_GENERAL1_SMALL"},
        "serviceRole": "arn:aws:iam::123456789012:role/build",
    }
    path = "/service/CodeBuild_20161006/operation/"
    status, body, answered = asked(yard, f"{path}CreateProject", cbor.encode(project), headers, "codebuild")
    assert (status, answered["smithy-protocol"]) == (200, "rpc-v2-cbor")
    made = cbor.decode(body)["project"]
    assert made["name"] == "app"
    assert isinstance(made["created"], cbor.Moment)
    status, body, _ = asked(yard, f"{path}CreateProject", cbor.encode(project), headers, "codebuild")
    assert (status, cbor.decode(body)["__type"]) == (400, "ResourceAlreadyExistsException")
    status, body, _ = asked(yard, f"{path}ListProjects", b"\xff", headers, "codebuild")
    assert (status, cbor.decode(body)["__type"]) == (400, "SerializationException")


def test_every_modelled_operation_has_one_python_name() -> None:
    for service in SERVICES:
        names = [snake_case(name) for name in model(service.name).operation_names]
        assert len(set(names)) == len(names)
    assert [snake_case(name) for name in ("GetCallerIdentity", "AssumeRoleWithSAML")] == [
        "get_caller_identity",
        "assume_role_with_saml",
    ]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(values)
def test_cbor_gives_back_what_it_was_given(value: object) -> None:
    assert cbor.decode(cbor.encode(value)) == value


@given(st.binary(max_size=200))
def test_no_bytes_break_the_cbor_reader(data: bytes) -> None:
    try:
        cbor.decode(data)
    except ValueError:
        pass


def test_cbor_that_is_nested_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="deeply"):
        cbor.decode(b"\x81" * 100_000)


@given(st.lists(st.text(min_size=1), unique=True), st.integers(1, 5))
def test_pages_together_are_the_list(entries: list[str], limit: int) -> None:
    found: list[str] = []
    token = None
    while True:
        chosen, token = page(entries, str, token, limit)
        found += chosen
        if token is None:
            break
    assert found == entries


@pytest.mark.parametrize("token", ["x", "!!!", "YWZ0ZXI6bm9ib2R5"])
def test_a_token_that_was_not_given_out_is_refused(token: str) -> None:
    with pytest.raises(BadToken):
        page(["a"], str, token, 1)
