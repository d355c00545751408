"""A thin layer over pyroute2's message classes, which decode and do nothing else.

pyroute2's sockets are never used: they belong to threads, and would read the wrong namespace.
"""

from __future__ import annotations

import struct
from typing import Any


def slots(decoded: Any) -> dict[str, Any]:
    """Name to slot, for the attributes of a decoded message; a slot's ``[1]`` is its value.

    Slots decode their value when it is asked for.  What pyroute2 has no name for is called after
    its number, ``#13``.  None, or a value without attributes, gives none.
    """
    if not isinstance(decoded, dict) or "attrs" not in decoded:
        return {}
    return {_name(slot): slot for slot in decoded["attrs"]}


def _name(slot: Any) -> str:
    name, cell = slot.cell
    if name != "UNKNOWN":
        return str(name)
    (number,) = struct.unpack_from("=H", cell.data, cell.offset + 2)
    return f"#{number & 0x3FFF}"


def raw(slot: Any) -> bytes:
    """The bytes of an attribute, without its header; empty for None.

    They are taken past pyroute2's decoder, for those attributes that it has the wrong type for.
    """
    if slot is None:
        return b""
    _, cell = slot.cell
    return bytes(cell.data[cell.offset + 4 : cell.offset + cell.length])


class DecodedMessage:
    """One rtnetlink message: ``message["field"]`` of its fixed header, ``get`` of its attributes.

    ``kind`` is a pyroute2 class (``ifinfmsg``, ``ndmsg`` …), ``data`` the message with its header.
    """

    __slots__ = ("_decoded", "_slots")

    def __init__(self, kind: Any, data: bytes) -> None:
        self._decoded = kind(data)
        self._decoded.decode()
        self._slots = slots(self._decoded)

    def __getitem__(self, field: str) -> Any:
        return self._decoded[field]

    def has(self, name: str) -> bool:
        """Whether the attribute is there."""
        return name in self._slots

    def slot(self, name: str) -> Any:
        """The attribute's slot, or None."""
        return self._slots.get(name)

    def get(self, name: str, default: Any = None) -> Any:
        """The attribute's value, or ``default`` where it is absent."""
        slot = self._slots.get(name)
        return default if slot is None else slot[1]
