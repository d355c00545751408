"""The bytes of every operation, decoded by pyroute2's message classes and compared by field."""

from __future__ import annotations

import struct
import sys
from typing import Any

import pytest
from encoding_tools import MAC, NEW, OTHER, attributes, decode, encode, info

from vxlab.describe.vxlan import ATTRIBUTES
from vxlab.netlink import messages
from vxlab.operations import (
    AddAddress,
    AddLink,
    AddNamespace,
    AddRoute,
    DelAddress,
    DelLink,
    MoveLink,
    Peer,
    SetLink,
    SetPort,
    SetVxlan,
)


def test_a_message_starts_with_its_header() -> None:
    assert (
        messages.message(16, 0x601, 5, b"abcd")
        == struct.pack("=IHHII", 20, 16, 0x601, 5, 0) + b"abcd"
    )


@pytest.mark.parametrize("size", range(10))
def test_an_attribute_is_padded_but_not_counted_so(size: int) -> None:
    data = messages.attribute(3, b"x" * size)
    assert struct.unpack_from("=HH", data) == (4 + size, 3)
    assert data[4 : 4 + size] == b"x" * size
    assert len(data) % 4 == 0
    assert set(data[4 + size :]) <= {0}


def test_a_bridge_is_encoded() -> None:
    quiet = (("stp_state", 1), ("forward_delay", 1500), ("mcast_snooping", 1))
    message = decode(AddLink("h", "br1", "bridge", 20, quiet, mtu=9000, up=True))
    assert message["header"]["flags"] == NEW
    assert (message["index"], message["flags"], message["change"]) == (20, 1, 1)
    assert message["family"] == 0
    found = attributes(message)
    assert (found["IFLA_IFNAME"], found["IFLA_MTU"]) == ("br1", 9000)
    assert set(found) == {"IFLA_IFNAME", "IFLA_MTU", "IFLA_LINKINFO"}
    assert info(message) == (
        "bridge",
        {"IFLA_BR_STP_STATE": 1, "IFLA_BR_FORWARD_DELAY": 1500, "IFLA_BR_MCAST_SNOOPING": 1},
    )


def test_a_bridge_without_settings_is_encoded() -> None:
    message = decode(AddLink("h", "br1", "bridge", 20))
    assert (message["flags"], message["change"]) == (0, 0)
    assert info(message) == ("bridge", {})


def test_a_vrf_is_encoded() -> None:
    message = decode(AddLink("h", "vrf0", "vrf", 21, (("table", 4097),)))
    assert info(message) == ("vrf", {"IFLA_VRF_TABLE": 4097})


def test_a_veth_with_its_peer_elsewhere_is_encoded() -> None:
    peer = Peer("far", "eth1", 5, mac=OTHER, mtu=1400)
    message = decode(AddLink("h", "v", "veth", 22, master="br0", peer=peer, mac=MAC, mtu=1300))
    found = attributes(message)
    assert found["IFLA_MASTER"] == 9
    assert found["IFLA_ADDRESS"] == MAC
    assert found["IFLA_MTU"] == 1300
    kind, data = info(message)
    assert kind == "veth"
    there = data["VETH_INFO_PEER"]
    assert (there["index"], there["flags"], there["change"]) == (5, 0, 0)
    assert attributes(there) == {
        "IFLA_IFNAME": "eth1",
        "IFLA_ADDRESS": OTHER,
        "IFLA_MTU": 1400,
        "IFLA_NET_NS_FD": 33,
    }


def test_a_plain_peer_says_no_more_than_it_must() -> None:
    _, data = info(decode(AddLink("h", "v", "veth", 22, peer=Peer("far", "eth1", 5))))
    assert set(attributes(data["VETH_INFO_PEER"])) == {"IFLA_IFNAME", "IFLA_NET_NS_FD"}


def test_a_vxlan_with_its_master_and_mac_is_encoded() -> None:
    link = AddLink("h", "vx", "vxlan", 11, (("id", 5),), master="br0", mac=MAC, up=True)
    message = decode(link)
    found = attributes(message)
    assert (found["IFLA_MASTER"], found["IFLA_ADDRESS"], found["IFLA_IFNAME"]) == (9, MAC, "vx")
    assert info(message) == ("vxlan", {"IFLA_VXLAN_ID": 5})


