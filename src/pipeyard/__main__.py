"""The program's start. Asking for the version must not cost more than the interpreter itself."""

import sys


def main() -> int:
    """Runs the command line and gives the exit code: 0 done, 1 it failed, 2 the input was wrong."""
    if sys.argv[1:] == ["--version"]:
        from pipeyard import __version__

        sys.stdout.write(f"pipeyard {__version__}\n")
        return 0
    from pipeyard.cli import run_command_line

    return run_command_line(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
