"""Containers behind bridges that VXLAN joins."""

from __future__ import annotations

from vxlab.catalog.underlay import GROUPS, address_of, host_names, join, network_of
from vxlab.describe import checks, vxlan
from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.elements import Flood
from vxlab.describe.topology import Topology


def bridged(
    *,
    family: int = 4,
    vni: int = 42,
    port: int = vxlan.IANA_PORT,
    hosts: int = 2,
    containers: int = 1,
    vrf: bool = False,
    group: str | None = None,
    flood: Flood | None = None,
) -> Topology:
    """Containers behind a bridge on each host, the bridges joined by VXLAN (E2).

        ns0 eth0 172.18.1.2 ─ br0 ─ vxlan0 ─ a ── lan ── b ─ vxlan0 ─ br0 ─ 172.18.1.3 eth0 ns1

    ``containers`` is their number on each host, up to 250, numbered through all: with two on each,
    ns0 and ns1 are on ``a``, ns2 and ns3 on ``b``.  ``hosts`` is the number of hosts, 1 to 26;
    ``family`` (4, 6) that of the underlay; ``vni`` and ``port`` (UDP; 0: 8472) are those of the
    segment.  With ``vrf`` each bridge belongs to a VRF ``vrf0``; with ``group``, a multicast
    address, the segment floods to it (see :func:`multicast`); ``flood`` is the mode of flooding
    (``remote``, ``group``, ``none``) unless that tells.  TopologyError for a value that cannot be.
    """
    t = TopologyBuilder("bridged" if group is None else "multicast")
    join(t, hosts, network_of(family, "192.168.57.0/24"))
    t.segment("overlay", vni, port=port, group=group, flood=flood)
    checks.number(t.name, "containers", containers, 0, 250)
    for number, name in enumerate(host_names(t.name, hosts)):
        last = 50 if number == 0 else 53 + number
        t.host(name, "lan", address_of(family, f"192.168.57.{last}"))
        t.vtep(name, "overlay", bridge="br0", vrf="vrf0" if vrf else None)
        for behind in range(containers):
            index = number * containers + behind
            t.container(f"ns{index}", name, "br0", f"172.18.1.{2 + index}/24")
    return t.build()


def multicast(
    *,
    family: int = 4,
    vni: int = 42,
    port: int = vxlan.IANA_PORT,
    hosts: int = 3,
    containers: int = 1,
    vrf: bool = False,
    group: str | None = None,
) -> Topology:
    """:func:`bridged`, flooding to a multicast group in place of remotes (E3).

    ``group`` is 224.1.1.1 as in the article, or one of organisation scope in IPv6, unless given;
    ``family``, ``vni``, ``port``, ``hosts``, ``containers`` and ``vrf`` are as for
    :func:`bridged`.  TopologyError for a value that cannot be.
    """
    group = group or ("224.1.1.1" if family == 4 else GROUPS[6])
    return bridged(
        family=family,
        vni=vni,
        port=port,
        hosts=hosts,
        containers=containers,
        vrf=vrf,
        group=group,
    )
