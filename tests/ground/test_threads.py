"""Crews end together: no thread outlives its block, and the first failure is the one that is raised."""

import threading

import pytest

from pipeyard.errors import Stopped
from pipeyard.threads import StopSignal, crew


def test_the_first_failure_stops_the_others_and_is_raised() -> None:
    def wait_for_stop(stop: StopSignal) -> None:
        while not stop.wait(5):
            pass
        stop.check()

    def fail() -> None:
        raise KeyError("broken")

    with pytest.raises(KeyError), crew("test", 2) as members:
        members.start(wait_for_stop, members.stop)
        members.start(fail)


def test_no_thread_outlives_the_block() -> None:
    with crew("short-lived", 4) as members:
        for _ in range(8):
            members.start(threading.Event().wait, 0.001)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("short-lived")]


def test_a_stop_of_the_parent_reaches_the_crew_but_not_the_other_way_round() -> None:
    parent = StopSignal()
    with pytest.raises(ValueError, match="mine"), crew("test", 1, parent):
        raise ValueError("mine")
    assert not parent.is_set()
    parent.stop("enough")
    with pytest.raises(Stopped, match="enough"), crew("test", 1, parent) as members:
        members.start(lambda: None)
        members.join()


def test_a_finished_crew_leaves_nothing_with_its_parent() -> None:
    parent = StopSignal()
    with crew("test", 1, parent):
        pass
    assert parent._children == []
