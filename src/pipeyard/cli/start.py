"""How every command begins: the environment and the working folder enter here, once, and nowhere else."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeyard.errors import InputError
from pipeyard.settings import Settings, load
from pipeyard.threads import StopSignal


def environment() -> Mapping[str, str]:
    return dict(os.environ)  # noqa: TID251 - this is the one place


def working_folder() -> Path:
    return Path.cwd()  # noqa: TID251 - this is the one place


def settings_from(**flags: Any) -> Settings:
    """The settings of this process; a flag that is None was not given."""
    return load(flags, environment(), working_folder())


def become_builder() -> None:
    """Makes an ordinary user root of a user namespace, so that layers have owners and a RUN costs milliseconds.

    To be called before the process has threads. Does nothing as root, nor where the machine forbids it: a build
    without RUN works all the same, and a RUN says what is missing.
    """
    if os.geteuid() == 0:
        return
    from pipeyard.image.sandbox import SandboxError, become_root

    environ = environment()
    try:
        become_root(user=environ.get("USER", ""), path=environ.get("PATH", os.defpath))
    except SandboxError:
        return


@contextmanager
def stopped_by_signals() -> Iterator[StopSignal]:
    """A stop that Ctrl-C and SIGTERM ask for. A second Ctrl-C does not wait for anything any more."""
    stop = StopSignal()

    def ask(number: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.stop("interrupted" if number == signal.SIGINT else "terminated")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def pairs(texts: tuple[str, ...], option: str, *, form: str = "NAME=VALUE", hint: str = "") -> dict[str, str]:
    """`K=V` texts as a table. Raises InputError for a text without `=` or without a key."""
    out = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InputError(f"{option} {text!r} is not of the form {form}", hint=hint)
        out[key] = value
    return out
