"""What builds said, read as from CloudWatch Logs. Source: its API Reference; its User Guide, "Filter pattern"."""

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeyard.aws.logstreams import LogStreams
from tests.aws.conftest import Yard, code_of

GROUP = "/aws/codebuild/app"


@pytest.fixture
def logs(yard: Yard, tmp_path: Path) -> Any:
    """A client, of a group with two streams whose lines alternate."""
    clock = iter(range(1000, 2000))
    streams = LogStreams(tmp_path / "aws" / "logs", lambda: next(clock))
    first, second = (streams.writer("us-east-1", GROUP, name) for name in ("a/1", "b.2"))
    for number in range(3):
        first.write(f"first ERROR {number}\n".encode())
        second.write(f"second ok {number}\n".encode())
    first.close()
    second.close()
    return yard.client("logs")


def messages(answer: dict[str, Any]) -> list[str]:
    return [each["message"] for each in answer["events"]]


def test_events_of_a_group_come_in_the_order_of_their_times(logs: Any) -> None:
    found = logs.filter_log_events(logGroupName=GROUP)
    assert [(each["logStreamName"], each["message"]) for each in found["events"]][:3] == [
        ("a/1", "first ERROR 0"),
        ("b.2", "second ok 0"),
        ("a/1", "first ERROR 1"),
    ]
    assert len({each["eventId"] for each in found["events"]}) == 6


FIRST, SECOND = [f"first ERROR {number}" for number in range(3)], [f"second ok {number}" for number in range(3)]


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        ("", FIRST + SECOND),
        ("ERROR", FIRST),
        ("ERROR first", FIRST),
        ("ERROR second", []),
        ("?ERROR ?ok", FIRST + SECOND),
        ("?ok ?nothing", SECOND),
        ("-ERROR", SECOND),
        ('"first ERROR 1"', FIRST[1:2]),
        ("error", []),
    ],
)
def test_a_pattern_of_terms_chooses_events(logs: Any, pattern: str, kept: list[str]) -> None:
    assert sorted(messages(logs.filter_log_events(logGroupName=GROUP, filterPattern=pattern))) == kept


def test_a_pattern_of_json_is_refused(logs: Any) -> None:
    with pytest.raises(ClientError) as error:
        logs.filter_log_events(logGroupName=GROUP, filterPattern="{ $.level = 5 }")
    assert code_of(error) == "InvalidParameterException"


def test_pages_of_a_filter_leave_nothing_out(logs: Any) -> None:
    pages = list(logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP, limit=4))
    assert [len(page["events"]) for page in pages] == [4, 2]
    assert [told for page in pages for told in messages(page)] == messages(logs.filter_log_events(logGroupName=GROUP))


def test_a_stream_is_read_on_from_its_token(logs: Any) -> None:
    asked = {"logGroupName": GROUP, "logStreamName": "a/1"}
    first = logs.get_log_events(**asked, startFromHead=True, limit=2)
    rest = logs.get_log_events(**asked, nextToken=first["nextForwardToken"])
    assert messages(first) + messages(rest) == ["first ERROR 0", "first ERROR 1", "first ERROR 2"]
    end = logs.get_log_events(**asked, nextToken=rest["nextForwardToken"])
    assert (messages(end), end["nextForwardToken"]) == ([], rest["nextForwardToken"])
    back = logs.get_log_events(**asked, nextToken=rest["nextBackwardToken"])
    assert messages(back) == messages(first)


def test_groups_and_streams_are_described_by_their_beginnings(logs: Any) -> None:
    groups = logs.describe_log_groups(logGroupNamePrefix="/aws/")["logGroups"]
    assert [each["logGroupName"] for each in groups] == [GROUP]
    assert groups[0]["arn"] == f"arn:aws:logs:us-east-1:123456789012:log-group:{GROUP}:*"
    assert logs.describe_log_groups(logGroupNamePrefix="/other")["logGroups"] == []
    streams = logs.describe_log_streams(logGroupName=GROUP, orderBy="LastEventTime", descending=True)["logStreams"]
    assert [each["logStreamName"] for each in streams] == ["b.2", "a/1"]
    assert (streams[1]["firstEventTimestamp"], streams[1]["lastEventTimestamp"]) == (1000, 1004)


@pytest.mark.parametrize(
    ("operation", "asked", "code"),
    [
        ("filter_log_events", {"logGroupName": "/none"}, "ResourceNotFoundException"),
        ("get_log_events", {"logGroupName": GROUP, "logStreamName": "none"}, "ResourceNotFoundException"),
        ("filter_log_events", {"logGroupName": GROUP, "nextToken": "x"}, "InvalidParameterException"),
        (
            "get_log_events",
            {"logGroupName": GROUP, "logStreamName": "a/1", "nextToken": "x"},
            "InvalidParameterException",
        ),
        ("describe_log_streams", {"logGroupName": GROUP, "nextToken": "x"}, "InvalidParameterException"),
    ],
)
def test_what_is_not_there_and_wrong_tokens_are_refused(
    logs: Any, operation: str, asked: dict[str, str], code: str
) -> None:
    with pytest.raises(ClientError) as error:
        getattr(logs, operation)(**asked)
    assert code_of(error) == code
