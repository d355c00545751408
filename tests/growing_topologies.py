"""Topologies of any size, each large in another way, for tests of how the cost grows."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from vxlab.describe.builder import TopologyBuilder


def address(first: str, number: int, prefixlen: int) -> str:
    """The address that comes ``number`` after ``first``, with its prefix length."""
    return f"{ipaddress.ip_address(first) + number}/{prefixlen}"


def lan(name: str = "many", **switch: int) -> TopologyBuilder:
    return TopologyBuilder(name).switch("lan", "172.16.0.0/12", **switch)


def segments(size: int) -> TopologyBuilder:
    """Two hosts, with a device and a subnet of their own in each segment."""
    t = lan().host("a", "lan").host("b", "lan")
    for number in range(size):
        t.segment(f"s{number}", number + 1)
        t.vtep("a", f"s{number}", addresses=address("10.0.0.1", 4 * number, 30))
        t.vtep("b", f"s{number}", addresses=address("10.0.0.2", 4 * number, 30))
    return t


def hosts(size: int, group: str | None = None, first: str = "10.0.0.1") -> TopologyBuilder:
    """One segment of many hosts that flood to each other."""
    t = lan().segment("red", 42, group=group)
    for number in range(size):
        t.host(f"h{number}", "lan")
        t.vtep(
            f"h{number}", "red", addresses=address(first, number, 16 if ":" not in first else 64)
        )
    return t


def hosts_with_group(size: int) -> TopologyBuilder:
    """One segment of many hosts that flood to a group; in IPv6 inside."""
    return hosts(size, "239.1.1.1", "fd00::1")


def hosts_behind_a_router(size: int) -> TopologyBuilder:
    """One segment of hosts, each on a cable of its own to one router."""
    t = TopologyBuilder("many").segment("red", 42, flood="group", group="239.1.1.1")
    for number in range(size):
        t.cable(f"c{number}", address("10.0.0.0", 4 * number, 30))
    t.router("r", *(f"c{number}" for number in range(size)), daemon=None)
    for number in range(size):
        t.host(f"h{number}", f"c{number}").vtep(f"h{number}", "red")
    return t


def routers(size: int) -> TopologyBuilder:
    """Many pairs of a router that routes multicast and a host behind it.

    Routes from each to each would be as many as the square of them.
    """
    t = TopologyBuilder("many", routing="written").switch("lan", "172.16.0.0/12")
    for number in range(size):
        t.switch(f"s{number}", address("10.0.0.0", 4 * number, 30))
        t.router(f"r{number}", "lan", f"s{number}", daemon=("smcroute", "pimd")[number % 2])
        t.host(f"h{number}", f"s{number}").segment(f"g{number}", number + 1, group="239.1.1.1")
        t.vtep(f"h{number}", f"g{number}")
    return t


def interfaces(size: int) -> TopologyBuilder:
    """Two hosts with many cables between them, and a device at each end of each."""
    t = TopologyBuilder("many").host("a").host("b")
    for number in range(size):
        t.cable(f"c{number}", address("10.0.0.0", 4 * number, 30)).segment(f"s{number}", number + 1)
        for host in ("a", "b"):
            t.nic(host, f"c{number}", device=f"eth{number}")
            t.vtep(host, f"s{number}", nic=f"eth{number}", dev=number % 2 == 0)
    return t


def cards_on_a_switch(size: int) -> TopologyBuilder:
    """One router with many interfaces on the same switch, so with many ports of one name."""
    t = lan()
    for number in range(size):
        t.switch(f"s{number}", address("10.0.0.0", 4 * number, 30)).host(f"h{number}", f"s{number}")
    return t.router("r", *(f"s{number}" for number in range(size)), daemon=None)


def containers(size: int) -> TopologyBuilder:
    """Two hosts with many bridges, each with a device and a container."""
    t = lan().host("a", "lan").host("b", "lan")
    for number in range(size):
        t.segment(f"s{number}", number + 1)
        for place, host in enumerate("ab"):
            t.vtep(host, f"s{number}", bridge=f"br{number}")
            inside = address("10.0.0.1", 4 * number + place, 30)
            t.container(f"{host}{number}", host, f"br{number}", inside)
    return t


def containers_on_hosts(size: int) -> TopologyBuilder:
    """Many hosts with a container each, in a segment that floods to a group."""
    t = lan().segment("red", 42, group="239.1.1.1")
    for number in range(size):
        t.host(f"h{number}", "lan").vtep(f"h{number}", "red", bridge="br0")
        t.container(f"c{number}", f"h{number}", "br0", address("10.0.0.1", number, 16))
    return t


def tunnels(size: int) -> TopologyBuilder:
    """Two hosts with devices that each leave by the one before, and VRFs."""
    t = lan().host("a", "lan").host("b", "lan")
    for number in range(size):
        t.segment(f"s{number}", number + 1)
        lower = {"attributes": {"dev": f"vxlan{number - 1}"}} if number else {}
        t.vtep("a", f"s{number}", vrf=f"v{number}", **lower)
        t.vtep("b", f"s{number}", addresses=[address("fd00::1", number << 64, 64)])
    return t


SHAPES: dict[str, Callable[[int], TopologyBuilder]] = {
    make.__name__: make
    for make in (
        segments,
        hosts,
        hosts_with_group,
        hosts_behind_a_router,
        routers,
        interfaces,
        cards_on_a_switch,
        containers,
        containers_on_hosts,
        tunnels,
    )
}
