"""The devices of a machine: one file a kind, each with its fields, checks, words and encoding."""

from __future__ import annotations

from vxlab.describe.devices.base import KINDS, Device, LinkKind, kind_of
from vxlab.describe.devices.bond import Bond
from vxlab.describe.devices.bridge import Bridge
from vxlab.describe.devices.dummy import Dummy, Loopback
from vxlab.describe.devices.macvlan import Macvlan
from vxlab.describe.devices.ports import PORT, PortVlan
from vxlab.describe.devices.setting import Setting
from vxlab.describe.devices.vlan import Vlan
from vxlab.describe.devices.vrf import Vrf
from vxlab.describe.devices.vxlan_device import Vxlan

__all__ = [
    "KINDS",
    "PORT",
    "Bond",
    "Bridge",
    "Device",
    "Dummy",
    "LinkKind",
    "Loopback",
    "Macvlan",
    "PortVlan",
    "Setting",
    "Vlan",
    "Vrf",
    "Vxlan",
    "kind_of",
]
