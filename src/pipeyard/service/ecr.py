"""Amazon ECR as a destination: whose registry it is, its login, and repositories that are made when missing.

Source: ECR API, GetAuthorizationToken, DescribeRepositories, CreateRepository; ECR Public API, the same. ECR itself
tells where a repository is (repositoryUri), so every partition and every service with ECR's API is right.
"""

import base64
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import Struct

from pipeyard.errors import RegistryError
from pipeyard.registry.credentials import Anonymous, Credential, Keychain
from pipeyard.registry.reference import Reference, parse_reference

PRIVATE_HOST = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)"
    r"\.(?:amazonaws\.(?:com(?:\.cn)?|eu)|on\.(?:aws|amazonwebservices\.com\.cn)"
    r"|sc2s\.sgov\.gov|c2s\.ic\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)"
)
PUBLIC_HOST = "public.ecr.aws"
_PUBLIC_REGION = "us-east-1"  # ECR Public has its API there alone
_RENEW_BEFORE_S = 4200  # the client uses a login that it was given for up to an hour

Clients = Callable[[str, str], Any]
"""(service, region) -> botocore client; an empty region is the session's own. Handed in, so that tests choose it."""


REGION = ("region", ["AWS_REGION", "AWS_DEFAULT_REGION"], None, None)  # all tools of AWS but botocore read the first


def session_clients() -> Clients:
    """Clients of one botocore session, which finds credentials where AWS's own tools find them."""
    lock = threading.Lock()  # guards made: creating clients is not thread-safe
    made: dict[tuple[str, str], Any] = {}

    def client(service: str, region: str) -> Any:
        from botocore.session import get_session

        with lock:
            if (service, region) not in made:
                session = get_session({"region": REGION})
                made[service, region] = session.create_client(service, region_name=region or None)
            return made[service, region]

    return client


class EcrKeychain:
    """Logs in to ECR hosts with a token from GetAuthorizationToken, renewed before it ends.

    `otherwise` answers for all other hosts, and for ECR's when AWS gives no token: what `docker login` left there is
    good for twelve hours, so AWS is asked first.
    """

    def __init__(
        self, clients: Clients, otherwise: Keychain | None = None, now_s: Callable[[], float] = time.time
    ) -> None:
        self._clients = clients
        self._otherwise = otherwise or Anonymous()
        self._now_s = now_s
        self._lock = threading.Lock()  # guards tokens
        self._tokens: dict[str, tuple[Credential, float]] = {}

    def credential(self, host: str, repository: str) -> Credential | None:
        """Raises RegistryError when AWS refuses and nobody else knows a login; ECR Public is then read anonymously."""
        private = PRIVATE_HOST.fullmatch(host)
        if private is None and host != PUBLIC_HOST:
            return self._otherwise.credential(host, repository)
        try:
            return self._token(host, private["region"] if private else "")
        except RegistryError:
            found = self._otherwise.credential(host, repository)
            if found is None and private is not None:
                raise
            return found

    def _token(self, host: str, region: str) -> Credential:
        with self._lock:
            known = self._tokens.get(host)
            if known is None or known[1] - _RENEW_BEFORE_S < self._now_s():
                known = self._login(host, region)
                self._tokens[host] = known
        return known[0]

    def _login(self, host: str, region: str) -> tuple[Credential, float]:
        with explained(f"log in to {host}"):
            if region:
                data = self._clients("ecr", region).get_authorization_token()["authorizationData"][0]
            else:
                data = self._clients("ecr-public", _PUBLIC_REGION).get_authorization_token()["authorizationData"]
        name, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
        return Credential(username=name, password=password, origin="AWS"), data["expiresAt"].timestamp()


class EcrRegistry(Struct, frozen=True, kw_only=True):
    """The registry of the caller's account, private or public."""

    clients: Clients
    create_repository: bool = False

    def reference(self, repository: str, registry_type: str) -> Reference:
        """Where the repository is; it is there afterwards. Raises RegistryError with what to do when it is not."""
        if registry_type == "public":
            return self._public(repository)
        with explained("reach ECR"):
            ecr = self.clients("ecr", "")
        region = ecr.meta.region_name
        return self._there(
            ecr, repository, f"aws ecr create-repository --repository-name {repository} --region {region}"
        )

    def _public(self, repository: str) -> Reference:
        """ECRRepositoryName may hold the registry's alias already (`alias/name`)."""
        with explained("find the alias of the public registry"):
            ecr = self.clients("ecr-public", _PUBLIC_REGION)
            aliases = [
                alias["name"]
                for registry in ecr.describe_registries()["registries"]
                for alias in registry["aliases"]
                if alias.get("primaryRegistryAlias")
            ]
        if not aliases:
            raise RegistryError(
                "this AWS account has no public registry", hint="create a public repository in ECR first"
            )
        name = repository.removeprefix(f"{aliases[0]}/")
        return self._there(
            ecr, name, f"aws ecr-public create-repository --repository-name {name} --region {_PUBLIC_REGION}"
        )

    def _there(self, client: Any, repository: str, command: str) -> Reference:
        """Where ECR says that the repository is. `command` makes it by hand."""
        from botocore.exceptions import ClientError

        with explained(f"look for the repository {repository}"):
            try:
                found = client.describe_repositories(repositoryNames=[repository])["repositories"][0]
            except ClientError as error:
                if error.response["Error"]["Code"] != "RepositoryNotFoundException":
                    raise
                if not self.create_repository:
                    raise RegistryError(
                        f"there is no ECR repository {repository}",
                        code="RepositoryNotFoundException",
                        hint=f"create it ({command}), or set create_repository = true",
                    ) from error
                found = _created(client, repository)
        parsed = parse_reference(found["repositoryUri"], default_tag="")
        return Reference(parsed.host, parsed.repository)


def _created(client: Any, repository: str) -> Any:
    try:
        return client.create_repository(repositoryName=repository)["repository"]
    except client.exceptions.RepositoryAlreadyExistsException:  # by another run, at this moment
        return client.describe_repositories(repositoryNames=[repository])["repositories"][0]


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turns botocore's exceptions into ours, with what was being done."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

    try:
        yield
    except NoCredentialsError as error:
        hint = "configure AWS credentials (aws configure, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
        raise RegistryError(f"cannot {doing}: there are no AWS credentials", hint=hint) from error
    except NoRegionError as error:
        raise RegistryError(f"cannot {doing}: no AWS region is set", hint="set AWS_REGION") from error
    except ClientError as error:
        told = error.response["Error"]
        raise RegistryError(f"cannot {doing}: {told.get('Message', told)}", code=told.get("Code", "")) from error
    except BotoCoreError as error:
        raise RegistryError(f"cannot {doing}: {error}", hint="check the network and AWS_ENDPOINT_URL") from error
