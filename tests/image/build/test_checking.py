"""What `--check` knows of base images and of what a build would fail on, and what a build tells of its file."""

from pipeyard.errors import InputError
from pipeyard.image.build import BuildRequest
from pipeyard.image.build.checking import check
from pipeyard.progress import Warned
from pipeyard.registry.embedded import StoreOrigin
from pipeyard.registry.exchange import ImageOrigin
from tests.image.build.conftest import Yard


def findings(yard: Yard, dockerfile: str) -> list[tuple[str, int]]:
    request = BuildRequest(context=yard.context, dockerfile_text=dockerfile.encode())
    problems = check(request, lambda: StoreOrigin(yard.store))
    return [(problem.rule or problem.message, problem.place.line if problem.place else 0) for problem in problems]


def test_variables_of_the_base_image_are_known(yard: Yard, busybox: str) -> None:
    assert findings(yard, f"FROM {busybox}\nUSER $ORIGIN\nUSER $OTHER\n") == [("UndefinedVar", 3)]


def test_a_base_for_another_platform_is_told(yard: Yard, busybox: str) -> None:
    found = findings(yard, f"FROM --platform=linux/s390x {busybox} AS s390x\n")
    assert found == [("InvalidBaseImagePlatform", 1)]


def test_an_image_that_is_not_there_is_no_finding(yard: Yard) -> None:
    assert findings(yard, "FROM example.com/nothing\nUSER $OTHER\n") == []


def test_what_the_plan_would_fail_on_is_found_without_the_image(yard: Yard) -> None:
    assert findings(yard, "FROM scratch\nSTOPSIGNAL NOT\n") == [("invalid signal: NOT", 2)]
    assert findings(yard, "ARG I\nFROM a$I:$I\n")[-1][0].startswith("invalid reference format")


def test_no_registry_is_opened_where_no_image_is_named(yard: Yard) -> None:
    def refused() -> ImageOrigin:
        raise InputError("opened")

    assert check(BuildRequest(context=yard.context, dockerfile_text=b"FROM scratch\n"), refused) == ()


def test_a_build_tells_of_what_the_ignore_file_keeps_out(yard: Yard) -> None:
    yard.build("FROM scratch\nCOPY kept a* /\n", {"kept": "k", "a": "a", ".dockerignore": "a*\n"})
    told = [report.message for report in yard.reports if isinstance(report, Warned)]
    assert [message.partition(":")[0] for message in told] == ["CopyIgnoredFile"]
