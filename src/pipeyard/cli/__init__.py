"""The command line: parse, call, render. Each command is a module of its own, imported when it is called."""

from pipeyard.cli.program import run_command_line

__all__ = ["run_command_line"]
