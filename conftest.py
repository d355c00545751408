"""Makes this folder pytest's root; vxlab's own plugin comes by its entry point.

`pytest scenarios/` runs the experiments, `pytest tests/` the tests of vxlab itself.
"""

import os

import pytest

collect_ignore = ["bench", "build", "dist"]


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: two workers a processor, as labs wait for the kernel more than they compute."""
    return 2 * len(os.sched_getaffinity(0))
