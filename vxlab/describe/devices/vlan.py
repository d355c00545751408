"""VLAN devices (ip-link(8), VLAN Type Support; IFLA_VLAN_*)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vxlab.describe import checks
from vxlab.describe.devices.base import Device, LinkKind
from vxlab.describe.devices.setting import Setting

#: Ethertypes of VLAN tags by their standards (ETH_P_8021Q, ETH_P_8021AD in linux/if_ether.h).
PROTOCOLS = {"802.1Q": 0x8100, "802.1ad": 0x88A8}

_VLAN = LinkKind(
    "vlan",
    (
        Setting("protocol", 5, "u16be", words=PROTOCOLS),
        Setting("id", 1, "u16", low=0, high=4094),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vlan(Device):
    """A VLAN of a device below, as a device of its own.

    ``link`` is the name of the device below, ``id`` the VLAN's, 0 to 4094; ``protocol`` is "802.1Q"
    or "802.1ad" (the outer tag of Q-in-Q).
    """

    kind = _VLAN
    link: str
    id: int
    protocol: Literal["802.1Q", "802.1ad"] = "802.1Q"

    def check(self) -> None:
        """TopologyError where ``link`` names no device."""
        checks.text(str(self), "link", self.link)
