"""Topologies of the catalog broken on purpose, one cause each, and what is to be said of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from vxlab import catalog
from vxlab.describe.elements import drop_udp
from vxlab.describe.topology import Topology
from vxlab.describe.vxlan import IANA_PORT, KERNEL_PORT
from vxlab.errors import MissingProgram
from vxlab.live.lab import Lab
from vxlab.operations import (
    AddFdb,
    AddNeighbour,
    AddRule,
    DelLink,
    Operation,
    SetLink,
    SetSysctl,
    SetVxlan,
)
from vxlab.services import daemon_program

point_to_point, bridged = catalog.point_to_point, catalog.bridged
kim_and_lee, one_switch, routed = catalog.kim_and_lee, catalog.one_switch, catalog.routed

Change = Callable[[Lab], object]

#: Source and destination in each topology of the catalog.
ENDS = {
    "point-to-point": ("a", "172.18.1.3"),
    "bridged": ("ns0", "172.18.1.3"),
    "multicast": ("ns0", "172.18.1.3"),
    "one-switch": ("a", "192.168.42.3"),
    "kim-and-lee": ("kim-srv1", "1.1.1.2"),
    "routed": ("a", "192.168.42.3"),
}


@contextmanager
def open_lab(topology: Topology) -> Iterator[Lab]:
    """A lab; the test is skipped where its multicast daemon is not installed."""
    for daemon in {router.daemon for router in topology.routers} - {None}:
        try:
            daemon_program({"smcroute": "smcrouted"}.get(str(daemon), str(daemon)))
        except MissingProgram as missing:
            pytest.skip(str(missing))
    with Lab(topology) as lab:
        yield lab


def run(node: str, *commands: str) -> Change:
    """A change by commands in a node."""
    return lambda lab: [lab[node].run(*command.split()) for command in commands]


def stop_router(lab: Lab) -> None:
    lab.stop_daemon("router")


@dataclass(frozen=True)
class Break:
    """One way to break a topology, and what is to be said of it.

    ``change`` are operations, or a function of the lab; ``reason`` must be in the sentence.
    """

    code: str
    hop: str
    reason: str
    topology: Callable[[], Topology]
    change: tuple[Operation, ...] | Change = ()
    size: int | None = None
    ends: tuple[str, str] | None = None

    def make(self, lab: Lab) -> None:
        if callable(self.change):
            self.change(lab)
        else:
            lab.apply(*self.change)


MAC = "02:00:00:00:00:aa"
UNKNOWN_GROUP = (
    SetVxlan("lxc1", "vxlan10", (("group", "239.7.7.7"),)),
    SetVxlan("lxc2", "vxlan10", (("group", "239.7.7.7"),)),
)

OWN_CHAIN = ("-N mine", "-A INPUT -i eth0 -j mine", "-A mine -s 192.168.57.50 -j DROP")
TWO_OTHERS = ("192.168.57.55", "192.168.57.56")

BREAKS = {
    "ttl": Break(
        "ttl", "router:eth1", "multicast leaves with TTL 1", lambda: kim_and_lee(ttl=None),
    ),
    "ttl in ipv6": Break(
        "ttl", "router:eth1", "reaches router eth0 with TTL 1",
        lambda: kim_and_lee(ttl=None, family=6),
    ),
    "ttl of the device": Break(
        "ttl", "router:eth1", "vxlan0 on a has ttl 1",
        lambda: routed().with_vtep("a", "overlay", ttl=1),
    ),
    "no daemon": Break(
        "no-daemon", "router:eth1", "the topology gives it no daemon",
        lambda: kim_and_lee(router=None),
    ),
    "no daemon in ipv6": Break(
        "no-daemon", "router:eth1", "no program routes multicast on router",
        lambda: kim_and_lee(router=None, family=6),
    ),
    "daemon stopped": Break(
        "no-daemon", "router:eth1", "smcroute is not at work", kim_and_lee, stop_router,
    ),
    "group of link scope": Break(
        "link-local-group", "router:eth1", "224.0.0.5 is a group of link scope",
        lambda: routed(group="224.0.0.5"),
    ),
    "group of link scope in ipv6": Break(
        "link-local-group", "router:eth1", "ff02::5 is a group of link scope",
        lambda: routed(group="ff02::5", family=6),
    ),
    "firewall of the far host": Break(
        "firewall", "b:vxlan0", f"--dport {IANA_PORT} -j DROP` on b dropped",
        lambda: point_to_point().with_host("b", rules=(drop_udp(IANA_PORT),)),
    ),
    "firewall of the near host": Break(
        "firewall", "a:vxlan0", "b answers, and the frame to 192.168.57.50 reaches a eth0 and dies",
        lambda: point_to_point().with_host("a", rules=(drop_udp(IANA_PORT),)),
    ),
    "firewall in ipv6": Break(
        "firewall", "b:vxlan0", "`ip6tables -A INPUT",
        lambda: point_to_point(family=6).with_host("b", rules=(drop_udp(IANA_PORT, 6),)),
    ),
    "firewall, one switch": Break(
        "firewall", "b:vxlan0", "the frame to 239.1.1.1 reaches b eth0 and dies there: `iptables",
        lambda: one_switch().with_host("b", rules=(drop_udp(KERNEL_PORT),)),
    ),
    "firewall on what leaves": Break(
        "firewall", "lxc1:ens33", "`iptables -A OUTPUT -p udp -j DROP` on lxc1", kim_and_lee,
        (AddRule("lxc1", ("-A", "OUTPUT", "-p", "udp", "-j", "DROP")),),
    ),
    "firewall of the router": Break(
        "firewall", "router:eth1", "-A FORWARD -d 239.1.1.1/32 -j DROP` on router", kim_and_lee,
        (AddRule("router", ("-A", "FORWARD", "-d", "239.1.1.1", "-j", "DROP")),),
    ),
    "firewall of the router, way back": Break(
        "firewall", "router:eth0", "kim-srv2 answers, and the frame to 192.168.11.10", kim_and_lee,
        (AddRule("router", ("-A", "FORWARD", "-d", "192.168.11.10", "-j", "REJECT")),),
    ),
    "firewall of the source": Break(
        "firewall", "ns0:eth0", "nothing leaves ns0 eth0: `iptables -A OUTPUT -p icmp", bridged,
        (AddRule("ns0", ("-A", "OUTPUT", "-p", "icmp", "-j", "DROP")),),
    ),
    "firewall of the source, way back": Break(
        "firewall", "ns0:eth0", "arrives at ns0 eth0 and is not taken: `iptables", bridged,
        (AddRule("ns0", ("-A", "INPUT", "-p", "icmp", "-j", "DROP")),),
    ),
    "firewall of the target": Break(
        "firewall", "ns1:eth0", "the echo request to 172.18.1.3 arrives at ns1 eth0", bridged,
        (AddRule("ns1", ("-A", "INPUT", "-p", "icmp", "-j", "DROP")),),
    ),
    "firewall by policy": Break(
        "firewall", "b:vxlan0", "`iptables -P INPUT DROP` on b", point_to_point,
        (AddRule("b", ("-P", "INPUT", "DROP")),),
    ),
    "firewall by policy in ipv6": Break(
        "firewall", "a:eth0", "`ip6tables -P INPUT DROP` on b", lambda: point_to_point(family=6),
        (AddRule("b", ("-P", "INPUT", "DROP"), 6),),
    ),
    "firewall by a chain of its own": Break(
        "firewall", "b:vxlan0", "`iptables -A mine -s 192.168.57.50/32 -j DROP` on b",
        point_to_point,
        tuple(AddRule("b", tuple(words.split())) for words in OWN_CHAIN),
    ),
    "port": Break(
        "port-mismatch", "b:vxlan0",
        "to UDP port 4789, and vxlan0 on b listens on 4790 (b: Udp.NoPorts",
        lambda: point_to_point().with_vtep("b", "overlay", dstport=4790),
    ),
    "port in ipv6": Break(
        "port-mismatch", "b:vxlan0", "Udp6NoPorts",
        lambda: point_to_point(family=6).with_vtep("b", "overlay", dstport=4790),
    ),
    "port with a group": Break(
        "port-mismatch", "b:vxlan0", "to UDP port 8472, and vxlan0 on b listens on 4789",
        lambda: one_switch().with_vtep("b", "overlay", dstport=4789),
    ),
    "port, routed": Break(
        "port-mismatch", "lxc2:vxlan10", "vxlan10 on lxc2 listens on 4789",
        lambda: kim_and_lee(family=6).with_vtep("lxc2", "kim", dstport=4789),
    ),
    "vni": Break(
        "vni-mismatch", "b:vxlan0", "it has VNI 42, and vxlan0 on b has 43",
        lambda: point_to_point().with_vtep("b", "overlay", id=43),
    ),
    "vni with a group": Break(
        "vni-mismatch", "lxc2:vxlan10", "it has VNI 10, and vxlan10 on lxc2 has 11",
        lambda: kim_and_lee().with_vtep("lxc2", "kim", id=11),
    ),
    "group": Break(
        "group-mismatch", "b:vxlan0", "vxlan0 on b has group 239.2.2.2",
        lambda: one_switch().with_vtep("b", "overlay", group="239.2.2.2"),
    ),
    "group in ipv6": Break(
        "group-mismatch", "b:vxlan0", "vxlan0 on b has group ff08::2",
        lambda: one_switch(family=6).with_vtep("b", "overlay", group="ff08::2"),
    ),
    "group behind a router": Break(
        "group-mismatch", "router:eth1", "lxc2 is no member of 239.7.7.7 on ens33",
        lambda: kim_and_lee(ttl="device"), UNKNOWN_GROUP[:1],
    ),
    "no route of the group": Break(
        "no-mroute", "router:eth1", "router has no route of 239.7.7.7 from eth0 to eth1",
        lambda: kim_and_lee(ttl="device"), UNKNOWN_GROUP,
    ),
    "no remote": Break(
        "no-remote", "a:eth0", "vxlan0 on a has no remote to send it to (a: vxlan0 tx_dropped",
        lambda: bridged(flood="none"),
    ),
    "no remotes of several": Break(
        "no-remote", "a:eth0", "vxlan0 on a has no remote",
        lambda: point_to_point(hosts=3).with_vtep("a", "overlay", remotes=()),
    ),
    "wrong remote": Break(
        "wrong-remote", "a:eth0", "vxlan0 on a sends it to 192.168.57.55, and b is 192.168.57.54",
        lambda: point_to_point(hosts=3).with_vtep("a", "overlay", remotes=("192.168.57.55",)),
    ),
    "wrong remotes of several": Break(
        "wrong-remote", "a:eth0",
        "sends it to 192.168.57.55, 192.168.57.56, and b is 192.168.57.54",
        lambda: point_to_point(hosts=4).with_vtep("a", "overlay", remotes=TWO_OTHERS),
    ),
    "card down": Break(
        "link-down", "b:eth0", "b eth0 is down", one_switch, (SetLink("b", "eth0", up=False),),
    ),
    "card down, unicast": Break(
        "link-down", "b:eth0", "b eth0, the other end of its cable, is down", point_to_point,
        (SetLink("b", "eth0", up=False),),
    ),
    "card down in ipv6": Break(
        "link-down", "b:eth0", "b eth0 is down", lambda: point_to_point(family=6, hosts=3),
        (SetLink("b", "eth0", up=False),),
    ),
    "card of the router down": Break(
        "link-down", "router:eth1", "router eth1 is down", kim_and_lee,
        (SetLink("router", "eth1", up=False),),
    ),
    "vxlan device down": Break(
        "link-down", "b:vxlan0", "b vxlan0 is down", bridged, (SetLink("b", "vxlan0", up=False),),
    ),
    "vxlan device gone": Break(
        "link-down", "b:vxlan0", "b has no interface vxlan0", one_switch, (DelLink("b", "vxlan0"),),
    ),
    "own vxlan device gone": Break(
        "link-down", "a:vxlan0", "a has no interface vxlan0", one_switch, (DelLink("a", "vxlan0"),),
    ),
    "source down": Break(
        "link-down", "ns0:eth0", "ns0 eth0 is down", bridged, (SetLink("ns0", "eth0", up=False),),
    ),
    "target down": Break(
        "link-down", "ns1:eth0", "ns1 eth0, the other end of its cable, is down", bridged,
        (SetLink("ns1", "eth0", up=False),),
    ),
    "bridge down": Break(
        "link-down", "b:br0", "the bridge br0 on b is down", bridged,
        (SetLink("b", "br0", up=False),),
    ),
    "switch port down": Break(
        "link-down", "vbr:b", "vbr b, the other end of its cable, is down", one_switch,
        (SetLink("vbr", "b", up=False),),
    ),
    "own switch port down": Break(
        "link-down", "vbr:a", "vbr a, the other end of its cable, is down", one_switch,
        (SetLink("vbr", "a", up=False),),
    ),
    "switch down": Break(
        "link-down", "lan:switch", "switch of the switch lan is down",
        lambda: point_to_point(hosts=3),
        (SetLink("lan", "switch", up=False),),
    ),
    "address of nobody": Break(
        "no-such-address", "", "nobody in segment overlay has 172.18.1.9, there are 172.18.1.2 (a)",
        point_to_point, ends=("a", "172.18.1.9"),
    ),
    "address gone": Break(
        "no-such-address", "b:vxlan0", "b vxlan0 has no address 172.18.1.3, it has none",
        point_to_point, run("b", "ip address flush dev vxlan0"),
    ),
    "isolated ports": Break(
        "same-bridge-isolated", "a:ns1-eth0", "ns0-eth0 and ns1-eth0 are isolated ports",
        lambda: bridged(containers=2),
        run("a", *(f"bridge link set dev ns{one}-eth0 isolated on" for one in (0, 1))),
    ),
    "out of the bridge": Break(
        "bridge", "b:ns1-eth0", "vxlan0 is in br0 and ns1-eth0 is in no bridge", bridged,
        (SetLink("b", "ns1-eth0", master=""),),
    ),
    "port that does not flood": Break(
        "bridge", "b:ns1-eth0", "the port ns1-eth0 of br0 has bcast_flood off", bridged,
        run("b", "bridge link set dev ns1-eth0 bcast_flood off"),
    ),
    "port that does not forward": Break(
        "bridge", "b:ns1-eth0", "the port ns1-eth0 of br0 does not forward, its state is 0",
        bridged, run("b", "bridge link set dev ns1-eth0 state 0"),
    ),
    "out of the switch": Break(
        "bridge", "net2:lxc2", "the port lxc2 of the switch net2 is in no bridge",
        lambda: kim_and_lee().with_switch("net2", cable=False),
        (SetLink("net2", "lxc2", master=""),),
    ),
    "router that forwards nothing": Break(
        "no-forwarding", "router:eth0", "kim-srv2 answers", kim_and_lee,
        (SetSysctl("router", "net.ipv4.ip_forward", "0"),),
    ),
    "no route back": Break(
        "no-route", "lxc2:ens33", "lxc2 has no route to 192.168.11.10", kim_and_lee,
        run("lxc2", "ip route del default"),
    ),
    "no route at the source": Break(
        "no-route", "a:vxlan0", "a has no route to 172.18.1.3", point_to_point,
        run("a", "ip address flush dev vxlan0"),
    ),
    "underlay address gone": Break(
        "no-neighbour", "a:eth0", "asks for the MAC of 192.168.57.54 on eth0, and nobody answers",
        point_to_point, run("b", "ip address flush dev eth0"),
    ),
    "wrong neighbour entry": Break(
        "stale-neighbour", "b:vxlan0", f"it is sent to the MAC {MAC}, and b has", point_to_point,
        (AddNeighbour("a", "vxlan0", "172.18.1.3", MAC),),
    ),
    "static entry elsewhere": Break(
        "static-mac", "b:vxlan0", f"vxlan0 on b is told that {MAC} is behind 192.168.57.55",
        lambda: point_to_point(hosts=3).with_vtep("a", "overlay", mac=MAC),
        (AddFdb("b", "vxlan0", MAC, "192.168.57.55"),),
    ),
    "one MAC twice": Break(
        "same-mac", "b:vxlan0", f"{MAC}, the MAC of its sender, is that of vxlan0 on b too",
        lambda: bridged().with_vtep("b", "overlay", mac=MAC), (SetLink("ns0", "eth0", mac=MAC),),
    ),
    "no checksum": Break(
        "checksum", "b:vxlan0", "b refuses its UDP checksum (b: Udp6InErrors",
        lambda: point_to_point(family=6).with_vtep("a", "overlay", udp6zerocsumtx=True),
    ),
    "echo ignored": Break(
        "echo-ignored", "b:vxlan0", "net.ipv4.icmp_echo_ignore_all", point_to_point,
        (SetSysctl("b", "net.ipv4.icmp_echo_ignore_all", "1"),),
    ),
    "too long for the card": Break(
        "mtu", "b:eth0", "it has 1378 bytes, and b eth0 takes 1300", point_to_point,
        (SetLink("b", "eth0", mtu=1300),), size=1300,
    ),
}  # fmt: skip
