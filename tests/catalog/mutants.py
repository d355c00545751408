"""Mistakes in planner and catalog, with the rows that betray them and the scenarios that fail."""

from __future__ import annotations

import mutations as by
from mutations import Mutant

from vxlab.catalog import behind_routers, bridges
from vxlab.describe import filters
from vxlab.operations import (
    AddAddress,
    AddFdb,
    AddLink,
    AddNamespace,
    AddNeighbour,
    AddRoute,
    AddRule,
    SetLink,
    SetPort,
    SetSysctl,
    StartDaemon,
)

E1 = "test_e1_point_to_point"
E2 = "test_e2_bridge"
E3 = "test_e3_multicast"
E4 = "test_e4_one_switch"
E5 = "test_e5_kim_and_lee"
ADDRESSES_AND_MTUS = "test_addresses_and_mtus_are_those_of_the_article"
READS_BACK = "test_every_attribute_of_the_device_reads_back"
SETTINGS = "test_the_devices_have_the_settings_of_the_article"
E3_VALUES = "test_addresses_mtus_and_settings_are_those_of_the_article"
DEFAULTS = "test_unset_attributes_have_the_kernels_defaults"
TTLS = "test_the_ttl_before_and_behind_the_router"
ONE_GROUP = "test_both_segments_share_one_group_and_the_default_port"

