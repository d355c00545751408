"""E4: two hosts on one switch, flooding to a group, the address on the device itself.

a eth0 192.168.10.2 ──── vbr ──── 192.168.10.3 eth0 b
  vxlan0 192.168.42.2             192.168.42.3 vxlan0       group 239.1.1.1, no port given
"""

from __future__ import annotations

import dataclasses

import pytest
from absence_tools import assert_filtered, assert_not_decapsulated
from article_tools import addresses, mtus, unlike_defaults

from vxlab import (
    Lab,
    TopologyBuilder,
    TopologyError,
    catalog,
    diagnose,
    drop_udp,
    features,
    operations,
    steps,
)

pytestmark = pytest.mark.topology(catalog.one_switch, family=[4, 6])


#: The hosts' addresses on the underlay, and the group, in each family.
UNDERLAY = {
    4: ("192.168.10.2", "192.168.10.3"),
    6: ("fd00:192:168:10::2", "fd00:192:168:10::3"),
}
GROUP = {4: "239.1.1.1", 6: "ff08::239:1:1:1"}


# How labs are broken for the controls.


def take_down_a(lab):
    lab.apply(operations.SetLink("a", "vxlan0", up=False))


def without_dev_at_a(operation):
    """Without ``dev``, which a group needs: with a remote in place of it."""
    is_vxlan = isinstance(operation, operations.AddLink) and operation.kind == "vxlan"
    if not is_vxlan or operation.node != "a":
        return operation
    attributes = {**dict(operation.attributes), "remote": "192.168.10.3"}
    kept = {name: value for name, value in attributes.items() if name not in ("group", "dev")}
    return dataclasses.replace(operation, attributes=tuple(kept.items()))


def without_the_firewall(topology):
    return topology.with_host("b", rules=())


def add_a_device_with_vni_0(lab):
    lab.apply(operations.AddLink("a", "vxlan8", "vxlan", 0, (("id", 0), ("dstport", 8472))))


@pytest.mark.behaviour(
    "a vxlan device created without port, ageing time, MTU and learning has the kernel's defaults: "
    "port 8472, 300 s, its lower device's MTU less 50 (over IPv6 70), and learning",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_config_apply(), FDB_AGE_DEFAULT",
)
@pytest.mark.control(
    "a's vxlan device has an ageing time of 299 s",
    vteps={"a": {"ageing": 299}},
    because=r"the ageing time is 299 s",
)
def test_unset_attributes_have_the_kernels_defaults(lab, chosen):
    (link,) = lab["a"].ip("-d", "link", "show", "vxlan0")
    data = link["linkinfo"]["info_data"]
    assert link["mtu"] == (1450 if chosen["family"] == 4 else 1430)
    assert data["port"] == 8472  # the kernel's default, not IANA's 4789
    assert data["ageing"] == 300, f"the ageing time is {data['ageing']} s"
    assert data["learning"] is True
    wanted = {"id": 42, "group": GROUP[chosen["family"]], "dev": "eth0", "dstport": 8472}
    for host in ("a", "b"):
        found = unlike_defaults(lab, host, "vxlan0")
        assert found == wanted, f"{host}'s vxlan device has {found}"


@pytest.mark.behaviour(
    "hosts on one switch have their overlay address on the vxlan device itself, whose MTU is 50 "
    "(over IPv6 70) less than that of the card and of the switch",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_config_apply()",
)
@pytest.mark.control(
    "a's vxlan device is not bound to its card",
    change=without_dev_at_a,
    because=r"the MTUs are .*'a:vxlan0': 1500",
)
def test_addresses_and_mtus_are_those_of_the_article(lab, chosen):
    a, b = UNDERLAY[chosen["family"]]
    length, inner = (24, 1450) if chosen["family"] == 4 else (64, 1430)
    assert addresses(lab) == {
        "a:eth0": [f"{a}/{length}"],
        "a:vxlan0": ["192.168.42.2/24"],
        "b:eth0": [f"{b}/{length}"],
        "b:vxlan0": ["192.168.42.3/24"],
    }
    outer = ("a:eth0", "b:eth0", "vbr:switch", "vbr:a", "vbr:b")
    found = mtus(lab, *outer, "a:vxlan0", "b:vxlan0")
    wanted = dict.fromkeys(outer, 1500) | {"a:vxlan0": inner, "b:vxlan0": inner}
    assert found == wanted, f"the MTUs are {found}"


