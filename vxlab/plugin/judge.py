"""Whether a scenario noticed that its lab was broken: a control's verdict."""

from __future__ import annotations

import re

import pytest

from vxlab.errors import CapabilityError, VxlabError
from vxlab.plugin.markers import Control

#: What pytest puts into a failed assertion where it writes in colour.
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def judge(control: Control, error: BaseException | None) -> str | None:
    """What is wrong with how a scenario ended on its broken lab; None where it turned red.

    ``error`` is what ended the test, None where it stayed green.  Red is a failed assertion,
    ``pytest.fail`` ("DID NOT RAISE" too), or an error of vxlab other than that this machine lacks
    something; any other exception means that the test broke.
    """
    if error is None:
        return f"the scenario stayed green although {control.what}"
    if not is_red(error):
        return f"the test broke, it did not notice that {control.what}:\n{text_of(error)}"
    if control.because is not None and not re.search(control.because, text_of(error)):
        return (
            f"the scenario turned red, but for another reason than that {control.what}:\n"
            f"wanted a failure that matches {control.because!r}\nfound {text_of(error)}"
        )
    return None


def is_red(error: BaseException) -> bool:
    """Whether an exception is one by which a test says that something is not as it should be."""
    if isinstance(error, CapabilityError | pytest.xfail.Exception):
        return False
    return isinstance(error, AssertionError | VxlabError | pytest.fail.Exception)


def text_of(error: BaseException) -> str:
    """An exception as text: its type, and what it says, without a terminal's colours."""
    return _COLOURS.sub("", f"{type(error).__name__}: {error}")
