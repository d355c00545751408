"""The backend that runs ip and bridge: it makes what netlink makes, and tells who refused what."""

from __future__ import annotations

import errno

import pytest
from feature_tools import skip_without_all
from iproute2_tools import by_ip, skip_without
from operation_cases import BR, CASES, MAC, PORT, VX, Case, changes, lasting, needs

from vxlab import catalog, vxlan
from vxlab.errors import ApplyError
from vxlab.live.lab import Lab
from vxlab.observe.state import difference
from vxlab.operations import (
    AddAddress,
    AddFdb,
    AddLink,
    AddNamespace,
    AddNeighbour,
    AddRule,
    DelFdb,
    Operation,
    Peer,
    SetLink,
    SetSysctl,
)

# --- it makes what netlink makes -------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_operation_changes_the_same_as_by_netlink(case: Case) -> None:
    skip_without(*needs(case))
    wanted = changes(case, lambda lab, operation: lab.apply(operation, by="netlink"))
    assert wanted
    assert changes(case, by_ip) == wanted


def test_every_operation_of_iproute2_has_a_case() -> None:
    kinds = {
        kind.__name__
        for kind in Operation.__subclasses__()
        if kind.commands is not Operation.commands
    }
    assert kinds - {"Command"} == {type(case.operation).__name__ for case in CASES} - {
        "AddNamespace"
    }


@pytest.mark.parametrize("name", catalog.CATALOG)
def test_a_lab_is_the_same_as_by_netlink(name: str) -> None:
    topology = catalog.CATALOG[name]()
    skip_without_all(topology, by_ip=True)
    with Lab(topology) as one, Lab(topology, backend="iproute2") as two:
        assert list(one) == list(two)
        for node in one:
            assert lasting(difference(one[node].state, two[node].state)) == []


@pytest.mark.parametrize("attribute", vxlan.ATTRIBUTES, ids=lambda each: each.name)
def test_an_attribute_is_set_as_by_netlink(lab: Lab, attribute: vxlan.Attribute) -> None:
    from vxlab.features.attributes import probe_attributes

    skip_without(f"ip.{attribute.name}", f"vxlan.{attribute.name}")
    lab.apply(AddLink("h1", "lower", "veth", 80, peer=Peer("h1", "upper", 81)))
    lab.apply(AddLink("h2", "lower", "veth", 80, peer=Peer("h2", "upper", 81)))
    described = {**probe_attributes(attribute), "dstport": 4790}
    if "external" in described:
        described.setdefault("learning", False)  # which ip does unasked
    wanted = tuple(described.items())
    lab.apply(AddLink("h1", "vx", "vxlan", 90, wanted))
    by_ip(lab, AddLink("h2", "vx", "vxlan", 90, wanted))
    one, two = (
        next(link.attributes for link in lab[node].state.links if link.name == "vx")
        for node in ("h1", "h2")
    )
    assert one == two


def test_settings_rules_and_links_stay_in_order(lab: Lab) -> None:
    by_ip(
        lab,
        AddLink("h1", "vx", "vxlan", 90, VX.attributes),
        SetSysctl("h1", "net.ipv4.conf.vx.forwarding", "0"),
        AddRule("h1", ("-A", "OUTPUT", "-o", "vx", "-j", "DROP")),
        SetLink("h1", "vx", mtu=1400),
        SetSysctl("h1", "net.ipv6.conf.vx.mtu", "1390"),
    )
    assert lab["h1"].run("sysctl", "-n", "net.ipv6.conf.vx.mtu").stdout == "1390\n"
    assert "-o vx -j DROP" in lab["h1"].run("iptables", "-S").stdout


def test_operations_on_several_nodes_stay_in_order(lab: Lab) -> None:
    by_ip(
        lab,
        AddNamespace("h3"),
        AddLink("h1", "v", "veth", 90, peer=Peer("h3", "w", 91)),
        SetLink("h3", "w", up=True),
        SetLink("h1", "v", up=True),
        AddAddress("h3", "w", "10.5.0.2/24"),
        AddAddress("h1", "v", "10.5.0.1/24"),
    )
    assert lab["h1"].ping("10.5.0.2", timeout=5)


