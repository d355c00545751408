"""Topologies of the catalog with packet filter rules that drop, and what is to be said of them."""

from __future__ import annotations

from diagnosis_tools import Break

from vxlab.catalog import bridged, kim_and_lee, one_switch, point_to_point
from vxlab.describe.filters import drop_udp
from vxlab.describe.vxlan import IANA_PORT, KERNEL_PORT
from vxlab.operations import AddRule

OWN_CHAIN = ("-N mine", "-A INPUT -i eth0 -j mine", "-A mine -s 192.168.57.50 -j DROP")

FIREWALLS = {
    "firewall of the far host": Break(
        code="firewall",
        hop="b:vxlan0",
        reason=f"--dport {IANA_PORT} -j DROP` on b dropped",
        topology=lambda: point_to_point().with_host("b", rules=(drop_udp(IANA_PORT),)),
    ),
    "firewall of the near host": Break(
        code="firewall",
        hop="a:vxlan0",
        reason="b answers, and the frame to 192.168.57.50 reaches a eth0 and dies",
        topology=lambda: point_to_point().with_host("a", rules=(drop_udp(IANA_PORT),)),
    ),
    "firewall in ipv6": Break(
        code="firewall",
        hop="b:vxlan0",
        reason="`ip6tables -A INPUT",
        topology=lambda: point_to_point(family=6).with_host("b", rules=(drop_udp(IANA_PORT, 6),)),
    ),
    "firewall, one switch": Break(
        code="firewall",
        hop="b:vxlan0",
        reason="the frame to 239.1.1.1 reaches b eth0 and dies there: `iptables",
        topology=lambda: one_switch().with_host("b", rules=(drop_udp(KERNEL_PORT),)),
    ),
    "firewall on what leaves": Break(
        code="firewall",
        hop="lxc1:ens33",
        reason="`iptables -A OUTPUT -p udp -j DROP` on lxc1",
        topology=kim_and_lee,
        change=(AddRule("lxc1", ("-A", "OUTPUT", "-p", "udp", "-j", "DROP")),),
    ),
    "firewall of the router": Break(
        code="firewall",
        hop="router:eth1",
        reason="-A FORWARD -d 239.1.1.1/32 -j DROP` on router",
        topology=kim_and_lee,
        change=(AddRule("router", ("-A", "FORWARD", "-d", "239.1.1.1", "-j", "DROP")),),
    ),
    "firewall of the router, way back": Break(
        code="firewall",
        hop="router:eth0",
        reason="kim-srv2 answers, and the frame to 192.168.11.10",
        topology=kim_and_lee,
        change=(AddRule("router", ("-A", "FORWARD", "-d", "192.168.11.10", "-j", "REJECT")),),
    ),
    "firewall of the source": Break(
        code="firewall",
        hop="ns0:eth0",
        reason="nothing leaves ns0 eth0: `iptables -A OUTPUT -p icmp",
        topology=bridged,
        change=(AddRule("ns0", ("-A", "OUTPUT", "-p", "icmp", "-j", "DROP")),),
    ),
    "firewall of the source, way back": Break(
        code="firewall",
        hop="ns0:eth0",
        reason="arrives at ns0 eth0 and is not taken: `iptables",
        topology=bridged,
        change=(AddRule("ns0", ("-A", "INPUT", "-p", "icmp", "-j", "DROP")),),
    ),
    "firewall of the target": Break(
        code="firewall",
        hop="ns1:eth0",
        reason="the echo request to 172.18.1.3 arrives at ns1 eth0",
        topology=bridged,
        change=(AddRule("ns1", ("-A", "INPUT", "-p", "icmp", "-j", "DROP")),),
    ),
    "firewall by policy": Break(
        code="firewall",
        hop="b:vxlan0",
        reason="`iptables -P INPUT DROP` on b",
        topology=point_to_point,
        change=(AddRule("b", ("-P", "INPUT", "DROP")),),
    ),
    "firewall by policy in ipv6": Break(
        code="firewall",
        hop="a:eth0",
        reason="`ip6tables -P INPUT DROP` on b",
        topology=lambda: point_to_point(family=6),
        change=(AddRule("b", ("-P", "INPUT", "DROP"), 6),),
    ),
    "firewall by a chain of its own": Break(
        code="firewall",
        hop="b:vxlan0",
        reason="`iptables -A mine -s 192.168.57.50/32 -j DROP` on b",
        topology=point_to_point,
        change=tuple(AddRule("b", tuple(words.split())) for words in OWN_CHAIN),
    ),
}