@pytest.mark.behaviour(
    "the lower device of a vxlan device is a member of its multicast group",
    source="drivers/net/vxlan/vxlan_multicast.c: vxlan_igmp_join()",
)
@pytest.mark.control(
    "a's vxlan device is down",
    lab=take_down_a,
    because=r"a's eth0 is not a member of (239\.1\.1\.1|ff08::239:1:1:1)",
)
def test_the_lower_device_is_a_member_of_the_group(lab, chosen):
    group = GROUP[chosen["family"]]
    for host in ("a", "b"):
        (row,) = lab[host].ip("maddr", "show", "dev", "eth0")
        joined = [entry.get("address") for entry in row["maddr"]]
        assert group in joined, f"{host}'s eth0 is not a member of {group}"


@pytest.mark.behaviour(
    "of the packets that two hosts send each other only the first goes to the multicast group, all "
    "others go to the other host's VTEP",
    source="RFC 7348, section 4.1",
)
@pytest.mark.control(
    "a's vxlan device has `nolearning`",
    vteps={"a": {"learning": False}},
    because=r"a sent later packets to .*'(239\.1\.1\.1|ff08::239:1:1:1)'",
)
def test_only_the_first_packet_goes_to_the_group(lab, chosen):
    group = GROUP[chosen["family"]]
    a, b = UNDERLAY[chosen["family"]]
    with lab.capture("a") as seen:
        assert lab["a"].ping("192.168.42.3", count=2)
        assert lab["b"].ping("192.168.42.2", count=2)
    inside = [step for step in steps(seen["a"].frames, seen["a"].ports) if step.vni is not None]
    assert (inside[0].kind, inside[0].outer_src, inside[0].outer_dst) == ("who-has", a, group)
    later_to = {step.outer_dst for step in inside[1:] if step.outer_src == a}
    assert later_to == {b}, f"a sent later packets to {later_to}"
    assert {step.outer_dst for step in inside if step.outer_src == b} == {a}
    assert {step.port for step in inside} == {8472}


@pytest.mark.behaviour(
    "after a ping the FDB of a vxlan device has an entry for the peer's MAC, with the peer's VTEP "
    "as its remote",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_snoop()",
)
@pytest.mark.control(
    "a's vxlan device has `nolearning`",
    vteps={"a": {"learning": False}},
    because=r"a's FDB entries for b's MAC: \[\]",
)
def test_the_fdb_shows_the_peers_mac_behind_its_vtep(lab, chosen):
    assert lab["a"].ping("192.168.42.3")
    mac = lab["b"].ip("link", "show", "vxlan0")[0]["address"]
    entries = [e for e in lab["a"].bridge("fdb", "show", "dev", "vxlan0") if e["mac"] == mac]
    found = [(e["dst"], e["flags"]) for e in entries]
    wanted = [(UNDERLAY[chosen["family"]][1], ["self"])]
    assert found == wanted, f"a's FDB entries for b's MAC: {found}"


@pytest.mark.behaviour(
    "a segment with a multicast group carries traffic with the VNIs 1, 42 and 16777215, by the "
    "kernel's default UDP port, by 4789 and by 14789",
    source="RFC 7348, section 5",
)
@pytest.mark.control(
    "b's vxlan device has VNI 43, a's has another",
    vteps={"b": {"id": 43}},
    because=r"a got no echo reply from 192\.168\.42\.3",
)
@pytest.mark.topology(
    catalog.one_switch, family=[4, 6], vni=[1, 42, 16777215], port=[0, 4789, 14789]
)
def test_a_ping_is_answered_whatever_the_vni_and_port(lab):
    assert lab["a"].ping("192.168.42.3"), "a got no echo reply from 192.168.42.3"


