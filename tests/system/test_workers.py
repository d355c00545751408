"""Work is done where no signal handler interrupts it, and ends early when nobody waits for it."""

from __future__ import annotations

import contextvars
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from interruptions import Interruption, interrupted_after

from vxlab.errors import WaitTimeout
from vxlab.system import workers
from vxlab.system.waiting import wait_until
from vxlab.system.workers import Cancelled, undisturbed

SETTING: contextvars.ContextVar[str] = contextvars.ContextVar("SETTING", default="usual")


def test_work_returns_and_raises_in_another_thread() -> None:
    assert undisturbed(threading.current_thread) is not threading.current_thread()
    with pytest.raises(ZeroDivisionError):
        undisturbed(lambda: 1 // 0)
    with pytest.raises(pytest.fail.Exception, match="as it is"):
        undisturbed(lambda: pytest.fail("as it is"))


def test_work_within_work_stays_where_it_is() -> None:
    first, second = undisturbed(lambda: (threading.get_ident(), undisturbed(threading.get_ident)))
    assert first == second


def test_work_sees_the_caller_s_context() -> None:
    token = SETTING.set("special")
    try:
        assert undisturbed(SETTING.get) == "special"
    finally:
        SETTING.reset(token)


def test_an_exception_passes_once_the_work_has_ended_early() -> None:
    seen: list[str] = []

    def work() -> None:
        try:
            wait_until(lambda: False, "what never comes", timeout=60)
        except Cancelled:
            seen.append("cancelled")
            raise

    with pytest.raises(Interruption), interrupted_after(0.05):
        undisturbed(work)
    assert seen == ["cancelled"]
    with pytest.raises(WaitTimeout):  # the next work of that worker is its own
        undisturbed(lambda: wait_until(lambda: False, "it", timeout=0.01))


def test_work_that_may_not_be_cancelled_is_done_to_its_end() -> None:
    ends = time.monotonic() + 0.3
    with pytest.raises(Interruption), interrupted_after(0.05):
        undisturbed(
            lambda: wait_until(lambda: time.monotonic() > ends, "it", timeout=60),
            cancellable=False,
        )
    assert time.monotonic() > ends


def test_long_work_keeps_no_other_waiting() -> None:
    done = threading.Event()
    with ThreadPoolExecutor(6) as pool:
        long = [pool.submit(undisturbed, lambda: done.wait(60)) for _ in range(6)]
        assert undisturbed(lambda: "at once") == "at once"
        done.set()
        assert all(each.result() for each in long)


def test_a_forked_process_has_workers_of_its_own() -> None:
    undisturbed(int)
    child = os.fork()
    if not child:
        os._exit(0 if undisturbed(lambda: 7) == 7 else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_nothing_is_cancelled_outside_of_work() -> None:
    workers.check_cancelled()
    assert workers.cancellation() is None
