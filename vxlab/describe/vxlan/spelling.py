"""Attributes as others spell them: netlink, the command line of ip(8), and its JSON."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

from vxlab.describe.vxlan.table import ATTRIBUTES, BY_NAME, Attribute, Attributes, Value
from vxlab.netlink import values
from vxlab.netlink.messages import attributes as netlink_attributes

_DF_WORDS = ("unset", "set", "inherit")


def encode(name: str, value: Value, index_of: Callable[[str], int]) -> tuple[int, bytes] | None:
    """Netlink attribute number and payload of one attribute; None where it is not sent at all.

    ``name`` is one of the table, ``value`` what it is set to; ``index_of`` turns the name of the
    lower device into its interface index.  KeyError for an unknown name, ValueError, TypeError or
    struct.error for a value that does not fit.
    """
    name, value = _normal_one(name, value)
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
    """The words of ``ip link add … type vxlan`` that set the attribute ``name`` to ``value``."""
    name, value = _normal_one(name, value)
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


def normal(attributes: Attributes) -> Attributes:
    """``attributes`` with numbers in place of the words of ip(8).

    ``ttl inherit`` is an attribute of its own, ``ttl_inherit``; ``ttl auto`` is 0, ``tos inherit``
    1, ``df unset``, ``set`` and ``inherit`` are 0, 1, 2.  What is no such word stays as it is.
    """
    return tuple(_normal_one(name, value) for name, value in attributes)


def _normal_one(name: str, value: Value) -> tuple[str, Value]:
    match name, value:
        case "ttl", "inherit":
            return "ttl_inherit", True
        case "ttl", "auto":
            return "ttl", 0
        case "tos", "inherit":
            return "tos", 1
        case "df", str() if value in _DF_WORDS:
            return "df", _DF_WORDS.index(value)
    return name, value


def decode(data: bytes, name_of: Callable[[int], str]) -> dict[str, Value]:
    """The attributes in ``data``, which is what a kernel reports in IFLA_INFO_DATA.

    ``name_of`` turns an interface index into the device's name.  An address or device that is not
    set is left out, and so is what this kernel does not have.
    """
    read = dict(netlink_attributes(data))
    found: dict[str, Value] = {}
    for attribute in ATTRIBUTES:
        payload = read.get(attribute.number, read.get(attribute.number6))
        value = _decode_one(attribute, payload, name_of)
        if value is not None:
            found[attribute.name] = value
    return found


def _decode_one(
    attribute: Attribute, payload: bytes | None, name_of: Callable[[int], str]
) -> Value | None:
    """The value of an attribute; None for what is absent or not set."""
    if payload is None:
        return False if attribute.kind == "flag" else None
    value: Value | None = values.decode(attribute.kind, payload, name_of)
    if attribute.kind == "address":
        address = ipaddress.ip_address(str(value))
        other = "remote" if address.is_multicast else "group"  # the two share a number
        return None if address.is_unspecified or attribute.name == other else value
    return value
