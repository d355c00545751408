"""Hosts in subnets of their own, joined by a multicast router."""

from __future__ import annotations

from collections.abc import Mapping

from vxlab.catalog.underlay import (
    GROUPS,
    Ttl,
    address_of,
    check_choice,
    host_names,
    network_of,
    ttl_attributes,
)
from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.filters import raise_ttl
from vxlab.describe.topology import Topology
from vxlab.errors import TopologyError


def kim_and_lee(
    *,
    family: int = 4,
    router: str | None = "smcroute",
    ttl: Ttl = "rule",
    port: int = 0,
    vnis: tuple[int, int] = (10, 20),
    group: str | None = None,
    leak: bool = False,
) -> Topology:
    """Two tenants with equal addresses, a multicast router between their hosts (E5).

        kim-srv1 1.1.1.1 ─ br-10 ─ vxlan10 ┐                        ┌ vxlan10 ─ br-10 ─ 1.1.1.2 kim-srv2
                                           ├ lxc1 ── router ── lxc2 ┤
        lee-srv1 1.1.1.1 ─ br-20 ─ vxlan20 ┘                        └ vxlan20 ─ br-20 ─ 1.1.1.2 lee-srv2

    Both segments share one ``group`` (None: 239.1.1.1 or ff08::239:1:1:1); ``vnis`` are kim's and
    lee's, ``port`` is the UDP port of both (0: 8472), ``family`` (4, 6) that of the underlay.
    ``router`` is the program that routes multicast (smcroute, pimd, or None).  ``ttl`` says how
    multicast gets past it: by a packet filter ``rule``, by the attribute of the ``device``, or not
    (None).  ``leak`` is the mistake of giving both tenants one VNI: lee's servers are connected to
    kim's bridge.  TopologyError for a value that cannot be.
    """  # noqa: E501 - the picture
    check_choice("kim-and-lee", "family", family, *GROUPS)
    shared = group or GROUPS[family]
    rules = (raise_ttl(shared),) if ttl == "rule" else ()
    t = TopologyBuilder("kim-and-lee")
    t.cable("net1", network_of(family, "192.168.11.0/24"))
    t.cable("net2", network_of(family, "192.168.12.0/24"))
    t.router("router", "net1", "net2", daemon=router)
    if not isinstance(vnis, tuple) or len(vnis) != 2:
        raise TopologyError(t.name, "vnis", f"wanted a pair of VNIs, found {vnis!r}")
    tenants = dict(zip(("kim", "lee"), vnis, strict=True))
    for tenant, vni in tenants.items():
        t.segment(
            tenant, vni, port=port, group=shared, attributes=ttl_attributes(ttl), duplicates=leak
        )
    for number in (1, 2):
        host = f"lxc{number}"
        address = address_of(family, f"192.168.1{number}.10")
        t.host(host, f"net{number}", address, device="ens33", rules=rules)
        for tenant, vni in tenants.items():
            t.vtep(host, tenant, device=f"vxlan{vni}", bridge=f"br-{vni}")
        bridges = {tenant: f"br-{vnis[0] if leak else vni}" for tenant, vni in tenants.items()}
        _add_servers(t, number, tenants, bridges)
    return t.build()


def _add_servers(
    t: TopologyBuilder, number: int, tenants: Mapping[str, int], bridges: Mapping[str, str]
) -> None:
    """A server of each tenant on the host of that number, all with the same address."""
    for tenant, vni in tenants.items():
        mac = f"02:00:{vni.to_bytes(3).hex(':')}:0{number}"
        name, address = f"{tenant}-srv{number}", f"1.1.1.{number}/24"
        t.container(name, f"lxc{number}", bridges[tenant], address, mac=mac)


def routed(
    *,
    family: int = 4,
    router: str | None = "smcroute",
    ttl: Ttl = "device",
    vni: int = 42,
    port: int = 0,
    hosts: int = 3,
    group: str | None = None,
) -> Topology:
    """One host a subnet, a multicast router between them all, address on the device.

    a vxlan0 192.168.42.2 ── net1 ──┐
    b vxlan0 192.168.42.3 ── net2 ──┼── router
    c vxlan0 192.168.42.4 ── net3 ──┘

    ``hosts`` is their number, 1 to 26; ``family`` (4, 6) that of the underlay; ``vni`` and ``port``
    (UDP; 0: 8472) are those of the segment, ``group`` its multicast address (None: 239.1.1.1 or
    ff08::239:1:1:1).  ``router`` is the program that routes multicast (smcroute, pimd, or None).
    ``ttl`` says how multicast gets past it: by a packet filter ``rule``, by the attribute of the
    ``device``, or not (None).  TopologyError for a value that cannot be.
    """
    check_choice("routed", "family", family, *GROUPS)
    shared = group or GROUPS[family]
    rules = (raise_ttl(shared),) if ttl == "rule" else ()
    t = TopologyBuilder("routed")
    names = host_names(t.name, hosts)
    for number in range(1, hosts + 1):
        t.cable(f"net{number}", network_of(family, f"192.168.{10 + number}.0/24"))
    t.router("router", *(f"net{number}" for number in range(1, hosts + 1)), daemon=router)
    t.segment("overlay", vni, port=port, group=shared, attributes=ttl_attributes(ttl))
    for number, name in enumerate(names, 1):
        t.host(name, f"net{number}", address_of(family, f"192.168.{10 + number}.10"), rules=rules)
        t.vtep(name, "overlay", addresses=f"192.168.42.{1 + number}/24")
    return t.build()
