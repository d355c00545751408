"""Topologies of the catalog broken on purpose, one cause each, and what is to be said of them."""

from __future__ import annotations

from diagnosis_firewalls import FIREWALLS
from diagnosis_tools import Break, run

from vxlab.catalog import bridged, kim_and_lee, one_switch, point_to_point, routed
from vxlab.live.lab import Lab
from vxlab.operations import AddFdb, AddNeighbour, DelLink, SetLink, SetSysctl, SetVxlan

MAC = "02:00:00:00:00:aa"
UNKNOWN_GROUP = (
    SetVxlan("lxc1", "vxlan10", (("group", "239.7.7.7"),)),
    SetVxlan("lxc2", "vxlan10", (("group", "239.7.7.7"),)),
)

TWO_OTHERS = ("192.168.57.55", "192.168.57.56")


def stop_router(lab: Lab) -> None:
    lab.stop_daemon("router")


BREAKS = FIREWALLS | {
    "ttl": Break(
        code="ttl",
        hop="router:eth1",
        reason="multicast leaves with TTL 1",
        topology=lambda: kim_and_lee(ttl=None),
    ),
    "ttl in ipv6": Break(
        code="ttl",
        hop="router:eth1",
        reason="reaches router eth0 with TTL 1",
        topology=lambda: kim_and_lee(ttl=None, family=6),
    ),
    "ttl of the device": Break(
        code="ttl",
        hop="router:eth1",
        reason="vxlan0 on a has ttl 1",
        topology=lambda: routed().with_vtep("a", "overlay", ttl=1),
    ),
    "no daemon": Break(
        code="no-daemon",
        hop="router:eth1",
        reason="the topology gives it no daemon",
        topology=lambda: kim_and_lee(router=None),
    ),
    "no daemon in ipv6": Break(
        code="no-daemon",
        hop="router:eth1",
        reason="no program routes multicast on router",
        topology=lambda: kim_and_lee(router=None, family=6),
    ),
    "daemon stopped": Break(
        code="no-daemon",
        hop="router:eth1",
        reason="smcroute is not at work",
        topology=kim_and_lee,
        change=stop_router,
    ),
    "group of link scope": Break(
        code="link-local-group",
        hop="router:eth1",
        reason="224.0.0.5 is a group of link scope",
        topology=lambda: routed(group="224.0.0.5"),
    ),
    "group of link scope in ipv6": Break(
        code="link-local-group",
        hop="router:eth1",
        reason="ff02::5 is a group of link scope",
        topology=lambda: routed(group="ff02::5", family=6),
    ),
    "port": Break(
        code="port-mismatch",
        hop="b:vxlan0",
        reason="to UDP port 4789, and vxlan0 on b listens on 4790 (b: Udp.NoPorts",
        topology=lambda: point_to_point().with_vtep("b", "overlay", dstport=4790),
    ),
    "port in ipv6": Break(
        code="port-mismatch",
        hop="b:vxlan0",
        reason="Udp6NoPorts",
        topology=lambda: point_to_point(family=6).with_vtep("b", "overlay", dstport=4790),
    ),
    "port with a group": Break(
        code="port-mismatch",
        hop="b:vxlan0",
        reason="to UDP port 8472, and vxlan0 on b listens on 4789",
        topology=lambda: one_switch().with_vtep("b", "overlay", dstport=4789),
    ),
    "port, routed": Break(
        code="port-mismatch",
        hop="lxc2:vxlan10",
        reason="vxlan10 on lxc2 listens on 4789",
        topology=lambda: kim_and_lee(family=6).with_vtep("lxc2", "kim", dstport=4789),
    ),
    "vni": Break(
        code="vni-mismatch",
        hop="b:vxlan0",
        reason="it has VNI 42, and vxlan0 on b has 43",
        topology=lambda: point_to_point().with_vtep("b", "overlay", id=43),
    ),
    "vni with a group": Break(
        code="vni-mismatch",
        hop="lxc2:vxlan10",
        reason="it has VNI 10, and vxlan10 on lxc2 has 11",
        topology=lambda: kim_and_lee().with_vtep("lxc2", "kim", id=11),
    ),
    "group": Break(
        code="group-mismatch",
        hop="b:vxlan0",
        reason="vxlan0 on b has group 239.2.2.2",
        topology=lambda: one_switch().with_vtep("b", "overlay", group="239.2.2.2"),
    ),
    "group in ipv6": Break(
        code="group-mismatch",
        hop="b:vxlan0",
        reason="vxlan0 on b has group ff08::2",
        topology=lambda: one_switch(family=6).with_vtep("b", "overlay", group="ff08::2"),
    ),
    "group behind a router": Break(
        code="group-mismatch",
        hop="router:eth1",
        reason="lxc2 is no member of 239.7.7.7 on ens33",
        topology=lambda: kim_and_lee(ttl="device"),
        change=UNKNOWN_GROUP[:1],
    ),
    "no route of the group": Break(
        code="no-mroute",
        hop="router:eth1",
        reason="router has no route of 239.7.7.7 from eth0 to eth1",
        topology=lambda: kim_and_lee(ttl="device"),
        change=UNKNOWN_GROUP,
    ),
    "no remote": Break(
        code="no-remote",
        hop="a:eth0",
        reason="vxlan0 on a has no remote to send it to (a: vxlan0 tx_dropped",
        topology=lambda: bridged(flood="none"),
    ),
    "no remotes of several": Break(
        code="no-remote",
        hop="a:eth0",
        reason="vxlan0 on a has no remote",
        topology=lambda: point_to_point(hosts=3).with_vtep("a", "overlay", remotes=()),
    ),
    "wrong remote": Break(
        code="wrong-remote",
        hop="a:eth0",
        reason="vxlan0 on a sends it to 192.168.57.55, and b is 192.168.57.54",
        topology=lambda: point_to_point(hosts=3).with_vtep(
            "a", "overlay", remotes=("192.168.57.55",)
        ),
    ),
    "wrong remotes of several": Break(
        code="wrong-remote",
        hop="a:eth0",
        reason="sends it to 192.168.57.55, 192.168.57.56, and b is 192.168.57.54",
        topology=lambda: point_to_point(hosts=4).with_vtep("a", "overlay", remotes=TWO_OTHERS),
    ),
    "card down": Break(
        code="link-down",
        hop="b:eth0",
        reason="b eth0 is down",
        topology=one_switch,
        change=(SetLink("b", "eth0", up=False),),
    ),
    "card down, unicast": Break(
        code="link-down",
        hop="b:eth0",
        reason="b eth0, the other end of its cable, is down",
        topology=point_to_point,
        change=(SetLink("b", "eth0", up=False),),
    ),
    "card down in ipv6": Break(
        code="link-down",
        hop="b:eth0",
        reason="b eth0 is down",
        topology=lambda: point_to_point(family=6, hosts=3),
        change=(SetLink("b", "eth0", up=False),),
    ),
    "card of the router down": Break(
        code="link-down",
        hop="router:eth1",
        reason="router eth1 is down",
        topology=kim_and_lee,
        change=(SetLink("router", "eth1", up=False),),
    ),
    "vxlan device down": Break(
        code="link-down",
        hop="b:vxlan0",
        reason="b vxlan0 is down",
        topology=bridged,
        change=(SetLink("b", "vxlan0", up=False),),
    ),
    "vxlan device gone": Break(
        code="link-down",
        hop="b:vxlan0",
        reason="b has no interface vxlan0",
        topology=one_switch,
        change=(DelLink("b", "vxlan0"),),
    ),
    "own vxlan device gone": Break(
        code="link-down",
        hop="a:vxlan0",
        reason="a has no interface vxlan0",
        topology=one_switch,
        change=(DelLink("a", "vxlan0"),),
    ),
    "source down": Break(
        code="link-down",
        hop="ns0:eth0",
        reason="ns0 eth0 is down",
        topology=bridged,
        change=(SetLink("ns0", "eth0", up=False),),
    ),
    "target down": Break(
        code="link-down",
        hop="ns1:eth0",
        reason="ns1 eth0, the other end of its cable, is down",
        topology=bridged,
        change=(SetLink("ns1", "eth0", up=False),),
    ),
    "bridge down": Break(
        code="link-down",
        hop="b:br0",
        reason="the bridge br0 on b is down",
        topology=bridged,
        change=(SetLink("b", "br0", up=False),),
    ),
    "switch port down": Break(
        code="link-down",
        hop="vbr:b",
        reason="vbr b, the other end of its cable, is down",
        topology=one_switch,
        change=(SetLink("vbr", "b", up=False),),
    ),
    "own switch port down": Break(
        code="link-down",
        hop="vbr:a",
        reason="vbr a, the other end of its cable, is down",
        topology=one_switch,
        change=(SetLink("vbr", "a", up=False),),
    ),
    "switch down": Break(
        code="link-down",
        hop="lan:switch",
        reason="switch of the switch lan is down",
        topology=lambda: point_to_point(hosts=3),
        change=(SetLink("lan", "switch", up=False),),
    ),
    "address of nobody": Break(
        code="no-such-address",
        hop="",
        reason="nobody in segment overlay has 172.18.1.9, there are 172.18.1.2 (a)",
        topology=point_to_point,
        ends=("a", "172.18.1.9"),
    ),
    "address gone": Break(
        code="no-such-address",
        hop="b:vxlan0",
        reason="b vxlan0 has no address 172.18.1.3, it has none",
        topology=point_to_point,
        change=run("b", "ip address flush dev vxlan0"),
    ),
    "isolated ports": Break(
        code="same-bridge-isolated",
        hop="a:ns1-eth0",
        reason="ns0-eth0 and ns1-eth0 are isolated ports",
        topology=lambda: bridged(containers=2),
        change=run("a", *(f"bridge link set dev ns{one}-eth0 isolated on" for one in (0, 1))),
    ),
    "out of the bridge": Break(
        code="bridge",
        hop="b:ns1-eth0",
        reason="vxlan0 is in br0 and ns1-eth0 is in no bridge",
        topology=bridged,
        change=(SetLink("b", "ns1-eth0", master=""),),
    ),
    "port that does not flood": Break(
        code="bridge",
        hop="b:ns1-eth0",
        reason="the port ns1-eth0 of br0 has bcast_flood off",
        topology=bridged,
        change=run("b", "bridge link set dev ns1-eth0 bcast_flood off"),
    ),
    "port that does not forward": Break(
        code="bridge",
        hop="b:ns1-eth0",
        reason="the port ns1-eth0 of br0 does not forward, its state is 0",
        topology=bridged,
        change=run("b", "bridge link set dev ns1-eth0 state 0"),
    ),
    "out of the switch": Break(
        code="bridge",
        hop="net2:lxc2",
        reason="the port lxc2 of the switch net2 is in no bridge",
        topology=lambda: kim_and_lee().with_switch("net2", cable=False),
        change=(SetLink("net2", "lxc2", master=""),),
    ),
    "router that forwards nothing": Break(
        code="no-forwarding",
        hop="router:eth0",
        reason="kim-srv2 answers",
        topology=kim_and_lee,
        change=(SetSysctl("router", "net.ipv4.ip_forward", "0"),),
    ),
    "no route back": Break(
        code="no-route",
        hop="lxc2:ens33",
        reason="lxc2 has no route to 192.168.11.10",
        topology=kim_and_lee,
        change=run("lxc2", "ip route del default"),
    ),
    "no route at the source": Break(
        code="no-route",
        hop="a:vxlan0",
        reason="a has no route to 172.18.1.3",
        topology=point_to_point,
        change=run("a", "ip address flush dev vxlan0"),
    ),
    "underlay address gone": Break(
        code="no-neighbour",
        hop="a:eth0",
        reason="asks for the MAC of 192.168.57.54 on eth0, and nobody answers",
        topology=point_to_point,
        change=run("b", "ip address flush dev eth0"),
    ),
    "wrong neighbour entry": Break(
        code="stale-neighbour",
        hop="b:vxlan0",
        reason=f"it is sent to the MAC {MAC}, and b has",
        topology=point_to_point,
        change=(AddNeighbour("a", "vxlan0", "172.18.1.3", MAC),),
    ),
    "static entry elsewhere": Break(
        code="static-mac",
        hop="b:vxlan0",
        reason=f"vxlan0 on b is told that {MAC} is behind 192.168.57.55",
        topology=lambda: point_to_point(hosts=3).with_vtep("a", "overlay", mac=MAC),
        change=(AddFdb("b", "vxlan0", MAC, "192.168.57.55"),),
    ),
    "one MAC twice": Break(
        code="same-mac",
        hop="b:vxlan0",
        reason=f"{MAC}, the MAC of its sender, is that of vxlan0 on b too",
        topology=lambda: bridged().with_vtep("b", "overlay", mac=MAC),
        change=(SetLink("ns0", "eth0", mac=MAC),),
    ),
    "no checksum": Break(
        code="checksum",
        hop="b:vxlan0",
        reason="b refuses its UDP checksum (b: Udp6InErrors",
        topology=lambda: point_to_point(family=6).with_vtep("a", "overlay", udp6zerocsumtx=True),
    ),
    "echo ignored": Break(
        code="echo-ignored",
        hop="b:vxlan0",
        reason="net.ipv4.icmp_echo_ignore_all",
        topology=point_to_point,
        change=(SetSysctl("b", "net.ipv4.icmp_echo_ignore_all", "1"),),
    ),
    "too long for the card": Break(
        code="mtu",
        hop="b:eth0",
        reason="it has 1378 bytes, and b eth0 takes 1300",
        topology=point_to_point,
        change=(SetLink("b", "eth0", mtu=1300),),
        size=1300,
    ),
}
