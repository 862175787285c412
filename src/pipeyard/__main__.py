"""The program's start and end. Asking for the version must not cost more than the interpreter itself."""

import sys

_YOUNG_OBJECTS = 50_000  # of all that a start makes, nothing is garbage: Python's 700 is a pass for every module


def main() -> int:
    """Runs the command line and ends the process: 0 done, 1 it failed, 2 the input was wrong."""
    if sys.argv[1:] == ["--version"]:
        from pipeyard import __version__

        sys.stdout.write(f"pipeyard {__version__}\n")
        return 0
    import gc

    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)
    _import_msgspec()
    from pipeyard.cli import run_command_line

    code = run_command_line(sys.argv[1:])
    _end(code)
    return code


def _import_msgspec() -> None:
    """Without typing_extensions, of which msgspec uses nothing that `typing` lacks, and which imports `inspect`."""
    modules: dict[str, object] = sys.modules  # type: ignore[assignment] # None: not to be found (Language Reference)
    if "typing_extensions" in modules:
        return
    modules["typing_extensions"] = None
    try:
        import msgspec  # noqa: F401
    finally:
        del modules["typing_extensions"]


def _end(code: int) -> None:
    """Ends the process at once: freeing every object one by one costs more than the rest of a small build.

    Returns, for the interpreter to do it, while other threads live or when what was printed cannot be written.
    """
    import atexit
    import os
    import threading

    if threading.active_count() > 1:
        return
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):
        return
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
