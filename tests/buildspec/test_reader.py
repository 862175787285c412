"""Buildspecs from text to the model, and complaints at their places."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeyard.buildspec.batch import batch_succeeded, expand
from pipeyard.buildspec.model import Buildspec, OnFailure
from pipeyard.buildspec.reader import read_buildspec
from pipeyard.errors import InputError, InvalidDefinition, Place

EVERYTHING = """\
version: 0.2
run-as: builder
env:
  shell: bash
  variables: {STAGE: prod, COUNT: 3}
  parameter-store: {TOKEN: /app/token}
  secrets-manager: {PASSWORD: 'db:password:AWSCURRENT'}
  exported-variables: [TAG]
  git-credential-helper: yes
proxy: {upload-artifacts: no, logs: yes}
phases:
  install:
    runtime-versions: {python: 3.12, nodejs: latest}
    commands: npm ci
  build:
    run-as: root
    on-failure: RETRY-2-.*timed out.*
    commands:
      - echo one
      - |
        echo two
        echo three
    finally:
      - echo done
reports:
  unit:
    files: ['**/*.xml']
    base-directory: out
    file-format: junitxml
artifacts:
  files: ['**/*']
  name: app-$(date +%Y)
  base-directory: dist*
  discard-paths: no
  exclude-paths: ['**/*.map']
  enable-symlinks: yes
  secondary-artifacts:
    docs: {files: 'site/**/*', base-directory: docs}
cache:
  key: npm-$CODEBUILD_HASH
  paths: ['node_modules/**/*', '/root/.cache']
"""


def read(text: str) -> Buildspec:
    return read_buildspec(text, "buildspec.yml")


def complaints(text: str) -> list[tuple[str, int]]:
    with pytest.raises(InvalidDefinition) as raised:
        read(text)
    return [(each.message, each.place.line) for each in raised.value.problems if each.severity == "error"]


def test_every_key_of_the_reference_is_read() -> None:
    spec = read(EVERYTHING)
    assert spec.problems == ()
    assert (spec.version, spec.run_as, spec.env.shell) == ("0.2", "builder", "bash")
    assert spec.env.variables == {"STAGE": "prod", "COUNT": "3"}
    assert spec.env.exported_variables == ("TAG",)
    assert spec.env.git_credential_helper
    assert spec.proxy.logs
    assert not spec.proxy.upload_artifacts
    assert [phase.name for phase in spec.phases] == ["install", "build"]
    install, build = spec.phases
    assert install.runtime_versions == {"python": "3.12", "nodejs": "latest"}
    assert [command.text for command in install.commands] == ["npm ci"]
    assert build.run_as == "root"
    assert build.on_failure == OnFailure(action="RETRY", retries=2, pattern=".*timed out.*")
    assert [command.text for command in build.commands] == ["echo one", "echo two\necho three\n"]
    assert build.commands[0].place == Place("buildspec.yml", 19, 9)
    assert [command.text for command in build.finally_] == ["echo done"]
    assert spec.reports[0].file_format == "JUNITXML"
    assert spec.artifacts.primary is not None
    assert spec.artifacts.primary.enable_symlinks
    assert spec.artifacts.secondary["docs"].files == ("site/**/*",)
    assert spec.cache.paths == ("node_modules/**/*", "/root/.cache")


def test_the_same_buildspec_in_json_reads_equal() -> None:
    text = '{"version": "0.2", "phases": {"build": {"commands": ["make"]}}}'
    assert [command.text for command in read(text).phases[0].commands] == ["make"]


def test_a_command_with_a_colon_is_told_to_be_quoted() -> None:
    text = "version: 0.2\nphases:\n  build:\n    commands:\n      - echo a\n      - echo Status: done\n"
    with pytest.raises(InvalidDefinition) as raised:
        read(text)
    assert raised.value.place == Place("buildspec.yml", 6, 9)
    assert "quotes" in raised.value.hint


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("phases: {build: {commands: [a]}}\n", 1),
        ("version: 0.3\nphases: {build: {commands: [a]}}\n", 1),
        ("version: 0.2\n", 1),
        ("version: 0.2\nphases:\n  test:\n    commands: [a]\n", 3),
        ("version: 0.2\nphases:\n  build:\n    commands: []\n", 3),
        ("version: 0.2\nphases:\n  build:\n    commands: [a]\n    on-failure: STOP\n", 5),
        ("version: 0.2\nphases:\n  build:\n    commands: [a]\n    on-failure: RETRY-101\n", 5),
        ("version: 0.2\nenv: {shell: zsh}\nphases: {build: {commands: [a]}}\n", 2),
        ("version: 0.2\nenv:\n  variables:\n    9X: 1\nphases: {build: {commands: [a]}}\n", 4),
        ("version: 0.2\nphases: {build: {commands: [a]}}\nartifacts:\n  name: x\n", 4),
        ("version: 0.2\nphases: {build: {commands: [a]}}\nreports:\n  r: {files: a, file-format: TAP}\n", 4),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, line: int) -> None:
    assert [place for _, place in complaints(text)] == [line]


def test_all_errors_are_told_at_once() -> None:
    assert len(complaints("version: 9\nphases:\n  x: {}\n  build: {on-failure: NO, commands: [a]}\n")) == 3


def test_a_misspelled_key_is_a_warning_that_names_the_right_one() -> None:
    spec = read("version: 0.2\nphases: {build: {commands: [a]}}\nartefacts: {files: a}\n")
    assert [(problem.severity, problem.hint) for problem in spec.problems] == [("warning", "did you mean artifacts?")]


def test_a_matrix_is_every_combination_over_the_static_environment() -> None:
    spec = read("""\
