"""Fixtures that several scenario files share."""

from __future__ import annotations

import pytest
from far_end import far_end


@pytest.fixture(params=["kernel", "reference"])
def far(request, lab):
    """The far end of the tunnel, host b: the kernel's VTEP or the reference VTEP (far_end.py)."""
    with far_end(lab, request.param) as far:
        yield far
