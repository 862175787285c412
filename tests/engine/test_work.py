"""How an action's end becomes an event."""

import errno
import os

import pytest

from pipeyard.definition.model import ActionDeclaration, ActionTypeId
from pipeyard.engine.commands import StartAction
from pipeyard.engine.events import ActionFailed
from pipeyard.engine.work import failure

COMMAND = StartAction(
    id="command",
    execution_id="execution",
    action_execution_id="action",
    stage="Build",
    declaration=ActionDeclaration(
        name="Image",
        action_type_id=ActionTypeId(category="Build", owner="AWS", provider="ECRBuildAndPublish", version="1"),
    ),
    configuration={},
)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENOMEM])
def test_what_the_machine_lacks_is_no_bug_of_the_action(number: int) -> None:
    event = failure(COMMAND, OSError(number, os.strerror(number), "/home/blobs"), at_ms=1)
    assert isinstance(event, ActionFailed)
    assert event.message == f"/home/blobs: {os.strerror(number)}"
    assert "then retry the execution" in event.hint


def test_what_nobody_foresaw_is_a_bug_of_the_action() -> None:
    event = failure(COMMAND, KeyError("x"), at_ms=1)
    assert isinstance(event, ActionFailed)
    assert event.hint == "this is a bug in the action"
