"""8.2 Changing attributes: which ones may change after creation, and what a change does.

    a eth0 192.168.57.50 ──── lan ──┬── .54 eth0 b vxlan0 172.18.1.3
      vxlan0 172.18.1.2             └── .55 eth0 c vxlan0 172.18.1.4

The cases come from vxlab's table of all vxlan attributes, vxlab.vxlan.ATTRIBUTES.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct

import pytest
from device_tools import ANY_MAC, A, B, C, assert_refused, find_link, harmless, holds, tunnels

from vxlab import ApplyError, catalog, features, vxlan
from vxlab.operations import AddAddress, AddFdb, SetVxlan

CONF = "drivers/net/vxlan/vxlan_core.c: vxlan_nl2conf()"
CHANGE = "drivers/net/vxlan/vxlan_core.c: vxlan_changelink()"

#: A value of each attribute that the device does not have; of a flag it is the opposite.
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
#: The kernel's message for a fixed attribute where it is not "cannot change NAME flag".
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
#: Messages of ip's own, of which some stand for a keyword that an older ip does not know.
IP_MESSAGES = {
    "gpe": ("cannot change GPE flag", "Cannot change port"),  # ip adds port 4790 to it
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


def other_value(row):
    """A value of an attribute that the device does not have."""
    return OTHER.get(row.name, not row.default)


def change(lab, by="netlink", **attributes):
    """Change attributes of a's vxlan0."""
    lab.apply(SetVxlan("a", "vxlan0", tuple(attributes.items())), by=by)


TTL_INSTEAD = "the TTL, which may be changed, is changed instead"
LEFT_OUT = "the change of the vxlan device is left out"
REFUSED = {"change": harmless, "because": "DID NOT RAISE.*ApplyError"}
BOTH = pytest.mark.parametrize("by", ["netlink", "iproute2"])


@pytest.mark.behaviour(
    "a change of an attribute that is fixed at creation is refused with a reason, and no attribute"
    " of the device changes",
    source=CONF,
)
@pytest.mark.control(TTL_INSTEAD, **REFUSED)
@pytest.mark.topology(catalog.point_to_point())
@BOTH
@pytest.mark.parametrize("row", cases(False))
def test_a_change_of_a_fixed_attribute_is_refused(lab, row, by):
    before = find_link(lab, "a").attributes
    with pytest.raises(ApplyError) as refused:
        change(lab, by, **{row.name: other_value(row)})
    words = REFUSALS.get(row.name, f"cannot change {row.name.upper()} flag")
    assert_refused(refused, by, errno.EOPNOTSUPP, words, *IP_MESSAGES.get(row.name, ()))
    assert find_link(lab, "a").attributes == before


@pytest.mark.behaviour(
    "an attribute that is fixed at creation is refused in a change even with the value that the"
    " device already has",
    source=CONF,
)
@pytest.mark.control(TTL_INSTEAD, **REFUSED)
@pytest.mark.topology(catalog.point_to_point())
@pytest.mark.parametrize(
    "name", ["dstport", "maxaddress", "srcport", "proxy", "udpcsum", "external"]
)
def test_a_fixed_attribute_is_refused_with_its_present_value(lab, name):
    present = find_link(lab, "a").attributes[name]
    with pytest.raises(ApplyError) as refused:
        change(lab, **{name: present})
    assert refused.value.errno == errno.EOPNOTSUPP


@pytest.mark.behaviour(
    "a change of another attribute is accepted when it repeats the VNI that the device has",
    source=CONF,
)
@pytest.mark.control(LEFT_OUT, without=SetVxlan, because="the TTL is 0, not 9")
@pytest.mark.topology(catalog.point_to_point())
@BOTH
def test_a_change_may_repeat_the_present_vni(lab, by):
    change(lab, by, id=42, ttl=9)
    ttl = find_link(lab, "a").attributes["ttl"]
    assert ttl == 9, f"the TTL is {ttl}, not 9"


@pytest.mark.behaviour(
    "a change of several attributes of which one is refused changes none of them", source=CONF
)
@pytest.mark.control("the TTL is changed without the port, which is fixed", **REFUSED)
@pytest.mark.topology(catalog.point_to_point())
@BOTH
def test_a_partly_refused_change_changes_nothing(lab, by):
    with pytest.raises(ApplyError, match="Cannot change port"):
        change(lab, by, ttl=9, dstport=14789)
    assert find_link(lab, "a").attributes["ttl"] == 0


