"""What the operator decided: flags over environment over the nearest pipeyard.toml over defaults, read once.

Each setting `name` is `PIPEYARD_NAME` in the environment and `name` in pipeyard.toml. Tables are written in the
environment as `KEY=VALUE,KEY=VALUE`, lists as `A,B`.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from msgspec import Meta, Struct, ValidationError, convert, field

from pipeyard.errors import InputError, Place

FILE_NAME = "pipeyard.toml"


class RegistrySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One upstream registry, `[registries."docker.io"]`."""

    mirror: str = ""  # base URL asked first
    address: str = ""  # base URL where the registry really is: a tunnel, or what stands in for it
    insecure: bool = False  # plain HTTP, or TLS that is not verified
    proxy: bool = False  # the embedded registry pulls through and keeps what it fetched
    ca_file: str = ""


class UserSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One user of the embedded registry, `[users.NAME]`, or a token: a user of its own with few rights and an end.

    `rights`: repositories (`*` is any characters, also slashes) -> what may be done there; without any, everything.
    `NAME = "password"` is short for a user who may do everything for ever.
    """

    password: str
    rights: dict[str, tuple[Literal["pull", "push", "delete"], ...]] = {}
    expires: Annotated[datetime, Meta(tz=True)] | None = None  # 2030-01-31T00:00:00Z


class ProjectSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A CodeBuild project that no definition declares, `[projects.NAME]`."""

    buildspec: str = ""  # text, or a path within the source
    image: str = ""
    privileged: bool = False
    variables: dict[str, str] = {}
    timeout_minutes: int = 60


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that an operator may choose. `origins` tells of each value where it came from."""

    home: Path
    database: str = ""  # SQLAlchemy URL; empty: SQLite under home
    artifacts: str = ""  # folder or s3:// URL; empty: under home
    publish: str = "embedded"  # embedded, ecr, or HOST[/PREFIX]
    registry_mirrors: dict[str, str] = {}  # host as written in a reference -> base URL
    insecure_registries: tuple[str, ...] = ()  # hosts spoken to by plain HTTP
    registries: dict[str, RegistrySettings] = {}
    connections: dict[str, str] = {}  # connection ARN or owner/repository -> absolute folder or git URL, docker://IMAGE
    account_id: str = "123456789012"
    region: str = "us-east-1"
    imports: dict[str, str] = {}  # what other stacks export, for Fn::ImportValue
    ssm_parameters: dict[str, str] = {}  # values of Parameter Store that definitions name
    secrets: dict[str, str] = {}  # values of Secrets Manager that buildspecs name
    projects: dict[str, ProjectSettings] = {}  # CodeBuild projects by name
    build_images: dict[str, str] = {}  # a CodeBuild environment's image -> an image's name, or host
    access_keys: dict[str, str] = {}  # id -> secret, for the AWS endpoint
    oidc_providers: dict[str, str] = {}  # issuer of OpenID Connect -> its JWKS, FILE or https URL, [#AUDIENCE]
    users: dict[str, UserSettings] = {}  # name -> password and rights, for the embedded registry
    create_on_push: bool = True  # a push into the embedded registry makes its repository
    registry_storage: str = ""  # s3://bucket/prefix keeps the embedded registry's blobs; empty: files under home
    registry_redirect: bool = True  # clients fetch blobs from S3 themselves; else they go through the server
    start_on_create: bool = True  # a pipeline that is made through the AWS endpoint runs at once, as with the service
    create_repository: bool = False  # publishing to ECR creates what is missing
    cache_size_mb: int = 20_000  # local build cache is pruned to this
    run_memory_mb: int = 0  # of one RUN in a pipeline; 0: nine tenths of this machine's
    run_processes: int = 10_000  # of one RUN in a pipeline
    run_minutes: int = 480  # of one RUN in a pipeline; the longest that the service lets a build take
    origins: dict[str, str] = field(default_factory=dict)

    @property
    def database_url(self) -> str:
        return self.database or sqlite_url(self.home / "pipeyard.sqlite")

    @property
    def artifacts_url(self) -> str:
        return self.artifacts or str(self.home / "artifacts")


def sqlite_url(file: Path) -> str:
    """The SQLAlchemy URL of a file, which may have a `?` or `%` in its name."""
    return f"sqlite:///{quote(str(file))}"


_SECRET = frozenset({"access_keys", "users", "secrets"})
_HIDDEN = frozenset({"home", "origins"})  # not settable from a file


def load(flags: Mapping[str, Any], environ: Mapping[str, str], folder: Path) -> Settings:
    """Settings for a process that starts in `folder`. A flag that is None was not given.

    Raises InputError placed at the line of pipeyard.toml, or naming the variable of the environment.
    """
    values: dict[str, Any] = {"home": _default_home(environ)}
    origins = dict.fromkeys(Settings.__struct_fields__, "default")
    for name, value, origin in (
        *_from_file(folder),
        *_from_environment(environ),
        *((name, value, "the command line") for name, value in flags.items() if value is not None),
    ):
        try:
            values[name] = Path(value) if name == "home" else convert(_long(name, value), _TYPES[name], strict=False)
        except (ValidationError, ValueError) as error:
            raise InputError(f"{name} from {origin} has a wrong value: {error}", place=_place(origin)) from error
        origins[name] = origin
        if name == "connections":
            place = _place(origin)
            values[name] = _anchored(values[name], Path(place.file).parent if place else folder)
    values["home"] = Path(values["home"]).expanduser().absolute()
    return Settings(**values, origins=origins)


def _anchored(connections: dict[str, str], folder: Path) -> dict[str, str]:
    """Folders among the connections count from the file that names them, wherever pipeyard is started."""
    url = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|[^/]+@[^/]+:")
    return {
        name: where if url.match(where) else str((folder / Path(where).expanduser()).absolute())
        for name, where in connections.items()
    }


def _long(name: str, value: Any) -> Any:
    """`[users]` may have plain passwords."""
    if name != "users" or not isinstance(value, dict):
        return value
    return {user: {"password": told} if isinstance(told, str) else told for user, told in value.items()}


_TYPES: Mapping[str, Any] = Settings.__annotations__


def _default_home(environ: Mapping[str, str]) -> Path:
    data = environ.get("XDG_DATA_HOME", "")
    if data.startswith("/"):  # XDG Base Directory Specification: a relative path is ignored
        return Path(data) / "pipeyard"
    return Path(environ.get("HOME", "") or "/") / ".local/share/pipeyard"


def _from_file(folder: Path) -> list[tuple[str, Any, str]]:
    path = next((found for parent in (folder, *folder.parents) if (found := parent / FILE_NAME).is_file()), None)
    if path is None:
        return []
    import tomllib

    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+), column (\d+)", str(error))
        place = Place(str(path), int(line[1]), int(line[2])) if line else Place(str(path))
        raise InputError(f"not valid TOML: {error}", place=place) from error
    known = [name for name in Settings.__struct_fields__ if name not in _HIDDEN]
    out = []
    for name, value in table.items():
        line_number = _line_of(text, name)
        if name not in known:
            raise InputError(
                f"unknown setting {name!r}", place=Place(str(path), line_number), hint=f"known are {', '.join(known)}"
            )
        out.append((name, value, f"{path}:{line_number}"))
    return out


def _line_of(text: str, name: str) -> int:
    pattern = re.compile(rf"""^\s*\[*\s*["']?{re.escape(name)}["']?\s*[\].=]""")
    return next((number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line)), 1)


def _place(origin: str) -> Place | None:
    file, _, line = origin.rpartition(":")
    return Place(file, int(line)) if file and line.isdigit() else None


def _from_environment(environ: Mapping[str, str]) -> list[tuple[str, Any, str]]:
    out: list[tuple[str, Any, str]] = []
    for name in Settings.__struct_fields__:
        text = environ.get(f"PIPEYARD_{name.upper()}")
        if not text or name in {"origins", "registries", "projects"}:
            continue
        origin = f"PIPEYARD_{name.upper()} in the environment"
        if _TYPES[name] == dict[str, str] or name in _SECRET:
            separator = ":" if name in _SECRET else "="
            pairs = [part.partition(separator) for part in text.split(",") if part.strip()]
            if any(not middle for _, middle, _ in pairs):
                raise InputError(f"{origin} is not a list of KEY{separator}VALUE")
            out.append((name, {key.strip(): value.strip() for key, _, value in pairs}, origin))
        elif _TYPES[name] == tuple[str, ...]:
            out.append((name, [part.strip() for part in text.split(",") if part.strip()], origin))
        else:
            out.append((name, text, origin))
    return out