#: Attribute, a value other than the default, and what pyroute2 makes of it: its name of the
#: attribute and its value.  It reads the flow label, which is in network order, as the host's.
KNOWN: list[tuple[str, Any, str, Any]] = [
    ("id", 0x123456, "ID", 0x123456),
    ("group", "239.1.2.3", "GROUP", "239.1.2.3"),
    ("group", "ff08::1:2", "GROUP6", "ff08::1:2"),
    ("remote", "10.0.0.9", "GROUP", "10.0.0.9"),
    ("remote", "fd00::9", "GROUP6", "fd00::9"),
    ("dev", "eth0", "LINK", 7),
    ("local", "10.0.0.1", "LOCAL", "10.0.0.1"),
    ("local", "fd00::1", "LOCAL6", "fd00::1"),
    ("ttl", 9, "TTL", 9),
    ("tos", 16, "TOS", 16),
    ("learning", False, "LEARNING", 0),
    ("ageing", 0x01020304, "AGEING", 0x01020304),
    ("maxaddress", 0x05060708, "LIMIT", 0x05060708),
    ("srcport", (0x102, 0x304), "PORT_RANGE", {"low": 0x102, "high": 0x304}),
    ("proxy", True, "PROXY", 1),
    ("rsc", True, "RSC", 1),
    ("l2miss", True, "L2MISS", 1),
    ("l3miss", True, "L3MISS", 1),
    ("dstport", 4789, "PORT", 4789),
    ("udpcsum", False, "UDP_CSUM", 0),
    ("udp6zerocsumtx", True, "UDP_ZERO_CSUM6_TX", 1),
    ("udp6zerocsumrx", True, "UDP_ZERO_CSUM6_RX", 1),
    ("remcsumtx", True, "REMCSUM_TX", 1),
    ("remcsumrx", True, "REMCSUM_RX", 1),
    ("gbp", True, "GBP", True),
    ("remcsum_nopartial", True, "REMCSUM_NOPARTIAL", True),
    ("external", True, "COLLECT_METADATA", 1),
    ("flowlabel", 0xABCDE, "LABEL", int.from_bytes(b"\x00\x0a\xbc\xde", sys.byteorder)),
    ("gpe", True, "GPE", True),
    ("ttl_inherit", True, "TTL_INHERIT", True),
    ("df", 1, "DF", 1),
]
#: Those that pyroute2 does not know: their numbers and payloads (linux/if_link.h).
NEWER: list[tuple[str, Any, int, bytes]] = [
    ("vnifilter", True, 30, b"\1"),
    ("localbypass", False, 31, b"\0"),
    ("label_policy", 1, 32, struct.pack("=I", 1)),
    ("reserved_bits", 0x0102030405060708, 33, bytes(range(1, 9))),
    ("mcroute", True, 34, b"\1"),
]


def test_every_attribute_of_the_table_is_tried() -> None:
    tried = {name for name, *_ in KNOWN} | {name for name, *_ in NEWER}
    assert tried == {attribute.name for attribute in ATTRIBUTES}


@pytest.mark.parametrize("wrap", [AddLink, SetVxlan])
@pytest.mark.parametrize(("name", "value", "known_as", "seen"), KNOWN)
def test_a_vxlan_attribute_is_encoded(
    wrap: Any, name: str, value: Any, known_as: str, seen: Any
) -> None:
    pairs = ((name, value),)
    link = AddLink("h", "vx", "vxlan", 11, pairs) if wrap is AddLink else SetVxlan("h", "vx", pairs)
    assert info(decode(link)) == ("vxlan", {f"IFLA_VXLAN_{known_as}": seen})


@pytest.mark.parametrize(("name", "value", "number", "payload"), NEWER)
def test_a_newer_vxlan_attribute_is_encoded(
    name: str, value: Any, number: int, payload: bytes
) -> None:
    _, _, plain = encode(AddLink("h", "vx", "vxlan", 11))
    _, _, body = encode(AddLink("h", "vx", "vxlan", 11, ((name, value),)))
    wanted = messages.attribute(2, messages.attribute(number, payload))  # IFLA_INFO_DATA
    assert body.endswith(wanted)
    assert len(body) == len(plain) + len(wanted)


def test_a_flag_that_is_off_is_left_out() -> None:
    link = AddLink("h", "vx", "vxlan", 11, (("id", 5), ("gbp", False), ("ttl_inherit", False)))
    assert info(decode(link)) == ("vxlan", {"IFLA_VXLAN_ID": 5})


def test_changing_a_vxlan_names_it_by_index() -> None:
    message = decode(SetVxlan("h", "vx", (("ttl", 5), ("learning", True))))
    assert message["header"]["flags"] == 0x1
    assert (message["index"], message["change"]) == (11, 0)
    assert info(message) == ("vxlan", {"IFLA_VXLAN_TTL": 5, "IFLA_VXLAN_LEARNING": 1})


