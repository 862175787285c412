"""What is left of a build: artifacts and reports."""

import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeyard.buildspec.contract import Bound
from pipeyard.buildspec.paths import BoundView
from pipeyard.buildspec.patterns import Matcher
from pipeyard.buildspec.reports import parse_report
from pipeyard.errors import InputError
from tests.buildspec.machines import Bench, commands

MAKE = (
    "mkdir -p out/js out/.well; echo 1 > out/app; echo 2 > out/js/a.js; echo 3 > out/js/a.map; echo 4 > out/.well/known"
)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def built(bench: Bench, artifacts: str, make: str = MAKE) -> list[str]:
    outcome = bench.run(commands(make) + f"artifacts: {artifacts}\n")
    assert outcome.error == ""
    assert outcome.artifact is not None
    return names(outcome.artifact.folder)


def test_everything_below_the_base_directory_dot_files_too(bench: Bench) -> None:
    assert built(bench, "{files: ['**/*'], base-directory: out}") == [".well/known", "app", "js/a.js", "js/a.map"]


def test_excluded_paths_and_discarded_folders(bench: Bench) -> None:
    wanted = "{files: ['**/*'], base-directory: out, exclude-paths: ['**/*.map', '.well/**'], discard-paths: yes}"
    assert built(bench, wanted) == ["a.js", "app"]


def test_a_base_directory_may_be_a_pattern(bench: Bench) -> None:
    assert built(bench, "{files: ['*.js'], base-directory: 'o*/j?'}") == ["a.js"]


def test_an_absolute_path_counts_from_its_fixed_part(bench: Bench) -> None:
    assert built(bench, "{files: [/tmp/x/*.txt]}", "mkdir /tmp/x; echo > /tmp/x/a.txt") == ["a.txt"]


def test_the_name_is_expanded_after_the_build(bench: Bench) -> None:
    outcome = bench.run(commands("export TAG=v1; echo > a") + 'artifacts: {files: a, name: "app-$TAG-$(echo x)"}\n')
    assert outcome.artifact is not None
    assert outcome.artifact.name == "app-v1-x"


def test_secondary_artifacts_have_folders_of_their_own(bench: Bench) -> None:
    text = (
        commands(MAKE)
        + """\
artifacts:
  files: [out/app]
  secondary-artifacts:
    scripts: {files: ['*.js'], base-directory: out/js}
    maps: {files: ['*.map'], base-directory: out/js}
"""
    )
    outcome = bench.run(text)
    assert {name: names(one.folder) for name, one in outcome.secondary.items()} == {
        "scripts": ["a.js"],
        "maps": ["a.map"],
    }


def test_links_are_kept_or_followed_within_the_build_and_never_beyond(bench: Bench, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of this machine")
    make = f"echo 1 > a; ln -s a in; ln -s /codebuild/output/src1/src/a absolute; ln -s {secret} out; ln -s / all"
    followed = bench.run(commands(make) + "artifacts: {files: ['*', 'all/**/*']}\n")
    assert followed.artifact is not None
    assert names(followed.artifact.folder) == ["a", "absolute", "in"]
    assert (followed.artifact.folder / "absolute").read_text() == "1\n"
    kept = bench.run(commands(make) + "artifacts: {files: ['*'], enable-symlinks: yes}\n")
    assert kept.artifact is not None
    assert (kept.artifact.folder / "in").is_symlink()


def test_no_fitting_file_fails_the_build_and_says_where_it_looked(bench: Bench) -> None:
    outcome = bench.run(commands("true") + "artifacts: {files: [dist]}\n")
    assert outcome.error == "upload_artifacts: no file fits the artifact's dist"


def test_artifacts_are_collected_after_a_failed_build_and_not_after_a_failed_install(bench: Bench) -> None:
    text = commands("echo > a; false") + "artifacts: {files: a}\n"
    assert bench.run(text).artifact is not None
    assert bench.run(text.replace("build:", "install:")).artifact is None


JUNIT = b"""<testsuites><testsuite>
<testcase classname="a" name="one" time="0.5"/>
<testcase classname="a" name="two"><failure message="1 != 2"/></testcase>
<testcase name="three"><skipped/></testcase>
<testcase name="four"><error>boom</error></testcase>
</testsuite></testsuites>"""
CUCUMBER = b"""[{"name": "Greeting", "elements": [
 {"type": "background", "name": "b", "steps": []},
 {"name": "good", "steps": [{"result": {"status": "passed", "duration": 2000000000}}]},
 {"name": "bad", "steps": [{"result": {"status": "failed", "error_message": "no"}}, {"result": {"status": "skipped"}}]},
 {"name": "new", "steps": [{"result": {"status": "undefined"}}]}]}]"""


def test_junit_and_cucumber_give_test_cases() -> None:
    found = [(case.name, case.status, case.seconds, case.message) for case in parse_report(JUNIT, "JUNITXML")]
    assert found == [
        ("a.one", "SUCCEEDED", 0.5, ""),
        ("a.two", "FAILED", 0, "1 != 2"),
        ("three", "SKIPPED", 0, ""),
        ("four", "ERROR", 0, "boom"),
    ]
    cases = parse_report(CUCUMBER, "CUCUMBERJSON")
    assert [(case.name, case.status) for case in cases] == [
        ("Greeting: good", "SUCCEEDED"),
        ("Greeting: bad", "FAILED"),
        ("Greeting: new", "ERROR"),
    ]
    assert cases[0].seconds == 2


def test_a_report_of_another_format_is_told(bench: Bench) -> None:
    outcome = bench.run(commands("echo not xml > r.xml") + "reports: {unit: {files: r.xml}}\n")
    assert outcome.error.startswith("report group unit: r.xml: not valid XML")


def test_reports_are_read_from_the_build_and_their_failures_do_not_fail_it(bench: Bench) -> None:
    bench.write({"junit.xml": JUNIT.decode()})
    outcome = bench.run(
        commands("mkdir r; cp junit.xml r/one.xml") + "reports: {unit: {files: '*.xml', base-directory: r}}\n"
    )
    assert outcome.status == "SUCCEEDED"
    assert (outcome.reports[0].count("SUCCEEDED"), len(outcome.reports[0].cases)) == (1, 4)


@given(st.binary(max_size=200), st.sampled_from(["JUNITXML", "CUCUMBERJSON", "NUNITXML", "TESTNGXML"]))
def test_no_bytes_break_a_report_but_by_an_error_of_ours(data: bytes, file_format: str) -> None:
    with suppress(InputError):
        parse_report(data, file_format)


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("**/*", "a", True),
        ("**/*", "a/b/.c", True),
        ("*", "a/b", False),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("**/*.{js,css}", "x/a.css", True),
        ("[ab]?.txt", "ax.txt", True),
        ("[!ab]?.txt", "ax.txt", False),
        ("./a.txt", "a.txt", True),
        ("a+b", "a+b", True),
    ],
)
def test_patterns_match_as_the_reference_says(pattern: str, path: str, fits: bool) -> None:
    assert Matcher([pattern]).fits(path) is fits