version: 0.2
batch:
  fast-fail: false
  build-matrix:
    static:
      ignore-failure: yes
      env: {privileged-mode: true, variables: {A: a}}
    dynamic:
      buildspec: [one.yml, two.yml]
      env:
        image: [i1, i2]
        variables: {V: [x, y, z]}
""")
    assert spec.batch is not None
    builds = expand(spec.batch)
    assert len({build.identifier for build in builds}) == 12
    assert builds[0].env.variables == {"A": "a", "V": "x"}
    assert builds[-1].env.variables == {"A": "a", "V": "z"}
    assert (builds[-1].buildspec, builds[-1].env.image, builds[-1].env.privileged_mode) == ("two.yml", "i2", True)
    assert all(build.ignore_failure for build in builds)
    assert batch_succeeded(builds, {build.identifier: "FAILED" for build in builds})


def test_a_circle_in_a_graph_and_an_edge_to_nowhere_are_told() -> None:
    text = """\
version: 0.2
batch:
  build-graph:
    - {identifier: a, depend-on: [b]}
    - {identifier: b, depend-on: [a]}
    - {identifier: c, depend-on: [d]}
"""
    messages = [message for message, _ in complaints(text)]
    assert "c depends on 'd', which is no build of the graph" in messages
    assert "builds depend on each other in a circle: a, b" in messages


@given(st.text(alphabet=" -:{}[]'\"|>#&*!\nabversion02phaseuildcom\t", max_size=200))
def test_no_text_gives_anything_but_a_buildspec_or_a_placed_error(text: str) -> None:
    place: Place | None = Place("read")
    try:
        read("version: 0.2\n" + text)
    except InputError as error:
        place = error.place
    assert place is not None


@pytest.mark.parametrize("told", ["{}", "{parallelism: 0}", "{parallelism: 101}", "{parallelism: many}"])
def test_a_fan_out_without_a_number_of_builds_is_told(told: str) -> None:
    text = f"version: 0.2\nbatch:\n  build-fanout: {told}\nphases: {{build: {{commands: [a]}}}}\n"
    assert complaints(text) == [("build-fanout needs parallelism, from 1 to 100", 3)]
