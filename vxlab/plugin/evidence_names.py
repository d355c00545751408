"""Names for what is kept of a test, another one for each test and each time that it is run."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

_TAKEN = pytest.StashKey[Counter[str]]()
_NAME = pytest.StashKey[str]()

#: The key in a worker's input (of pytest-xdist) that is true where all workers run all tests.
_ALL = "vxlab_all"


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist how tests are spread; ``node`` is the controller's view of it.

    A worker itself is not told.
    """
    node.workerinput[_ALL] = node.config.getoption("dist") == "each"


def forget(item: pytest.Item) -> None:
    """Let the test have another name: it begins, maybe again."""
    if _NAME in item.stash:
        del item.stash[_NAME]


def name(item: pytest.Item) -> str:
    """The name for what is kept of this run of a test, which no other run of a test has."""
    if _NAME not in item.stash:
        from vxlab.explain.failure_report import file_name

        found = file_name(_identity(item))
        worker: dict[str, object] = getattr(item.config, "workerinput", {})
        if worker.get(_ALL):
            found += f"-{worker['workerid']}"
        taken = item.config.stash.setdefault(_TAKEN, Counter())
        taken[found] += 1
        item.stash[_NAME] = found if taken[found] == 1 else f"{found}.{taken[found]}"
    return item.stash[_NAME]


def _identity(item: pytest.Item) -> str:
    """The id of a test; with the path of its file where that is outside of the root folder.

    There pytest's ids do not tell two folders apart.
    """
    if item.path.is_relative_to(item.config.rootpath):
        return item.nodeid
    return f"{item.path}::{item.nodeid.partition('::')[2]}"