MUTANTS = (
    Mutant(
        name="local left out",
        topology="point-to-point",
        patch=by.attributes("local"),
        row=r"- a: link \d+: vxlan0 .* local 192\.168\.57\.50 ",
        scenario=(E1, READS_BACK),
    ),
    Mutant(
        name="local left out in a bridge",
        topology="bridged",
        family=6,
        patch=by.attributes("local"),
        row=r"- b: link \d+: vxlan0 .* local fd00:192:168:57::54 ",
        scenario=(E2, SETTINGS),
    ),
    Mutant(
        name="dev left out",
        topology="point-to-point",
        patch=by.attributes("dev"),
        row=r"\+ a: link \d+: vxlan0 .* mtu 1500 ",
        scenario=(E1, READS_BACK),
    ),
    Mutant(
        name="MTU without the overhead",
        topology="bridged",
        patch=by.mtu(lambda overhead: 0),
        row=r"\+ ns0: link \d+: eth0@if\d+ .* mtu 1500 ",
        scenario=(E2, ADDRESSES_AND_MTUS),
    ),
    Mutant(
        name="MTU off by one",
        topology="bridged",
        family=6,
        patch=by.mtu(lambda overhead: overhead + 1),
        row=r"\+ ns1: link \d+: eth0@if\d+ .* mtu 1429 ",
        scenario=(E2, ADDRESSES_AND_MTUS),
    ),
    Mutant(
        name="MTU of the cards",
        topology="point-to-point",
        patch=by.links("veth", mtu=1400),
        row=r"\+ a: link \d+: eth0@if\d+ .* mtu 1400 ",
        scenario=(E1, ADDRESSES_AND_MTUS),
    ),
    Mutant(
        name="ttl-inc 2",
        topology="kim-and-lee",
        patch=by.replaced(behind_routers, "raise_ttl", lambda g: filters.raise_ttl(g, by=2)),
        row=r"\+ lxc1: rule iptables -t mangle -A OUTPUT -d 239\.1\.1\.1/32 -j TTL --ttl-inc 2",
        scenario=(E5, TTLS),
    ),
    Mutant(
        name="hl-inc 2",
        topology="kim-and-lee",
        family=6,
        patch=by.replaced(behind_routers, "raise_ttl", lambda g: filters.raise_ttl(g, by=2)),
        row=r"\+ lxc2: rule ip6tables -t mangle .* -j HL --hl-inc 2",
        scenario=(E5, TTLS),
    ),
    Mutant(
        name="TTL raised for all traffic",
        topology="kim-and-lee",
        patch=by.replaced(behind_routers, "raise_ttl", by.for_all_traffic),
        row=r"\+ lxc1: rule iptables -t mangle -A OUTPUT -j TTL --ttl-inc 1",
        scenario=(E5, TTLS),
    ),
    Mutant(
        name="ttl of the device besides the rule",
        topology="kim-and-lee",
        patch=by.attributes(ttl=8),
        row=r"\+ lxc2: link \d+: vxlan20 .* ttl 8 ",
        scenario=(E5, ONE_GROUP),
    ),
    Mutant(
        name="forwarding everywhere",
        topology="kim-and-lee",
        patch=by.setting("net.ipv4.ip_forward", "1"),
        row=r"\+ kim-srv1: setting ipv4\.ip_forward 1",
        scenario=(E5, "test_only_the_router_forwards"),
    ),
    Mutant(
        name="forwarding nowhere",
        topology="kim-and-lee",
        patch=by.setting("net.ipv4.ip_forward", "0"),
        row=r"\+ router: setting ipv4\.ip_forward 0",
        scenario=(E5, "test_only_the_router_forwards"),
    ),
    Mutant(
        name="forwarding of IPv6 everywhere",
        topology="kim-and-lee",
        family=6,
        patch=by.more(SetSysctl("lxc1", "net.ipv6.conf.all.forwarding", "1")),
        row=r"\+ lxc1: setting ipv6\.conf\.all\.forwarding 1",
        scenario=(E5, "test_only_the_router_forwards"),
    ),
    Mutant(
        name="ageing",
        topology="point-to-point",
        patch=by.segment_attributes(ageing=299),
        row=r"\+ b: link \d+: vxlan0 .* ageing 299",
        scenario=(E1, READS_BACK),
    ),
    Mutant(
        name="tos",
        topology="bridged",
        patch=by.segment_attributes(tos=4),
        row=r"\+ a: link \d+: vxlan0 .* tos 4 ",
        scenario=(E2, SETTINGS),
    ),
    Mutant(
        name="udpcsum off",
        topology="multicast",
        patch=by.segment_attributes(udpcsum=False),
        row=r"\+ c: link \d+: vxlan0 .* udpcsum False",
        scenario=(E3, E3_VALUES),
    ),
    Mutant(
        name="maxaddress",
        topology="one-switch",
        patch=by.segment_attributes(maxaddress=1000),
        row=r"\+ a: link \d+: vxlan0 .* maxaddress 1000 ",
        scenario=(E4, DEFAULTS),
    ),
    Mutant(
        name="nolearning",
        topology="bridged",
        family=6,
        patch=by.segment_attributes(learning=False),
        row=r"\+ b: link \d+: vxlan0 .* learning False",
        scenario=(E2, SETTINGS),
    ),
    Mutant(
        name="proxy",
        topology="multicast",
        family=6,
        patch=by.segment_attributes(proxy=True),
        row=r"\+ b: link \d+: vxlan0 .* proxy True",
        scenario=(E3, E3_VALUES),
    ),
    Mutant(
        name="source ports",
        topology="routed",
        patch=by.segment_attributes(srcport=(1000, 2000)),
        row=r"\+ c: link \d+: vxlan0 .* srcport \(1000, 2000\)",
    ),
    Mutant(
        name="ttl 9 in place of 8",
        topology="routed",
        family=6,
        patch=by.segment_attributes(ttl=9),
        row=r"\+ a: link \d+: vxlan0 .* ttl 9",
    ),
    Mutant(
        name="swapped VNIs",
        topology="kim-and-lee",
        patch=by.swapped_vnis,
        row=r"\+ lxc1: link \d+: vxlan10 .* id 20 ",
        scenario=(E5, ONE_GROUP),
    ),
    Mutant(
        name="another VNI",
        topology="one-switch",
        family=6,
        patch=by.attributes(id=43),
        row=r"\+ b: link \d+: vxlan0 .* id 43 ",
        scenario=(E4, DEFAULTS),
    ),
    Mutant(
        name="a missing remote",
        topology="point-to-point",
        patch=by.remotes(lambda host, right: () if host.name == "b" else right),
        row=r"- b: fdb 00:00:00:00:00:00 dev vxlan0 dst 192\.168\.57\.50 ",
        scenario=(E1, READS_BACK),
    ),
    Mutant(
        name="all remotes but the first missing",
        topology="point-to-point",
        patch=by.remotes(lambda host, right: right[:1]),
        row=None,
        scenario=(E1, "test_before_traffic_the_fdb_holds_only_the_remotes_to_flood_to"),
        arguments={"hosts": 3},
    ),
    Mutant(
        name="another port",
        topology="point-to-point",
        family=6,
        patch=by.attributes(dstport=4790),
        row=r"\+ a: link \d+: vxlan0 .* dstport 4790",
        scenario=(E1, READS_BACK),
    ),
    Mutant(
        name="the port of IANA",
        topology="one-switch",
        patch=by.attributes(dstport=4789),
        row=r"\+ a: link \d+: vxlan0 .* dstport 4789",
        scenario=(E4, DEFAULTS),
    ),
    Mutant(
        name="another group",
        topology="multicast",
        patch=by.attributes(group="239.9.9.9"),
        row=r"\+ a: group inet 239\.9\.9\.9 dev eth0 ",
        scenario=(E3, E3_VALUES),
    ),
    Mutant(
        name="a missing daemon",
        topology="kim-and-lee",
        patch=by.without(StartDaemon),
        row=r"- router: program smcrouted",
        scenario=(E5, "test_an_arp_exchange_over_vxlan_fills_every_table_on_its_way"),
    ),
    Mutant(
        name="a missing rule",
        topology="kim-and-lee",
        patch=by.without(AddRule),
        row=r"- lxc2: rule iptables -t mangle -A OUTPUT .* --ttl-inc 1",
        scenario=(E5, TTLS),
    ),
    Mutant(
        name="a rule too many",
        topology="routed",
        patch=by.more(AddRule("router", ("-A", "FORWARD", "-j", "ACCEPT"))),
        row=r"\+ router: rule iptables -t filter -A FORWARD -j ACCEPT",
    ),
    Mutant(
        name="a bridge with STP",
        topology="bridged",
        patch=by.bridge_attributes(stp_state=1),
        row=r"\+ a: link \d+: br0 .* stp_state 1",
        scenario=(E2, SETTINGS),
    ),
    Mutant(
        name="a bridge with snooping",
        topology="multicast",
        patch=by.bridge_attributes(mcast_snooping=1),
        row=r"- a: link \d+: br0 .* mcast_snooping 0",
    ),
    Mutant(
        name="a switch with STP",
        topology="one-switch",
        patch=by.bridge_attributes(stp_state=1),
        row=r"\+ vbr: link \d+: switch .* stp_state 1",
    ),
    Mutant(
        name="a device outside its bridge",
        topology="bridged",
        patch=by.links("vxlan", master=None),
        row=r"- a: fdb 02:76:78:.* dev vxlan0 master br0 permanent",
        scenario=(E2, SETTINGS),
    ),
    Mutant(
        name="an isolated port",
        topology="bridged",
        patch=by.more(SetPort("a", "ns0-eth0", (("isolated", True),))),
        row=r"\+ a: link \d+: ns0-eth0@if\d+ .* isolated 1",
    ),
    Mutant(
        name="a link too many",
        topology="point-to-point",
        patch=by.more(AddLink("a", "br9", "bridge", 9)),
        row=r"\+ a: link \d+: br9 bridge ",
    ),
    Mutant(
        name="a node too many",
        topology="point-to-point",
        patch=by.more(AddNamespace("c")),
        row=r"\+ c: ",
    ),
    Mutant(
        name="another MAC address",
        topology="kim-and-lee",
        patch=by.more(SetLink("kim-srv1", "eth0", mac="02:00:00:00:0a:09")),
        row=r"\+ kim-srv1: link \d+: eth0@if\d+ veth mac 02:00:00:00:0a:09 ",
    ),
    Mutant(
        name="an FDB entry too many",
        topology="point-to-point",
        patch=by.more(AddFdb("a", "vxlan0", "02:00:00:00:00:99", "192.168.57.54")),
        row=r"\+ a: fdb 02:00:00:00:00:99 dev vxlan0 dst 192\.168\.57\.54 ",
        scenario=(E1, "test_before_traffic_the_fdb_holds_only_the_remotes_to_flood_to"),
    ),
    Mutant(
        name="a neighbour too many",
        topology="bridged",
        patch=by.more(AddNeighbour("ns0", "eth0", "172.18.1.3", "02:00:00:00:00:99")),
        row=r"\+ ns0: neighbour 172\.18\.1\.3 dev eth0 lladdr 02:00:00:00:00:99 PERMANENT",
    ),
    Mutant(
        name="a wrong prefix length of the underlay",
        topology="point-to-point",
        patch=by.prefix_length_25,
        row=r"\+ a: address inet 192\.168\.57\.50/25 dev eth0 ",
        scenario=(E1, ADDRESSES_AND_MTUS),
    ),
    Mutant(
        name="another address of the underlay",
        topology="bridged",
        patch=by.replaced(bridges, "address_of", by.other_addresses("57.50", "57.51")),
        row=r"\+ b: link \d+: vxlan0 .* remote 192\.168\.57\.51 ",
        scenario=(E2, ADDRESSES_AND_MTUS),
    ),
    Mutant(
        name="an address too many",
        topology="kim-and-lee",
        patch=by.more(AddAddress("kim-srv1", "eth0", "1.1.1.3/24")),
        row=r"\+ kim-srv1: address inet 1\.1\.1\.3/24 dev eth0 ",
        scenario=(E5, ADDRESSES_AND_MTUS),
    ),
    Mutant(
        name="a container without its address",
        topology="multicast",
        patch=by.without_addresses_of("ns2"),
        row=r"- ns2: address inet 172\.18\.1\.4/24 dev eth0 ",
        scenario=(E3, E3_VALUES),
    ),
    Mutant(
        name="no default route",
        topology="kim-and-lee",
        patch=by.without(AddRoute),
        row=r"- lxc1: route default via 192\.168\.11\.1 dev ens33 ",
        scenario=(E5, "test_only_the_router_forwards"),
    ),
    Mutant(
        name="a route too many",
        topology="bridged",
        patch=by.more(AddRoute("ns0", "10.0.0.0/8", via="172.18.1.3")),
        row=r"\+ ns0: route 10\.0\.0\.0/8 via 172\.18\.1\.3 dev eth0 ",
    ),
    Mutant(
        name="IPv6 DAD on",
        topology="point-to-point",
        family=6,
        patch=by.setting("net.ipv6.conf.default.accept_dad", "1"),
        row=r"\+ a: setting ipv6\.conf\.default\.accept_dad 1",
    ),
    Mutant(
        name="IPv6 everywhere",
        topology="one-switch",
        patch=by.setting("net.ipv6.conf.default.disable_ipv6", "0"),
        row=r"\+ a: address inet6 fe80::\S+ dev vxlan0 scope link",
    ),
    Mutant(
        name="rp_filter on",
        topology="routed",
        patch=by.setting("net.ipv4.conf.all.rp_filter", "1"),
        row=r"\+ router: setting ipv4\.conf\.all\.rp_filter 1",
    ),
    Mutant(
        name="a setting of one device",
        topology="routed",
        family=6,
        patch=by.more(SetSysctl("router", "net.ipv4.conf.eth1.proxy_arp", "1")),
        row=r"\+ router: setting ipv4\.conf\.eth1\.proxy_arp 1",
    ),
    Mutant(
        name="a setting of neighbours",
        topology="bridged",
        patch=by.more(SetSysctl("ns1", "net.ipv4.neigh.eth0.base_reachable_time_ms", "5000")),
        row=r"\+ ns1: setting ipv4\.neigh\.eth0\.base_reachable_time_ms 5000",
    ),
)