@pytest.mark.behaviour(
    "an attribute that may be changed has the new value after a change", source=CHANGE
)
@pytest.mark.control(LEFT_OUT, without=SetVxlan, because="the device has the old value of ")
@pytest.mark.topology(catalog.point_to_point, hosts=3, bind="both")
@BOTH
@pytest.mark.parametrize("row", cases(True, "mcroute", *IPV6_ONLY))
def test_a_change_is_accepted(lab, row, by):
    if by == "iproute2":
        skip_without(f"ip.{row.name}")
    before = find_link(lab, "a").attributes.get(row.name)
    beside = {"dev": "eth0"} if row.name == "group" else {}  # ip requires it with a group
    change(lab, by, **{row.name: other_value(row)}, **beside)
    after = find_link(lab, "a").attributes.get(row.name)
    assert after != before, f"the device has the old value of {row.name}: {before}"
    assert after == other_value(row)


@pytest.mark.behaviour(
    "`flowlabel` and `label_policy` of an IPv6 device may be changed", source=CHANGE
)
@pytest.mark.control(LEFT_OUT, without=SetVxlan, because="the device has the old value of ")
@pytest.mark.topology(catalog.point_to_point, family=6)
@BOTH
@pytest.mark.parametrize("name", ON_IPV6)
def test_a_change_of_an_ipv6_attribute_is_accepted(lab, name, by):
    if by == "iproute2":
        skip_without(f"ip.{name}")
    before = find_link(lab, "a").attributes[name]
    change(lab, by, **{name: OTHER[name]})
    after = find_link(lab, "a").attributes[name]
    assert after != before, f"the device has the old value of {name}: {before}"
    assert after == OTHER[name]


@pytest.mark.behaviour(
    "a change of `flowlabel` or `label_policy` is refused with EINVAL on an IPv4 device",
    source=CHANGE,
)
@pytest.mark.control(TTL_INSTEAD, **REFUSED)
@pytest.mark.topology(catalog.point_to_point())
@pytest.mark.parametrize("name", ON_IPV6)
def test_a_change_of_an_ipv6_attribute_is_refused_over_ipv4(lab, name):
    with pytest.raises(ApplyError, match="only applies to IPv6 VXLAN devices") as refused:
        change(lab, **{name: OTHER[name]})
    assert refused.value.errno == errno.EINVAL


@pytest.mark.behaviour(
    "a change of `remote` or `local` to an IPv6 address is refused on an IPv4 device", source=CONF
)
@pytest.mark.control(TTL_INSTEAD, **REFUSED)
@pytest.mark.topology(catalog.point_to_point())
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("remote", "New group address family does not match old group"),
        ("local", "New local address family does not match old"),
    ],
)
def test_an_address_of_the_other_family_is_refused(lab, name, words):
    with pytest.raises(ApplyError, match=words) as refused:
        change(lab, **{name: "fd00::9"})
    assert refused.value.errno == errno.EOPNOTSUPP


def sent_to_b(lab, data):
    """a sends a marked datagram to b: the outer frame at eth0, and the VXLAN packet in it."""
    with lab.capture("a:eth0") as seen:
        lab["a"].send_marked("172.18.1.3", data)
        frame = seen["a:eth0"].wait_for(holds(data), "the encapsulated datagram")
        (tunnel,) = tunnels(seen["a:eth0"], data)
    return frame, tunnel


def outer_ipv4_fields(frame, tunnel):
    """The fields of the outer IPv4 header that attributes of the device set, by attribute."""
    return {
        "ttl": frame.ttl,
        "tos": frame.data[15],
        "df": frame.data[20] >> 6,
        "local": tunnel.outer_src,
    }


@pytest.mark.behaviour(
    "after a change of `ttl`, `tos`, `df` or `local` the next packet has the new value in its"
    " outer header",
    source=CHANGE,
)
@pytest.mark.control(LEFT_OUT, without=SetVxlan, because="the outer header has the old ")
@pytest.mark.topology(catalog.point_to_point, bind="both")
@pytest.mark.parametrize(
    ("name", "value"), {"ttl": 9, "tos": 0x20, "df": 1, "local": "192.168.57.99"}.items()
)
def test_the_next_packet_has_the_changed_value(lab, name, value):
    assert lab["a"].ping("172.18.1.3")
    lab.apply(AddAddress("a", "eth0", "192.168.57.99/24"))
    before = outer_ipv4_fields(*sent_to_b(lab, b"before"))[name]
    assert before != value
    change(lab, **{name: value})
    after = outer_ipv4_fields(*sent_to_b(lab, b"after"))[name]
    assert after != before, f"the outer header has the old {name}: {before}"
    assert after == value


