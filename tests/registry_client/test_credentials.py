"""Logins from the files and helper programs of Docker and Podman."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeyard.errors import InputError, RegistryError
from pipeyard.registry.credentials import Credential, FileKeychain, credential_files, keychain_from


def auth(name: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{name}:{password}".encode()).decode()}


def keychain(folder: Path, document: Mapping[str, object], path: str = "") -> FileKeychain:
    (folder / "config.json").write_text(json.dumps(document))
    return FileKeychain([folder / "missing.json", folder / "config.json"], {"PATH": path})


def login(found: Credential | None) -> tuple[str, str]:
    assert found is not None
    return found.username, found.password


@pytest.mark.parametrize(
    "key", ["registry.example.com", "https://registry.example.com", "https://registry.example.com/v2/"]
)
def test_a_host_is_found_however_an_old_client_wrote_it(key: str, tmp_path: Path) -> None:
    found = keychain(tmp_path, {"auths": {key: auth("ada", "a:b")}}).credential("registry.example.com", "x")
    assert login(found) == ("ada", "a:b")


def test_docker_hub_has_a_name_of_its_own(tmp_path: Path) -> None:
    keys = keychain(tmp_path, {"auths": {"https://index.docker.io/v1/": auth("ada", "x")}})
    assert login(keys.credential("docker.io", "library/alpine")) == ("ada", "x")
    assert keys.credential("quay.io", "a/b") is None


def test_the_most_particular_login_counts(tmp_path: Path) -> None:
    auths = {"quay.io": auth("all", "1"), "quay.io/team": auth("team", "2"), "quay.io/team/app": auth("app", "3")}
    keys = keychain(tmp_path, {"auths": auths})
    assert login(keys.credential("quay.io", "team/app")) == ("app", "3")
    assert login(keys.credential("quay.io", "team/other")) == ("team", "2")
    assert login(keys.credential("quay.io", "teams")) == ("all", "1")


def test_identity_and_registry_tokens_are_read(tmp_path: Path) -> None:
    keys = keychain(
        tmp_path, {"auths": {"a.example.com": {"identitytoken": "i"}, "b.example.com": {"registrytoken": "r"}}}
    )
    first, second = keys.credential("a.example.com", ""), keys.credential("b.example.com", "")
    assert first is not None
    assert second is not None
    assert (first.identity_token, second.registry_token) == ("i", "r")


def helper(folder: Path, name: str, script: str) -> str:
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def test_a_helper_is_asked_for_its_host_and_the_store_for_the_others(tmp_path: Path) -> None:
    path = helper(tmp_path, "one", """read host; echo "{\\"Username\\": \\"one\\", \\"Secret\\": \\"$host\\"}" """)
    helper(tmp_path, "two", """read host; echo "{\\"Username\\": \\"<token>\\", \\"Secret\\": \\"$host\\"}" """)
    keys = keychain(tmp_path, {"credHelpers": {"a.example.com": "one"}, "credsStore": "two"}, path)
    assert login(keys.credential("a.example.com", "x")) == ("one", "a.example.com")
    other = keys.credential("docker.io", "library/alpine")
    assert other is not None
    assert other.identity_token == "https://index.docker.io/v1/"


def test_a_helper_that_knows_nothing_is_no_error_and_one_that_fails_is(tmp_path: Path) -> None:
    path = helper(tmp_path, "empty", "echo credentials not found in native keychain; exit 1")
    helper(tmp_path, "bad", "echo the vault is sealed >&2; exit 1")
    helper(tmp_path, "odd", "echo not-json")
    assert keychain(tmp_path, {"credsStore": "empty"}, path).credential("a.example.com", "") is None
    with pytest.raises(RegistryError, match="the vault is sealed"):
        keychain(tmp_path, {"credsStore": "bad"}, path).credential("a.example.com", "")
    with pytest.raises(RegistryError, match="something else than a login"):
        keychain(tmp_path, {"credsStore": "odd"}, path).credential("a.example.com", "")
    with pytest.raises(RegistryError, match="not installed"):
        keychain(tmp_path, {"credsStore": "absent"}, path).credential("a.example.com", "")
    with pytest.raises(InputError, match="not the name"):
        keychain(tmp_path, {"credsStore": "../../bin/sh"}, path).credential("a.example.com", "")


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": {"a.example.com": {"auth": "%%"}}}'])
def test_a_broken_file_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError) as wrong:
        FileKeychain([tmp_path / "config.json"], {}).credential("a.example.com", "")
    assert wrong.value.place is not None
    assert wrong.value.place.file == str(tmp_path / "config.json")


def test_the_places_are_those_of_docker_and_podman() -> None:
    assert credential_files({"REGISTRY_AUTH_FILE": "/a", "HOME": "/h"}) == (Path("/a"),)
    assert credential_files({"HOME": "/h", "XDG_RUNTIME_DIR": "/run/u"}) == (
        Path("/run/u/containers/auth.json"),
        Path("/h/.config/containers/auth.json"),
        Path("/h/.docker/config.json"),
    )
    assert credential_files({"HOME": "/h", "DOCKER_CONFIG": "/d"})[-1] == Path("/d/config.json")


def test_a_login_made_meanwhile_counts(tmp_path: Path) -> None:
    keys = keychain_from({"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")})
    assert keys.credential("a.example.com", "") is None
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {"a.example.com": auth("ada", "x")}}))
    assert login(keys.credential("a.example.com", "")) == ("ada", "x")