def test_a_neighbour_may_be_managed(lab: Lab) -> None:
    skip_without("ip.neigh_managed")
    managed = AddNeighbour("h1", "eth0", "10.0.0.2", MAC, state="reachable", flags=("managed",))
    by_ip(lab, managed)
    (row,) = lab["h1"].ip("neigh", "show", "10.0.0.2")
    assert "managed" in row


def test_what_ip_did_is_known_to_netlink_afterwards(lab: Lab) -> None:
    lab.apply(AddLink("h1", "x", "bridge", 90), by="netlink")
    lab["h1"].run("ip", "link", "del", "x")
    by_ip(lab, AddLink("h1", "x", "bridge", 95))
    lab.apply(SetLink("h1", "x", mtu=1300))
    assert {link.mtu for link in lab["h1"].state.links if link.index == 95} == {1300}


# --- many commands ---------------------------------------------------------------------------


def entries(count: int) -> list[AddFdb]:
    macs = [f"02:00:00:00:{n // 256:02x}:{n % 256:02x}" for n in range(count)]
    return [AddFdb("h1", "vxlan0", mac, "10.0.0.2") for mac in macs]


@pytest.mark.parametrize("place", [0, 1, 255, 256, 599])
def test_what_came_before_a_refusal_is_done_and_nothing_after_it(lab: Lab, place: int) -> None:
    wanted = entries(600)  # more than one process is given
    lab.apply(wanted[place])
    with pytest.raises(ApplyError, match=wanted[place].mac) as caught:
        by_ip(lab, *wanted)
    assert caught.value.errno == errno.EEXIST
    have = {row.mac for row in lab["h1"].state.fdb if row.interface == "vxlan0"}
    assert {each.mac for each in wanted} & have == {each.mac for each in wanted[: place + 1]}


@pytest.mark.parametrize("bad", ["", "10.0.0.256", "# 10.0.0.2"])
def test_who_is_to_blame_where_ip_does_not_tell(lab: Lab, bad: str) -> None:
    wanted = entries(300)
    refused = AddFdb("h1", "vxlan0", MAC, bad or None, port=99999)
    with pytest.raises(ApplyError) as caught:
        by_ip(lab, *wanted[:270], refused, *wanted[270:])
    assert caught.value.operation == str(refused)
    assert (caught.value.errno, caught.value.extack) == (None, "")
    assert len([row for row in lab["h1"].state.fdb if row.dst == "10.0.0.2"]) == 270 + 1


def test_an_operation_of_two_commands_may_be_half_done(lab: Lab) -> None:
    link = AddLink("h1", "x", "bridge", 90, master="vxlan0")
    with pytest.raises(ApplyError) as caught:
        by_ip(lab, link)
    assert caught.value.operation == str(link)
    assert "x" in {each.name for each in lab["h1"].state.links}


def test_commands_of_both_programs_stay_in_order(lab: Lab) -> None:
    by_ip(
        *(lab, BR, PORT, AddFdb("h1", "vp", MAC, "10.0.0.7"), SetLink("h1", "vp", up=True)),
        *(DelFdb("h1", "vp", MAC, "10.0.0.7"), SetLink("h1", "vp", up=False)),
        AddFdb("h1", "vp", MAC, "10.0.0.8"),
    )
    assert {row.dst for row in lab["h1"].state.fdb if row.mac == MAC} == {"10.0.0.8"}


@pytest.mark.parametrize("name", ["a'b", 'a"b', "'ab", '"ab', "a#b", "#", "ab\\", "é", "-x", "\\n"])
def test_a_name_may_have_odd_letters(lab: Lab, name: str) -> None:
    by_ip(lab, AddLink("h1", name, "bridge", 90), SetLink("h1", name, mtu=1400), BR)
    found = {link.name: link.mtu for link in lab["h1"].state.links}
    assert found[name] == 1400
    assert "br" in found


def test_a_name_with_a_space_reaches_who_refuses_it(lab: Lab) -> None:
    with pytest.raises(ApplyError) as caught:
        by_ip(lab, AddLink("h1", "a b", "bridge", 90))
    assert caught.value.errno == errno.EINVAL or 'argument "a b" is wrong' in str(caught.value)
