"""Where images come from and go to, as the settings say."""

from pathlib import Path

import pytest

from pipeyard.errors import InputError, RegistryError
from pipeyard.oci import Platform
from pipeyard.registry.exchange import ResolvedImage
from pipeyard.registry.reference import Reference, parse_reference
from pipeyard.registry.store import ContentStore
from pipeyard.service.images import StoreFirst, ecr_host, open_images, published_reference
from pipeyard.settings import Settings

LINUX = Platform("linux", "amd64")


@pytest.mark.parametrize(
    ("publish", "name"),
    [
        ("localhost:5000", "localhost:5000/team/app"),
        ("registry.example.com/a/b/", "registry.example.com/a/b/team/app"),
        ("https://registry.example.com", "registry.example.com/team/app"),
        ("[::1]:5000/x", "[::1]:5000/x/team/app"),
    ],
)
def test_a_host_and_a_prefix_become_the_repositorys_name(publish: str, name: str) -> None:
    assert published_reference(publish, "team/app").name == name


@pytest.mark.parametrize("publish", ["", "nonsense", "host_name:1", "a b", "localhost:5000/UPPER", "localhost:port"])
def test_what_is_no_registry_is_refused(publish: str) -> None:
    with pytest.raises(InputError):
        published_reference(publish, "team/app")


class Elsewhere:
    """An origin that notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Reference] = []

    def resolve(self, reference: Reference, platform: Platform) -> ResolvedImage:
        self.asked.append(reference)
        raise InputError("elsewhere")

    def read(self, *arguments: object) -> None:
        raise AssertionError


def test_the_accounts_own_ecr_is_the_embedded_registry_and_never_asked(tmp_path: Path) -> None:
    elsewhere = Elsewhere()
    own = ecr_host(Settings(home=tmp_path))
    origin = StoreFirst(ContentStore(tmp_path / "registry"), lambda: elsewhere, own)  # type: ignore
    with pytest.raises(InputError, match="is not in the embedded registry"):
        origin.resolve(parse_reference(f"{own}/team/app:1"), LINUX)
    assert elsewhere.asked == []


def test_a_name_that_was_not_published_here_is_looked_for_on_its_registry(tmp_path: Path) -> None:
    elsewhere = Elsewhere()
    origin = StoreFirst(ContentStore(tmp_path / "registry"), lambda: elsewhere, "none")  # type: ignore
    for text in ("alpine", "team/app:1", "ghcr.io/team/app"):
        with pytest.raises(InputError, match="elsewhere"):
            origin.resolve(parse_reference(text), LINUX)
    assert [str(reference) for reference in elsewhere.asked] == [
        "docker.io/library/alpine:latest", "docker.io/team/app:1", "ghcr.io/team/app:latest",
    ]  # fmt: skip
    assert not (tmp_path / "registry/catalog.sqlite").exists()


def test_with_create_on_push_off_a_publication_needs_its_repository(tmp_path: Path) -> None:
    with open_images(Settings(home=tmp_path, create_on_push=False), {}) as images:
        with pytest.raises(RegistryError, match="there is no repository team/app") as refused:
            images.destination("embedded", "team/app")
        assert "pipeyard registry create team/app" in refused.value.hint
        images.store.catalog.create_repository("team/app", 1)
        images.destination("embedded", "team/app").close()
