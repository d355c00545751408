"""The routes of the underlay follow from the topology, over any number of routers."""

from __future__ import annotations

from vxlab import Loopback, RouteHop, TopologyBuilder
from vxlab.describe.topology import Topology
from vxlab.operations import AddRoute
from vxlab.plan.planner import make_plan


def routes(topology: Topology, node: str) -> dict[str, list[str]]:
    """Where each route of ``node`` leads: its gateways, with the interface where it is named."""
    found: dict[str, list[str]] = {}
    for operation in make_plan(topology):
        if isinstance(operation, AddRoute) and operation.node == node:
            own = RouteHop(via=operation.via, interface=operation.interface)
            hops = operation.hops or (own,)
            assert operation.destination not in found
            found[operation.destination] = [
                f"{hop.via} {hop.interface}" if hop.interface else str(hop.via) for hop in hops
            ]
    return found


def row(count: int) -> TopologyBuilder:
    """Networks in a row, with a router between each two of them."""
    t = TopologyBuilder("row")
    for number in range(count):
        t.cable(f"net{number}", f"10.0.{number}.0/24")
    for number in range(count - 1):
        t.router(f"r{number}", f"net{number}", f"net{number + 1}", daemon=None)
    return t.host("h0", "net0").host("h1", f"net{count - 1}")


def test_a_host_beside_one_router_has_a_default_route() -> None:
    topology = row(3).build()
    assert routes(topology, "h0") == {"default": ["10.0.0.1"]}
    assert routes(topology, "h1") == {"default": ["10.0.2.1"]}


def test_routers_know_the_networks_behind_one_another() -> None:
    topology = row(4).build()
    assert routes(topology, "r0") == {"10.0.2.0/24": ["10.0.1.2"], "10.0.3.0/24": ["10.0.1.2"]}
    assert routes(topology, "r1") == {"10.0.0.0/24": ["10.0.1.1"], "10.0.3.0/24": ["10.0.2.2"]}
    assert routes(topology, "r2") == {"10.0.0.0/24": ["10.0.2.1"], "10.0.1.0/24": ["10.0.2.1"]}


def test_written_routes_are_all_there_are() -> None:
    t = TopologyBuilder("t", routing="written").cable("a", "10.0.0.0/24").cable("b", "10.1.0.0/24")
    t.router("r", "a", "b", daemon=None).host("h", "a").host("g", "b")
    t.route("h", "10.1.0.0/16", "10.0.0.1", metric=7)
    topology = t.build()
    assert routes(topology, "h") == {"10.1.0.0/16": ["10.0.0.1"]}
    assert routes(topology, "g") == {}


def leaves(spines: int) -> Topology:
    t = TopologyBuilder("spine and leaf")
    for spine in range(spines):
        for leaf in range(2):
            t.cable(f"s{spine}l{leaf}", f"10.{spine}.{leaf}.0/31")
        t.router(f"spine{spine}", f"s{spine}l0", f"s{spine}l1", daemon=None)
    for leaf in range(2):
        t.host(f"leaf{leaf}").device(f"leaf{leaf}", Loopback(addresses=f"10.255.0.{leaf}/32"))
        for spine in range(spines):
            t.nic(f"leaf{leaf}", f"s{spine}l{leaf}")
    return t.build()


def test_equal_ways_are_one_route_with_several_hops() -> None:
    found = routes(leaves(3), "leaf0")
    assert found["10.255.0.1/32"] == ["10.0.0.0", "10.1.0.0", "10.2.0.0"]
    assert found["10.1.1.0/31"] == ["10.1.0.0"]  # nearer by one router


def test_a_router_knows_what_hosts_have_on_their_loopback_devices() -> None:
    assert routes(leaves(1), "spine0") == {
        "10.255.0.0/32": ["10.0.0.1"],
        "10.255.0.1/32": ["10.0.1.1"],
    }


def test_what_has_no_address_on_a_link_is_reached_by_its_loopback_address() -> None:
    t = TopologyBuilder("unnumbered").cable("a", None).cable("b", None)
    t.router("r", daemon=None).nic("r", "a", ()).nic("r", "b", ())
    t.device("r", Loopback(addresses="10.255.0.9/32"))
    for number, link in enumerate("ab"):
        t.host(f"h{number}").nic(f"h{number}", link, ())
        t.device(f"h{number}", Loopback(addresses=f"10.255.0.{number}/32"))
    topology = t.build()
    assert routes(topology, "h0") == {"default": ["10.255.0.9 eth0"]}
    assert routes(topology, "r") == {
        "10.255.0.0/32": ["10.255.0.0 eth0"],
        "10.255.0.1/32": ["10.255.0.1 eth1"],
    }
    (operation, *_) = [o for o in make_plan(topology) if isinstance(o, AddRoute) and o.node == "h0"]
    assert operation.onlink


def test_both_families_of_a_link_have_routes() -> None:
    t = TopologyBuilder("both").cable("a", ("10.0.0.0/24", "fd00::/64"))
    t.cable("b", ("10.1.0.0/24", "fd01::/64")).router("r", "a", "b", daemon=None)
    topology = t.host("h", "a").host("g", "b").build()
    defaults = [o for o in make_plan(topology) if isinstance(o, AddRoute) and o.node == "h"]
    assert [(o.destination, o.via) for o in defaults] == [
        ("default", "10.0.0.1"),
        ("default", "fd00::1"),
    ]


def test_a_host_that_forwards_is_a_router() -> None:
    t = TopologyBuilder("t").cable("a", "10.0.0.0/24").cable("b", "10.1.0.0/24")
    t.host("m", "a", forwarding=True).nic("m", "b").host("h", "a").host("g", "b")
    topology = t.build()
    assert routes(topology, "h") == {"default": ["10.0.0.1"]}
    assert routes(topology, "g") == {"default": ["10.1.0.1"]}
