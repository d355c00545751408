"""The one table of vxlan attributes.

Both backends, the validation of topologies, the feature probes and the documentation read it;
no attribute is spelled out anywhere else.  Numbers are those of ``IFLA_VXLAN_*`` in
``include/uapi/linux/if_link.h``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass

from vxlab.netlink.values import ValueType

#: The kernel's own default port; RFC 7348 has 4789 (IANA).
KERNEL_PORT = 8472
IANA_PORT = 4789
#: The kernel's default port of a device with gpe (IANA's for VXLAN-GPE).
GPE_PORT = 4790

#: Bytes that VXLAN puts round a packet inside an IPv4 or IPv6 underlay: Ethernet 14, IP 20 or
#: 40, UDP 8, VXLAN 8 (RFC 7348, section 5).
OVERHEAD = {4: 50, 6: 70}

#: Largest VXLAN network identifier: 24 bits (RFC 7348, section 5).
MAX_VNI = 0xFFFFFF

#: What a value of an attribute may be.
Value = int | bool | str | tuple[int, int]

#: Several attributes as pairs of name and value: hashable, unlike a mapping.
Attributes = tuple[tuple[str, Value], ...]


@dataclass(frozen=True, slots=True)
class Attribute:
    """One vxlan attribute.

    ``name`` is the word of ``ip link add … type vxlan``; ``number`` the netlink attribute,
    ``number6`` the one for an IPv6 address; ``kind`` its encoding; ``json`` the key of
    ``ip -j -d link``; ``default`` the kernel's; ``low`` and ``high`` the range of a number;
    ``off`` the word that switches a boolean off; ``changeable`` whether ``ip link set`` may
    change it later.
    """

    name: str
    number: int
    kind: ValueType
    json: str
    _: KW_ONLY
    default: Value | None = None
    number6: int = 0
    low: int = 0
    high: int = 0
    off: str = ""
    changeable: bool = False


ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute("id", 1, "u32", "id", low=0, high=MAX_VNI),
    Attribute("group", 2, "address", "group", number6=16, changeable=True),
    Attribute("remote", 2, "address", "remote", number6=16, changeable=True),
    Attribute("dev", 3, "device", "link", changeable=True),
    Attribute("local", 4, "address", "local", number6=17, changeable=True),
    Attribute("ttl", 5, "u8", "ttl", default=0, low=0, high=255, changeable=True),
    Attribute("tos", 6, "u8", "tos", default=0, low=0, high=255, changeable=True),
    Attribute("learning", 7, "bool", "learning", default=True, off="nolearning", changeable=True),
    Attribute("ageing", 8, "u32", "ageing", default=300, high=0xFFFFFFFF, changeable=True),
    Attribute("maxaddress", 9, "u32", "limit", default=0, high=0xFFFFFFFF),
    Attribute("srcport", 10, "ports", "port_range", low=0, high=65535),
    Attribute("proxy", 11, "bool", "proxy", default=False, off="noproxy"),
    Attribute("rsc", 12, "bool", "rsc", default=False, off="norsc"),
    Attribute("l2miss", 13, "bool", "l2miss", default=False, off="nol2miss"),
    Attribute("l3miss", 14, "bool", "l3miss", default=False, off="nol3miss"),
    Attribute("dstport", 15, "u16be", "port", default=KERNEL_PORT, low=0, high=65535),
    Attribute("udpcsum", 18, "bool", "udp_csum", default=True, off="noudpcsum"),
    Attribute(
        "udp6zerocsumtx", 19, "bool", "udp_zero_csum6_tx", default=False, off="noudp6zerocsumtx"
    ),
    Attribute(
        "udp6zerocsumrx", 20, "bool", "udp_zero_csum6_rx", default=False, off="noudp6zerocsumrx"
    ),
    Attribute("remcsumtx", 21, "bool", "remcsum_tx", default=False, off="noremcsumtx"),
    Attribute("remcsumrx", 22, "bool", "remcsum_rx", default=False, off="noremcsumrx"),
    Attribute("gbp", 23, "flag", "gbp", default=False),
    # No word of ip: only raw netlink sets it.
    Attribute("remcsum_nopartial", 24, "flag", "remcsum_nopartial", default=False),
    Attribute("external", 25, "bool", "external", default=False, off="noexternal"),
    Attribute("flowlabel", 26, "label", "label", default=0, low=0, high=0xFFFFF, changeable=True),
    Attribute("gpe", 27, "flag", "gpe", default=False),
    Attribute("ttl_inherit", 28, "flag", "ttl", default=False),
    Attribute("df", 29, "u8", "df", default=0, low=0, high=2, changeable=True),
    Attribute("vnifilter", 30, "bool", "vnifilter", default=False, off="novnifilter"),
    Attribute(
        "localbypass", 31, "bool", "localbypass", default=True, off="nolocalbypass", changeable=True
    ),
    Attribute("label_policy", 32, "u32", "label_policy", default=0, low=0, high=1, changeable=True),
    Attribute("reserved_bits", 33, "bits", "reserved_bits"),
    Attribute("mcroute", 34, "bool", "mcroute", default=False, off="nomcroute", changeable=True),
)

BY_NAME: Mapping[str, Attribute] = {attribute.name: attribute for attribute in ATTRIBUTES}

#: Devices of one host that share a UDP port must agree in these: they share a socket
#: (``VXLAN_F_RCV_FLAGS`` in ``include/net/vxlan.h``).
RECEIVE_FLAGS = (
    "gbp",
    "gpe",
    "external",
    "vnifilter",
    "remcsumrx",
    "remcsum_nopartial",
    "udp6zerocsumrx",
)