@pytest.mark.behaviour(
    "after a change of `flowlabel` the next packet over IPv6 has the new flow label", source=CHANGE
)
@pytest.mark.control(
    LEFT_OUT, without=SetVxlan, because="the flow label is 0x[0-9a-f]+, not 0xabcde"
)
@pytest.mark.topology(catalog.point_to_point, family=6)
def test_the_next_packet_has_the_changed_flow_label(lab):
    change(lab, flowlabel=0xABCDE)
    frame, _ = sent_to_b(lab, b"after")
    label = int.from_bytes(frame.data[14:18], "big") & 0xFFFFF
    assert label == 0xABCDE, f"the flow label is {label:#x}, not 0xabcde"


def remotes(lab):
    """The remotes of all FDB entries of a's vxlan0."""
    return sorted(row.dst for row in lab["a"].state.fdb if row.interface == "vxlan0")


@pytest.mark.behaviour(
    "a changed `remote` replaces the old remote in the default FDB entry", source=CHANGE
)
@pytest.mark.control(LEFT_OUT, without=SetVxlan, because=f"the remotes are {B}, not {C}")
@pytest.mark.topology(catalog.point_to_point, bind="both")
@BOTH
def test_a_changed_remote_replaces_the_old_one(lab, by):
    change(lab, by, remote=C)
    found = remotes(lab)
    assert found == [C], f"the remotes are {', '.join(found)}, not {C}"


@pytest.mark.behaviour(
    "remotes appended to the default FDB entry survive a change of `remote`", source=CHANGE
)
@pytest.mark.control(LEFT_OUT, without=SetVxlan, because=f"the remotes are {A}, {B}, not {A}, {C}")
@pytest.mark.topology(catalog.point_to_point, bind="both")
def test_appended_remotes_survive_a_changed_remote(lab):
    lab.apply(AddFdb("a", "vxlan0", ANY_MAC, A, append=True))
    change(lab, remote=C)
    found = remotes(lab)
    assert found == [A, C], f"the remotes are {', '.join(found)}, not {A}, {C}"


@pytest.mark.behaviour(
    "a device whose learning is switched off keeps the FDB entries that it has learned, and learns"
    " no new ones",
    source=CHANGE,
)
@pytest.mark.control(
    "the learning of a's device stays switched on", without=SetVxlan, because="c's MAC was learned"
)
@pytest.mark.topology(catalog.point_to_point, hosts=3, bind="both")
def test_without_learning_a_device_keeps_its_entries(lab):
    assert lab["b"].ping("172.18.1.2")
    change(lab, learning=False)
    with lab.capture("a:vxlan0") as seen:
        lab["c"].send_marked("172.18.1.255", b"from c")
        seen["a:vxlan0"].wait_for_payload(b"from c")
    fdb = [row for row in lab["a"].state.fdb if row.interface == "vxlan0" and row.mac != ANY_MAC]
    learned_from = {row.dst for row in fdb}
    assert C not in learned_from, "c's MAC was learned"
    assert learned_from == {B}


@pytest.mark.behaviour(
    "once `mcroute` is switched on, packets to the device's multicast group are looked up in the"
    " host's multicast routing table",
    source=CHANGE,
)
@pytest.mark.control(
    "`mcroute` stays switched off", without=SetVxlan, because="no unresolved multicast route"
)
@pytest.mark.requires("vxlan.mcroute", "mroute")
@pytest.mark.topology(catalog.one_switch, port=4789)
def test_a_changed_mcroute_uses_the_multicast_routing_table(lab):
    with multicast_routing_on(lab["a"], find_link(lab, "a", "eth0").index):
        change(lab, mcroute=True)
        lab["a"].send_marked("192.168.42.255", b"to the group")
        found = [row.group for row in lab["a"].state.multicast_routes if row.unresolved]
    assert found == ["239.1.1.1"], "no unresolved multicast route"


def skip_without(name):
    """Skip the test where a feature is missing."""
    for feature in features.missing([name]):
        pytest.skip(feature.sentence())


@contextlib.contextmanager
def multicast_routing_on(node, index):
    """Multicast routing with one interface and no routes (linux/mroute.h)."""
    init, add_vif, use_index = 200, 202, 8
    with node.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP) as sock:
        sock.setsockopt(socket.IPPROTO_IP, init, 1)
        vif = struct.pack("=HBBIi4x", 0, use_index, 1, 0, index)
        sock.setsockopt(socket.IPPROTO_IP, add_vif, vif)
        yield