@pytest.mark.parametrize(
    ("link", "flags", "change", "wanted"),
    [
        (SetLink("h", "eth0", up=True), 1, 1, {}),
        (SetLink("h", "eth0", up=False), 0, 1, {}),
        (SetLink("h", "eth0", master="br0"), 0, 0, {"IFLA_MASTER": 9}),
        (SetLink("h", "eth0", master=""), 0, 0, {"IFLA_MASTER": 0}),
        (
            SetLink("h", "eth0", mtu=1400, mac=MAC),
            0,
            0,
            {"IFLA_MTU": 1400, "IFLA_ADDRESS": MAC},
        ),
    ],
)
def test_a_change_of_a_link_is_encoded(
    link: SetLink, flags: int, change: int, wanted: dict[str, Any]
) -> None:
    message = decode(link)
    assert message["header"]["type"] == 16  # RTM_NEWLINK
    assert message["header"]["flags"] == 0x1
    assert (message["index"], message["flags"], message["change"]) == (7, flags, change)
    assert attributes(message) == wanted


def test_the_removal_of_a_link_is_encoded() -> None:
    message = decode(DelLink("h", "eth0"))
    assert message["header"]["type"] == 17  # RTM_DELLINK
    assert message["index"] == 7
    assert attributes(message) == {}


def test_an_ipv4_address_is_encoded() -> None:
    message = decode(AddAddress("h", "eth0", "10.0.0.1/24"))
    assert message["header"]["flags"] == NEW
    assert (message["family"], message["prefixlen"], message["index"]) == (2, 24, 7)
    assert message["scope"] == 0
    assert attributes(message) == {
        "IFA_LOCAL": "10.0.0.1",
        "IFA_ADDRESS": "10.0.0.1",
    }


def test_an_ipv6_address_is_encoded() -> None:
    message = decode(AddAddress("h", "eth0", "fd00::1/64"))
    assert (message["family"], message["prefixlen"], message["index"]) == (10, 64, 7)
    assert attributes(message) == {"IFA_LOCAL": "fd00::1"}


@pytest.mark.parametrize(
    ("route", "family", "length", "scope", "wanted"),
    [
        (AddRoute("h", "default", via="10.0.0.9"), 2, 0, 0, {"RTA_GATEWAY": "10.0.0.9"}),
        (AddRoute("h", "default", via="fd00::9"), 10, 0, 0, {"RTA_GATEWAY": "fd00::9"}),
        (
            AddRoute("h", "10.1.0.0/16", via="10.0.0.9", interface="eth0"),
            2,
            16,
            0,
            {"RTA_GATEWAY": "10.0.0.9", "RTA_DST": "10.1.0.0", "RTA_OIF": 7},
        ),
        (
            AddRoute("h", "10.1.0.0/16", interface="eth0"),
            2,
            16,
            253,
            {"RTA_DST": "10.1.0.0", "RTA_OIF": 7},
        ),
        (
            AddRoute("h", "fd01::/48", interface="eth0"),
            10,
            48,
            0,
            {"RTA_DST": "fd01::", "RTA_OIF": 7},
        ),
    ],
)
def test_a_route_is_encoded(
    route: AddRoute, family: int, length: int, scope: int, wanted: dict[str, Any]
) -> None:
    message = decode(route)
    assert message["header"]["flags"] == NEW
    assert (message["family"], message["dst_len"], message["scope"]) == (family, length, scope)
    assert (message["table"], message["proto"], message["type"]) == (254, 3, 1)  # RTPROT_BOOT
    assert attributes(message) == {**wanted, "RTA_TABLE": 254}


@pytest.mark.parametrize(("table", "short"), [(10, 10), (255, 255), (256, 0), (100000, 0)])
def test_a_route_in_a_table_of_its_own_is_encoded(table: int, short: int) -> None:
    message = decode(AddRoute("h", "default", via="10.0.0.9", table=table))
    assert message["table"] == short
    assert attributes(message)["RTA_TABLE"] == table


def test_a_link_that_moves() -> None:
    message = decode(MoveLink("h", "eth0", "far"))
    assert message["index"] == 7
    assert attributes(message) == {"IFLA_NET_NS_FD": 33}


def test_an_address_that_goes() -> None:
    message = decode(DelAddress("h", "eth0", "10.0.0.1/24"))
    assert (message["header"]["type"], message["prefixlen"]) == (21, 24)


def test_what_is_no_netlink_request_is_refused() -> None:
    with pytest.raises(TypeError, match="no netlink message for AddNamespace"):
        encode(AddNamespace("h"))
    with pytest.raises(ValueError, match=r"a veth without its other end \(peer\)"):
        encode(AddLink("h", "v", "veth", 5))


def test_settings_of_a_port_are_encoded() -> None:
    kind, flags, body = encode(SetPort("h", "vx", (("neigh_suppress", True), ("learning", False))))
    assert (kind, flags) == (19, 0x1)  # RTM_SETLINK
    settings = messages.attribute(32, b"\1") + messages.attribute(8, b"\0")
    assert body == struct.pack("=BxHiII", 7, 0, 11, 0, 0) + messages.attribute(
        12 | 0x8000, settings
    )
