"""smcroute: both families at once, and what it refuses."""

from __future__ import annotations

import pytest
from multicast_router_tools import GROUP, GROUP6, RouterLab, Start, ip

from vxlab.errors import DaemonError, TopologyError
from vxlab.services import MulticastRouter, Smcroute


def test_smcroute_routes_both_families_at_once(lab: RouterLab, start: Start) -> None:
    lab.add_vxlan(GROUP, vni=10)
    lab.add_vxlan(GROUP6, vni=20)
    start(lab, Smcroute(lab.interfaces, [GROUP, GROUP6])).wait_ready()
    assert lab.ping(1, 2, vni=10)[0] == 0
    assert lab.ping(1, 2, vni=20)[0] == 0


@pytest.mark.parametrize(("group", "family"), [(GROUP, "ipv4"), (GROUP6, "ipv6")])
def test_smcroute_says_where_multicast_is_off(
    lab: RouterLab, start: Start, group: str, family: str
) -> None:
    ip(lab.router, "link set eth2 multicast off")
    running = start(lab, Smcroute(lab.interfaces, [group]))
    with pytest.raises(DaemonError, match=rf"table \({family}\), found no eth2") as it:
        running.wait_ready(timeout=60)
    assert "eth2" in str(it.value).partition("its output:")[2]


def test_smcroute_refuses_a_line_that_smcroute_would_cut() -> None:
    names = [f"interface-{n:05}" for n in range(31)]
    assert isinstance(Smcroute(names[:25], [GROUP]), MulticastRouter)
    with pytest.raises(TopologyError, match=r"found 52. bytes: use shorter names"):
        Smcroute(names, [GROUP])
