"""How values of netlink attributes look as bytes, and the other way round.

The tables of attributes (:mod:`vxlab.describe.vxlan`, :mod:`vxlab.describe.entries`) name a
:data:`ValueType` for each; what is encoded with it is read back with it.
"""

from __future__ import annotations

import functools
import ipaddress
import struct
import sys
from collections.abc import Callable
from typing import Any, Literal

#: How a value of an attribute looks as bytes; ``be`` for those in network byte order.
ValueType = Literal[
    "u8",
    "u16",
    "u16be",
    "u32",
    "u64",
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

_FILTER_MODE_NAMES = {number: name for name, number in FILTER_MODES.items()}

_FORMATS: dict[str, str] = {
    "u8": "=B",
    "u16": "=H",
    "u16be": ">H",
    "u32": "=I",
    "u64": "=Q",
    "label": ">I",
    "bits": ">Q",
}


@functools.lru_cache(maxsize=1 << 16)
def packed(address: str) -> bytes:
    """An IP ``address`` in network byte order; kept, since one is used in many requests."""
    return ipaddress.ip_address(address).packed


def encode(kind: ValueType, value: Any, index_of: Callable[[str], int]) -> bytes:
    """``value`` as a netlink payload of type ``kind`` (:data:`ValueType`).

    ``index_of`` turns the name of a device into its interface index.  ValueError, KeyError,
    TypeError or struct.error where the value does not fit its type.
    """
    match kind:
        case "bool":
            return struct.pack("=B", bool(value))
        case "flag":
            return b""
        case "mac":
            return mac_bytes(str(value))
        case "address":
            return packed(str(value))
        case "device":
            return struct.pack("=I", index_of(str(value)))
        case "ports":
            low, high = value
            return struct.pack(">HH", low, high)
        case "mode":
            if value not in FILTER_MODES:
                raise ValueError(f"{value!r}, which is no filter mode ({', '.join(FILTER_MODES)})")
            return struct.pack("=B", FILTER_MODES[value])
    return struct.pack(_FORMATS[kind], value)


def decode(kind: ValueType, payload: bytes, name_of: Callable[[int], str]) -> Any:
    """The value that ``payload``, of type ``kind``, stands for: the inverse of :func:`encode`.

    ``name_of`` turns an interface index into the device's name.  None for a device with index 0.
    ValueError, KeyError or struct.error where the payload does not fit its type.
    """
    match kind:
        case "flag" | "bool":  # there are flags with a byte that says no
            return payload != b"\0"
        case "mac":
            return payload.hex(":")
        case "address":
            return str(ipaddress.ip_address(payload))
        case "device":
            index = int.from_bytes(payload, sys.byteorder)
            return name_of(index) if index else None
        case "ports":
            return struct.unpack(">HH", payload)
        case "mode":
            return _FILTER_MODE_NAMES[payload[0]]
        case "u16be" | "label" | "bits":
            return int.from_bytes(payload, "big")
    return int.from_bytes(payload, sys.byteorder)


def mac_bytes(text: str) -> bytes:
    """The six bytes of ``02:00:00:00:00:01``; ValueError where the text is not of that form."""
    try:
        found = bytes.fromhex(text.replace(":", ""))
    except ValueError:
        found = b""
    if len(found) != 6 or text.count(":") != 5:
        raise ValueError(f"{text!r}, which is no MAC address such as 02:00:00:00:00:01")
    return found