@pytest.mark.behaviour(
    "with three and with eight hosts in a multicast group, one host reaches every other",
    source="RFC 7348, section 4.2",
)
@pytest.mark.control(
    "c's vxlan device has VNI 43, the other hosts' have VNI 42",
    vteps={"c": {"id": 43}},
    because=r"no echo reply for \[\('a', '192\.168\.42\.4'\)",
)
@pytest.mark.topology(catalog.one_switch, family=[4, 6], hosts=[3, 8])
def test_one_host_reaches_all_others_on_the_switch(lab, chosen):
    others = range(1, chosen["hosts"])
    unreached = lab.unreached(("a", f"192.168.42.{2 + number}") for number in others)
    assert unreached == [], f"no echo reply for {unreached}"


@pytest.mark.behaviour(
    "vxlab refuses a segment whose VNI is not from 0 to 2^24 - 1",
    source="RFC 7348, section 5",
)
@pytest.mark.control(
    "the segment's VNI is 7, which is valid",
    arguments={"vni": 7},
    because="DID NOT RAISE .*TopologyError",
)
@pytest.mark.parametrize("vni", [-1, 16777216, 1 << 32])
def test_a_vni_outside_24_bits_is_refused(vni):
    with pytest.raises(
        TopologyError, match=rf"segment overlay: vni: wanted 0 to 16777215, found {vni}"
    ):
        catalog.one_switch(vni=vni)


@pytest.mark.behaviour(
    "`ip` refuses to create a vxlan device with a VNI that does not fit 24 bits",
    source="iproute2: ip/iplink_vxlan.c: vxlan_parse_opt()",
)
@pytest.mark.control(
    "the VNI given to `ip` is 7, which fits 24 bits",
    arguments={"vni": "7"},
    because="`ip` accepted the VNI 7",
)
@pytest.mark.parametrize("vni", ["-1", "16777216"])
@pytest.mark.topology(catalog.one_switch())
def test_ip_refuses_a_vni_that_does_not_fit_24_bits(lab, vni):
    result = add_by_ip(lab, vni)
    assert result.code != 0, f"`ip` accepted the VNI {vni}"
    assert "invalid id" in result.stderr
    assert [link for link in lab["a"].state.links if link.name == "vxlan9"] == []


@pytest.mark.behaviour(
    "`ip` and the kernel accept a vxlan device with VNI 0",  # which vxlab refuses for a segment
    source="iproute2: ip/iplink_vxlan.c: vxlan_parse_opt()",
)
@pytest.mark.control(
    "a has a vxlan device with VNI 0 on the same port already",
    lab=add_a_device_with_vni_0,
    because="VNI 0 was refused: .*(specified VNI already exists|File exists)",
)
@pytest.mark.topology(catalog.one_switch())
def test_ip_accepts_vni_0(lab):
    result = add_by_ip(lab, "0")
    assert result.code == 0, f"VNI 0 was refused: {result.stderr}"
    (link,) = lab["a"].ip("-d", "link", "show", "vxlan9")
    assert link["linkinfo"]["info_data"]["id"] == 0


def add_by_ip(lab, vni):
    """The result of `ip` creating the device vxlan9 with a VNI on host a."""
    words = ["link", "add", "vxlan9", "type", "vxlan", "id", vni, "dstport", "0", "dev", "eth0"]
    return lab["a"].run("ip", *words, check=False)


