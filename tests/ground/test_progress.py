"""Observers hide secrets, however the output is cut into chunks."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeyard.progress import Report, StepEnded, StepOutput, StepStarted, Warned, masking

SECRET = "hunter22-secret"


def shown(chunks: list[bytes], secrets: list[str]) -> bytes:
    reports: list[Report] = []
    observe = masking(reports.append, secrets)
    for chunk in chunks:
        observe(StepOutput("a", chunk))
    observe(StepEnded("a"))
    return b"".join(report.data for report in reports if isinstance(report, StepOutput))


@given(st.binary(max_size=30), st.binary(max_size=30), st.lists(st.integers(0, 75), max_size=6))
def test_a_secret_is_hidden_wherever_the_output_is_cut(before: bytes, after: bytes, cuts: list[int]) -> None:
    text = before + SECRET.encode() + after
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    chunks = [text[start:end] for start, end in pairwise(places)]
    assert SECRET.encode() not in shown(chunks, [SECRET])


@given(st.lists(st.binary(max_size=20).filter(lambda data: b"h" not in data)))
def test_output_without_secrets_passes_unchanged(chunks: list[bytes]) -> None:
    assert shown(chunks, [SECRET]) == b"".join(chunks)


def test_the_longer_of_two_secrets_that_begin_alike_is_hidden_whole() -> None:
    assert shown([b"abcdef abc"], ["abc", "abcdef"]) == b"*** ***"


def test_secrets_are_hidden_in_titles_errors_and_warnings() -> None:
    reports: list[Report] = []
    observe = masking(reports.append, [SECRET])
    observe(StepStarted("a", f"RUN echo {SECRET}"))
    observe(Warned(f"{SECRET} is weak"))
    observe(StepEnded("a", error=f"{SECRET} failed"))
    assert SECRET not in repr(reports)


def test_chunks_of_different_steps_do_not_mix() -> None:
    reports: list[Report] = []
    observe = masking(reports.append, [SECRET])
    observe(StepOutput("a", b"hunter"))
    observe(StepOutput("b", b"22-secret"))
    observe(StepEnded("a"))
    observe(StepEnded("b"))
    assert StepOutput("a", b"hunter") in reports
    assert StepOutput("b", b"22-secret") in reports
