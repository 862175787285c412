"""Which image stands for an ECR source action, and what is known of it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeyard.errors import InputError, Place
from pipeyard.registry.reference import Reference, parse_reference
from pipeyard.service.images import Images, open_images
from pipeyard.service.source_images import find_source_image, source_reference
from pipeyard.settings import Settings
from tests.registry.running import manifest
from tests.service.moto_server import HOST, clients_of, moto_server

MANIFEST = manifest(b"{}", b"a layer").decode()


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    with moto_server() as url:
        ecr = clients_of(url)("ecr", "")
        ecr.create_repository(repositoryName="team/app")
        ecr.put_image(repositoryName="team/app", imageManifest=MANIFEST, imageTag="1")
        ecr.put_image(repositoryName="team/app", imageManifest=MANIFEST, imageTag="latest")
        yield url


@pytest.fixture
def images(tmp_path: Path) -> Iterator[Images]:
    with open_images(Settings(home=tmp_path), {}) as images:
        yield images


def test_ecr_itself_tells_of_an_image_of_another_account(images: Images, aws: str) -> None:
    api = clients_of(aws)("ecr", "").describe_images(repositoryName="team/app")["imageDetails"][0]
    account = api["registryId"]
    host = HOST.replace("123456789012", account)
    settings = Settings(home=images.settings.home, account_id="999999999999")
    with open_images(settings, {}) as others:
        found = find_source_image(others, Reference(host, "team/app"), "latest", clients=clients_of(aws))
    assert (found.registry_id, found.digest, found.size) == (account, api["imageDigest"], api["imageSizeInBytes"])
    assert (found.uri, sorted(found.tags)) == (f"{host}/team/app:latest", ["1", "latest"])
    assert found.pushed_ms == int(api["imagePushedAt"].timestamp() * 1000)


@pytest.mark.parametrize("name", ["team/app:missing", "nothing/here:1"])
def test_an_image_that_ecr_does_not_have_is_said_in_its_words(images: Images, aws: str, name: str) -> None:
    settings = Settings(home=images.settings.home, account_id="999999999999")
    with open_images(settings, {}) as others, pytest.raises(InputError) as caught:
        reference = parse_reference(f"{HOST}/{name}")
        find_source_image(others, reference, "latest", clients=clients_of(aws))
    assert "there is no image" in caught.value.message
    assert name.partition(":")[0] in caught.value.message


def put(images: Images, name: str, tag: str) -> str:
    from pipeyard.registry.manifests import examine

    facts = examine(json.dumps({**json.loads(MANIFEST), "annotations": {"name": name}}).encode())
    images.store.put("team/app", [facts], [tag], adopt=False, sparse=True)
    return facts.digest


def test_the_digest_that_an_execution_was_started_for_counts_although_the_tag_moved_on(images: Images) -> None:
    first = put(images, "first", "latest")
    second = put(images, "second", "latest")
    assert find_source_image(images, Reference("", "team/app"), "latest").digest == second
    found = find_source_image(images, Reference("", "team/app"), "latest", first)
    assert (found.digest, found.tag, found.tags) == (first, "latest", ())


def test_a_name_with_a_digest_is_that_image_and_its_uri_says_so(images: Images) -> None:
    first = put(images, "first", "latest")
    put(images, "second", "latest")
    found = find_source_image(images, parse_reference(f"{HOST}/team/app@{first}"), "latest")
    assert (found.digest, found.uri) == (first, f"{HOST}/team/app@{first}")


@pytest.mark.parametrize(
    ("publish", "given", "expected"),
    [
        ("embedded", "", Reference("", "app")),
        ("localhost:5000/team", "", Reference("localhost:5000", "team/app")),
        ("localhost:5000/team", "other:2", Reference("", "other", "2")),
        ("embedded", "ghcr.io/o/app", Reference("ghcr.io", "o/app")),
    ],
)
def test_what_is_told_goes_before_where_the_execution_publishes(
    images: Images, publish: str, given: str, expected: Reference
) -> None:
    assert source_reference(images, publish, "app", given) == expected


def test_connections_say_where_a_repository_is_and_a_git_repository_of_that_name_is_none(tmp_path: Path) -> None:
    named = {"team/base": "docker://ghcr.io/o/base:7", "team/app": "/somewhere/app"}
    with open_images(Settings(home=tmp_path, connections=named), {}) as images:
        assert source_reference(images, "embedded", "team/base", "") == Reference("ghcr.io", "o/base", "7")
        assert source_reference(images, "embedded", "team/base", "mine:1") == Reference("", "mine", "1")
        assert source_reference(images, "embedded", "team/app", "") == Reference("", "team/app")
    with open_images(Settings(home=tmp_path, connections={"app": "docker://Not/A Name"}), {}) as images:
        with pytest.raises(InputError) as caught:
            source_reference(images, "embedded", "app", "")
        assert caught.value.place == Place('connections."app"')


def test_a_revision_that_is_no_digest_is_refused(images: Images) -> None:
    put(images, "first", "latest")
    with pytest.raises(InputError):
        find_source_image(images, Reference("", "team/app"), "latest", "not-a-digest")
