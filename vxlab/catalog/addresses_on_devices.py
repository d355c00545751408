"""Hosts whose vxlan devices have addresses themselves, without a bridge."""

from __future__ import annotations

from typing import Literal

from vxlab.catalog.underlay import GROUPS, address_of, check_choice, host_names, join, network_of
from vxlab.describe import vxlan
from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.topology import Topology


def point_to_point(
    *,
    family: int = 4,
    vni: int = 42,
    port: int = vxlan.IANA_PORT,
    hosts: int = 2,
    vrf: bool = False,
    bind: Literal["a", "both", "none"] = "a",
) -> Topology:
    r"""Hosts on one underlay, each with an address on its vxlan device (E1).

        a eth0 .50 ──┐                 ┌── eth0 .54 b
          vxlan0     ├─ 192.168.57.0 ──┤     vxlan0
          172.18.1.2 ┘   (cable lan)   └ 172.18.1.3

    ``hosts`` is their number, 1 to 26; with more than two (c, d, …) lan is a switch, and each
    floods to all others.  ``family`` (4, 6), ``vni`` and ``port`` (UDP) are those of the underlay
    and the segment; with ``vrf`` each device belongs to a VRF ``vrf0``.  ``bind`` says which
    devices are bound to their underlay interface and address (``dev``, ``local``): that of the
    first host (``a``), of all (``both``), or of none.  TopologyError for a value that cannot be.
    """
    check_choice("point-to-point", "bind", bind, "a", "both", "none")
    t = TopologyBuilder("point-to-point")
    join(t, hosts, network_of(family, "192.168.57.0/24"))
    t.segment("overlay", vni, port=port)
    for number, name in enumerate(host_names(t.name, hosts)):
        last = 50 if number == 0 else 53 + number
        bound = bind == "both" or (bind == "a" and number == 0)
        t.host(name, "lan", address_of(family, f"192.168.57.{last}"))
        t.vtep(
            name,
            "overlay",
            addresses=f"172.18.1.{2 + number}/24",
            vrf="vrf0" if vrf else None,
            dev=bound,
            local=bound,
        )
    return t.build()


def one_switch(
    *, family: int = 4, vni: int = 42, port: int = 0, hosts: int = 2, group: str | None = None
) -> Topology:
    """Hosts on one switch, address on the device, flooding to a group (E4).

    a eth0 192.168.10.2 ── vbr ── 192.168.10.3 eth0 b
      vxlan0 192.168.42.2         192.168.42.3 vxlan0

    ``family`` (4, 6) is that of the underlay; ``vni`` and ``port`` (UDP; 0: 8472) are those of the
    segment; ``hosts`` is their number, 1 to 26; ``group`` the multicast address (None: 239.1.1.1
    or ff08::239:1:1:1).  TopologyError for a value that cannot be.
    """
    t = TopologyBuilder("one-switch")
    t.switch("vbr", network_of(family, "192.168.10.0/24"))
    t.segment("overlay", vni, port=port, group=group or GROUPS[family])
    for number, name in enumerate(host_names(t.name, hosts)):
        t.host(name, "vbr", address_of(family, f"192.168.10.{2 + number}"))
        t.vtep(name, "overlay", addresses=f"192.168.42.{2 + number}/24")
    return t.build()
