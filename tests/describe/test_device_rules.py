"""Devices that cannot be are refused while they are described, with machine and field."""

from __future__ import annotations

from typing import Any

import pytest

from vxlab import (
    Bond,
    Bridge,
    Device,
    Dummy,
    Loopback,
    Macvlan,
    Netem,
    NftRules,
    PortVlan,
    RouteHop,
    StaticRoute,
    TopologyBuilder,
    TopologyError,
    Vlan,
    Vrf,
    Vxlan,
)
from vxlab.operations import AddFdb, AddLink, AddVlan, SetLink
from vxlab.plan.planner import make_plan


def host(*devices: Device, **nic: Any) -> Any:
    t = TopologyBuilder("t").switch("lan", "192.0.2.0/24").host("h")
    return t.nic("h", "lan", **nic).device("h", *devices).build()


def route(destination: str = "10.0.0.0/8", via: str | None = "192.0.2.9", **more: Any) -> Any:
    t = TopologyBuilder("t").switch("lan", "192.0.2.0/24").host("h", "lan")
    return t.route("h", destination, via, **more).build()


V = {"link": "eth0", "id": 5}
BAD: list[tuple[Any, str]] = [
    # names
    (lambda: Dummy(""), "dummy: name: wanted a non-empty string"),
    (lambda: Dummy("a b"), "dummy: name: wanted letters"),
    (lambda: Dummy("lo"), "dummy: name: wanted a free interface name"),
    (lambda: Dummy("x" * 16), "dummy: name: wanted at most 15 bytes"),
    (lambda: Dummy(5), "dummy: name: wanted a non-empty string"),  # type: ignore[arg-type]
    (lambda: Loopback("lo1"), "loopback: name: wanted lo"),
    (lambda: host(Dummy("eth0")), "host h dummy eth0: name: wanted a free name, found a card"),
    (lambda: host(Dummy("d"), Vrf("d", table=5)), "host h vrf d: name: wanted a free name"),
    # fields that all have
    (lambda: Dummy("d", addresses="10.0.0.1"), "dummy d: addresses: wanted an address with prefix"),
    (lambda: Dummy("d", addresses=("10.0.0.1/24", 5)), "dummy d: addresses: wanted a non-empty"),
    (lambda: Dummy("d", master=""), "dummy d: master: wanted a non-empty string"),
    (lambda: Dummy("d", mac="02:00"), "dummy d: mac: wanted a MAC like"),
    (lambda: Dummy("d", mac="01:00:00:00:00:01"), "dummy d: mac: wanted a unicast MAC"),
    (lambda: Dummy("d", mtu=67), "dummy d: mtu: wanted 68 to 65535"),
    (lambda: Dummy("d", mtu="1500"), "dummy d: mtu: wanted a whole number"),
    (lambda: Dummy("d", up=1), "dummy d: up: wanted True or False"),
    (lambda: Dummy("d", attributes={"colour": 1}), "dummy d: colour: wanted a setting of dummy"),
    (lambda: Dummy("d", attributes=["colour"]), "dummy d: attributes: wanted a mapping"),
    (lambda: Dummy("d", port={"isolated": True}), "dummy d: port: wanted a port of a bridge"),
    (lambda: Dummy("d", vlans=(5,)), "dummy d: vlans: wanted a port of a bridge"),
    (lambda: Dummy("d", master="b", port={"x": 1}), "dummy d: x: wanted a setting of a bridge's"),
    (lambda: Dummy("d", master="b", port={"flood": 1}), "dummy d: flood: wanted True or False"),
    (lambda: Dummy("d", master="b", port={"cost": -1}), "dummy d: cost: wanted a whole number"),
    (lambda: Dummy("d", master="b", port={"backup_port": 5}), "dummy d: backup_port: wanted the"),
    (lambda: Dummy("d", master="b", vlans=(0,)), "vlan: id: wanted 1 to 4094, found 0"),
    (lambda: Dummy("d", master="b", vlans=("5",)), "dummy d: vlans: wanted a tuple of PortVlan"),
    (
        lambda: Dummy("d", master="b", vlans=(PortVlan(1, pvid=True), PortVlan(2, pvid=True))),
        "dummy d: vlans: wanted one with pvid, found vlan 1 and vlan 2",
    ),
    # VLANs of ports
    (lambda: PortVlan(4095), "vlan: id: wanted 1 to 4094"),
    (lambda: PortVlan(5, last=4), "vlan 5-4: last: wanted 5 to 4094"),
    (lambda: PortVlan(5, last=9, pvid=True), "vlan 5-9: pvid: wanted one VLAN, found a range"),
    (lambda: PortVlan(5, untagged=1), "vlan 5: untagged: wanted True or False"),  # type: ignore[arg-type]
    (lambda: PortVlan(5, vni=1 << 24), "vlan 5: vni: wanted 0 to 16777215"),
    (lambda: PortVlan(5, last=6, vni=(1 << 24) - 1), "vlan 5-6: vni: wanted 0 to 16777214"),
    # bridges
    (lambda: Bridge("b", stp_state=2), "bridge b: stp_state: wanted a whole number from 0 to 1"),
    (lambda: Bridge("b", forward_delay=-1), "bridge b: forward_delay: wanted a whole number"),
    (lambda: Bridge("b", vlan_filtering="on"), "bridge b: vlan_filtering: wanted a whole number"),
    (lambda: Bridge("b", vlan_protocol="802.1x"), "bridge b: vlan_protocol: wanted 802.1Q, 802.1"),
    (lambda: Bridge("b", vlan_default_pvid=4095), "bridge b: vlan_default_pvid: wanted a whole"),
    (lambda: Bridge("b", group_fwd_mask=1 << 16), "bridge b: group_fwd_mask: wanted a whole"),
    (lambda: Bridge("b", attributes={"mcast_querier": 2}), "bridge b: mcast_querier: wanted a"),
    (lambda: Bridge("b", vlans=("x",)), "bridge b: vlans: wanted a tuple of PortVlan"),
    # VLAN devices
    (lambda: Vlan("v", link="", id=5), "vlan v: link: wanted a non-empty string"),
    (lambda: Vlan("v", link="eth0", id=4095), "vlan v: id: wanted a whole number from 0 to 4094"),
    (lambda: Vlan("v", link="eth0", id="5"), "vlan v: id: wanted a whole number"),
    (lambda: Vlan("v", **V, protocol="802.1"), "vlan v: protocol: wanted 802.1Q, 802.1ad or"),
    (lambda: host(Vlan("v", link="eth9", id=5)), "host h vlan v: link: wanted a device of host h"),
    (
        lambda: host(Vlan("v", link="w", id=5), Vlan("w", link="v", id=6)),
        "host h vlan v: link: wanted devices that do not stand upon themselves, found v > w > v",
    ),
    # bonds
    (lambda: Bond("b", mode="round"), "bond b: mode: wanted balance-rr, active-backup"),
    (lambda: Bond("b", miimon=-1), "bond b: miimon: wanted a whole number"),
    (lambda: Bond("b", lacp_rate="often"), "bond b: lacp_rate: wanted slow, fast or"),
    (lambda: Bond("b", xmit_hash_policy="l4"), "bond b: xmit_hash_policy: wanted layer2"),
    (
        lambda: host(Bond("bond0"), master="bond0", address="192.0.2.1/24"),
        "host h nic eth0: addresses: wanted none on a port of bond bond0, found 192.0.2.1/24",
    ),
    (
        lambda: host(Bond("bond0"), master="bond0", port={"flood": True}),
        "host h nic eth0: port: wanted a port of a bridge, found one of bond bond0",
    ),
    # VRFs
    (lambda: Vrf("v", table=0), "vrf v: table: wanted a whole number from 1"),
    (lambda: Vrf("v", table="10"), "vrf v: table: wanted a whole number"),
    # macvlans
    (lambda: Macvlan("m", link="eth0", mode="open"), "macvlan m: mode: wanted private, vepa, bri"),
    (lambda: Macvlan("m", link=5), "macvlan m: link: wanted a non-empty string"),
    (lambda: host(Macvlan("m", link="br0")), "host h macvlan m: link: wanted a device of host h"),
    # loopback
    (lambda: Loopback(addresses="10.0.0.1/32", mtu=5000), "loopback lo: mtu: wanted none"),
    (lambda: Loopback(addresses="10.0.0.1/32", master="v"), "loopback lo: master: wanted none"),
    # vxlan devices without a segment
    (lambda: Vxlan("x", attributes={"vnifilter": True}), "vxlan x: vnifilter: wanted external"),
    (lambda: Vxlan("x", attributes={"tll": 1}), "vxlan x: tll: wanted a vxlan attribute"),
    (lambda: Vxlan("x", attributes={"tos": "loud"}), "vxlan x: tos: wanted a whole number"),
    (lambda: Vxlan("x", attributes={"df": "never"}), "vxlan x: df: wanted a whole number"),
    (
        lambda: host(Vxlan("x", attributes={"id": 5, "dev": "eth7"})),
        "host h vxlan x: link: wanted a device of host h, found 'eth7'",
    ),
    # masters
    (lambda: host(Dummy("d", master="br0")), "host h dummy d: master: wanted a device of host h"),
    (
        lambda: host(Dummy("d", master="eth0")),
        "host h dummy d: master: wanted a bridge, bond or VRF",
    ),
    (lambda: host(Dummy("e"), Dummy("d", master="e")), "host h dummy d: master: wanted a bridge"),
    (lambda: host(master="br7"), "host h nic eth0: master: wanted a bridge, bond or VRF, found"),
    # addresses
    (
        lambda: host(Dummy("d", addresses="10.0.0.1/32"), Dummy("e", addresses="10.0.0.1/24")),
        "host h e: addresses: wanted an address of its own, 10.0.0.1 is d's",
    ),
    (
        lambda: host(Dummy("d", addresses="192.0.2.1/32")),
        "host h d: addresses: wanted an address of its own, 192.0.2.1 is eth0's",
    ),
    # routes
    (lambda: route("10.0.0.1/8"), "route 10.0.0.1/8: destination: wanted a network like"),
    (lambda: route("everywhere"), "route everywhere: destination: wanted a network like"),
    (lambda: route(via="10.0.0.0/8"), "route 10.0.0.0/8: via: wanted an IP address"),
    (
        lambda: route(via=None),
        "route 10.0.0.0/8: via: wanted a gateway (via), an interface or hops",
    ),
    (lambda: route(type="blackhole"), "route 10.0.0.0/8: via: wanted no gateway for a route of"),
    (lambda: route(via=None, type="hole"), "route 10.0.0.0/8: type: wanted unicast, blackhole"),
    (lambda: route(metric=-1), "route 10.0.0.0/8: metric: wanted 0 to"),
    (lambda: route(table=0), "route 10.0.0.0/8: table: wanted 1 to"),
    (lambda: route(mtu=70000), "route 10.0.0.0/8: mtu: wanted 0 to 65535"),
    (lambda: route(onlink="yes"), "route 10.0.0.0/8: onlink: wanted True or False"),
    (lambda: route(source="here"), "route 10.0.0.0/8: source: wanted an IP address"),
    (lambda: route(interface="eth9"), "host h route 10.0.0.0/8: interface: wanted an interface"),
    (lambda: route(vrf="blue"), "host h route 10.0.0.0/8: vrf: wanted a VRF, found 'blue': none"),
    (lambda: route("fd00::/8"), "route fd00::/8: via: wanted an IPv6 gateway, found 192.0.2.9"),
    (
        lambda: route(via=None, hops=(RouteHop(),)),
        "route 10.0.0.0/8: hops: wanted a gateway (via) or an interface, found none",
    ),
    (
        lambda: route(via=None, hops=(RouteHop(via="192.0.2.9", weight=0),)),
        "route 10.0.0.0/8: weight: wanted 1 to 256",
    ),
    (lambda: StaticRoute("10.0.0.0/8", hops=("x",)), "route 10.0.0.0/8: hops: wanted a tuple of"),
    # impaired links
    (lambda: Netem(), "netem: delay: wanted anything at all, found nothing set"),
    (lambda: Netem(loss=101), "netem: loss: wanted 0 to 100, found 101"),
    (lambda: Netem(delay=-1), "netem: delay: wanted 0 to 60000"),
    (lambda: Netem(jitter=5), "netem: jitter: wanted a delay beside it"),
    (lambda: Netem(reorder=5), "netem: reorder: wanted a delay beside it"),
    (lambda: Netem(rate="fast"), "netem: rate: wanted a whole number"),  # type: ignore[arg-type]
    (lambda: host(impairment=5), "nic eth0: impairment: wanted a Netem or None, found 5"),
    # rules, settings, operations that follow
    (lambda: NftRules(""), "rules: text: wanted a non-empty string"),
    (
        lambda: TopologyBuilder("t").host("h").setting("h", "kernel.panic", 1),
        "host h: settings: wanted a setting below net., such as net.ipv4.ip_forward",
    ),
    (
        lambda: TopologyBuilder("t").host("h").setting("h", "net.ipv4.ip_forward", "1\n2"),
        "host h: settings: wanted a value for net.ipv4.ip_forward",
    ),
    (
        lambda: TopologyBuilder("t").host("h").then("reboot").build(),  # type: ignore[arg-type]
        "topology t: changes: wanted operations on nodes of it",
    ),
    (
        lambda: (
            TopologyBuilder("t").host("h").then(AddFdb("g", "vxlan0", "02:00:00:00:00:01")).build()
        ),
        "topology t: changes: wanted operations on nodes of it",
    ),
]


