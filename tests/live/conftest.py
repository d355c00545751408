"""The lab that most tests of live labs use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab_tools import two_hosts

from vxlab.live.lab import Lab
from vxlab.live.node import Node


@pytest.fixture
def lab(nothing_is_left: None) -> Iterator[Lab]:
    """A lab of two hosts, after which nothing is left."""
    with Lab(two_hosts()) as lab:
        yield lab


@pytest.fixture
def h1(lab: Lab) -> Node:
    """The first host of the lab."""
    return lab["h1"]
