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


def test_no_more_threads_than_asked_for_and_none_that_would_rest() -> None:
    names: set[str] = set()

    def note() -> None:
        names.add(threading.current_thread().name)

    with crew("few", 4) as members:
        for _ in range(5):
            members.start(note)
            members.join()
    assert names == {"few_0"}
    busy = threading.Barrier(3)
    with crew("some", 3) as members:
        for _ in range(3):
            members.start(busy.wait, 5)
    most = []
    with crew("most", 2) as members:
        for _ in range(20):
            members.start(lambda: most.append(threading.active_count()))
    assert len(most) == 20
    assert max(most) <= threading.active_count() + 2


def test_whoever_waits_for_work_that_a_stop_forestalled_is_told() -> None:
    begun = threading.Event()

    def fail() -> None:
        begun.wait(5)
        raise KeyError("broken")

    told: list[BaseException | None] = []
    with pytest.raises(KeyError), crew("one", 1) as members:
        members.start(fail)
        never = members.start(told.append, None)
        never.add_done_callback(lambda future: told.append(future.exception()))
        begun.set()
    with pytest.raises(Stopped):
        never.result()
    assert [type(error) for error in told] == [Stopped]


def test_a_callback_for_what_has_ended_comes_at_once() -> None:
    with crew("one", 1) as members:
        future = members.start(lambda: 7)
        assert future.result() == 7
    told: list[int] = []
    future.add_done_callback(lambda ended: told.append(ended.result()))
    assert told == [7]
    assert future.done()
