"""The root of the command line: the one place where errors become text and exit codes."""

import sys
from collections.abc import Sequence

from pipeyard.errors import PipeyardError, Stopped


def run_command_line(arguments: Sequence[str]) -> int:
    """Runs one command and gives its exit code; only an unexpected exception, which is our fault, passes."""
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        _complain("\npipeyard: stopped")
        return 1
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Stopped as stopped:
        from pipeyard.plain_lines import printable_text

        _complain(printable_text(f"pipeyard: stopped: {stopped.message}"))
        return 1
    except PipeyardError as error:
        from pipeyard.cli.complaints import show_error

        show_error(error)
        return error.exit_code
    except OSError as error:
        from pipeyard.plain_lines import printable_text

        where = f"{error.filename}: " if error.filename else ""
        _complain(printable_text(f"pipeyard: error: {where}{error.strerror or error}"))
        return 1
    except Exception as error:  # noqa: BLE001 - the front door: whatever it is, the user gets a sentence
        from pipeyard.cli.complaints import show_fault

        show_fault(error)
        return 1


def _run(arguments: Sequence[str]) -> int:
    if arguments[:2] == ["image", "build"]:
        from pipeyard.cli.build_options import BUILD_OPTIONS
        from pipeyard.cli.option_table import plainly
        from pipeyard.cli.start import environment

        options = plainly(arguments[2:], "context", BUILD_OPTIONS)
        if options is not None and "_PIPEYARD_COMPLETE" not in environment():
            from pipeyard.cli.image_build import build

            return build(options)
    from pipeyard.cli.commands import through_click

    return through_click(arguments)


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")
