"""Waiting: the condition first, one deadline, and a message that says what was there instead."""

from __future__ import annotations

import pytest

from vxlab.errors import VxlabError, WaitTimeout
from vxlab.system import waiting
from vxlab.system.waiting import wait_until


class Clock:
    """A clock that only moves when somebody sleeps, and remembers how long each slept."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(waiting, "time", clock)
    return clock


def test_a_condition_that_is_true_is_not_waited_for(clock: Clock) -> None:
    assert wait_until(lambda: "yes", "it", timeout=0) == "yes"
    assert clock.slept == []


def test_the_value_that_came_true_is_handed_back(clock: Clock) -> None:
    values = iter([None, 0, "", [], [7]])
    assert wait_until(lambda: next(values), "a list") == [7]
    assert len(clock.slept) == 4


def test_pauses_double_up_to_20_ms(clock: Clock) -> None:
    with pytest.raises(WaitTimeout):
        wait_until(lambda: False, "never", timeout=1, interval=0.001)
    assert clock.slept[:6] == pytest.approx([0.001, 0.002, 0.004, 0.008, 0.016, 0.02])
    assert max(clock.slept) == 0.02
    assert sum(clock.slept) == pytest.approx(1)


def test_no_pause_reaches_over_the_deadline(clock: Clock) -> None:
    with pytest.raises(WaitTimeout):
        wait_until(lambda: False, "never", timeout=0.005, interval=0.003)
    assert clock.slept[:2] == pytest.approx([0.003, 0.002])
    assert clock.now == pytest.approx(1000.005)


def test_the_condition_is_tried_once_more_after_the_deadline(clock: Clock) -> None:
    """One that takes longer than the whole deadline still has its second chance."""
    tries = []

    def slow() -> bool:
        tries.append(clock.now)
        clock.now += 60
        return len(tries) == 2

    assert wait_until(slow, "a slow thing", timeout=10)
    assert len(tries) == 2


def test_a_time_out_says_what_was_awaited_and_what_was_there(clock: Clock) -> None:
    with pytest.raises(WaitTimeout) as caught:
        wait_until(lambda: False, "a link", timeout=2.5, found=lambda: "none of it")
    assert str(caught.value) == "waited 2.5 s for a link; found none of it"
    assert isinstance(caught.value, VxlabError)
    with pytest.raises(WaitTimeout) as caught:
        wait_until(lambda: False, "a link", timeout=3)
    assert str(caught.value) == "waited 3 s for a link"


def test_what_was_there_is_asked_for_at_the_end_only(clock: Clock) -> None:
    asked = []

    def found() -> str:
        asked.append(clock.now)
        return "x"

    with pytest.raises(WaitTimeout):
        wait_until(lambda: False, "it", timeout=1, found=found)
    assert asked == [pytest.approx(1001)]


def test_an_error_in_the_condition_comes_through(clock: Clock) -> None:
    def bad() -> bool:
        raise KeyError("x")

    with pytest.raises(KeyError):
        wait_until(bad, "it")
    assert clock.slept == []


def test_the_default_deadline_is_generous(clock: Clock) -> None:
    with pytest.raises(WaitTimeout, match=f"waited {waiting.DEADLINE:g} s for it"):
        wait_until(lambda: False, "it")
    assert waiting.DEADLINE >= 10
