"""Names of images: what people write, and what cannot be one."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pipeyard.errors import InputError
from pipeyard.registry.reference import Reference, parse_place, parse_reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "host", "repository", "tag"),
    [
        ("alpine", "docker.io", "library/alpine", "latest"),
        ("alpine:3.20", "docker.io", "library/alpine", "3.20"),
        ("team/app", "docker.io", "team/app", "latest"),
        ("docker.io/alpine", "docker.io", "library/alpine", "latest"),
        ("index.docker.io/team/app:1", "docker.io", "team/app", "1"),
        ("localhost/app", "localhost", "app", "latest"),
        ("localhost:5000/a/b/c:x", "localhost:5000", "a/b/c", "x"),
        ("[::1]:5000/app", "[::1]:5000", "app", "latest"),
        ("registry.example.com/app", "registry.example.com", "app", "latest"),
    ],
)
def test_names_are_read_as_docker_reads_them(text: str, host: str, repository: str, tag: str) -> None:
    assert parse_reference(text) == Reference(host, repository, tag)


def test_a_digest_goes_before_the_tag_and_needs_none() -> None:
    assert parse_reference(f"app@{DIGEST}").tag == ""
    both = parse_reference(f"localhost:5000/app:1@{DIGEST}")
    assert (both.tag, both.key) == ("1", DIGEST)


def test_without_a_host_a_place_is_the_embedded_registry() -> None:
    assert parse_place("team/app:1") == Reference("", "team/app", "1")
    assert str(parse_place("app")) == "app:latest"
    assert parse_place("docker.io/alpine") == Reference("docker.io", "library/alpine", "latest")


@pytest.mark.parametrize(
    "text", ["", ":", "a:", "App", "a//b", "/a", "a@sha256:12", "a:-x", "https://x.example.com/a", "a b"]
)
def test_what_is_no_name_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(InputError) as wrong:
        parse_reference(text)
    assert wrong.value.hint


@given(some.text(max_size=60))
def test_whatever_is_read_reads_the_same_when_written(text: str) -> None:
    try:
        found = parse_reference(text)
    except InputError:
        return
    assert parse_reference(str(found)) == found
