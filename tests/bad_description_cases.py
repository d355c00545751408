"""Descriptions that are wrong, each with the node and the field that its error names."""

from __future__ import annotations

from typing import Any

from lab_tools import with_containers

from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.elements import Host, Nic, Switch
from vxlab.describe.filters import Rule
from vxlab.describe.topology import Topology
from vxlab.live.lab import Lab


def fresh() -> TopologyBuilder:
    return TopologyBuilder("t")


def lan(network: str = "10.0.0.0/24", **switch: Any) -> TopologyBuilder:
    return fresh().switch("lan", network, **switch)


def two() -> TopologyBuilder:
    return lan().host("h1", "lan").host("h2", "lan")


def red(**segment: Any) -> TopologyBuilder:
    return lan().host("h1", "lan").segment("red", **{"vni": 42, **segment})


def vtep(**fields: Any) -> TopologyBuilder:
    return red().vtep("h1", "red", **fields)


def on_one_switch(hosts: int) -> Topology:
    """So many hosts, without the builder, which looks for a free address each time."""
    addresses = (f"10.0.{1 + number // 250}.{1 + number % 250}/16" for number in range(hosts))
    machines = tuple(
        Host(f"h{number}", (Nic("eth0", "lan", address),))
        for number, address in enumerate(addresses)
    )
    return Topology("t", switches=(Switch("lan", "10.0.0.0/16"),), hosts=machines)


def in_one_bridge(containers: int) -> TopologyBuilder:
    t = vtep(bridge="br0")
    for number in range(containers):
        t.container(f"c{number}", "h1", "br0")
    return t


def routed(daemon: str | None, *switches: str) -> TopologyBuilder:
    t = fresh().switch("a", "10.0.1.0/24").switch("b", "10.0.2.0/24").host("h1", "a")
    return t.router("r", *switches, daemon=daemon)


