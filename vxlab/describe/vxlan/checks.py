"""What is wrong with attributes of a vxlan device, found without asking a kernel.

The checks are those of ``vxlan_validate()``, ``vxlan_config_validate()`` and ``vxlan_policy`` in
``drivers/net/vxlan/vxlan_core.c``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vxlab.describe.checks import parsed_ip
from vxlab.describe.vxlan.table import BY_NAME, Attribute, Value
from vxlab.netlink.values import ValueType

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


def is_multicast(address: str) -> bool:
    """True if ``address`` (IPv4 or IPv6) is a multicast group."""
    return parsed_ip(address).is_multicast


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
        address = parsed_ip(str(value))
    except ValueError:
        return f"wanted an IP address, found {value!r}"
    if "%" in str(value):
        return f"wanted an address without a scope, found {value!r}: say dev for the interface"
    if attribute.name == "group" and not address.is_multicast:
        return f"wanted a multicast group (224.0.0.0/4 or ff00::/8), found {value}"
    if attribute.name != "group" and address.is_multicast:
        return f"wanted a unicast address, found the multicast group {value}"
    return None


def _check_device(attribute: Attribute, value: Value) -> str | None:
    if isinstance(value, str) and not value.isprintable():
        return f"wanted a device name of printable characters, found {value!r}"
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
        name: parsed_ip(str(attributes[name])).version
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
    local, remote = (parsed_ip(str(attributes.get(name, "::"))) for name in ("local", "remote"))
    group = parsed_ip(str(attributes.get("group", "::")))
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
