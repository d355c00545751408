"""E4: two hosts on one switch, flooding to a group, the address on the device itself.

a eth0 192.168.10.2 ──── vbr ──── 192.168.10.3 eth0 b
  vxlan0 192.168.42.2             192.168.42.3 vxlan0       group 239.1.1.1, no port given
"""

from __future__ import annotations

import pytest

from vxlab import TopologyError, catalog, diagnose, drop_udp, features, operations, steps

pytestmark = pytest.mark.topology(catalog.one_switch, family=[4, 6])


def is_ipv6(lab):
    return lab.topology.host("a").nics[0].interface.version == 6


# How labs are broken for the controls.


def take_down_a(lab):
    lab.apply(operations.SetLink("a", "vxlan0", up=False))


def without_the_wall(topology):
    return topology.with_host("b", rules=())


def lacking(name):
    """What a probe finds on a machine that has none of its features."""
    return features.Feature(name, name, available=False, reason="there is none", hint="get one")


@pytest.mark.behaviour(
    "a device that is given no port, ageing, MTU or learning has the kernel's own",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_config_apply(), FDB_AGE_DEFAULT",
)
@pytest.mark.control("a's device has another ageing", vteps={"a": {"ageing": 299}}, because="299")
def test_defaults_come_out_by_themselves(lab):
    (link,) = lab["a"].ip("-d", "link", "show", "vxlan0")
    data = link["linkinfo"]["info_data"]
    assert link["mtu"] == (1430 if is_ipv6(lab) else 1450)
    assert data["port"] == 8472  # the kernel's own, not IANA's 4789
    assert data["ageing"] == 300
    assert data["learning"] is True


@pytest.mark.behaviour(
    "the card that a vxlan device sends by is a member of its group",
    source="drivers/net/vxlan/vxlan_multicast.c: vxlan_igmp_join()",
)
@pytest.mark.control("a's device is down", lab=take_down_a)
def test_the_card_is_a_member_of_the_group(lab):
    group = lab.topology.segment("overlay").group
    for host in "ab":
        (row,) = lab[host].ip("maddr", "show", "dev", "eth0")
        assert group in [entry.get("address") for entry in row["maddr"]]


@pytest.mark.behaviour(
    "only the first packet of two hosts goes to the group, all others from host to host",
    source="RFC 7348, section 4.1",
)
@pytest.mark.control("a's device does not learn", vteps={"a": {"learning": False}})
def test_the_first_packet_goes_to_the_group_and_all_others_to_one_host(lab):
    group = lab.topology.segment("overlay").group
    a, b = (host.nics[0].ip for host in lab.topology.hosts)
    with lab.capture("a") as seen:
        assert lab["a"].ping("192.168.42.3", count=2)
        assert lab["b"].ping("192.168.42.2", count=2)
    inside = [step for step in steps(seen["a"].frames, seen["a"].ports) if step.vni is not None]
    assert (inside[0].kind, inside[0].outer_src, inside[0].outer_dst) == ("who-has", a, group)
    assert {step.outer_dst for step in inside[1:] if step.outer_src == a} == {b}
    assert {step.outer_dst for step in inside if step.outer_src == b} == {a}
    assert {step.port for step in inside} == {8472}


@pytest.mark.behaviour(
    "what a VTEP has learned stands in the FDB: the peer's MAC and the VTEP it is behind",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_snoop()",
)
@pytest.mark.control("a's device does not learn", vteps={"a": {"learning": False}})
def test_the_fdb_shows_the_peer_behind_its_address(lab):
    assert lab["a"].ping("192.168.42.3")
    mac = lab["b"].ip("link", "show", "vxlan0")[0]["address"]
    entries = [e for e in lab["a"].bridge("fdb", "show", "dev", "vxlan0") if e["mac"] == mac]
    assert [(e["dst"], e["flags"]) for e in entries] == [
        (lab.topology.host("b").nics[0].ip, ["self"])
    ]


@pytest.mark.behaviour(
    "a segment with a group works with every VNI, by the default port and by others",
    source="RFC 7348, section 5",
)
@pytest.mark.control("b's device has VNI 43", vteps={"b": {"id": 43}})
@pytest.mark.topology(
    catalog.one_switch, family=[4, 6], vni=[1, 42, 16777215], port=[0, 4789, 14789]
)
def test_a_ping_is_answered_whatever_vni_and_port(lab):
    assert lab["a"].ping("192.168.42.3")


