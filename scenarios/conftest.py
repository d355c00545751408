"""Fixtures that several scenario files share."""

from __future__ import annotations

import pytest
from far_end import far_end


@pytest.fixture
def chosen(request):
    """The arguments, by name, that this test's marker `topology` gives for this case."""
    callspec = getattr(request.node, "callspec", None)
    if callspec is None or "topology" not in callspec.params:  # a lone case
        return dict(request.node.get_closest_marker("topology").kwargs)
    return dict(callspec.params["topology"].arguments)


@pytest.fixture(params=["kernel", "reference"])
def far(request, lab):
    """The far end of the tunnel, host b: the kernel's VTEP or the reference VTEP (far_end.py)."""
    with far_end(lab, request.param) as far:
        yield far
