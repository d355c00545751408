"""Devices that lead nowhere: dummies, and the loopback device that every node has."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from vxlab.describe.devices.base import Device, LinkKind
from vxlab.errors import TopologyError


@dataclass(frozen=True, slots=True, kw_only=True)
class Dummy(Device):
    """A device that drops what is sent by it: a place for addresses."""

    kind = LinkKind("dummy")


@dataclass(frozen=True, slots=True)
class Loopback(Device):
    """More ``addresses`` for the loopback device ``lo``, such as a router's own or a VTEP's."""

    name: str = "lo"
    _: KW_ONLY
    kind = LinkKind("loopback")
    made: ClassVar[bool] = False

    def _check_name(self) -> None:
        if self.name != "lo":
            raise TopologyError("loopback", "name", f"wanted lo, found {self.name!r}: use a Dummy")

    def check(self) -> None:
        """TopologyError for what the loopback device cannot be."""
        for field in ("master", "mac", "mtu"):
            if getattr(self, field) is not None:
                raise TopologyError(
                    "loopback lo", field, "wanted none: only addresses can be given"
                )