@pytest.mark.behaviour(
    "the kernel creates vxlan devices, whether netlink or `ip` asks for them",
    source="CONFIG_VXLAN; man 8 ip-link",
)
@pytest.mark.control(
    "a bridge is created in place of the vxlan device",
    arguments={"kind": "bridge"},
    because="the device created is of the kind 'bridge'",
)
@pytest.mark.parametrize("kind", ["vxlan"])
@pytest.mark.parametrize(("feature", "backend"), [("vxlan", "netlink"), ("ip", "iproute2")])
def test_this_kernel_and_this_ip_create_vxlan_devices(feature, backend, kind):
    """In a lab of its own: a test with the fixture `lab` is skipped where there is no VXLAN."""
    found = features.probe(feature)
    assert found.available, found.sentence()
    attributes = (("id", 9), ("dstport", 8472)) if kind == "vxlan" else ()
    with Lab(one_host()) as lab:
        lab.apply(operations.AddLink("a", "new0", kind, 0, attributes), by=backend)
        (link,) = lab["a"].ip("-d", "link", "show", "new0")
    created = link["linkinfo"]["info_kind"]
    assert created == "vxlan", f"the device created is of the kind {created!r}"


def one_host():
    """A host on a switch, without any VXLAN."""
    return TopologyBuilder("one host").switch("lan", "192.0.2.0/24").host("a", "lan").build()


# Controls of their own: labs that are broken on purpose, and what vxlab's diagnosis says of them.


def with_a_firewall(family=4):
    """The same topology, with a packet filter on b that drops VXLAN's UDP port."""
    return catalog.one_switch(family=family).with_host("b", rules=(drop_udp(8472, family),))


@pytest.mark.behaviour(
    "where a packet filter drops the UDP port of VXLAN, hosts do not reach each other, and vxlab's "
    "diagnosis names the packet filter's rule and its host",
    source="man 8 iptables: DROP",
)
@pytest.mark.control(
    "b's packet filter has no rule",
    topology=without_the_firewall,
    because="b/vxlan0: wanted no frame of a",
)
@pytest.mark.topology(with_a_firewall, family=[4, 6])
def test_a_firewall_stops_the_overlay_and_the_diagnosis_names_it(lab):
    assert_filtered(lab, "a", "192.168.42.255")
    verdict = diagnose(lab, "a", "192.168.42.3")
    assert verdict.code == "firewall"
    assert "DROP" in str(verdict)
    assert "b" in verdict.hop


def changed_at_b(family=4, **changes):
    """The same topology, with changes to b's vxlan device."""
    return catalog.one_switch(family=family).with_vtep("b", "overlay", **changes)


@pytest.mark.control(
    "b's vxlan device has a's VNI",
    vteps={"b": {"id": 42}},
    because="b/vxlan0: wanted no frame of a",
)
@pytest.mark.topology(changed_at_b, id=43, family=[4, 6])
def test_control_hosts_with_different_vnis_do_not_reach_each_other(lab):
    assert_not_decapsulated(lab, "a", "192.168.42.255")
    assert diagnose(lab, "a", "192.168.42.3").code == "vni-mismatch"


@pytest.mark.control(
    "b's vxlan device has a's group",
    vteps={"b": {"group": "239.1.1.1"}},
    because="b/vxlan0: wanted no frame of a",
)
@pytest.mark.topology(changed_at_b, group="239.9.9.9")
def test_control_hosts_with_different_groups_do_not_reach_each_other(lab):
    assert_not_decapsulated(lab, "a", "192.168.42.255")
    assert diagnose(lab, "a", "192.168.42.3").code == "group-mismatch"


@pytest.mark.control(
    "b's vxlan device has a's UDP port",
    vteps={"b": {"dstport": 8472}},
    because="b/vxlan0: wanted no frame of a",
)
@pytest.mark.topology(changed_at_b, dstport=4789, family=[4, 6])
def test_control_hosts_with_different_udp_ports_do_not_reach_each_other(lab):
    assert_not_decapsulated(lab, "a", "192.168.42.255")
    assert diagnose(lab, "a", "192.168.42.3").code == "port-mismatch"