@given(st.text(alphabet="ab/*?[]{},.!^\\-&|~:\udc80\ud800ä", max_size=20))
def test_every_pattern_is_a_pattern(pattern: str) -> None:
    assert Matcher([pattern]).fits("ab/a") in (True, False)


def test_no_pattern_takes_longer_than_its_path_is_long() -> None:
    deep = "/".join(["a" * 60] * 60)
    for pattern in ("**/" * 60 + "b", "**/" + "*a" * 60 + "b", "{" + ",".join(["**a"] * 60) + "}" * 3 + "/b"):
        began = time.monotonic()
        assert not Matcher([pattern]).fits(deep)
        assert time.monotonic() - began < 5


def test_names_that_are_no_text_fit_as_any_other() -> None:
    assert Matcher(["**/?.txt"]).fits("a/\udcff.txt")
    assert Matcher(["\udcff*"]).fits("\udcffa")
    assert not Matcher(["\udcfe*"]).fits("\udcffa")


def test_encodings_that_are_none_and_times_without_end_are_no_fault_of_ours() -> None:
    for encoding in ("foo", "utf-7", "shift_jis"):
        with pytest.raises(InputError, match="not valid XML"):
            parse_report(f'<?xml version="1.0" encoding="{encoding}"?><a/>'.encode(), "JUNITXML")
    (case,) = parse_report(b'<a><testcase name="b" time="1e999"/></a>', "JUNITXML")
    assert case.seconds == 0


def test_a_path_of_the_build_never_leads_out_of_what_is_shared(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "up").symlink_to("../../..")
    (shared / "loop").symlink_to("loop")
    (shared / "root").symlink_to("/")
    view = BoundView([Bound(target="/work", source=shared)])
    assert view.locate("/work/a/../b") == shared / "b"
    assert view.locate("/work/root/work/x") == shared / "x"
    assert view.locate("/work/root/etc/passwd") is None
    assert view.locate("/work/up/etc/passwd") is None
    assert view.locate("/work/../etc/passwd") is None
    assert view.locate("/work/loop") is None


@pytest.mark.parametrize("discard", ["yes", "no"])
def test_a_link_that_became_part_of_the_artifact_is_never_written_through(
    bench: Bench, tmp_path: Path, discard: str
) -> None:
    away = tmp_path / "away"
    away.mkdir()
    (away / "kept").write_text("of this machine")
    up = "../" * 30 + str(away).lstrip("/")
    deep = "/".join("abcdefghijklmnopqrstuvwxyzabcdefghijklmn")
    make = (
        f"mkdir -p {deep} x y .{away} e; ln -s {away}/kept x/f; echo evil > y/f; ln -s {up} {deep}/d; "
        f"p={deep}; while [ $p != a ]; do p=${{p%/*}}; mkdir -p $p{away}; echo evil > $p{away}/new; done; echo 1 > e/g"
    )
    wanted = "artifacts: {files: [%s], enable-symlinks: yes, base-directory: %s, discard-paths: %s}\n"
    for files, base in (("x/f, y/f, e/g", "."), ("d, d/new", deep), ("e/g, x/../e, e", ".")):
        outcome = bench.run(commands(make) + wanted % (files, base, discard))
        assert outcome.error == ""
        assert (names(away), (away / "kept").read_text()) == (["kept"], "of this machine")


def test_a_name_that_leads_out_of_its_base_fits_nothing(bench: Bench) -> None:
    make = "mkdir -p a/b/c; echo evil > over; echo 1 > a/b/one"
    outcome = bench.run(commands(make) + "artifacts: {files: [../../../over, c/../one], base-directory: a/b/c/..}\n")
    assert outcome.artifact is not None
    assert names(outcome.artifact.folder) == ["one"]
    outcome = bench.run(commands(make) + "artifacts: {files: [../../over], base-directory: a/b}\n")
    assert outcome.error == "upload_artifacts: no file fits the artifact's ../../over"
