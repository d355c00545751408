"""Underlays of several ways, and of more than plain cards."""

from __future__ import annotations

from vxlab.catalog.underlay import GROUPS, address_of, check_choice, network_of
from vxlab.catalog.vlans import ends
from vxlab.describe import checks, vxlan
from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.devices import Bond, Loopback, Vrf
from vxlab.describe.devices.bond import Mode
from vxlab.describe.impairment import Netem
from vxlab.describe.topology import Topology
from vxlab.plan.operations import AddMdb


def spine_leaf(
    *, family: int = 4, port: int = vxlan.IANA_PORT, leaves: int = 3, spines: int = 2
) -> Topology:
    """Leaves with VTEPs on their loopback addresses, joined by spines: several ways to each.

        c1 172.16.0.1 ─ br0 ─ leaf1 ──┬── spine1 ──┬── leaf2 ─ br0 ─ 172.16.0.2 c2
                                      └── spine2 ──┘

    The leaves choose a way by addresses and ports of the outer packet (ECMP).  ``leaves`` and
    ``spines`` are their numbers, 2 to 9; ``family`` (4, 6) is that of the underlay, ``port`` (UDP;
    0: 8472) the segment's.  TopologyError for a value that cannot be.
    """
    t = TopologyBuilder("spine-leaf")
    check_choice(t.name, "family", family, 4, 6)
    count = range(1, checks.number(t.name, "leaves", leaves, 2, 9) + 1)
    t.segment("red", 42, port=port)
    for s in range(1, checks.number(t.name, "spines", spines, 2, 9) + 1):
        for n in count:
            t.cable(f"s{s}l{n}", network_of(family, f"10.{s}.{n}.0/24"))
        t.router(f"spine{s}", *(f"s{s}l{n}" for n in count), daemon=None)
    for n in count:
        leaf, length = f"leaf{n}", {4: 32, 6: 128}[family]
        t.host(leaf)
        for s in range(1, spines + 1):
            t.nic(leaf, f"s{s}l{n}")
        own = address_of(family, f"10.255.0.{n}").partition("/")[0]
        t.device(leaf, Loopback(addresses=(f"{own}/{length}",)))
        t.setting(leaf, f"net.ipv{family}.fib_multipath_hash_policy", 1)
        t.vtep(leaf, "red", nic="lo", bridge="br0")
        t.container(f"c{n}", leaf, "br0", f"172.16.0.{n}/24", mtu=1430)
    return t.build()


def two_routers(
    *, family: int = 4, port: int = 0, router: str | None = "smcroute", group: str | None = None
) -> Topology:
    """Two hosts, two multicast routers one behind the other between them.

        a vxlan0 192.168.42.1 ── net1 ── r1 ── net2 ── r2 ── net3 ── 192.168.42.2 vxlan0 b

    ``family`` (4, 6) is that of the underlay, ``port`` (UDP; 0: 8472) the segment's, ``group`` its
    multicast address (None: 239.1.1.1 or ff08::239:1:1:1).  ``router`` is the program that routes
    multicast (smcroute, pimd, or None).  TopologyError for a value that cannot be.
    """
    check_choice("two-routers", "family", family, *GROUPS)
    t = TopologyBuilder("two-routers")
    for n in (1, 2, 3):
        t.cable(f"net{n}", network_of(family, f"192.168.{10 + n}.0/24"))
    t.router("r1", "net1", "net2", daemon=router)
    t.router("r2", "net2", "net3", daemon=router)
    t.segment("overlay", 42, port=port, group=group or GROUPS[family], attributes={"ttl": 8})
    for n, (host, net) in enumerate((("a", 1), ("b", 3)), 1):
        t.host(host, f"net{net}", address_of(family, f"192.168.{10 + net}.10"))
        t.vtep(host, "overlay", addresses=f"192.168.42.{n}/24")
    return t.build()


