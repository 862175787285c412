"""Builds in a real shell of a real sandbox."""

import os
import threading
import time
from pathlib import Path

import pytest

from pipeyard.buildspec.contract import BuildTimedOut
from pipeyard.errors import Stopped
from pipeyard.progress import Report, StepEnded, StepOutput, StepStarted
from pipeyard.threads import StopSignal
from tests.buildspec.machines import Bench, commands


def test_folder_exports_variables_and_functions_last_from_command_to_command(bench: Bench) -> None:
    outcome = bench.run(commands("cd /root", "export A=1; b=2", "greet() { echo hello; }", 'greet; echo "$PWD $A $b"'))
    assert outcome.status == "SUCCEEDED"
    assert bench.said == ["hello", "/root 1 2"]


def test_they_last_into_the_next_phase(bench: Bench) -> None:
    bench.run(commands("export A=1; cd /bin", phase="install", build=['echo "$A $PWD"']))
    assert bench.said == ["1 /bin"]


def test_version_0_1_runs_each_command_in_a_shell_of_its_own(bench: Bench) -> None:
    bench.run(commands("cd /root; export A=1", 'echo "$PWD ${A-unset}"').replace("0.2", "0.1"))
    assert bench.said == ["/codebuild/output/src1/src unset"]


def test_a_command_that_exits_ends_itself_and_not_the_build(bench: Bench) -> None:
    outcome = bench.run(commands("export A=1; cd /root; exit 0", 'echo "$A $PWD"', "exit 3", "echo never"))
    assert bench.said == ["1 /root"]
    assert outcome.error == "build: Error while executing command: exit 3. Reason: exit status 3"


def test_a_command_of_several_lines_is_one_script(bench: Bench) -> None:
    text = "version: 0.2\nphases:\n  build:\n    commands:\n      - |\n        set -e\n        for i in 1 2; do\n"
    outcome = bench.run(f"{text}          echo $i\n        done\n        false\n        echo never\n")
    assert outcome.status == "FAILED"
    assert bench.said == ["1", "2"]


def test_a_syntax_error_fails_its_command_alone(bench: Bench) -> None:
    outcome = bench.run(commands("if then", post_build=["echo after"]))
    assert outcome.error.endswith("exit status 2")
    assert bench.said[-1] == "after"


def test_a_program_that_replaces_the_shell_is_waited_for(bench: Bench) -> None:
    outcome = bench.run(commands("exec /bin/echo replaced", "echo next"))
    assert outcome.status == "SUCCEEDED"
    assert bench.said == ["replaced", "next"]


def test_output_without_a_line_end_does_not_run_into_the_next_message(bench: Bench) -> None:
    bench.run(commands("printf one", "printf two; printf three >&2"))
    assert bench.said == ["one", "twothree"]


def test_commands_have_no_input_that_they_could_wait_for(bench: Bench) -> None:
    assert bench.run(commands("cat", "read x || echo nothing")).status == "SUCCEEDED"
    assert bench.said == ["nothing"]


def test_post_build_knows_that_the_build_failed(bench: Bench) -> None:
    bench.run(commands("echo $CODEBUILD_BUILD_SUCCEEDING", "false", post_build=["echo $CODEBUILD_BUILD_SUCCEEDING"]))
    assert bench.said == ["1", "0"]


def test_a_build_knows_who_and_where_it_is(bench: Bench) -> None:
    bench.write({"a": "x"})
    bench.run(commands('echo "$CODEBUILD_BUILD_ID $AWS_REGION $CODEBUILD_BUILD_IMAGE"', "cat $CODEBUILD_SRC_DIR/a"))
    assert bench.said == ["app:1 us-east-1 busybox", "x"]


def test_the_source_is_copied_and_never_changed(bench: Bench) -> None:
    bench.write({"kept": "x"})
    bench.run(commands("rm kept; echo y > new"))
    assert [path.name for path in bench.source.iterdir()] == ["kept"]


def test_secondary_sources_have_a_variable_each(bench: Bench, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "b").write_text("second\n")
    bench.run(commands("cat $CODEBUILD_SRC_DIR_Library/b"), secondary_sources={"Library": other})
    assert bench.said == ["second"]


def test_secrets_are_masked_wherever_they_are_written(bench: Bench) -> None:
    text = commands("echo $TOKEN", "printf s3; printf cr3t; echo")
    bench.run(text, variables={"TOKEN": "s3cr3t"}, secrets=("s3cr3t",))
    assert "s3cr3t" not in bench.log
    assert bench.said == ["***", "***"]


def test_exported_variables_have_their_last_values(bench: Bench) -> None:
    text = "version: 0.2\nenv: {variables: {A: first}, exported-variables: [A, TAG, NEVER]}\n"
    outcome = bench.run(text + commands("export TAG='v 1'", post_build=["export A=last"]).partition("\n")[2])
    assert outcome.exported == {"A": "last", "TAG": "v 1", "NEVER": ""}


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user has one id alone")
def test_run_as_is_another_user_and_what_it_exports_lasts(bench: Bench) -> None:
    text = """\
version: 0.2
phases:
  build:
    run-as: builder
    commands: ['id -u; export A=1; cd /home', 'echo $A $PWD $HOME']
  post_build:
    commands: ['id -u; echo $A $PWD $HOME']
"""
    outcome = bench.run(text)
    assert outcome.status == "SUCCEEDED"
    assert bench.said == ["1000", "1 /home /home/builder", "0", "1 /home /root"]


