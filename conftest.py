"""Makes this folder pytest's root; vxlab's own plugin comes by its entry point.

`pytest scenarios/` runs the experiments, `pytest tests/` the tests of vxlab itself.
"""

import os

import pytest

from vxlab.plugin.case_selection import thin

#: Parameters of scenarios that are tried in all combinations, besides each value of each.
TOGETHER = {("family", "far"), ("by", "topology"), ("family", "router")}

collect_ignore = ["bench", "build", "dist"]


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: three workers a processor, as labs wait for the kernel more than they compute."""
    return 3 * len(os.sched_getaffinity(0))


def pytest_configure(config: pytest.Config) -> None:
    """Define the marker of scenarios that wait for the kernel's slow clocks."""
    config.addinivalue_line("markers", "slow: takes seconds, such as an ageing scan of 10 s")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Define the option that leaves no case out."""
    parser.addoption(
        "--all-cases",
        action="store_true",
        help="run every combination of parameters; without it each value of each, and of some "
        "each pair",
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Choose the cases of scenarios, and spread the slow ones: workers then wait side by side."""
    if not config.getoption("all_cases") and not config.getoption("vxlab_behaviours"):
        scenarios = [item for item in items if "scenarios" in item.path.parts]
        left_out = set(scenarios).difference(thin(scenarios, TOGETHER))
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]
    slow = [item for item in items if item.get_closest_marker("slow")]
    quick = [item for item in items if not item.get_closest_marker("slow")]
    pace = 2 * len(quick) // (3 * len(slow)) if slow else 0
    for number, item in enumerate(slow):
        quick.insert(number * (pace + 1), item)
    items[:] = quick
