"""VRFs: routing tables of their own (ip-link(8), VRF Type Support; IFLA_VRF_*)."""

from __future__ import annotations

from dataclasses import dataclass

from vxlab.describe.devices.base import Device, LinkKind
from vxlab.describe.devices.setting import Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Vrf(Device):
    """A routing table of its own for the devices whose ``master`` it is.

    ``table`` is its number, 1 to 4294967295; main and local are 254 and 255.
    """

    kind = LinkKind("vrf", (Setting("table", 1, "u32", low=1),))
    table: int