@pytest.mark.parametrize(("make", "message"), BAD, ids=[message[:60] for _, message in BAD])
def test_what_cannot_be_is_refused(make: Any, message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        make()
    assert str(caught.value).startswith(message)
    assert str(caught.value).isprintable()


def names(topology: Any) -> list[str]:
    return [operation.name for operation in make_plan(topology) if isinstance(operation, AddLink)]


def test_devices_are_made_after_what_they_need_whatever_their_order() -> None:
    topology = host(
        Macvlan("m", link="v"),
        Vlan("v", link="bond0", id=5, master="blue"),
        Bond("bond0"),
        Vrf("blue", table=10),
        address=(),
        master="bond0",
    )
    assert [name for name in names(topology) if name in ["m", "v", "bond0", "blue"]] == [
        "bond0",
        "blue",
        "v",
        "m",
    ]


def test_a_card_is_a_port_before_it_is_up() -> None:
    topology = host(Bond("bond0"), address=(), master="bond0")
    found = [each for each in make_plan(topology) if isinstance(each, SetLink)]
    assert found == [SetLink("h", "eth0", master="bond0"), SetLink("h", "eth0", up=True)]


def test_vlans_are_those_of_the_port_or_of_the_bridge_itself() -> None:
    topology = host(
        Bridge("br0", vlan_filtering=True, vlans=(7,)),
        Dummy("d", master="br0", vlans=(PortVlan(7, pvid=True, untagged=True),)),
    )
    found = [each for each in make_plan(topology) if isinstance(each, AddVlan)]
    assert found == [
        AddVlan("h", "br0", 7, itself=True),
        AddVlan("h", "d", 7, pvid=True, untagged=True),
    ]


def test_words_of_ip_are_taken() -> None:
    t = TopologyBuilder("t").cable("lan", "192.0.2.0/24")
    t.segment("red", 42, attributes={"ttl": "inherit", "tos": "inherit", "df": "set"})
    for name in "ab":
        t.host(name, "lan").vtep(name, "red")
    topology = t.build()
    attributes = topology.attributes(topology.host("a"), topology.vtep("a", "red"))
    assert attributes["ttl_inherit"] is True
    assert (attributes["tos"], attributes["df"]) == (1, 1)


def test_an_external_device_has_no_vni_of_its_own() -> None:
    t = TopologyBuilder("t").cable("lan", "192.0.2.0/24")
    t.segment("red", 42, flood="none", attributes={"external": True})
    for name in "ab":
        t.host(name, "lan").vtep(name, "red")
    (link, _) = [each for each in make_plan(t.build()) if getattr(each, "kind", "") == "vxlan"]
    assert "id" not in dict(link.attributes)
