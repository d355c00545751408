"""Controls of the methods of ``unittest.TestCase``, which pytest hands to unittest to run.

So the method itself is replaced by one that judges how it ended.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import unittest
from collections.abc import Callable
from typing import Any

import pytest

from vxlab.plugin.markers import Control

#: What judges a scenario's end: it gets the exception, or None.
Judge = Callable[[BaseException | None], None]

#: Exceptions by which a test says that it has nothing to say.
NO_ENDING = (
    pytest.skip.Exception,
    pytest.xfail.Exception,
    pytest.exit.Exception,
    unittest.SkipTest,
)


def is_method_of_unittest(item: pytest.Item) -> bool:
    """Whether unittest runs the test ``item``, and not pytest itself."""
    cls = getattr(item, "cls", None)
    return cls is not None and issubclass(cls, unittest.TestCase)


def replace_method(item: pytest.Function, control: Control, judge: Judge) -> None:
    """Let ``judge`` say how the method of ``item`` ended, in the place of unittest.

    The first sub-test that fails ends the method.  Fails with a sentence where ``control`` cannot
    be run so.
    """
    method = item.obj
    _refuse(item, control, method)
    wrapped = _async_judged if inspect.iscoroutinefunction(method) else _judged
    judged = wrapped(method, judge)
    item.obj = judged
    setattr(item.instance, item.name, judged)  # where an asynchronous one is looked for
    item.instance.subTest = lambda *_, **__: contextlib.nullcontext()


def _refuse(item: pytest.Function, control: Control, method: object) -> None:
    """Fail where a control of a method of unittest cannot be right."""
    wanted = f"{item.nodeid}: the marker control: wanted "
    if control.arguments:
        pytest.fail(
            f"{wanted}a test with arguments, found a method of unittest.TestCase, which has none: "
            "leave out `arguments`, or write the test as a function",
            pytrace=False,
        )
    for each in (method, item.cls):
        if getattr(each, "__unittest_expecting_failure__", False):
            pytest.fail(
                f"{wanted}a scenario that passes without its control, found "
                "@unittest.expectedFailure: leave one of them out",
                pytrace=False,
            )


def _judged(method: Callable[..., object], judge: Judge) -> Callable[..., object]:
    @functools.wraps(method)
    def judged(*arguments: Any, **named: Any) -> None:
        ended: BaseException | None = None
        try:
            method(*arguments, **named)
        except NO_ENDING:
            raise
        except (Exception, pytest.fail.Exception) as error:
            ended = error
        judge(ended)

    return judged


def _async_judged(method: Callable[..., Any], judge: Judge) -> Callable[..., object]:
    @functools.wraps(method)
    async def judged(*arguments: Any, **named: Any) -> None:
        ended: BaseException | None = None
        try:
            await method(*arguments, **named)
        except NO_ENDING:
            raise
        except (Exception, pytest.fail.Exception) as error:
            ended = error
        judge(ended)

    return judged
