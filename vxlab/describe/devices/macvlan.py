"""Macvlan devices: further MAC addresses of a device (ip-link(8); IFLA_MACVLAN_*)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vxlab.describe import checks
from vxlab.describe.devices.base import Device, LinkKind
from vxlab.describe.devices.setting import Setting

_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}


@dataclass(frozen=True, slots=True, kw_only=True)
class Macvlan(Device):
    """A further MAC address, and an interface, of the device below: an anycast gateway for
    instance.

    ``link`` is the name of the device below, ``mode`` "private", "vepa", "bridge" or "passthru".
    """

    kind = LinkKind("macvlan", (Setting("mode", 1, "u32", words=_MODES, high=8),))
    link: str
    mode: Literal["private", "vepa", "bridge", "passthru"] = "private"

    def check(self) -> None:
        """TopologyError where ``link`` names no device."""
        checks.text(str(self), "link", self.link)
