"""How values of netlink attributes look as bytes, and which there are.

The tables of attributes (:mod:`vxlab.describe.vxlan`, :mod:`vxlab.describe.entries`) name a :data:`Kind` for each.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable
from typing import Any, Literal

Kind = Literal[
    "u8",
    "u16",
    "u16be",
    "u32",
    "label",
    "bool",
    "flag",
    "mac",
    "address",
    "device",
    "ports",
    "bits",
    "mode",
]

#: Which sources a group entry stands for (MCAST_EXCLUDE, MCAST_INCLUDE of linux/in.h).
FILTER_MODES = {"exclude": 0, "include": 1}

_FORMATS: dict[str, str] = {
    "u8": "=B",
    "u16": "=H",
    "u16be": ">H",
    "u32": "=I",
    "label": ">I",
    "bits": ">Q",
}


def encode(kind: Kind, value: Any, index_of: Callable[[str], int]) -> bytes:
    """One value as a netlink payload.

    ``index_of`` turns the name of a device into its interface index.  ValueError, KeyError,
    TypeError or struct.error where the value does not fit its kind.
    """
    match kind:
        case "bool":
            return struct.pack("=B", bool(value))
        case "flag":
            return b""
        case "mac":
            return mac_bytes(str(value))
        case "address":
            return ipaddress.ip_address(str(value)).packed
        case "device":
            return struct.pack("=I", index_of(str(value)))
        case "ports":
            low, high = value
            return struct.pack(">HH", low, high)
        case "mode":
            return struct.pack("=B", FILTER_MODES[value])
    return struct.pack(_FORMATS[kind], value)


def mac_bytes(text: str) -> bytes:
    """The six bytes of ``02:00:00:00:00:01``."""
    return bytes.fromhex(text.replace(":", ""))
