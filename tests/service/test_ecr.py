"""ECR as a destination: real botocore against a moto server, and against AWS's own model where moto has nothing."""

from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeyard.errors import RegistryError
from pipeyard.registry.client import Access, open_registries
from pipeyard.registry.client.retries import Backoff
from pipeyard.registry.credentials import Anonymous, Credential, FixedKeychain
from pipeyard.registry.reference import Reference
from pipeyard.service.ecr import PRIVATE_HOST, PUBLIC_HOST, Clients, EcrKeychain, EcrRegistry, session_clients
from tests.registry_client.images import has_all, push, sample
from tests.registry_client.processes import docker_registry, own_registry
from tests.service.moto_server import HOST, PASSWORD, clients_of, moto_server


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    with moto_server() as url:
        yield url


def test_a_repository_is_where_ecr_says(aws: str) -> None:
    clients_of(aws)("ecr", "").create_repository(repositoryName="there/app")
    assert EcrRegistry(clients=clients_of(aws)).reference("there/app", "private") == Reference(HOST, "there/app")


def test_a_missing_repository_is_an_error_that_says_how_to_create_it(aws: str) -> None:
    with pytest.raises(RegistryError, match="there is no ECR repository missing/app") as missing:
        EcrRegistry(clients=clients_of(aws)).reference("missing/app", "private")
    assert missing.value.code == "RepositoryNotFoundException"
    assert "aws ecr create-repository --repository-name missing/app --region us-east-1" in missing.value.hint
    assert "create_repository = true" in missing.value.hint


def test_with_create_repository_it_is_made_once(aws: str) -> None:
    registry = EcrRegistry(clients=clients_of(aws), create_repository=True)
    for _ in range(2):
        assert registry.reference("made/app", "private").repository == "made/app"
    named = clients_of(aws)("ecr", "").describe_repositories(repositoryNames=["made/app"])["repositories"]
    assert len(named) == 1


def test_a_name_that_ecr_refuses_is_said_in_its_words(aws: str) -> None:
    with pytest.raises(RegistryError, match="Invalid parameter at 'repositoryName'"):
        EcrRegistry(clients=clients_of(aws), create_repository=True).reference("UPPER", "private")


def test_ecrs_password_opens_a_registry_that_demands_it(aws: str, tmp_path: Path) -> None:
    with own_registry(tmp_path, users=f"AWS:{PASSWORD}") as host:
        access = Access(addresses={HOST: f"http://{host}"}, backoff=Backoff(attempts=1))
        image = sample(1)
        with open_registries(access, EcrKeychain(clients_of(aws))) as registries:
            published = push(image, registries.destination(Reference(HOST, "team/app")), ("1",))
            assert published.references == (f"{HOST}/team/app:1",)
            assert has_all(registries.repository(Reference(HOST, "team/app")), image, "1")
        with (
            open_registries(access, FixedKeychain({HOST: Credential(username="AWS", password="x")})) as registries,
            pytest.raises(RegistryError, match="refused the login of AWS"),
        ):
            registries.repository(Reference(HOST, "team/app")).head("1")


def test_a_registry_that_names_itself_in_its_answers_can_stand_in_for_ecr(aws: str, tmp_path: Path) -> None:
    """docker-registry sends uploads to the Host that it was asked by."""
    with docker_registry(tmp_path) as host:
        access = Access(addresses={HOST: f"http://{host}"}, backoff=Backoff(attempts=1))
        image = sample(2, (3_000_000, 10))
        with open_registries(access, EcrKeychain(clients_of(aws))) as registries:
            push(image, registries.destination(Reference(HOST, "team/app")), ("1",))
        with open_registries(Access(), Anonymous()) as registries:
            assert has_all(registries.repository(Reference(host, "team/app")), image, "1")


class Counted:
    """Clients of which the calls for tokens are counted, each token with a number of its own and good for a day."""

    def __init__(self) -> None:
        self.tokens = 0
        self.now_s = 1_800_000_000.0

    def __call__(self, service: str, region: str) -> Any:
        self.asked = (service, region)
        return self

    def get_authorization_token(self) -> dict[str, Any]:
        self.tokens += 1
        data = {
            "authorizationToken": b64encode(f"AWS:token {self.tokens}".encode()).decode(),
            "expiresAt": datetime.fromtimestamp(self.now_s + 43200, UTC),
        }
        return {"authorizationData": data if self.asked[0] == "ecr-public" else [data]}


def test_a_token_is_kept_while_it_is_good_and_renewed_before_it_ends() -> None:
    clients = Counted()
    keychain = EcrKeychain(clients, now_s=lambda: clients.now_s)
    first = keychain.credential(HOST, "team/app")
    clients.now_s += 36_000
    assert keychain.credential(HOST, "other") == first
    clients.now_s += 6_000
    renewed = keychain.credential(HOST, "team/app")
    assert renewed is not None
    assert (renewed.username, renewed.password, clients.tokens) == ("AWS", "token 2", 2)


