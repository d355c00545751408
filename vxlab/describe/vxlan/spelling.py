"""Attributes as others spell them: netlink, the command line of ip(8), and its JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vxlab.describe.vxlan.table import ATTRIBUTES, BY_NAME, Value
from vxlab.netlink import values

_DF_WORDS = ("unset", "set", "inherit")


def encode(name: str, value: Value, index_of: Callable[[str], int]) -> tuple[int, bytes] | None:
    """Netlink attribute number and payload of one attribute; None where it is not sent at all.

    ``name`` is one of the table, ``value`` what it is set to; ``index_of`` turns the name of the
    lower device into its interface index.  KeyError for an unknown name, ValueError, TypeError or
    struct.error for a value that does not fit.
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
    """The words of ``ip link add … type vxlan`` that set the attribute ``name`` to ``value``."""
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
