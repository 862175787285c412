"""Progress as plain lines, JSON and a live picture: whole lines, no stray escapes, every step's end."""

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeyard.cli.complaints import show_error
from pipeyard.cli.live import live_observer
from pipeyard.cli.terminal import observer_for, size_text
from pipeyard.errors import BuildFailed, Place
from pipeyard.plain_lines import PlainLines, duration_text, printable
from pipeyard.progress import Report, StepEnded, StepOutput, StepStarted, Transferred, Warned

STORY: list[Report] = [
    StepStarted("a", "Build / Image"),
    StepStarted("b", "RUN make", "a"),
    StepOutput("b", b"compiling "),
    StepOutput("b", b"one\ntwo"),
    Transferred("a", 5, 10, "layer"),
    StepEnded("b", detail="3 files"),
    StepStarted("c", "COPY . /", "a"),
    StepEnded("c", cached=True),
    Warned("careful", place="Dockerfile:3"),
    StepEnded("a", error="it broke\nbadly"),
]


def test_plain_lines_say_whose_they_are_and_how_each_step_ended() -> None:
    written: list[str] = []
    lines = PlainLines(written.append, lambda: 1.0)
    for report in STORY:
        lines.observe(report)
    lines.finish()
    assert "".join(written).splitlines() == [
        "#1 Build / Image",
        "  #2 RUN make",
        "  #2 | compiling one",
        "  #2 | two",
        "  #2 DONE 0.0s 3 files",
        "  #3 COPY . /",
        "  #3 CACHED",
        "Dockerfile:3: warning: careful",
        "#1 ERROR 0.0s it broke",
    ]


def test_json_lines_are_one_object_a_report() -> None:
    out = io.StringIO()
    with observer_for("json", out) as observe:
        for report in STORY:
            observe(report)
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [row["type"] for row in rows] == [type(report).__name__ for report in STORY]
    assert rows[2]["data"] == "compiling "


def test_the_live_picture_keeps_each_ended_step_and_the_output_of_the_failed_one() -> None:
    out = io.StringIO()
    with live_observer(out) as observe:
        observe(StepStarted("a", "Build / Image"))
        observe(StepOutput("a", b"last words\n"))
        observe(StepEnded("a", error="it broke"))
    shown = out.getvalue()
    assert "✗" in shown
    assert "it broke" in shown
    assert "last words" in shown


@given(st.binary(max_size=200))
def test_foreign_output_cannot_steer_the_terminal(data: bytes) -> None:
    shown = printable(data)
    assert "\x1b" not in shown
    assert "\n" not in shown
    assert all(character == "\t" or character.isprintable() for character in shown)


def test_colours_and_titles_are_taken_out_and_progress_bars_show_their_last_state() -> None:
    assert printable(b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07text") == "red text"
    assert printable(b"10%\r50%\r100%\r") == "100%"


def test_sizes_and_durations_read_well() -> None:
    assert [size_text(n) for n in (0, 999, 1000, 12_345_678, 3_200_000_000)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "12.3 MB",
        "3.2 GB",
    ]
    assert [duration_text(s) for s in (0.04, 59.94, 61)] == ["0.0s", "59.9s", "1m01s"]


STEERING = "\x1b]0;title\x07\x1b[2J\x9b31m\u202e"
HOSTILE: list[Report] = [
    StepStarted("a", f"RUN {STEERING}make"),
    StepOutput("a", f"{STEERING}out\n".encode()),
    StepOutput("unknown", f"{STEERING}out\n".encode()),
    Warned(f"{STEERING}careful", place=f"{STEERING}Dockerfile"),
    StepEnded("a", detail=f"{STEERING}commit message"),
    StepStarted("b", f"{STEERING}COPY"),
    StepEnded("b", error=f"{STEERING}broken"),
]


def test_nothing_foreign_steers_the_terminal_through_plain_lines() -> None:
    out = io.StringIO()
    with observer_for("plain", out) as observe:
        for report in HOSTILE:
            observe(report)
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(out.getvalue())
    for words in ("make", "out", "careful", "Dockerfile", "commit message", "COPY", "broken"):
        assert words in out.getvalue()


def test_nothing_foreign_steers_the_terminal_through_the_live_picture() -> None:
    out = io.StringIO()
    with live_observer(out) as observe:
        for report in HOSTILE:
            observe(report)
    assert "]0;" not in out.getvalue()
    assert not {"\x07", "\x9b", "\u202e"} & set(out.getvalue())


def test_nothing_foreign_steers_the_terminal_through_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("click._compat.should_strip_ansi", lambda *_: False)  # as on a terminal
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(f"RUN {STEERING}make\n")
    show_error(
        BuildFailed(
            f"{STEERING}broken",
            place=Place(str(dockerfile), 1, 1),
            hint=f"{STEERING}mend it",
            output=f"{STEERING}last words\n",
        )
    )
    shown = capsys.readouterr().err
    assert "\x1b]0;" not in shown
    assert "\x1b[2J" not in shown
    assert not {"\x07", "\x9b", "\u202e"} & set(shown)
    for words in ("make", "broken", "mend it", "last words"):
        assert words in shown
