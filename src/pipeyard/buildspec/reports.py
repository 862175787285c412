"""Test reports as test cases: JUnit's XML, Cucumber's JSON, and the XML of its relatives.

Source: CodeBuild User Guide, "Test reports"; JUnit's and Cucumber's own formats.
"""

import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pipeyard.buildspec.contract import Report, TestCase
from pipeyard.buildspec.model import ReportGroup
from pipeyard.buildspec.paths import BoundView
from pipeyard.buildspec.patterns import Matcher, files_below
from pipeyard.errors import InputError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_MAX_SIZE = 50_000_000
Verdict = Literal["SUCCEEDED", "FAILED", "ERROR", "SKIPPED"]


def read_reports(group: ReportGroup, source: str, view: BoundView) -> Report:
    """All files of one group. Raises InputError for a file that is not of the group's format."""
    base = group.base_directory
    folder = view.locate(base if base.startswith("/") else f"{source}/{base}")
    fits = Matcher(group.files)
    cases: list[TestCase] = []
    for path in files_below(folder) if folder is not None and folder.is_dir() else ():
        assert folder is not None
        file = folder / path
        if not fits.fits(path) or file.is_symlink() or not file.is_file() or file.stat().st_size > _MAX_SIZE:
            continue
        try:
            cases += parse_report(file.read_bytes(), group.file_format)
        except InputError as error:
            raise InputError(f"{path}: {error.message}", place=group.place, hint=error.hint) from error
    return Report(group=group.name, cases=tuple(cases))


def parse_report(data: bytes, file_format: str) -> list[TestCase]:
    """Test cases of one file; formats of coverage have none. Raises InputError."""
    if file_format == "CUCUMBERJSON":
        return list(_cucumber(data))
    if file_format in ("JUNITXML", "NUNITXML", "NUNIT3XML", "TESTNGXML", "VISUALSTUDIOTRX"):
        from xml.etree import ElementTree

        try:
            root = ElementTree.fromstring(data)  # noqa: S314 -- expat refuses entity bombs, and nothing is fetched
        except (ElementTree.ParseError, LookupError, ValueError) as error:  # the latter two: encodings
            raise InputError(f"not valid XML: {error}", hint="is file-format right?") from error
        return list(_junit(root) if file_format == "JUNITXML" else _relative(root, file_format))
    return []


def _junit(root: "Element") -> Iterator[TestCase]:
    for case in root.iter("testcase"):
        status: Verdict = "SUCCEEDED"
        message = ""
        for kind, verdict in (("skipped", "SKIPPED"), ("failure", "FAILED"), ("error", "ERROR")):
            found = case.find(kind)
            if found is not None:
                status = _verdict(verdict)
                message = found.get("message", "") or (found.text or "").strip()
        name = ".".join(part for part in (case.get("classname", ""), case.get("name", "")) if part)
        yield TestCase(name=name, status=status, seconds=_number(case.get("time", "")), message=message)


def _relative(root: "Element", file_format: str) -> Iterator[TestCase]:
    tags = {
        "NUNITXML": "test-case",
        "NUNIT3XML": "test-case",
        "TESTNGXML": "test-method",
        "VISUALSTUDIOTRX": "UnitTestResult",
    }
    for case in root.iter():
        if case.tag.rpartition("}")[2] != tags[file_format]:
            continue
        told = (case.get("result") or case.get("status") or case.get("outcome") or "").lower()
        status: Verdict = "SUCCEEDED"
        if told in ("failed", "failure", "fail"):
            status = "FAILED"
        elif told in ("error", "timeout", "aborted"):
            status = "ERROR"
        elif told in ("skipped", "skip", "ignored", "inconclusive", "notexecuted", "notrunnable"):
            status = "SKIPPED"
        name = case.get("fullname") or case.get("signature") or case.get("testName") or case.get("name") or ""
        milliseconds = _number(case.get("duration-ms", "")) / 1000
        yield TestCase(
            name=name, status=status, seconds=milliseconds or _number(case.get("duration") or case.get("time") or "")
        )


def _cucumber(data: bytes) -> Iterator[TestCase]:
    try:
        features = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not valid JSON: {error}", hint="is file-format right?") from error
    if not isinstance(features, list):
        raise InputError("not Cucumber's JSON: it is no list of features")
    for feature in features:
        for scenario in _tables(feature, "elements"):
            if scenario.get("type") == "background":
                continue
            steps = [*_tables(scenario, "before"), *_tables(scenario, "steps"), *_tables(scenario, "after")]
            results = [step["result"] for step in steps if isinstance(step.get("result"), dict)]
            verdicts = {str(result.get("status", "")).lower() for result in results}
            status: Verdict = "SUCCEEDED"
            if "failed" in verdicts:
                status = "FAILED"
            elif verdicts & {"undefined", "ambiguous"}:
                status = "ERROR"
            elif verdicts & {"skipped", "pending"}:
                status = "SKIPPED"
            message = next((str(result["error_message"]) for result in results if result.get("error_message")), "")
            nanoseconds = sum(_number(str(result.get("duration", ""))) for result in results)
            name = f"{feature.get('name', '')}: {scenario.get('name', '')}"
            yield TestCase(name=name, status=status, seconds=nanoseconds / 1e9, message=message)


def _tables(table: Any, key: str) -> list[dict[str, Any]]:
    found = table.get(key) if isinstance(table, dict) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _verdict(text: str) -> Verdict:
    return "SKIPPED" if text == "SKIPPED" else "FAILED" if text == "FAILED" else "ERROR"


def _number(text: str) -> float:
    try:
        number = float(text.replace(",", ""))
    except ValueError:
        return 0.0
    return max(0.0, number) if math.isfinite(number) else 0.0
