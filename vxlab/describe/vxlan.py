"""The one table of vxlan attributes.

Both backends, the validation of topologies, the feature probes and the documentation read it;
no attribute is spelled out anywhere else.  Numbers are those of ``IFLA_VXLAN_*`` in
``include/uapi/linux/if_link.h``; the checks are those of ``vxlan_validate()`` and of
``vxlan_policy`` in ``drivers/net/vxlan/vxlan_core.c``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

from vxlab.netlink import values
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

# What goes with gpe (VXLAN_F_ALLOWED_GPE in the same file), with what a device has by default.
_NOT_WITH_GPE = {
    "gbp": False,
    "learning": True,
    "proxy": False,
    "rsc": False,
    "l2miss": False,
    "l3miss": False,
    "remcsumtx": False,
    "remcsumrx": False,
    "remcsum_nopartial": False,
    "ttl_inherit": False,
}

# Bits of the header that a device uses: none of them may be reserved (vxlan_nl2conf()).
_USED_BITS = 0x08000000_FFFFFF00
_USED_BITS_OF = {
    "gbp": 0x80FFFFFF_00000000,
    "gpe": 0x3D0000FF_00000000,
    "remcsumrx": 0x00200000_000000FF,
}

_DF_WORDS = ("unset", "set", "inherit")


def is_multicast(address: str) -> bool:
    """True if ``address`` (IPv4 or IPv6) is a multicast group."""
    return ipaddress.ip_address(address).is_multicast


def check(attributes: Mapping[str, Value]) -> tuple[str, str] | None:
    """The first thing wrong with a set of attributes, as (attribute, sentence), or None.

    It refuses what the kernel would refuse whatever its version, so that a bad description
    fails before the kernel sees it: unknown names, types, ranges, and contradictions.
    """
    for name, value in attributes.items():
        problem = check_one(name, value)
        if problem:
            return name, problem
    return _contradiction(attributes)


def check_one(name: str, value: Value) -> str | None:
    """What is wrong with one attribute by itself, as a sentence, or None."""
    attribute = BY_NAME.get(name)
    if attribute is None:
        return f"wanted a vxlan attribute ({', '.join(BY_NAME)}), found {name!r}"
    return _CHECKS[attribute.kind](attribute, value)


def _check_number(attribute: Attribute, value: Value) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return f"wanted a whole number, found {value!r}"
    if not attribute.low <= value <= attribute.high:
        return f"wanted {attribute.low} to {attribute.high}, found {value}"
    return None


def _check_bool(attribute: Attribute, value: Value) -> str | None:
    return None if isinstance(value, bool) else f"wanted True or False, found {value!r}"


def _check_address(attribute: Attribute, value: Value) -> str | None:
    try:
        address = ipaddress.ip_address(str(value))
    except ValueError:
        return f"wanted an IP address, found {value!r}"
    if attribute.name == "group" and not address.is_multicast:
        return f"wanted a multicast group (224.0.0.0/4 or ff00::/8), found {value}"
    if attribute.name != "group" and address.is_multicast:
        return f"wanted a unicast address, found the multicast group {value}"
    return None


def _check_device(attribute: Attribute, value: Value) -> str | None:
    good = isinstance(value, str) and 0 < len(value.encode()) <= 15
    return None if good else f"wanted a device name of 1 to 15 bytes, found {value!r}"


def _check_ports(attribute: Attribute, value: Value) -> str | None:
    if not (isinstance(value, tuple) and len(value) == 2):
        return f"wanted a pair (low, high), found {value!r}"
    if not all(type(port) is int and 0 <= port <= 65535 for port in value):
        return f"wanted ports from 0 to 65535, found {value}"
    return None if value[0] <= value[1] else f"wanted low <= high, found {value}"


def _check_bits(attribute: Attribute, value: Value) -> str | None:
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64
    return None if good else f"wanted a 64-bit mask, found {value!r}"


_CHECKS: Mapping[ValueType, Callable[[Attribute, Value], str | None]] = {
    "u8": _check_number,
    "u16be": _check_number,
    "u32": _check_number,
    "label": _check_number,
    "bool": _check_bool,
    "flag": _check_bool,
    "address": _check_address,
    "device": _check_device,
    "ports": _check_ports,
    "bits": _check_bits,
}


def family(attributes: Mapping[str, Value]) -> int:
    """The address family of a device, 4 or 6; one without any address is an IPv4 device."""
    return max(_families(attributes).values(), default=4)


def _families(attributes: Mapping[str, Value]) -> dict[str, int]:
    return {
        name: ipaddress.ip_address(str(attributes[name])).version
        for name in ("group", "remote", "local")
        if name in attributes
    }


def _contradiction(attributes: Mapping[str, Value]) -> tuple[str, str] | None:
    if "group" in attributes and "remote" in attributes:
        return "remote", "wanted either a group or a remote, found both"
    if "group" in attributes and "dev" not in attributes:
        return "group", "a multicast group needs the device it leaves by (dev), found none"
    if attributes.get("vnifilter") and not attributes.get("external"):
        return "vnifilter", "wanted external beside vnifilter, found it unset"
    if attributes.get("ttl_inherit") and attributes.get("ttl"):
        return "ttl", "wanted either a number or ttl_inherit, found both"
    return _bad_gpe(attributes) or _bad_family(attributes) or _bad_bits(attributes)


def _bad_gpe(attributes: Mapping[str, Value]) -> tuple[str, str] | None:
    if not attributes.get("gpe"):
        return None
    if not attributes.get("external"):
        return "gpe", "wanted external beside gpe (the kernel has no other), found it unset"
    for name, default in _NOT_WITH_GPE.items():
        if attributes.get(name, default):
            return name, "wanted False beside gpe (the kernel has no other), found True"
    return None


def _bad_family(attributes: Mapping[str, Value]) -> tuple[str, str] | None:
    families = _families(attributes)
    if len(set(families.values())) > 1:
        return "local", f"wanted one address family in one device, found {families}"
    if family(attributes) == 4:
        for name in ("flowlabel", "label_policy"):
            if attributes.get(name):
                return name, "wanted none (only IPv6 has flow labels), found an IPv4 device"
        return None
    return None if attributes.get("external") else _bad_scope(attributes)


def _bad_scope(attributes: Mapping[str, Value]) -> tuple[str, str] | None:
    """Link-local IPv6 addresses go with their like (vxlan_config_validate())."""
    local, remote = (
        ipaddress.ip_address(str(attributes.get(name, "::"))) for name in ("local", "remote")
    )
    group = ipaddress.ip_address(str(attributes.get("group", "::")))
    near = group.packed[0] == 0xFF and group.packed[1] & 15 == 2  # RFC 4291, section 2.7
    if local.is_link_local and not (remote.is_link_local or remote.is_unspecified):
        return "remote", f"wanted a link-local one as local is, found {remote}"
    if local.is_link_local and not (near or group.is_unspecified):
        return "group", f"wanted one of link-local scope (ff02::/16) as local is, found {group}"
    if remote.is_link_local and not local.is_link_local:
        return "local", f"wanted a link-local one as the remote {remote} is, found {local}"
    if local.is_link_local and "dev" not in attributes:
        return "dev", f"wanted the device that {local} belongs to, found none"
    return None


def _bad_bits(attributes: Mapping[str, Value]) -> tuple[str, str] | None:
    used = _USED_BITS
    for name, bits in _USED_BITS_OF.items():
        used |= bits if attributes.get(name) else 0
    clash = used & int(attributes.get("reserved_bits", 0))  # type: ignore[arg-type]
    if clash:
        return "reserved_bits", f"wanted none of the used bits {used:#018x}, found {clash:#018x}"
    return None


def encode(name: str, value: Value, index_of: Callable[[str], int]) -> tuple[int, bytes] | None:
    """Netlink attribute number and payload of one attribute, or None where it is left out.

    ``index_of`` turns the name of the underlying device into its interface index.
    """
    attribute = BY_NAME[name]
    if attribute.kind == "flag" and not value:
        return None
    payload = values.encode(attribute.kind, value, index_of)
    six = attribute.kind == "address" and len(payload) == 16
    return (attribute.number6 if six else attribute.number), payload


def _pair(value: Value) -> tuple[int, int]:
    assert isinstance(value, tuple)
    return value


def words(name: str, value: Value) -> list[str]:
    """The words of ``ip link add … type vxlan`` for one attribute."""
    attribute = BY_NAME[name]
    match attribute.kind:
        case "bool":
            return [name if value else attribute.off]
        case "flag":
            if not value:
                return []
            return ["ttl", "inherit"] if name == "ttl_inherit" else [name]
        case "ports":
            return [name, *map(str, _pair(value))]
        case "bits" | "label":
            return [name, f"{value:#x}"]
    if name == "df" and value in range(len(_DF_WORDS)):
        return [name, _DF_WORDS[int(value)]]  # type: ignore[arg-type]
    if name == "tos":  # which ip(8) takes for hexadecimal, with or without 0x
        return [name, f"{value:#x}"]
    return [name, str(value)]


def from_json(info_data: Mapping[str, Any]) -> dict[str, Value]:
    """Attributes out of ``linkinfo.info_data`` of ``ip -j -d link``, under their ``ip`` names.

    Keys that the table does not know are left out.
    """
    found: dict[str, Value] = {}
    for attribute in ATTRIBUTES:
        key = attribute.json if attribute.json in info_data else attribute.json + "6"
        if key not in info_data:
            continue
        value = info_data[key]
        if attribute.kind == "flag":  # true or null, as versions of ip go: the key counts
            if attribute.name != "ttl_inherit":
                found[attribute.name] = True
        elif attribute.kind == "ports":
            found[attribute.name] = (int(value["low"]), int(value["high"]))
        elif attribute.kind in ("label", "bits") or attribute.name == "tos":
            found[attribute.name] = int(value, 0) if isinstance(value, str) else int(value)
        elif attribute.name == "df":
            found[attribute.name] = _DF_WORDS.index(value)
        else:
            found[attribute.name] = value
    if "ttl" not in info_data and "port" in info_data:
        found["ttl_inherit"] = True  # what ip says of it in JSON: nothing
    return found