def test_each_host_is_asked_in_its_region_and_the_public_one_in_its_only_one() -> None:
    clients = Counted()
    keychain = EcrKeychain(clients, now_s=lambda: clients.now_s)
    assert keychain.credential("210987654321.dkr.ecr.eu-west-1.amazonaws.com", "") is not None
    assert clients.asked == ("ecr", "eu-west-1")
    assert keychain.credential(PUBLIC_HOST, "") is not None
    assert clients.asked == ("ecr-public", "us-east-1")


@pytest.mark.parametrize(
    "host",
    [
        "123456789012.dkr.ecr.us-east-1.amazonaws.com",
        "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
        "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
        "123456789012.dkr-ecr.eu-west-1.on.aws",
        "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu",
        "123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov",
    ],
)
def test_the_hosts_of_every_partition_are_ecrs(host: str) -> None:
    assert PRIVATE_HOST.fullmatch(host)


@pytest.mark.parametrize(
    "host",
    [
        "123456789012.dkr.ecr.us-east-1.amazonaws.com.example.com",
        "dkr.ecr.us-east-1.amazonaws.com",
        "123456789012.dkr.ecr.us-east-1.example.com",
        "123456789012xdkr.ecr.us-east-1.amazonaws.com",
        "public.ecr.aws.example.com",
    ],
)
def test_a_host_that_only_looks_like_ecr_gets_no_token(host: str) -> None:
    clients = Counted()
    assert EcrKeychain(clients).credential(host, "") is None
    assert clients.tokens == 0


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Clients:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return session_clients()


def test_without_aws_credentials_docker_logins_count_and_the_public_registry_is_read_anonymously(
    no_credentials: Clients,
) -> None:
    alone = EcrKeychain(no_credentials)
    assert alone.credential(PUBLIC_HOST, "") is None
    with pytest.raises(RegistryError, match="there are no AWS credentials") as refused:
        alone.credential(HOST, "")
    assert "aws configure" in refused.value.hint
    login = Credential(username="AWS", password="from docker login")
    helped = EcrKeychain(no_credentials, otherwise=FixedKeychain({HOST: login, "ghcr.io": login}))
    assert helped.credential(HOST, "") == login
    assert helped.credential("ghcr.io", "") == login


def test_publishing_without_a_region_says_so(no_credentials: Clients) -> None:
    with pytest.raises(RegistryError, match="no AWS region is set"):
        EcrRegistry(clients=no_credentials).reference("team/app", "private")


@pytest.mark.parametrize("name", ["team/app", "alias/team/app"])
def test_a_public_repository_is_below_the_registrys_alias(name: str) -> None:
    clients = _public_clients(exists=True)
    assert EcrRegistry(clients=clients).reference(name, "public") == Reference(PUBLIC_HOST, "alias/team/app")


def test_a_missing_public_repository_is_made_only_when_wanted() -> None:
    with pytest.raises(RegistryError) as missing:
        EcrRegistry(clients=_public_clients(exists=False)).reference("team/app", "public")
    assert "aws ecr-public create-repository --repository-name team/app --region us-east-1" in missing.value.hint
    made = EcrRegistry(clients=_public_clients(exists=False), create_repository=True)
    assert made.reference("team/app", "public") == Reference(PUBLIC_HOST, "alias/team/app")


def _public_clients(*, exists: bool) -> Clients:
    """ECR Public's client with answers that botocore checks against the service's model; moto has no ECR Public."""
    from botocore.session import Session
    from botocore.stub import Stubber

    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    client = Session().create_client("ecr-public", region_name="us-east-1", **keys)
    stubber = Stubber(client)
    alias = {"name": "alias", "status": "ACTIVE", "primaryRegistryAlias": True, "defaultRegistryAlias": True}
    registry = {
        "registryId": "123456789012",
        "registryArn": "arn:aws:ecr-public::123456789012:registry/123456789012",
        "registryUri": "public.ecr.aws/alias",
        "verified": False,
        "aliases": [alias],
    }
    stubber.add_response("describe_registries", {"registries": [registry]}, {})
    repository = {"repositoryName": "team/app", "repositoryUri": "public.ecr.aws/alias/team/app"}
    named = {"repositoryNames": ["team/app"]}
    if exists:
        stubber.add_response("describe_repositories", {"repositories": [repository]}, named)
    else:
        stubber.add_client_error("describe_repositories", "RepositoryNotFoundException", expected_params=named)
        stubber.add_response("create_repository", {"repository": repository}, {"repositoryName": "team/app"})
    stubber.activate()
    return lambda service, region: {("ecr-public", "us-east-1"): client}[service, region]


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_the_region_is_what_the_tools_of_aws_read(
    name: str, no_credentials: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "eu-west-3")
    assert no_credentials("ecr", "").meta.region_name == "eu-west-3"
