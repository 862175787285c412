"""Named points inside commit windows, where a crash test stops or kills the process. Nobody else sets anything here.

apply:before-commit      everything of an event is written, nothing is committed
apply:after-commit       the event is in, nothing of what it asks for was done
dispatch:before-submit   a command is about to be given to the durable engine
dispatch:after-submit    it was given, and is not confirmed yet
work:before-perform      the durable workflow runs, its action has not begun
work:after-perform       the action is done, its result is recorded nowhere
work:before-report       the result is recorded in the workflow, its event is not applied
work:after-report        the event is applied, the workflow is not recorded as done
"""

from collections.abc import Callable

POINTS = (
    "apply:before-commit",
    "apply:after-commit",
    "dispatch:before-submit",
    "dispatch:after-submit",
    "work:before-perform",
    "work:after-perform",
    "work:before-report",
    "work:after-report",
)

_visitor: list[Callable[[str], None]] = []


def debug_point(name: str) -> None:
    for visit in _visitor:
        visit(name)


def visit_debug_points(visit: Callable[[str], None]) -> None:
    """From now on `visit` is called at each point, in the thread that comes to it."""
    _visitor.append(visit)
