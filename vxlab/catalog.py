"""Ready-made topologies, one function each, to be used, read and copied.

Each returns a :class:`~vxlab.describe.topology.Topology`.  ``family`` is that of the underlay, 4 or 6;
an IPv6 underlay has the IPv4 numbers in its addresses (192.168.57.50 becomes
fd00:192:168:57::50).  ``port`` is the UDP destination port, where 0 stands for the kernel's
8472.  Names and addresses are those of well-known how-to articles, so that a reader finds them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from vxlab.describe import checks, vxlan
from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.elements import Flood, raise_ttl
from vxlab.describe.topology import Topology
from vxlab.errors import TopologyError

#: How multicast gets past the first router: by a packet filter rule on the hosts, by the
#: device's own ttl attribute, or not at all.
Ttl = Literal["rule", "device"] | None

#: A group of organisation-local scope in each family (RFC 2365, RFC 4291 section 2.7).
GROUPS = {4: "239.1.1.1", 6: "ff08::239:1:1:1"}


def _names(name: str, hosts: int) -> str:
    """The names of so many hosts: a, b, c, …"""
    return "abcdefghijklmnopqrstuvwxyz"[: checks.number(name, "hosts", hosts, 1, 26)]


def _choice(name: str, field: str, value: object, *choices: object) -> None:
    if value not in choices:
        wanted = ", ".join(map(str, choices))
        raise TopologyError(name, field, f"wanted {wanted}, found {value!r}")


def _network(family: int, network: str) -> str:
    """A network of the underlay in the wanted family."""
    _choice("underlay", "family", family, 4, 6)
    if family == 4:
        return network
    parts = network.split("/")[0].split(".")
    return f"fd00:{parts[0]}:{parts[1]}:{parts[2]}::/64"


def _address(family: int, address: str) -> str:
    """An address of the underlay, with prefix length, in the wanted family."""
    if family == 4:
        return f"{address}/24"
    parts = address.split(".")
    return f"fd00:{parts[0]}:{parts[1]}:{parts[2]}::{parts[3]}/64"


def _ttl(ttl: Ttl) -> dict[str, vxlan.Value]:
    """The attributes of a device that raises the TTL of multicast itself, if it does."""
    _choice("underlay", "ttl", ttl, "rule", "device", None)
    return {"ttl": 8} if ttl == "device" else {}


def _lan(t: TopologyBuilder, hosts: int, network: str) -> None:
    """What joins all hosts: a cable where they are two."""
    if hosts == 2:
        t.cable("lan", network)
    else:
        t.switch("lan", network)


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

    With more hosts (c, d, …) lan is a switch, and each floods to all others.  ``bind`` says which
    devices are bound to their card and address (``dev``, ``local``): the first host's, all, or
    none.
    """
    _choice("point-to-point", "bind", bind, "a", "both", "none")
    t = TopologyBuilder("point-to-point")
    _lan(t, hosts, _network(family, "192.168.57.0/24"))
    t.segment("overlay", vni, port=port)
    for number, name in enumerate(_names(t.name, hosts)):
        last = 50 if number == 0 else 53 + number
        bound = bind == "both" or (bind == "a" and number == 0)
        t.host(name, "lan", _address(family, f"192.168.57.{last}"))
        t.vtep(
            name,
            "overlay",
            addresses=f"172.18.1.{2 + number}/24",
            vrf="vrf0" if vrf else None,
            dev=bound,
            local=bound,
        )
    return t.build()


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

    Containers are numbered through all hosts: with two on each, ns0 and ns1 are on ``a``, ns2
    and ns3 on ``b``.  With ``group`` the segment floods by multicast (see :func:`multicast`).
    """
    t = TopologyBuilder("bridged" if group is None else "multicast")
    _lan(t, hosts, _network(family, "192.168.57.0/24"))
    t.segment("overlay", vni, port=port, group=group, flood=flood)
    checks.number(t.name, "containers", containers, 0, 250)
    for number, name in enumerate(_names(t.name, hosts)):
        last = 50 if number == 0 else 53 + number
        t.host(name, "lan", _address(family, f"192.168.57.{last}"))
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

    The group is 224.1.1.1 as in the article, or one of organisation scope in IPv6.
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


def one_switch(
    *, family: int = 4, vni: int = 42, port: int = 0, hosts: int = 2, group: str | None = None
) -> Topology:
    """Hosts on one switch, address on the device, flooding to a group (E4).

    a eth0 192.168.10.2 ── vbr ── 192.168.10.3 eth0 b
      vxlan0 192.168.42.2         192.168.42.3 vxlan0
    """
    t = TopologyBuilder("one-switch")
    t.switch("vbr", _network(family, "192.168.10.0/24"))
    t.segment("overlay", vni, port=port, group=group or GROUPS[family])
    for number, name in enumerate(_names(t.name, hosts)):
        t.host(name, "vbr", _address(family, f"192.168.10.{2 + number}"))
        t.vtep(name, "overlay", addresses=f"192.168.42.{2 + number}/24")
    return t.build()


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

    Both segments share one group.  ``router`` is the daemon (smcroute, pimd, None).  ``leak`` is
    the mistake of giving both tenants one VNI: lee's servers are plugged into kim's bridge.
    """  # noqa: E501 - the picture
    _choice("kim-and-lee", "family", family, *GROUPS)
    shared = group or GROUPS[family]
    rules = (raise_ttl(shared),) if ttl == "rule" else ()
    t = TopologyBuilder("kim-and-lee")
    t.cable("net1", _network(family, "192.168.11.0/24"))
    t.cable("net2", _network(family, "192.168.12.0/24"))
    t.router("router", "net1", "net2", daemon=router)
    if not isinstance(vnis, tuple) or len(vnis) != 2:
        raise TopologyError(t.name, "vnis", f"wanted a pair of VNIs, found {vnis!r}")
    tenants = dict(zip(("kim", "lee"), vnis, strict=True))
    for tenant, vni in tenants.items():
        t.segment(tenant, vni, port=port, group=shared, attributes=_ttl(ttl), duplicates=leak)
    for number in (1, 2):
        host = f"lxc{number}"
        address = _address(family, f"192.168.1{number}.10")
        t.host(host, f"net{number}", address, device="ens33", rules=rules)
        for tenant, vni in tenants.items():
            t.vtep(host, tenant, device=f"vxlan{vni}", bridge=f"br-{vni}")
        for tenant, vni in tenants.items():
            bridge = f"br-{vnis[0] if leak else vni}"
            mac = f"02:00:{vni.to_bytes(3).hex(':')}:0{number}"
            t.container(f"{tenant}-srv{number}", host, bridge, f"1.1.1.{number}/24", mac=mac)
    return t.build()


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
    """
    _choice("routed", "family", family, *GROUPS)
    shared = group or GROUPS[family]
    rules = (raise_ttl(shared),) if ttl == "rule" else ()
    t = TopologyBuilder("routed")
    names = _names(t.name, hosts)
    for number in range(1, hosts + 1):
        t.cable(f"net{number}", _network(family, f"192.168.{10 + number}.0/24"))
    t.router("router", *(f"net{number}" for number in range(1, hosts + 1)), daemon=router)
    t.segment("overlay", vni, port=port, group=shared, attributes=_ttl(ttl))
    for number, name in enumerate(names, 1):
        t.host(name, f"net{number}", _address(family, f"192.168.{10 + number}.10"), rules=rules)
        t.vtep(name, "overlay", addresses=f"192.168.42.{1 + number}/24")
    return t.build()


#: All topologies by name.
CATALOG: Mapping[str, Callable[..., Topology]] = {
    "point-to-point": point_to_point,
    "bridged": bridged,
    "multicast": multicast,
    "one-switch": one_switch,
    "kim-and-lee": kim_and_lee,
    "routed": routed,
}
