"""Logins for registries, from the files and helper programs that Docker and Podman use.

Source: docker/cli's config file reference ("Credential store options"), docker-credential-helpers' protocol,
containers-auth.json(5).
"""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct

from pipeyard.errors import InputError, Place, RegistryError

_HUB = "https://index.docker.io/v1/"  # what Docker calls its own registry in these files
_HELPER_TIMEOUT_S = 60
_IDENTITY = "<token>"  # the user name under which a helper hands out an identity token
_HELPER_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


class Credential(Struct, frozen=True, kw_only=True):
    """A login: name and password, or an identity token (for a token server), or a token for the registry itself.

    `origin` tells people where it came from; it never holds a secret. Neither does the representation.
    """

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""
    origin: str = ""

    def __repr__(self) -> str:
        return f"Credential(username={self.username!r}, origin={self.origin!r})"


class Keychain(Protocol):
    """Whoever knows logins. Asked at every login, so it may hand out one that was renewed; safe from any thread."""

    def credential(self, host: str, repository: str) -> Credential | None:
        """The login for a registry as written in references, or None: be anonymous. `repository` may be empty."""


class Anonymous:
    """The keychain without a key."""

    def credential(self, host: str, repository: str) -> Credential | None:
        return None


class FirstOf:
    """Asks one keychain after the other."""

    def __init__(self, keychains: Sequence[Keychain]) -> None:
        self._keychains = tuple(keychains)

    def credential(self, host: str, repository: str) -> Credential | None:
        for keychain in self._keychains:
            if found := keychain.credential(host, repository):
                return found
        return None


class FixedKeychain:
    """Logins by host, as a mapping."""

    def __init__(self, logins: Mapping[str, Credential]) -> None:
        self._logins = dict(logins)

    def credential(self, host: str, repository: str) -> Credential | None:
        return self._logins.get(host)


class _Entry(Struct):
    auth: str = ""
    username: str = ""
    password: str = ""
    identitytoken: str = ""
    registrytoken: str = ""


class _File(Struct):
    auths: dict[str, _Entry] = {}
    cred_helpers: dict[str, str] = msgspec.field(name="credHelpers", default_factory=dict)
    creds_store: str = msgspec.field(name="credsStore", default="")


class _Answer(Struct):
    username: str = msgspec.field(name="Username", default="")
    secret: str = msgspec.field(name="Secret", default="")


class FileKeychain:
    """Docker's config.json and Podman's auth.json, in the order given; files that do not exist are passed over.

    Read anew at each login, so that a `docker login` in another window counts at once. `helper_environment` is the
    environment in which credential helpers run, and its PATH is where they are looked for.
    """

    def __init__(self, paths: Sequence[Path], helper_environment: Mapping[str, str]) -> None:
        self._paths = tuple(paths)
        self._environment = dict(helper_environment)

    def credential(self, host: str, repository: str) -> Credential | None:
        for path in self._paths:
            document = _read(path)
            if document is not None and (found := self._from_file(path, document, host, repository)):
                return found
        return None

    def _from_file(self, path: Path, document: _File, host: str, repository: str) -> Credential | None:
        names = _names(host, repository)
        for name in names:
            if helper := document.cred_helpers.get(name):
                return self._ask(helper, _HUB if host == "docker.io" else name, path)
        normal = {_normalised(name): entry for name, entry in document.auths.items()}
        for name in names:
            entry = document.auths.get(name) or normal.get(name)
            if entry is not None and (found := _decoded(entry, name, path)):
                return found
        if document.creds_store:
            return self._ask(document.creds_store, _HUB if host == "docker.io" else host, path)
        return None

    def _ask(self, helper: str, server: str, path: Path) -> Credential | None:
        import shutil
        import subprocess

        if not helper or not set(helper) <= _HELPER_NAME:
            raise InputError(f"{helper[:100]!r} is not the name of a credential helper", place=Place(str(path)))
        program = shutil.which(f"docker-credential-{helper}", path=self._environment.get("PATH", ""))
        if program is None:
            raise RegistryError(
                f"the credential helper docker-credential-{helper} is not installed",
                place=Place(str(path)),
                hint="install it, or remove it from credHelpers and credsStore",
            )
        try:
            done = subprocess.run(
                [program, "get"],
                input=server.encode(),
                capture_output=True,
                env=self._environment,
                timeout=_HELPER_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RegistryError(f"docker-credential-{helper} did not work: {error}", place=Place(str(path))) from error
        if done.returncode:
            said = (done.stdout + done.stderr).decode(errors="replace").strip()
            if "credentials not found" in said:
                return None
            raise RegistryError(
                f"docker-credential-{helper} failed for {server}: {said[:200] or done.returncode}",
                place=Place(str(path)),
            )
        try:
            answer = msgspec.json.decode(done.stdout, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RegistryError(
                f"docker-credential-{helper} answered with something else than a login", place=Place(str(path))
            ) from error
        origin = f"docker-credential-{helper}"
        if answer.username == _IDENTITY:
            return Credential(identity_token=answer.secret, origin=origin)
        if not answer.username and not answer.secret:
            return None
        return Credential(username=answer.username, password=answer.secret, origin=origin)


def keychain_from(environ: Mapping[str, str]) -> FileKeychain:
    """The logins of whoever has this environment. $REGISTRY_AUTH_FILE, when set, is the only file, as with Podman."""
    return FileKeychain(credential_files(environ), environ)


def credential_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Where logins are looked for, the most particular place first."""
    if explicit := environ.get("REGISTRY_AUTH_FILE"):
        return (Path(explicit),)
    home = Path(environ.get("HOME") or "/")
    found = []
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        found.append(Path(runtime) / "containers/auth.json")
    found.append(Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "containers/auth.json")
    found.append(Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json")
    return tuple(found)


def _read(path: Path) -> _File | None:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"cannot read the logins: {error.strerror}", place=Place(str(path))) from error
    try:
        return msgspec.json.decode(data, type=_File) if data.strip() else None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not a file of logins: {error}", place=Place(str(path))) from error


def _names(host: str, repository: str) -> tuple[str, ...]:
    """Under which names a login may stand, the most particular first: Podman has them for parts of a registry."""
    parts = repository.split("/") if repository else []
    names = ["/".join((host, *parts[:count])) for count in range(len(parts), 0, -1)] + [host]
    if host == "docker.io":
        names += [_HUB, "index.docker.io", "registry-1.docker.io"]
    return tuple(names)


def _normalised(name: str) -> str:
    """Old Docker clients wrote URLs; what counts is the host."""
    if "://" not in name:
        return name
    rest = name.partition("://")[2]
    host, _, path = rest.partition("/")
    return host if path.strip("/") in ("", "v1", "v2") else rest.rstrip("/")


def _decoded(entry: _Entry, name: str, path: Path) -> Credential | None:
    origin = f"{path} ({name})"
    username, password = entry.username, entry.password
    if entry.auth:
        try:
            username, colon, password = b64decode(entry.auth, validate=True).decode().partition(":")
        except ValueError as error:
            raise InputError(f"the login of {name} is not base64 of NAME:PASSWORD", place=Place(str(path))) from error
        if not colon:
            raise InputError(f"the login of {name} is not base64 of NAME:PASSWORD", place=Place(str(path)))
        password = password.rstrip("\0")  # old clients padded with zero bytes
    if not (username or entry.identitytoken or entry.registrytoken):
        return None
    return Credential(
        username=username,
        password=password,
        identity_token=entry.identitytoken,
        registry_token=entry.registrytoken,
        origin=origin,
    )
