"""8.2 Changing a device: which attributes may change later, and what a change does.

    a eth0 192.168.57.50 ──── lan ──┬── .54 eth0 b vxlan0 172.18.1.3
      vxlan0 172.18.1.2             └── .55 eth0 c vxlan0 172.18.1.4

The cases come from the one table of attributes, vxlab.describe.vxlan.ATTRIBUTES.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct

import pytest
from device_tools import ANY_MAC, A, B, C, assert_refused, harmless, holds, link_of, tunnels

from vxlab import ApplyError, catalog, features, vxlan
from vxlab.operations import AddAddress, AddFdb, SetVxlan

CONF = "drivers/net/vxlan/vxlan_core.c: vxlan_nl2conf()"
CHANGE = "drivers/net/vxlan/vxlan_core.c: vxlan_changelink()"

#: A value that is not the one the device has.
OTHER = {
    "id": 43,
    "group": "239.1.1.1",
    "remote": C,
    "dev": "lo",
    "local": "192.168.57.99",
    "ttl": 9,
    "tos": 8,
    "ageing": 60,
    "maxaddress": 5,
    "srcport": (10000, 10010),
    "dstport": 14789,
    "flowlabel": 5,
    "df": 1,
    "label_policy": 1,
    "reserved_bits": 8,
}
#: How the kernel says no, where that is not "vxlan: cannot change NAME flag".
REFUSALS = {
    "id": "Cannot change VNI",
    "maxaddress": "Cannot change limit",
    "srcport": "Cannot change port range",
    "dstport": "Cannot change port",
    "udpcsum": "Cannot change UDP_CSUM flag",
    "reserved_bits": "Cannot change reserved_bits",
    "vnifilter": "cannot change flag",
    "udp6zerocsumtx": "cannot change UDP_ZERO_CSUM6_TX flag",
    "udp6zerocsumrx": "cannot change UDP_ZERO_CSUM6_RX flag",
    "remcsumtx": "cannot change REMCSUM_TX flag",
    "remcsumrx": "cannot change REMCSUM_RX flag",
    "external": "cannot change COLLECT_METADATA flag",
}
#: What ip says by itself.
OWN = {
    "gpe": ("cannot change GPE flag", "Cannot change port"),  # with it ip sends port 4790
    "vnifilter": ("vnifilter is valid only when 'external' is set",),
    "reserved_bits": ("unknown command", "Cannot change reserved_bits"),
    "localbypass": ("unknown command",),
    "label_policy": ("unknown command",),
    "mcroute": ("unknown command",),
    "remcsum_nopartial": ("unknown command",),
}
IPV6_ONLY = ("flowlabel", "label_policy")
ON_IPV6 = (
    "flowlabel",
    pytest.param("label_policy", marks=pytest.mark.requires("vxlan.label_policy")),
)


def cases(changeable, *without):
    """The attributes that may, or may not, be changed; each with what it needs of the kernel."""
    return [
        pytest.param(row, id=row.name, marks=pytest.mark.requires(f"vxlan.{row.name}"))
        for row in vxlan.ATTRIBUTES
        if row.changeable is changeable and row.name not in without
    ]


def other(row):
    return OTHER.get(row.name, not row.default)


def change(lab, by="netlink", **attributes):
    lab.apply(SetVxlan("a", "vxlan0", tuple(attributes.items())), by=by)


def nothing_changes(operation):
    return None if isinstance(operation, SetVxlan) else operation


@pytest.mark.behaviour("what cannot be changed is refused by name, and stays as it is", source=CONF)
@pytest.mark.control("the ttl is changed instead", change=harmless, because="DID NOT RAISE")
@pytest.mark.topology(catalog.point_to_point())
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.parametrize("row", cases(False))
def test_a_change_is_refused_of(lab, row, by):
    before = link_of(lab, "a").attributes
    with pytest.raises(ApplyError) as refused:
        change(lab, by, **{row.name: other(row)})
    words = REFUSALS.get(row.name, f"cannot change {row.name.upper()} flag")
    assert_refused(refused, by, errno.EOPNOTSUPP, words, *OWN.get(row.name, ()))
    assert link_of(lab, "a").attributes == before


@pytest.mark.behaviour(
    "an attribute that cannot be changed is refused even with the value it has", source=CONF
)
@pytest.mark.control("the ttl is changed instead", change=harmless, because="DID NOT RAISE")
@pytest.mark.topology(catalog.point_to_point())
@pytest.mark.parametrize(
    "name", ["dstport", "maxaddress", "srcport", "proxy", "udpcsum", "external"]
)
def test_the_value_it_has_is_refused_too_of(lab, name):
    has = link_of(lab, "a").attributes[name]
    with pytest.raises(ApplyError) as refused:
        change(lab, **{name: has})
    assert refused.value.errno == errno.EOPNOTSUPP


@pytest.mark.behaviour("the VNI that a device has may be named in a change of others", source=CONF)
@pytest.mark.control("nothing is changed", change=nothing_changes, because="0 == 9")
@pytest.mark.topology(catalog.point_to_point())
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
def test_the_vni_it_has_is_accepted(lab, by):
    change(lab, by, id=42, ttl=9)
    assert link_of(lab, "a").attributes["ttl"] == 9


@pytest.mark.behaviour("where one of several changes is refused, none of them is made", source=CONF)
@pytest.mark.control("all may be changed", change=harmless, because="DID NOT RAISE")
@pytest.mark.topology(catalog.point_to_point())
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
def test_a_refused_change_changes_nothing_else(lab, by):
    with pytest.raises(ApplyError, match="Cannot change port"):
        change(lab, by, ttl=9, dstport=14789)
    assert link_of(lab, "a").attributes["ttl"] == 0


@pytest.mark.behaviour("what may be changed reads back as changed", source=CHANGE)
@pytest.mark.control("nothing is changed", change=nothing_changes)
@pytest.mark.topology(catalog.point_to_point, hosts=3, bind="both")
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.parametrize("row", cases(True, "mcroute", *IPV6_ONLY))
def test_a_change_is_accepted_of(lab, row, by):
    if by == "iproute2":
        need(f"ip.{row.name}")
    beside = {"dev": "eth0"} if row.name == "group" else {}  # which ip wants named again
    change(lab, by, **{row.name: other(row)}, **beside)
    assert link_of(lab, "a").attributes.get(row.name) == other(row)


@pytest.mark.behaviour(
    "flow label and label policy of an IPv6 device may be changed", source=CHANGE
)
@pytest.mark.control("nothing is changed", change=nothing_changes)
@pytest.mark.topology(catalog.point_to_point, family=6)
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.parametrize("name", ON_IPV6)
def test_a_change_is_accepted_over_ipv6_of(lab, name, by):
    if by == "iproute2":
        need(f"ip.{name}")
    change(lab, by, **{name: OTHER[name]})
    assert link_of(lab, "a").attributes[name] == OTHER[name]


@pytest.mark.behaviour("flow label and label policy are refused on an IPv4 device", source=CHANGE)
@pytest.mark.control("the ttl is changed instead", change=harmless, because="DID NOT RAISE")
@pytest.mark.topology(catalog.point_to_point())
@pytest.mark.parametrize("name", ON_IPV6)
def test_a_change_is_refused_over_ipv4_of(lab, name):
    with pytest.raises(ApplyError, match="only applies to IPv6 VXLAN devices") as refused:
        change(lab, **{name: OTHER[name]})
    assert refused.value.errno == errno.EINVAL


@pytest.mark.behaviour("a remote or local of the other family is refused", source=CONF)
@pytest.mark.control("the ttl is changed instead", change=harmless, because="DID NOT RAISE")
@pytest.mark.topology(catalog.point_to_point())
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("remote", "New group address family does not match old group"),
        ("local", "New local address family does not match old"),
    ],
)
def test_the_family_cannot_be_changed_by(lab, name, words):
    with pytest.raises(ApplyError, match=words) as refused:
        change(lab, **{name: "fd00::9"})
    assert refused.value.errno == errno.EOPNOTSUPP


def seen_at_a(lab, data):
    """The tunnel packet, and the frame around it, in which a sends a marked datagram to b."""
    with lab.capture("a:eth0") as seen:
        lab["a"].send_marked("172.18.1.3", data)
        frame = seen["a:eth0"].wait_for(holds(data), "the datagram in a tunnel")
        (tunnel,) = tunnels(seen["a:eth0"], data)
    return frame, tunnel


EFFECTS = {
    "ttl": (9, lambda frame, _: frame.ttl),
    "tos": (0x20, lambda frame, _: frame.data[15]),
    "df": (1, lambda frame, _: frame.data[20] >> 6),
    "local": ("192.168.57.99", lambda _, tunnel: tunnel.outer_src),
}


@pytest.mark.behaviour("the next packet leaves as the changed device says", source=CHANGE)
@pytest.mark.control("nothing is changed", change=nothing_changes)
@pytest.mark.topology(catalog.point_to_point, bind="both")
@pytest.mark.parametrize("name", EFFECTS)
def test_the_next_packet_shows_a_changed(lab, name):
    assert lab["a"].ping("172.18.1.3")
    lab.apply(AddAddress("a", "eth0", "192.168.57.99/24"))
    value, read = EFFECTS[name]
    assert read(*seen_at_a(lab, b"before")) != value
    change(lab, **{name: value})
    assert read(*seen_at_a(lab, b"after")) == value


@pytest.mark.behaviour("the next packet over IPv6 has the changed flow label", source=CHANGE)
@pytest.mark.control("nothing is changed", change=nothing_changes)
@pytest.mark.topology(catalog.point_to_point, family=6)
def test_the_next_packet_shows_a_changed_flow_label(lab):
    change(lab, flowlabel=0xABCDE)
    frame, _ = seen_at_a(lab, b"after")
    assert int.from_bytes(frame.data[14:18], "big") & 0xFFFFF == 0xABCDE


@pytest.mark.behaviour(
    "a changed remote takes the old one's place in the default FDB entry", source=CHANGE
)
@pytest.mark.control("nothing is changed", change=nothing_changes, because=f"'{B}'")
@pytest.mark.topology(catalog.point_to_point, bind="both")
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
def test_a_changed_remote_is_flooded_to(lab, by):
    change(lab, by, remote=C)
    assert [row.dst for row in lab["a"].state.fdb if row.interface == "vxlan0"] == [C]


@pytest.mark.behaviour(
    "remotes that were added to the default entry survive a change", source=CHANGE
)
@pytest.mark.control("nothing is changed", change=nothing_changes, because=f"'{B}'")
@pytest.mark.topology(catalog.point_to_point, bind="both")
def test_other_remotes_survive_a_change(lab):
    lab.apply(AddFdb("a", "vxlan0", ANY_MAC, A, append=True))
    change(lab, remote=C)
    assert {row.dst for row in lab["a"].state.fdb if row.interface == "vxlan0"} == {A, C}


@pytest.mark.behaviour("a device that may no longer learn keeps what it knows", source=CHANGE)
@pytest.mark.control("it learns on", change=nothing_changes, because=C)
@pytest.mark.topology(catalog.point_to_point, hosts=3, bind="both")
def test_without_learning_a_device_keeps_what_it_knows(lab):
    assert lab["b"].ping("172.18.1.2")
    change(lab, learning=False)
    with lab.capture("a:vxlan0") as seen:
        lab["c"].send_marked("172.18.1.255", b"from c")
        seen["a:vxlan0"].wait_for_payload(b"from c")
    fdb = [row for row in lab["a"].state.fdb if row.interface == "vxlan0" and row.mac != ANY_MAC]
    assert {row.dst for row in fdb} == {B}


@pytest.mark.behaviour(
    "multicast leaves by the local routing table once mcroute is switched on", source=CHANGE
)
@pytest.mark.control("nothing is changed", change=nothing_changes, because="unresolved")
@pytest.mark.requires("vxlan.mcroute", "mroute")
@pytest.mark.topology(catalog.one_switch, port=4789)
def test_a_changed_mcroute_asks_the_routing_table(lab):
    with routing_by_hand(lab["a"], link_of(lab, "a", "eth0").index):
        change(lab, mcroute=True)
        lab["a"].send_marked("192.168.42.255", b"to the group")
        found = [row.group for row in lab["a"].state.multicast_routes if row.unresolved]
    assert found == ["239.1.1.1"], "no unresolved multicast route"


def need(name):
    """Skip where a feature is not there."""
    for feature in features.missing([name]):
        pytest.skip(feature.sentence())


@contextlib.contextmanager
def routing_by_hand(node, index):
    """Multicast routing between one interface and nothing (linux/mroute.h)."""
    init, add_vif, use_index = 200, 202, 8
    with node.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP) as sock:
        sock.setsockopt(socket.IPPROTO_IP, init, 1)
        vif = struct.pack("=HBBIi4x", 0, use_index, 1, 0, index)
        sock.setsockopt(socket.IPPROTO_IP, add_vif, vif)
        yield