def test_each_phase_that_runs_is_a_step_with_its_end(bench: Bench) -> None:
    bench.run(commands("true", phase="install", build=["false"]))
    steps = [
        (type(each).__name__, each.step, getattr(each, "error", ""))
        for each in bench.reports
        if isinstance(each, (StepStarted, StepEnded)) and each.step in ("install", "build")
    ]
    assert steps[:3] == [("StepStarted", "install", ""), ("StepEnded", "install", ""), ("StepStarted", "build", "")]
    assert steps[3][2].startswith("Error while executing command: false")


def test_lines_are_seen_while_the_command_still_runs(bench: Bench) -> None:
    """The command waits for a file that only whoever saw its first line makes."""

    def observe(report: Report) -> None:
        if isinstance(report, StepOutput) and b"first\n" in report.data:
            (bench.folder / "build-1/attempt-0/tmp/seen").touch()

    outcome = bench.run(commands("echo first; until [ -e /tmp/seen ]; do :; done; echo second"), observe=observe)
    assert outcome.status == "SUCCEEDED"


def test_retry_runs_the_whole_build_again_from_a_clean_source(bench: Bench, tmp_path: Path) -> None:
    bench.write({"a": "1"})
    text = """\
version: 0.2
phases:
  build:
    on-failure: RETRY-2-.*try (?:again|later).*
    commands:
      - cat a; echo 2 >> a
      - echo try later; false
"""
    outcome = bench.run(text)
    assert outcome.status == "FAILED"
    assert bench.said.count("try later") == 3
    assert bench.said.count("1") == 3
    assert "2" not in bench.said


DAEMON = 'sh -c \'(setsid sh -c "sh -c \\"exec sleep {unique}\\" &" &)\' >/dev/null 2>&1'


def processes_with(text: str) -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in command and "sleep" in command:
            found.append(command)
    return found


def wait_until_there(text: str) -> None:
    for _ in range(1000):
        if processes_with(text):
            return
        time.sleep(0.01)
    raise AssertionError("the process never came")


def test_a_stop_kills_what_forked_double_forked_and_left_its_session(bench: Bench) -> None:
    unique = f"{os.getpid()}77{time.monotonic_ns() % 100000}"
    stop = StopSignal()

    def end() -> None:
        wait_until_there(unique)
        stop.stop("enough")

    def observe(report: Report) -> None:
        if isinstance(report, StepOutput) and b"ready\n" in report.data:
            threading.Thread(target=end).start()

    text = commands(
        DAEMON.format(unique=unique), f"nohup sleep {unique} & sleep {unique} & echo ready", "cat /dev/zero > /dev/null"
    )
    with pytest.raises(Stopped):
        bench.run(text, stop=stop, observe=observe)
    assert processes_with(unique) == []


def test_a_build_that_ends_leaves_no_process_behind(bench: Bench) -> None:
    unique = f"{os.getpid()}88{time.monotonic_ns() % 100000}"
    assert bench.run(commands(DAEMON.format(unique=unique), "echo over")).status == "SUCCEEDED"
    assert processes_with(unique) == []


def test_a_build_that_takes_too_long_is_ended(bench: Bench) -> None:
    with pytest.raises(BuildTimedOut):
        bench.run(commands("echo started", "sleep 1000"), seconds=0.5)


def test_a_cached_path_is_there_in_the_next_build(bench: Bench, tmp_path: Path) -> None:
    text = commands(
        "cat modules/a /root/.m2/b 2>/dev/null || echo none",
        "mkdir -p modules; echo A > modules/a; echo B > /root/.m2/b",
    )
    text += "cache: {paths: ['modules/**/*', '/root/.m2/**/*']}\n"
    bench.run(text, cache=tmp_path / "cache")
    assert bench.said == ["none"]
    bench.run(text, cache=tmp_path / "cache")
    assert bench.said[-2:] == ["A", "B"]


def test_a_cache_key_is_made_of_files_and_falls_back(bench: Bench, tmp_path: Path) -> None:
    text = commands("cat modules/a || true", "mkdir -p modules; cat lock > modules/a")
    keyed = text + "cache: {key: 'm-$(codebuild-hash-files lock)', paths: [modules], fallback-keys: [m-none]}\n"
    bench.write({"lock": "one\n"})
    bench.run(keyed, cache=tmp_path / "cache")
    bench.write({"lock": "two\n"})
    bench.run(keyed, cache=tmp_path / "cache")
    assert "one" not in bench.said
    bench.write({"lock": "one\n"})
    bench.run(keyed, cache=tmp_path / "cache")
    assert "one" in bench.said


def test_a_cache_keeps_neither_pipes_nor_what_has_become_a_folder(bench: Bench, tmp_path: Path) -> None:
    bench.write({"lock": "1"})
    cached = "cache: {key: 'k-$(codebuild-hash-files lock p*)', paths: ['m/**/*', 'p*']}\n"
    make = commands("mkdir m; echo 1 > m/a; echo 2 > m/b; mkfifo m/pipe pipe")
    made = bench.run(make + cached, cache=tmp_path / "cache")
    assert made.error == ""
    bench.write({"m/a/deeper": "kept"})
    again = bench.run(commands("cat m/a/deeper m/b") + cached, cache=tmp_path / "cache")
    assert (again.error, bench.said[-1]) == ("", "kept2")
