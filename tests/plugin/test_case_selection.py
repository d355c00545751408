"""Which cases of a test are kept: every value once, chosen pairs in all combinations."""

from __future__ import annotations

import pytest

pytest_plugins = ("pytester",)

CONFTEST = """
from vxlab.plugin.case_selection import thin


def pytest_collection_modifyitems(items):
    items[:] = thin(items, {("family", "far")})
"""


@pytest.fixture
def kept(pytester: pytest.Pytester):
    def names(source: str, *arguments: str) -> list[str]:
        pytester.makeconftest(CONFTEST)
        pytester.makepyfile(source)
        result = pytester.runpytest_subprocess(
            "--collect-only", "-q", "-p", "no:cacheprovider", "--no-sandbox", *arguments
        )
        assert result.ret == 0, str(result.stdout)
        return [line.split("::")[1] for line in result.outlines if "::" in line]

    return names


def test_each_value_is_there_and_no_more_cases_than_needed(kept) -> None:
    names = kept(
        """
import pytest
@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("port", ["x", "y"])
def test_it(size, port): pass
"""
    )
    assert len(names) == 3
    inside = [name.split("[")[1].rstrip("]").split("-") for name in names]
    assert {word for words in inside for word in words} == {"1", "2", "3", "x", "y"}


def test_chosen_pairs_are_there_in_all_combinations(kept) -> None:
    names = kept(
        """
import pytest
from vxlab import catalog
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], vni=[1, 42])
@pytest.mark.parametrize("far", ["kernel", "reference"])
def test_it(topology, far): pass
"""
    )
    assert len(names) == 4
    pairs = {(family, far) for family in ("ipv4", "ipv6") for far in ("kernel", "reference")}
    assert pairs == {pair for pair in pairs for name in names if all(x in name for x in pair)}
    assert {vni for vni in ("vni=1", "vni=42") for name in names if vni in name} == {
        "vni=1",
        "vni=42",
    }


def test_tests_without_parameters_and_their_order_stay(kept) -> None:
    names = kept("def test_b(): pass\ndef test_a(): pass\n")
    assert names == ["test_b", "test_a"]


def test_a_case_that_is_asked_for_by_name_is_kept(kept) -> None:
    names = kept(
        """
import pytest
@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("port", ["x", "y"])
def test_it(size, port): pass
""",
        "-k",
        "y-2",
    )
    assert names == ["test_it[y-2]"]


def test_two_functions_do_not_stand_for_each_other(kept) -> None:
    names = kept(
        """
import pytest
@pytest.mark.parametrize("size", [1, 2])
def test_one(size): pass
@pytest.mark.parametrize("size", [1, 2])
def test_two(size): pass
"""
    )
    assert len(names) == 4