def vrf_underlay(*, family: int = 4, port: int = vxlan.IANA_PORT) -> Topology:
    """The underlay in a VRF, the overlay outside of it.

        h1 vxlan0 10.0.0.1 ─ VRF under ─ eth0 ── lan ── eth0 ─ VRF under ─ 10.0.0.2 vxlan0 h2

    ``family`` (4, 6) is that of the underlay, ``port`` (UDP; 0: 8472) the segment's.  TopologyError
    for a value that cannot be.
    """
    t = TopologyBuilder("vrf-underlay")
    t.cable("lan", network_of(family, "192.168.57.0/24"))
    t.segment("overlay", 42, port=port)
    for n in (1, 2):
        t.host(f"h{n}")
        t.device(f"h{n}", Vrf("under", table=100))
        t.nic(f"h{n}", "lan", address_of(family, f"192.168.57.{n}"), master="under")
        t.vtep(f"h{n}", "overlay", addresses=f"10.0.0.{n}/24")
    return t.build()


def bond_underlay(
    *, family: int = 4, port: int = vxlan.IANA_PORT, mode: Mode = "active-backup"
) -> Topology:
    """Two cables as one, by a bond on each host.

        h1 vxlan0 10.0.0.1 ─ bond0 ─┬─ eth0 ── one ── eth0 ─┬─ bond0 ─ 10.0.0.2 vxlan0 h2
                                    └─ eth1 ── two ── eth1 ─┘

    ``mode`` is the bonds', "active-backup" or "802.3ad" for instance; ``family`` (4, 6) that of the
    underlay, ``port`` (UDP; 0: 8472) the segment's.  TopologyError for a value that cannot be.
    """
    t = TopologyBuilder("bond-underlay")
    check_choice(t.name, "family", family, 4, 6)
    t.cable("one", None)
    t.cable("two", None)
    t.segment("overlay", 42, port=port)
    for n in (1, 2):
        t.host(f"h{n}")
        address = address_of(family, f"192.168.57.{n}")
        t.device(f"h{n}", Bond("bond0", mode=mode, addresses=(address,)))
        t.nic(f"h{n}", "one", master="bond0")
        t.nic(f"h{n}", "two", master="bond0")
        t.vtep(f"h{n}", "overlay", addresses=f"10.0.0.{n}/24")
    return t.build()


def impaired(
    *,
    family: int = 4,
    port: int = vxlan.IANA_PORT,
    delay: int = 0,
    loss: int = 0,
    rate: int = 10_000_000,
) -> Topology:
    """Two hosts on a cable that is narrow, late, or loses frames.

        h1 vxlan0 10.0.0.1 ── lan ── 10.0.0.2 vxlan0 h2

    ``rate`` is in bits a second (0: as much as there is), ``delay`` in milliseconds, ``loss`` a
    percentage of the frames, each in both directions.  ``family`` (4, 6) is that of the underlay,
    ``port`` (UDP; 0: 8472) the segment's.  TopologyError for a value that cannot be.
    """
    t = TopologyBuilder("impaired")
    t.cable("lan", network_of(family, "192.168.57.0/24"))
    t.segment("overlay", 42, port=port)
    netem = Netem(delay=delay, loss=loss, rate=rate)
    for n in (1, 2):
        t.host(f"h{n}")
        t.nic(f"h{n}", "lan", address_of(family, f"192.168.57.{n}"), impairment=netem)
        t.vtep(f"h{n}", "overlay", addresses=f"10.0.0.{n}/24")
    return t.build()


def mdb(*, family: int = 4, port: int = vxlan.IANA_PORT) -> Topology:
    """A group of the overlay that only the VTEPs get that are to have it.

        c1 10.0.0.1 ─ br0 ─ vxlan0 ── lan ── vxlan0 ─ br0 ─ 10.0.0.2 c2

    Each device has the entries (*, 239.10.10.10) and (*, ff0e::10) for the other host, and none for
    all other groups.  ``family`` (4, 6) is that of the underlay, ``port`` (UDP; 0: 8472) the
    segment's.  TopologyError for a value that cannot be.
    """
    t = TopologyBuilder("mdb")
    addresses = ends(t, family)
    t.segment("overlay", 42, port=port)
    for n, far in ((1, 2), (2, 1)):
        t.vtep(f"h{n}", "overlay", bridge="br0")
        t.container(f"c{n}", f"h{n}", "br0", f"10.0.0.{n}/24")
        for group in ("239.10.10.10", "ff0e::10"):
            t.then(AddMdb(f"h{n}", "vxlan0", group, dst=addresses[f"h{far}"]))
    return t.build()
