"""VLANs of bridges and their ports: messages become rows (linux/if_bridge.h)."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from vxlab.netlink.messages import HEADER, IFINFO, IFLA_AF_SPEC, IFLA_MASTER, attributes
from vxlab.observe.state.decode import Names
from vxlab.observe.state.forwarding_rows import VlanEntry

_IFLA_BRIDGE_VLAN_INFO, _IFLA_BRIDGE_VLAN_TUNNEL_INFO = 2, 3
_TUNNEL_ID, _TUNNEL_VID = 1, 2
_VLAN_INFO_PVID, _VLAN_INFO_UNTAGGED = 0x2, 0x4


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeMessage:
    """What an RTM_NEWLINK message of family AF_BRIDGE says of a port, or of the bridge itself.

    ``index`` is the interface's, ``bridge`` that of the bridge that it belongs to, ``data`` what is
    known of its VLANs.
    """

    index: int
    bridge: int
    data: bytes


def bridge_message(data: bytes) -> BridgeMessage | None:
    """A message of a dump of AF_BRIDGE, whose bytes are ``data``; None where it has no VLANs."""
    _, _, index, _, _ = IFINFO.unpack_from(data, HEADER.size)
    found = dict(attributes(data[HEADER.size + IFINFO.size :]))
    if not found.get(IFLA_AF_SPEC):
        return None
    master = int.from_bytes(found.get(IFLA_MASTER, b""), sys.byteorder)
    return BridgeMessage(index=index, bridge=master or index, data=found[IFLA_AF_SPEC])


def vlan_rows(message: BridgeMessage, name_of: Names) -> Iterator[VlanEntry]:
    """One row for each VLAN of a port or bridge."""
    tunnels: dict[int, int] = {}
    for number, payload in attributes(message.data):
        if number == _IFLA_BRIDGE_VLAN_TUNNEL_INFO:
            row = dict(attributes(payload))
            vlan = int.from_bytes(row[_TUNNEL_VID], sys.byteorder)
            tunnels[vlan] = int.from_bytes(row[_TUNNEL_ID], sys.byteorder)
    for number, payload in attributes(message.data):
        if number == _IFLA_BRIDGE_VLAN_INFO:
            flags, vlan = struct.unpack("=HH", payload)
            yield VlanEntry(
                interface=name_of(message.index),
                vlan=vlan,
                pvid=bool(flags & _VLAN_INFO_PVID),
                untagged=bool(flags & _VLAN_INFO_UNTAGGED),
                vni=tunnels.get(vlan),
            )
