"""Small topologies and odd backends, for the tests of labs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from vxlab.apply.netlink import NetlinkBackend
from vxlab.apply.site import Site
from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.elements import Segment
from vxlab.describe.topology import Topology
from vxlab.errors import ApplyError
from vxlab.operations import Operation


def two_hosts(family: int = 4, **vtep: Any) -> Topology:
    """h1 and h2 on the switch lan, each with 172.16.0.N/24 on its vxlan0 in segment red (42)."""
    return describe(family, **vtep).build()


def describe(family: int = 4, *, segment: dict[str, Any] | None = None, **vtep: Any) -> Any:
    """The same, not built yet; ``segment`` and ``vtep`` are changes of those elements."""
    t = TopologyBuilder("two-hosts")
    t.switch("lan", "10.0.0.0/24" if family == 4 else "fd00::/64")
    t.segment("red", **{"vni": 42, **(segment or {})})
    for number in (1, 2):
        t.host(f"h{number}", "lan")
        bridged = "bridge" in vtep
        own = {"addresses": () if bridged else f"172.16.0.{number}/24", **vtep}
        t.vtep(f"h{number}", "red", **own)
    return t


def with_containers() -> TopologyBuilder:
    """As two_hosts, with c1 and c2 (172.16.0.N/24) behind br0 in place of addresses."""
    t: TopologyBuilder = describe(bridge="br0")
    for number in (1, 2):
        t.container(f"c{number}", f"h{number}", "br0", f"172.16.0.{number}/24")
    return t


def red(**fields: Any) -> Segment:
    """A segment with some fields of its own."""
    return Segment(**{"name": "red", "vni": 42, **fields})


class EditingBackend:
    """Applies a plan by netlink after ``edit`` has changed it."""

    name = "editing"

    def __init__(self, edit: Callable[[list[Operation]], Sequence[Operation]]) -> None:
        self.edit = edit

    def apply(self, site: Site, operations: Iterable[Operation]) -> None:
        """Apply what ``edit`` makes of the operations."""
        NetlinkBackend().apply(site, self.edit(list(operations)))


class FailingBackend:
    """Applies the first ``after`` operations of a plan, and fails at the next."""

    name = "failing"

    def __init__(self, after: int) -> None:
        self.after = after

    def apply(self, site: Site, operations: Iterable[Operation]) -> None:
        """Apply some, then raise ApplyError."""
        plan = list(operations)
        NetlinkBackend().apply(site, plan[: self.after])
        raise ApplyError(str(plan[self.after]), "refused by the test")


class NeverBackend:
    """Must not be called."""

    name = "never"

    def apply(self, site: Site, operations: Iterable[Operation]) -> None:
        """Fail the test."""
        raise AssertionError(f"applied {list(operations)}")
