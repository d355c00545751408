"""How many operations of Python something takes: the same on every machine, unlike time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

#: What doubling the size may multiply the operations by: n log n is below it, the square is 4.
DOUBLED = 2.3


def operations(work: Callable[[], object]) -> int:
    """The number of byte-code instructions that ``work`` takes."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        count += event == "opcode"
        return trace

    before = sys.gettrace()  # of a program that measures coverage
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def growth(work: Callable[[int], Callable[[], object]], size: int) -> float:
    """How many times as many operations twice the ``size`` takes.

    ``work`` gets a size and gives back what is to be counted, whatever that needs already made.
    The first time does not count: it fills what is kept for ever, such as parsed addresses.
    """
    work(2 * size)()
    return operations(work(2 * size)) / operations(work(size))
