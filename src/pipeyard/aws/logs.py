"""CloudWatch Logs, as far as reading goes: what builds said. Source: Amazon CloudWatch Logs API Reference."""

import re
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from pipeyard.aws.arns import arn
from pipeyard.aws.identities import Caller
from pipeyard.aws.logstreams import Event
from pipeyard.aws.pages import BadToken, page
from pipeyard.aws.parts import Parts
from pipeyard.aws.refusals import AwsError

_MOST = 10_000  # events of one answer
_POSITION = re.compile(r"[0-9]{1,18}")
_TERM = re.compile(r'(-)?(?:"((?:[^"\\]|\\.)*)"|(\S+))')


def get_log_events(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """From the end unless asked otherwise; tokens are positions, so a stream that grows is followed with one."""
    group, stream = _group(request), request["logStreamName"]
    found = [each for each in _events(parts, caller, group, stream) if _in_time(each, request)]
    limit, token = request.get("limit", _MOST), request.get("nextToken", "")
    direction, _, text = token.partition("/")
    if token and (direction not in ("f", "b") or not _POSITION.fullmatch(text)):
        raise _bad_token()
    at = int(text or 0)
    if direction == "f":
        chosen = [each for each in found if each.position >= at][:limit]
    elif direction == "b":
        chosen = [each for each in found if each.position < at][-limit:]
    elif request.get("startFromHead", False):
        chosen = found[:limit]
    else:
        chosen = found[-limit:]
    first = chosen[0].position if chosen else at
    last = chosen[-1].after if chosen else at
    return {
        "events": [{"timestamp": each.at_ms, "message": each.message, "ingestionTime": each.at_ms} for each in chosen],
        "nextForwardToken": f"f/{last}",
        "nextBackwardToken": f"b/{first}",
    }


def filter_log_events(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Of all streams of a group, in the order of their times."""
    group = _group(request)
    known = _streams(parts, caller, group)
    prefix, names = request.get("logStreamNamePrefix", ""), request.get("logStreamNames")
    chosen = [name for name in known if name.startswith(prefix) and (names is None or name in names)]
    matches = _pattern(request.get("filterPattern", ""))

    def found() -> Iterator[tuple[str, Event]]:
        for name in chosen:
            for each in _events(parts, caller, group, name):
                if _in_time(each, request) and matches(each.message):
                    yield name, each

    ordered = sorted(found(), key=lambda one: (one[1].at_ms, one[0], one[1].position))
    token = request.get("nextToken", "0")
    if not _POSITION.fullmatch(token):
        raise _bad_token()
    start, limit = int(token), request.get("limit", _MOST)
    shown = list(islice(ordered, start, start + limit))
    return {
        "events": [
            {
                "logStreamName": name,
                "timestamp": each.at_ms,
                "message": each.message,
                "ingestionTime": each.at_ms,
                "eventId": f"{each.at_ms:020d}{each.position:020d}{_number_of(name):016d}",
            }
            for name, each in shown
        ],
        "searchedLogStreams": [],
        "nextToken": str(start + limit) if start + limit < len(ordered) else None,
    }


def describe_log_groups(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    prefix, within = request.get("logGroupNamePrefix", ""), request.get("logGroupNamePattern", "")
    names = [
        name for name in parts.logs.groups(caller.region) if name.startswith(prefix) and within.lower() in name.lower()
    ]
    chosen, token = _page(names, request)
    groups = []
    for name in chosen:
        streams = parts.logs.streams(caller.region, name)
        group_arn = arn("logs", caller.region, caller.account, f"log-group:{name}")
        groups.append(
            {
                "logGroupName": name,
                "arn": f"{group_arn}:*",
                "logGroupArn": group_arn,
                "storedBytes": sum(parts.logs.size(caller.region, name, stream) for stream in streams),
                "metricFilterCount": 0,
            }
        )
    return {"logGroups": groups, "nextToken": token}


def describe_log_streams(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    group, prefix = _group(request), request.get("logStreamNamePrefix", "")
    shown = []
    for name in _streams(parts, caller, group):
        if not name.startswith(prefix):
            continue
        events = list(_events(parts, caller, group, name))
        stream: dict[str, Any] = {
            "logStreamName": name,
            "arn": arn("logs", caller.region, caller.account, f"log-group:{group}:log-stream:{name}"),
            "storedBytes": 0,  # the service's own answer since 2019
        }
        if events:
            stream["creationTime"] = stream["firstEventTimestamp"] = events[0].at_ms
            stream["lastEventTimestamp"] = stream["lastIngestionTime"] = events[-1].at_ms
        shown.append(stream)
    if request.get("orderBy") == "LastEventTime":
        shown.sort(key=lambda each: each.get("lastEventTimestamp", 0))
    if request.get("descending", False):
        shown.reverse()
    names, token = _page([each["logStreamName"] for each in shown], request)
    return {"logStreams": [each for each in shown if each["logStreamName"] in names], "nextToken": token}


def _page(names: list[str], request: dict[str, Any]) -> tuple[list[str], str | None]:
    try:
        return page(names, str, request.get("nextToken"), request.get("limit", 50))
    except BadToken:
        raise _bad_token() from None


def _bad_token() -> AwsError:
    return AwsError("InvalidParameterException", "The specified nextToken is invalid.")


def _group(request: dict[str, Any]) -> str:
    """By name, or by the ARN that an identifier may be."""
    told: str = request.get("logGroupName") or request.get("logGroupIdentifier", "")
    if not told:
        raise AwsError("InvalidParameterException", "Exactly one of logGroupName or logGroupIdentifier is required")
    return told.partition(":log-group:")[2].removesuffix(":*") if told.startswith("arn:") else told


def _streams(parts: Parts, caller: Caller, group: str) -> list[str]:
    try:
        return parts.logs.streams(caller.region, group)
    except KeyError:
        raise AwsError("ResourceNotFoundException", "The specified log group does not exist.") from None


def _events(parts: Parts, caller: Caller, group: str, stream: str) -> Iterator[Event]:
    _streams(parts, caller, group)
    try:
        yield from parts.logs.events(caller.region, group, stream)
    except KeyError:
        raise AwsError("ResourceNotFoundException", "The specified log stream does not exist.") from None


def _in_time(event: Event, request: dict[str, Any]) -> bool:
    return bool(request.get("startTime", 0) <= event.at_ms < request.get("endTime", event.at_ms + 1))


def _pattern(text: str) -> Callable[[str], bool]:
    """Terms of an unstructured filter pattern: all have to occur, `?` makes them alternatives, `-` forbids one.

    Source: CloudWatch Logs User Guide, "Filter pattern syntax". Raises AwsError for JSON and column patterns.
    """
    text = text.strip()
    if text[:1] in ("{", "[", "%"):
        raise AwsError("InvalidParameterException", "Only patterns of terms are understood here")
    needed, optional, forbidden = [], [], []
    for minus, quoted, bare in _TERM.findall(text):
        term = re.sub(r"\\(.)", r"\1", quoted) if quoted else bare
        if minus:
            forbidden.append(term)
        elif term.startswith("?") and not quoted:
            optional.append(term[1:].strip('"'))
        else:
            needed.append(term)
    return lambda message: (
        all(term in message for term in needed)
        and (not optional or any(term in message for term in optional))
        and not any(term in message for term in forbidden)
    )


def _number_of(name: str) -> int:
    """The same in every process: ids of events are compared by whoever follows."""
    return zlib.crc32(name.encode())