# A description that is wrong: what makes it, then the node, the field, and what the rest says.
BAD: dict[str, tuple[Any, str, str, str]] = {
    # types
    "VNI as text": (lambda: red(vni="42"), "segment red", "vni", "whole number, found '42'"),
    "VNI as True": (lambda: red(vni=True), "segment red", "vni", "whole number, found True"),
    "VNI as a float": (lambda: red(vni=42.0), "segment red", "vni", "found 42.0"),
    "VNI None": (lambda: red(vni=None), "segment red", "vni", "whole number, found None"),
    "port as text": (lambda: red(port="8472"), "segment red", "port", "found '8472'"),
    "MTU as text": (lambda: lan(mtu="1500"), "switch lan", "mtu", "whole number, found '1500'"),
    "cable as a number": (
        lambda: lan().build().with_switch("lan", cable=1),
        "cable lan",
        "cable",
        "True or False",
    ),
    "cable that snoops": (
        lambda: two().build().with_switch("lan", cable=True, snooping=True),
        "cable lan",
        "snooping",
        "wanted False",
    ),
    "cable without ends": (
        lambda: fresh().cable("lan", "10.0.0.0/24"),
        "cable lan",
        "cable",
        "found none",
    ),
    "cable with one end": (
        lambda: fresh().cable("lan", "10.0.0.0/24").host("h1", "lan"),
        "cable lan",
        "cable",
        "found host h1",
    ),
    "cable with three ends": (
        lambda: two().host("h3", "lan").build().with_switch("lan", cable=True),
        "cable lan",
        "cable",
        "found host h1, host h2, host h3",
    ),
    "cable of a switch's name": (
        lambda: lan().cable("lan", "10.0.1.0/24"),
        "topology t",
        "switches",
        "'lan' twice",
    ),
    "snooping as a number": (lambda: lan(snooping=1), "switch lan", "snooping", "True or False"),
    "network as a number": (lambda: lan(10), "switch lan", "network", "string, found 10"),
    "host's name as a number": (lambda: lan().host(5), "node", "name", "string, found 5"),
    "addresses as a number": (lambda: vtep(addresses=5), "vtep vxlan0", "addresses", "found 5"),
    "addresses in bytes": (lambda: vtep(addresses=[b"x"]), "vtep vxlan0", "addresses", "b'x'"),
    "dev as a name": (lambda: vtep(dev="eth0"), "vtep vxlan0", "dev", "found 'eth0'"),
    "attributes as a list": (
        lambda: vtep(attributes=["ttl"]),
        "host h1 vtep vxlan0",
        "attributes",
        "wanted a mapping, found ['ttl']",
    ),
    "a rule as text": (
        lambda: lan().host("h1", rules=["-A INPUT"]),
        "host h1",
        "rules",
        "wanted a tuple of Rule, such as",
    ),
    # ranges
    "VNI -1": (lambda: red(vni=-1), "segment red", "vni", "0 to 16777215, found -1"),
    "VNI 2^24": (lambda: red(vni=1 << 24), "segment red", "vni", "found 16777216"),
    "VNI 2^24 in an attribute": (lambda: vtep(attributes={"id": 1 << 24}), "vtep vxlan0", "id", ""),
    "port 65536": (lambda: red(port=65536), "segment red", "port", "0 to 65535, found 65536"),
    "port -1": (lambda: red(port=-1), "segment red", "port", "0 to 65535, found -1"),
    "dstport 65536": (
        lambda: vtep(attributes={"dstport": 65536}),
        "vtep vxlan0",
        "dstport",
        "wanted 0 to 65535, found 65536",
    ),
    "MTU 67": (lambda: lan(mtu=67), "switch lan", "mtu", "68 to 65535, found 67"),
    "MTU 65536": (lambda: lan(mtu=65536), "switch lan", "mtu", "68 to 65535, found 65536"),
    "MTU 1279 and IPv6": (lambda: lan("fd00::/64", mtu=1279), "switch lan", "mtu", "found 1279"),
    "TTL 256": (lambda: vtep(attributes={"ttl": 256}), "vtep vxlan0", "ttl", "found 256"),
    "source ports upside down": (
        lambda: vtep(attributes={"srcport": (9, 1)}),
        "vtep vxlan0",
        "srcport",
        "wanted low <= high, found (9, 1)",
    ),
    # what no script, terminal, program or file would take as it is
    "topology with a line break": (
        lambda: TopologyBuilder("t\nrm x"),
        "topology",
        "name",
        r"printable characters only, found 't\nrm x'",
    ),
    "topology that colours": (lambda: TopologyBuilder("\x1b[31m"), "topology", "name", "x1b"),
    "topology with NUL": (lambda: TopologyBuilder("t\0"), "topology", "name", r"'t\x00'"),
    "topology with a surrogate": (lambda: TopologyBuilder("\ud800"), "topology", "name", "ud800"),
    "topology as a number": (lambda: TopologyBuilder(5), "topology", "name", "found 5"),  # type: ignore[arg-type]
    "switch with a line break": (
        lambda: fresh().switch("a\nb", "10.0.0.0/24"),
        "switch",
        "name",
        "",
    ),
    "host with NUL": (lambda: lan().host("h\0"), "node", "name", r"found 'h\x00'"),
    "card with a surrogate": (
        lambda: lan().host("h1", "lan", device="\ud800"),
        "nic",
        "device",
        "ud800",
    ),
    "device with a line break": (
        lambda: vtep(device="v\nx"),
        r"vtep v\nx",
        "device",
        r"printable characters only, found 'v\nx'",
    ),
    "device with a surrogate": (lambda: vtep(device="\udcff"), r"vtep \udcff", "device", "udcff"),
    "bridge with a line break": (lambda: vtep(bridge="b\n"), "vtep vxlan0", "bridge", r"'b\n'"),
    "address with a line break": (
        lambda: vtep(addresses="10.0.0.1\n"),
        "vtep vxlan0",
        "addresses",
        r"printable characters only, found '10.0.0.1\n'",
    ),
    "segment with a tab": (lambda: lan().segment("r\td", 42), "segment", "name", r"'r\td'"),
    "dev with a surrogate": (
        lambda: vtep(attributes={"dev": "\ud800"}),
        "vtep vxlan0",
        "dev",
        "of printable characters",
    ),
    "dev with a line break": (
        lambda: vtep(attributes={"dev": "e\nx"}),
        "vtep vxlan0",
        "dev",
        r"found 'e\nx'",
    ),
    "rule with a line break": (lambda: Rule(("-A", "x\ny")), "rule", "words", r"found 'x\ny'"),
    "rule with a number": (lambda: Rule(("-A", 5)), "rule", "words", "found 5"),  # type: ignore[arg-type]
    "network with a scope": (lambda: lan("fd00::%x/64"), "switch lan", "network", "a scope"),
    "local with a scope": (
        lambda: vtep(attributes={"local": "fe80::1%x\ny"}),
        "vtep vxlan0",
        "local",
        "without a scope",
    ),
    "remote with a scope": (
        lambda: vtep(remotes=("fe80::1%eth0",)),
        "vtep vxlan0",
        "remotes",
        "without a scope, found 'fe80::1%eth0'",
    ),
    "group with a scope": (lambda: red(group="ff02::1%eth0"), "segment red", "group", "found"),
    # nothing, where something is needed
    "no address at all": (lambda: lan().host("h1", "lan", ""), "nic eth0", "address", "non-empty"),
    "no device name": (lambda: vtep(device=""), "vtep ", "device", "non-empty string, found ''"),
    "no group": (lambda: red(group=""), "segment red", "group", "found ''"),
    "False for a container's link": (
        lambda: vtep(bridge="br0").container("c1", "h1", "br0", host_device=False),  # type: ignore[arg-type]
        "container c1",
        "host_device",
        "found False",
    ),
    "a rule's words": (
        lambda: lan().host("h1", rules=["-A", "INPUT"]),  # type: ignore[list-item]
        "host h1",
        "rules",
        "or of NftRules, found words: ('-A', 'INPUT')",
    ),
    "a router's rule as words": (
        lambda: lan().router("r", "lan", daemon=None, rules=[("-A", "INPUT")]),  # type: ignore[list-item]
        "router r",
        "rules",
        "found words: (('-A', 'INPUT'),)",
    ),
    "a field that a host has not": (
        lambda: two().build().with_host("h1", address="10.0.0.1/24"),
        "host h1",
        "address",
        "wanted a field (name, nics, vteps, rules, ",
    ),
    "a field that a switch has not": (
        lambda: two().build().with_switch("lan", snoop=True),
        "switch lan",
        "snoop",
        "wanted a field (name, network, snooping, mtu, cable, ",
    ),
    "a field that a router has not": (
        lambda: lan().router("r", "lan", daemon=None).build().with_router("r", rule=()),
        "router r",
        "rule",
        "wanted a field (name, nics, daemon, rules, ",
    ),
    # what the kernel's bridge cannot hold
    "1024 hosts on a switch": (
        lambda: on_one_switch(1024),
        "switch lan",
        "ports",
        "at most 1023 ports, as the kernel's bridges have, found 1024: use several",
    ),
    "1023 containers and a vxlan device in a bridge": (
        lambda: in_one_bridge(1023),
        "host h1",
        "bridge br0",
        "at most 1023 ports, as the kernel's bridges have, found 1024",
    ),
    # names
    "empty name": (lambda: lan().host(""), "node", "name", "non-empty string"),
    "name with a blank": (lambda: lan().host("a b"), "node", "name", "found 'a b'"),
    "name with a slash": (lambda: lan().host("a/b"), "node", "name", "found 'a/b'"),
    "name with a dash in front": (lambda: lan().host("-h"), "node", "name", "found '-h'"),
    "name of 16 bytes": (lambda: lan().host("h" * 16), "node", "name", "15 bytes, found 16"),
    "name of a topology": (lambda: TopologyBuilder(""), "topology", "name", "non-empty string"),
    "card named lo": (lambda: lan().host("h1", "lan", device="lo"), "nic", "device", "reserved"),
    "device named all": (lambda: vtep(device="all"), "vtep all", "device", "reserved"),
    "bridge of 16 bytes": (lambda: vtep(bridge="b" * 16), "vtep vxlan0", "bridge", "found 16"),
    "unknown attribute": (lambda: vtep(attributes={"tll": 1}), "vtep vxlan0", "tll", "'tll'"),
    # twice
    "host twice": (lambda: red().host("h1"), "node h1", "name", "new name, found it in use"),
    "host as a switch": (lambda: lan().host("lan"), "topology t", "nodes", "'lan' twice"),
    "switch twice": (lambda: lan().switch("lan", "10.0.1.0/24"), "topology t", "nodes", "twice"),
    "container as a host": (
        lambda: vtep(bridge="br0").container("h1", "h1", "br0"),
        "node h1",
        "name",
        "found it in use",
    ),
    "segment twice": (lambda: red().segment("red", 43), "topology t", "segments", "'red' twice"),
    "VNI twice": (
        lambda: vtep().segment("blue", 42).vtep("h1", "blue"),
        "host h1 vtep vxlan1",
        "id",
        "wanted one device a VNI and port, vtep vxlan0 has (42, 8472)",
    ),
    "segment twice on a host": (
        lambda: vtep().vtep("h1", "red"),
        "host h1 vtep vxlan1",
        "segment",
        "vtep vxlan0 is in red already",
    ),
    "device twice": (
        lambda: vtep().segment("blue", 43).vtep("h1", "blue", device="vxlan0"),
        "host h1 vtep vxlan0",
        "device",
        "wanted a free name, found a vxlan device",
    ),
    "device as a card": (lambda: vtep(device="eth0"), "host h1 vtep eth0", "device", "an underlay"),
    "bridge as a card": (lambda: vtep(bridge="eth0"), "host h1", "bridge", "eth0 is an underlay"),
    "card twice": (
        lambda: red().switch("wan", "10.0.1.0/24").nic("h1", "wan", device="eth0"),
        "host h1",
        "nics",
        "found 'eth0' twice",
    ),
    "container's link as a bridge": (
        lambda: vtep(bridge="br0").container("c1", "h1", "br0", host_device="br0"),
        "container c1",
        "host_device",
        "wanted a free name on host h1, found a bridge",
    ),
    "underlay address twice": (
        lambda: red().host("h2", "lan", "10.0.0.1/24"),
        "host h2",
        "eth0",
        "10.0.0.1 is host h1's",
    ),
    "overlay address twice": (
        lambda: with_containers().container("c3", "h2", "br0", "172.16.0.1/24"),
        "container c3",
        "addresses",
        "172.16.0.1/24 once in segment red, container c1 has it",
    ),
    # addresses
    "no prefix length": (
        lambda: lan().host("h1", "lan", "10.0.0.1"),
        "nic eth0",
        "address",
        "such as 10.0.0.1/24, found '10.0.0.1'",
    ),
    "no address": (lambda: lan().host("h1", "lan", "x/24"), "nic eth0", "address", "found 'x/24'"),
    "multicast address": (lambda: vtep(addresses="224.0.0.1/24"), "vtep vxlan0", "addresses", ""),
    "network's own address": (lambda: vtep(addresses="1.1.1.0/24"), "vtep vxlan0", "addresses", ""),
    "network with host bits": (lambda: lan("10.0.0.1/24"), "switch lan", "network", "host bits"),
    "network without room": (lambda: lan("10.0.0.0/32"), "switch lan", "network", "room for hosts"),
    "address of another network": (
        lambda: lan().host("h1", "lan", "10.9.0.1/24"),
        "host h1",
        "eth0",
        "wanted an address in 10.0.0.0/24 as on switch lan, found 10.9.0.1/24",
    ),
    "address of another family": (
        lambda: lan().host("h1", "lan", "fd00::1/64"),
        "host h1",
        "eth0",
        "wanted an address in 10.0.0.0/24",
    ),
    "overlapping networks": (
        lambda: red().switch("wan", "10.0.0.0/16").nic("h1", "wan", device="eth1"),
        "host h1",
        "nics",
        "networks apart, found 10.0.0.1/24 (eth0) over",
    ),
    "overlay over underlay": (
        lambda: vtep(addresses="10.0.0.9/8"),
        "host h1",
        "addresses",
        "wanted networks apart, found 10.0.0.1/24 (eth0) over 10.0.0.9/8 (vxlan0)",
    ),
    "MAC": (lambda: vtep(mac="02:00:00:00:00"), "vtep vxlan0", "mac", "wanted a MAC like"),
    "multicast MAC": (lambda: vtep(mac="01:00:5e:00:00:01"), "vtep vxlan0", "mac", "unicast MAC"),
    "MAC in capitals": (lambda: vtep(mac="02:00:00:00:00:AA"), "vtep vxlan0", "mac", "like"),
    # what is not there
    "unknown switch": (lambda: lan().host("h1", "wan"), "host h1", "switch", "'wan': lan"),
    "router on an unknown switch": (
        lambda: lan().router("r", "wan"),
        "router r",
        "switch",
        "wanted a known switch, found 'wan': lan",
    ),
    "unknown host": (lambda: red().vtep("h9", "red"), "topology t", "hosts", "'h9', found h1"),
    "unknown segment": (lambda: red().vtep("h1", "x"), "host h1 vtep vxlan0", "segment", "'x'"),
    "unknown card": (lambda: vtep(nic="eth1"), "host h1 vtep vxlan0", "nic", "eth1, found eth0"),
    "no card": (
        lambda: fresh().segment("red", 5).host("h1").vtep("h1", "red"),
        "host h1 vtep vxlan0",
        "nic",
        "wanted the interface (any), found none",
    ),
    "container of an unknown host": (
        lambda: with_containers().container("c3", "h9", "br0"),
        "container c3",
        "host",
        "wanted a known host, found 'h9': h1, h2",
    ),
    "container on an unknown bridge": (
        lambda: with_containers().container("c3", "h1", "br9"),
        "container c3",
        "bridge",
        "wanted a bridge of host h1, found 'br9': br0",
    ),
    # groups, remotes, families
    "group that is none": (lambda: red(group="10.1.1.1"), "segment red", "group", "a multicast"),
    "group without a group": (lambda: red(flood="group"), "segment red", "group", "found None"),
    "flood mode": (lambda: red(flood="all"), "segment red", "flood", "found 'all'"),
    "group beside remotes": (
        lambda: red(flood="remote", group="239.1.1.1"),
        "segment red",
        "group",
        "wanted none with flood 'remote', found 239.1.1.1",
    ),
    "IPv6 group on IPv4": (
        lambda: red(group="ff08::1").vtep("h1", "red"),
        "host h1 vtep vxlan0",
        "group",
        "wanted IPv4 as eth0 has, found ff08::1",
    ),
    "IPv6 remote on IPv4": (
        lambda: vtep(remotes=("fd00::2",)),
        "host h1 vtep vxlan0",
        "remotes",
        "wanted IPv4 as eth0 has, found fd00::2",
    ),
    "group as a remote": (
        lambda: vtep(remotes=("239.1.1.1",)),
        "vtep vxlan0",
        "remotes",
        "unicast",
    ),
    "own address as a remote": (
        lambda: vtep(remotes=("10.0.0.1",)),
        "host h1 vtep vxlan0",
        "remotes",
        "wanted another host's address, found its own 10.0.0.1",
    ),
    "remote out of reach": (
        lambda: vtep(remotes=("192.0.2.1",)),
        "host h1 vtep vxlan0",
        "remotes",
        "wanted a way to 192.0.2.1, found no router on switch lan",
    ),
    "group without its device": (
        lambda: red(group="239.1.1.1").vtep("h1", "red", dev=False),
        "host h1 vtep vxlan0",
        "dev",
        "wanted True",
    ),
    "bridge and addresses": (
        lambda: vtep(bridge="br0", addresses="1.1.1.1/24"),
        "vtep vxlan0",
        "addresses",
        "wanted none on a device that sits in a bridge",
    ),
    "gpe alone": (
        lambda: vtep(attributes={"gpe": True}),
        "host h1 vtep vxlan0",
        "gpe",
        "wanted external beside gpe",
    ),
    "flow label on IPv4": (
        lambda: vtep(attributes={"flowlabel": 5}),
        "host h1 vtep vxlan0",
        "flowlabel",
        "found an IPv4 device",
    ),
    # daemons
    "unknown daemon": (lambda: routed("bird", "a", "b"), "router r", "daemon", "found 'bird'"),
    "daemon with one card": (lambda: routed("pimd", "a"), "router r", "nics", "2 to 31 for pimd"),
    "router without cards": (lambda: routed(None), "router r", "nics", "at least one, found none"),
    "pimd on IPv6": (
        lambda: (
            fresh()
            .switch("a", "fd00:1::/64")
            .switch("b", "fd00:2::/64")
            .router("r", "a", "b", daemon="pimd")
        ),
        "router r",
        "daemon",
        "pimd routes IPv4 only, found an IPv6 underlay",
    ),
    "pimd and a source-specific group": (
        lambda: routed("pimd", "a", "b").segment("red", 5, group="232.1.1.1").vtep("h1", "red"),
        "router r",
        "daemon",
        "outside 232.0.0.0/8 (source-specific), found 232.1.1.1",
    ),
    # rules
    "an empty rule": (lambda: Rule(()), "rule", "words", "wanted the words of a rule, found none"),
    "a rule of family 5": (lambda: Rule(("-A",), 5), "rule", "family", "wanted 4 or 6, found 5"),  # type: ignore[arg-type]
}


def open_lab(make: Any) -> None:
    """Open a lab of what ``make`` describes, wherever on the way it is refused."""
    made = make()
    Lab(made.build() if isinstance(made, TopologyBuilder) else made).open()