@pytest.mark.behaviour(
    "one host reaches every other in its group",
    source="RFC 7348, section 4.2",
)
@pytest.mark.control("c's device has VNI 43", vteps={"c": {"id": 43}})
@pytest.mark.topology(catalog.one_switch, family=[4, 6], hosts=[3, 8])
def test_more_hosts_on_the_switch(lab):
    others = range(1, len(lab.topology.hosts))
    assert lab.unreached(("a", f"192.168.42.{2 + number}") for number in others) == []


@pytest.mark.behaviour(
    "a topology's VNI is from 1 to 2^24 - 1",
    source="RFC 7348, section 5",
)
@pytest.mark.control("the VNI fits", arguments={"vni": 7}, because="DID NOT RAISE")
@pytest.mark.parametrize("vni", [-1, 0, 16777216, 1 << 32])
def test_a_vni_outside_24_bits_is_refused(vni):
    with pytest.raises(
        TopologyError, match=rf"segment overlay: vni: wanted 1 to 16777215, found {vni}"
    ):
        catalog.one_switch(vni=vni)


@pytest.mark.behaviour(
    "ip refuses a VNI that does not fit 24 bits, and takes 0",
    source="iproute2: ip/iplink_vxlan.c: vxlan_parse_opt()",
)
@pytest.mark.control("the VNI fits", arguments={"vni": "7"})
@pytest.mark.parametrize("vni", ["0", "-1", "16777216"])
@pytest.mark.topology(catalog.one_switch())
def test_ip_refuses_what_does_not_fit_24_bits(lab, vni):
    words = ["link", "add", "vxlan9", "type", "vxlan", "id", vni, "dstport", "0", "dev", "eth0"]
    result = lab["a"].run("ip", *words, check=False)
    if vni == "0":  # the kernel takes it, though no segment may use it: vxlab is stricter
        assert result.code == 0
        (link,) = lab["a"].ip("-d", "link", "show", "vxlan9")
        assert link["linkinfo"]["info_data"]["id"] == 0
    else:
        assert result.code != 0
        assert "invalid id" in result.stderr
        assert [name for name in lab["a"].state.links if name.name == "vxlan9"] == []


@pytest.mark.behaviour(
    "the kernel has vxlan devices, and there is an ip to make them",
    source="CONFIG_VXLAN; man 8 ip-link",
)
@pytest.mark.control("no feature is there", arguments={"probe": lacking}, because="needs ")
@pytest.mark.parametrize("probe", [features.probe])
@pytest.mark.parametrize("name", ["vxlan", "ip"])
def test_this_kernel_and_this_ip_know_vxlan(name, probe):
    found = probe(name)
    assert found.available, found.sentence()


# Controls: broken on purpose, and red for the right reason.


def walled(family=4):
    """The same topology, a firewall on b."""
    return catalog.one_switch(family=family).with_host("b", rules=(drop_udp(8472, family),))


@pytest.mark.behaviour(
    "a packet filter that drops the UDP port ends the overlay, and the diagnosis names it",
    source="man 8 iptables: DROP",
)
@pytest.mark.control("the packet filter is empty", topology=without_the_wall)
@pytest.mark.topology(walled, family=[4, 6])
def test_no_pong_because_of_a_firewall_and_the_diagnosis_names_it(lab):
    assert not lab["a"].ping("192.168.42.3", timeout=0.3)
    verdict = diagnose(lab, "a", "192.168.42.3")
    assert verdict.code == "firewall"
    assert "DROP" in str(verdict)
    assert "b" in verdict.hop


def broken(family=4, **changes):
    """The same topology, b's device made differently."""
    return catalog.one_switch(family=family).with_vtep("b", "overlay", **changes)


@pytest.mark.topology(broken, id=43, family=[4, 6])
def test_control_two_vnis_do_not_meet(lab):
    assert not lab["a"].ping("192.168.42.3", timeout=0.3)
    assert diagnose(lab, "a", "192.168.42.3").code == "vni-mismatch"


@pytest.mark.topology(broken, group="239.9.9.9")
def test_control_two_groups_do_not_meet(lab):
    assert not lab["a"].ping("192.168.42.3", timeout=0.3)
    assert diagnose(lab, "a", "192.168.42.3").code == "group-mismatch"


@pytest.mark.topology(broken, dstport=4789, family=[4, 6])
def test_control_two_ports_do_not_meet(lab):
    assert not lab["a"].ping("192.168.42.3", timeout=0.3)
    assert diagnose(lab, "a", "192.168.42.3").code == "port-mismatch"
