"""The namespaces of one node, after which nothing is left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vxlab.system.namespaces import Namespaces


@pytest.fixture
def node(nothing_is_left: None) -> Iterator[Namespaces]:
    """Namespaces named n1."""
    with Namespaces("n1") as node:
        yield node
