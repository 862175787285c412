"""What the user should see, as plain records handed to an observer.

A terminal, plain lines, JSON, the log of an action and a web page are observers; nothing below a front door prints.
"""

import threading
from collections.abc import Callable, Iterable

from msgspec import Struct


class StepStarted(Struct, frozen=True, tag=True):
    """`step` is unique within one run; `parent` is the step that contains this one, or empty."""

    step: str
    title: str
    parent: str = ""


class StepOutput(Struct, frozen=True, tag=True):
    """What a step's process wrote, byte for byte; chunks end anywhere."""

    step: str
    data: bytes


class Transferred(Struct, frozen=True, tag=True):
    """`done` of `total` bytes of one thing (`item`, such as a short digest) moved; `total` is 0 while unknown."""

    step: str
    done: int
    total: int
    item: str = ""


class StepEnded(Struct, frozen=True, tag=True):
    """`cached`: nothing had to be done. `error`: why it failed, empty when it succeeded. `detail`: one short phrase."""

    step: str
    cached: bool = False
    error: str = ""
    detail: str = ""


class Warned(Struct, frozen=True, tag=True):
    """Something legal that the user probably does not want; `place` as text, may be empty."""

    message: str
    step: str = ""
    place: str = ""


Report = StepStarted | StepOutput | Transferred | StepEnded | Warned
Observer = Callable[[Report], None]
"""Called from any thread, returns quickly, never raises. Tests pass `reports.append`."""

MASK = b"***"


def ignore(report: Report) -> None:
    """The observer that looks away."""


def within(inner: Observer, parent: str) -> Observer:
    """Makes everything that is reported a part of the step `parent`: top steps become its children, ids its own."""

    def observe(report: Report) -> None:
        match report:
            case StepStarted(step, title, above):
                inner(StepStarted(f"{parent}/{step}", title, f"{parent}/{above}" if above else parent))
            case StepOutput(step, data):
                inner(StepOutput(f"{parent}/{step}", data))
            case Transferred(step, done, total, item):
                inner(Transferred(f"{parent}/{step}" if step else parent, done, total, item))
            case StepEnded(step, cached, error, detail):
                inner(StepEnded(f"{parent}/{step}", cached, error, detail))
            case Warned(message, step, place):
                inner(Warned(message, f"{parent}/{step}" if step else parent, place))

    return observe


def masking(inner: Observer, secrets: Iterable[str]) -> Observer:
    """Hides every occurrence of each secret, also one that is split over two chunks of the same step's output.

    The end of a chunk that may be the beginning of a secret is held back until the next chunk or the step's end.
    Secrets of fewer than three characters are not hidden: that would blank out ordinary text.
    """
    found = sorted({secret.encode() for secret in secrets if len(secret) >= 3}, key=len, reverse=True)
    if not found:
        return inner
    held: dict[str, bytes] = {}
    lock = threading.Lock()  # guards held, and keeps the order of one step's chunks

    def hide(text: bytes) -> bytes:
        for secret in found:
            text = text.replace(secret, MASK)
        return text

    def hide_text(text: str) -> str:
        return hide(text.encode()).decode(errors="replace") if text else text

    def unfinished(text: bytes) -> int:
        """Length of the longest end of text that begins a secret."""
        longest = 0
        for secret in found:
            sizes = range(min(len(secret) - 1, len(text)), longest, -1)
            longest = next((size for size in sizes if text.endswith(secret[:size])), longest)
        return longest

    def observe(report: Report) -> None:
        with lock:
            match report:
                case StepOutput(step, data):
                    text = hide(held.pop(step, b"") + data)
                    keep = unfinished(text)
                    if keep:
                        held[step] = text[-keep:]
                        text = text[:-keep]
                    if text:
                        inner(StepOutput(step, text))
                case StepEnded(step, cached, error, detail):
                    rest = held.pop(step, b"")
                    if rest:
                        inner(StepOutput(step, rest))
                    inner(StepEnded(step, cached, hide_text(error), hide_text(detail)))
                case StepStarted(step, title, parent):
                    inner(StepStarted(step, hide_text(title), parent))
                case Warned(message, step, place):
                    inner(Warned(hide_text(message), step, place))
                case _:
                    inner(report)

    return observe
