"""Which failures of a scenario count as its control turning it red."""

from __future__ import annotations

import pytest

from vxlab.errors import ApplyError, CommandError, MissingProgram, WaitTimeout
from vxlab.plugin import judge
from vxlab.plugin.markers import Control


def same(thing: object) -> object:
    return thing


def failed(reason: str) -> BaseException:
    with pytest.raises(pytest.fail.Exception) as caught:
        pytest.fail(reason)
    return caught.value


RED = [
    AssertionError("because of a bird"),
    failed("a bird: DID NOT RAISE"),
    ApplyError("ip link add", "a bird"),
    CommandError("a", ("ping",), 1, "a bird"),
    WaitTimeout("waited for a bird"),
]


@pytest.mark.parametrize("error", RED, ids=lambda error: type(error).__name__)
def test_a_scenario_that_turns_red_is_as_it_should_be(error):
    assert judge.judge(Control("x", lab=same), error) is None
    assert judge.judge(Control("x", lab=same, because="bir."), error) is None
    assert judge.judge(Control("x", lab=same, because=type(error).__name__), error) is None
    verdict = judge.judge(Control("a cat came", lab=same, because="^fish"), error)
    assert verdict is not None
    for words in ("turned red, but for another reason than that a cat came", "'^fish'", "a bird"):
        assert words in verdict


@pytest.mark.parametrize("error", [NameError("x"), KeyError("x"), MissingProgram("x")])
def test_a_test_that_breaks_has_noticed_nothing(error):
    verdict = judge.judge(Control("a cat came", lab=same), error)
    assert verdict is not None
    assert verdict.startswith("the test broke, it did not notice that a cat came:\n")
    assert verdict.endswith(f"{type(error).__name__}: {error}")


def test_colours_of_a_terminal_are_no_part_of_the_reason() -> None:
    error = AssertionError("assert \x1b[94m7\x1b[39;49;00m == \x1b[94m42\x1b[39;49;00m")
    assert judge.judge(Control("x", lab=same, because="assert 7 == 42"), error) is None


def test_a_scenario_that_stays_green_proves_nothing():
    verdict = judge.judge(Control("a cat came", lab=same), None)
    assert verdict == "the scenario stayed green although a cat came"
