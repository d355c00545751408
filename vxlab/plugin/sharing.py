"""The public door to fixtures whose lab is shared; pytest is loaded when it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from vxlab.errors import VxlabError

if TYPE_CHECKING:
    from vxlab.describe.builder import TopologyBuilder
    from vxlab.describe.topology import Topology

Scope = Literal["function", "class", "module", "package", "session"]
_SCOPES = ("function", "class", "module", "package", "session")


def lab_fixture(
    topology: Topology | TopologyBuilder | Callable[..., Topology | TopologyBuilder],
    *,
    scope: Scope = "module",
    **arguments: Any,
) -> Any:
    """A fixture whose lab is built once, for all tests of a ``scope``, and is theirs in turn.

        lab = vxlab.lab_fixture(catalog.kim_and_lee, router=["smcroute", "pimd"], scope="module")

    It stands in a test module or in ``conftest.py``, not in a class, and has the name that it is
    given there.  ``topology`` and ``arguments`` are those of the marker ``topology``: a list stands
    for several labs, and each test runs with every one.  ``scope`` is that of
    :func:`pytest.fixture`.

    What a test changes in the lab, the next one finds changed: that is not undone.  Of a test that
    fails the evidence of the lab is kept, and with ``--vxlab-pcap`` each test's frames.  Where the
    lab cannot be built, each of its tests is an error, and it is not tried again.  With
    ``--vxlab-controls`` each test has a lab of its own, broken by its control.
    VxlabError where ``scope`` is none.
    """
    if scope not in _SCOPES:
        raise VxlabError(f"lab_fixture: scope: wanted {' or '.join(_SCOPES)}, found {scope!r}")
    from vxlab.plugin import lab_fixtures

    return lab_fixtures.shared(topology, arguments, scope)
