"""The root of the command line: start-up, help, exit codes, and errors as people read them."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeyard import __version__
from pipeyard.cli import commands
from pipeyard.cli.commands import COMMANDS, IMAGE_COMMANDS, REGISTRY_COMMANDS
from pipeyard.cli.program import run_command_line
from pipeyard.errors import InputError, PipeyardError, Place, Stopped


def python(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout


def test_asking_for_the_version_imports_next_to_nothing() -> None:
    script = (
        "import sys; before = set(sys.modules); sys.argv = ['pipeyard', '--version']\n"
        "from pipeyard.__main__ import main; main(); print(sorted(set(sys.modules) - before))"
    )
    version, modules = python(script).splitlines()
    assert version == f"pipeyard {__version__}"
    assert modules == "['pipeyard', 'pipeyard.__main__']"


def test_building_an_image_imports_no_engine_no_database_and_no_aws() -> None:
    script = (
        "import sys, pipeyard.cli.image_build\n"
        "print([name for name in ('dbos', 'sqlalchemy', 'botocore', 'pygit2', 'rich') if name in sys.modules])"
    )
    assert python(script) == "[]\n"


def test_what_msgspec_was_imported_without_is_there_for_everybody_else() -> None:
    script = (
        "import sys; from pipeyard.__main__ import _import_msgspec; _import_msgspec()\n"
        "print('msgspec' in sys.modules, 'inspect' in sys.modules)\n"
        "import typing_extensions; print(typing_extensions.Doc)"
    )
    assert python(script) == "True False\n<class 'typing_extensions.Doc'>\n"


@pytest.mark.parametrize("table", [COMMANDS, IMAGE_COMMANDS, REGISTRY_COMMANDS])
def test_every_command_in_the_tables_can_be_asked_for_its_help(
    table: dict[str, tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    group = {id(IMAGE_COMMANDS): ["image"], id(REGISTRY_COMMANDS): ["registry"]}.get(id(table), [])
    for name in table:
        assert run_command_line([*group, name, "--help"]) == 0
        assert "Usage: pipeyard" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["nonsense"], ["run", "--nonsense"], ["image", "nonsense"], []])
def test_a_command_that_does_not_exist_is_wrong_input(arguments: list[str]) -> None:
    assert run_command_line(arguments) == 2


@pytest.mark.parametrize(
    ("error", "code", "shown"),
    [
        (InputError("bad thing", hint="do this"), 2, ["error: bad thing", "hint: do this"]),
        (PipeyardError("it broke"), 1, ["error: it broke"]),
        (Stopped("interrupted"), 1, ["stopped: interrupted"]),
        (OSError(28, "No space left on device", "/x/y"), 1, ["/x/y: No space left on device"]),
        (ValueError("surprise"), 1, ["fault in pipeyard: ValueError: surprise", "PIPEYARD_TRACEBACK=1"]),
    ],
)
def test_an_exception_becomes_a_sentence_and_an_exit_code(
    error: Exception, code: int, shown: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(commands.root, "main", fail)
    assert run_command_line(["run"]) == code
    told = capsys.readouterr().err
    for text in shown:
        assert text in told
    assert "Traceback" not in told


def test_an_error_shows_the_line_and_points_at_the_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "t.yaml"
    file.write_text("one\ntwo: three\n")

    def fail(*arguments: object, **options: object) -> None:
        raise InputError("three is wrong", place=Place(str(file), 2, 6))

    monkeypatch.setattr(commands.root, "main", fail)
    run_command_line(["run"])
    assert capsys.readouterr().err.splitlines() == [
        f"{file}:2:6: error: three is wrong",
        "    2 | two: three",
        "      |      ^",
    ]


def test_a_process_that_ends_at_once_has_printed_everything_and_called_what_waits_for_its_end() -> None:
    script = (
        "import atexit, sys; atexit.register(lambda: sys.stdout.write('the end\\n'))\n"
        "sys.argv = ['pipeyard', '--help']\n"
        "from pipeyard.__main__ import main; main(); sys.stdout.write('the interpreter ends it\\n')"
    )
    shown = python(script)
    assert shown.startswith("Usage: pipeyard")
    assert shown.endswith("\nthe end\n")
    assert "the interpreter ends it" not in shown


def test_output_that_cannot_be_written_is_a_failure() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "pipeyard", "--help"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode != 0
    assert b"No space left on device" in done.stderr
