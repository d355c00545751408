"""Vxlan devices without a segment: those that take the VNI from elsewhere, and odd ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vxlab.describe import entries, vxlan
from vxlab.describe.devices.base import Device, LinkKind
from vxlab.describe.vxlan.table import Attributes, Value
from vxlab.errors import TopologyError
from vxlab.netlink.messages import attribute


class _VxlanKind(LinkKind):
    """The kind whose settings are those of :mod:`vxlab.describe.vxlan`."""

    __slots__ = ()

    def check(self, node: str, found: Attributes) -> None:
        """TopologyError for what the kernel would refuse."""
        problem = vxlan.check(dict(vxlan.normal(found)))
        if problem:
            raise TopologyError(node, *problem)

    def words(self, name: str, value: Value) -> list[str]:
        """The words of ip(8)."""
        return vxlan.words(name, value)

    def encode(self, found: Attributes, index_of: Callable[[str], int]) -> bytes:
        """What IFLA_INFO_DATA holds."""
        for name, _ in found:
            entries.find(vxlan.BY_NAME, name, "vxlan attribute")
        encoded = (vxlan.encode(name, value, index_of) for name, value in found)
        return b"".join(attribute(*each) for each in encoded if each)

    def decode(self, data: bytes, name_of: Callable[[int], str]) -> dict[str, Value]:
        """What is in IFLA_INFO_DATA, by the names of ip(8)."""
        return vxlan.decode(data, name_of)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vxlan(Device):
    """A vxlan device that belongs to no one segment.

    Its ``attributes`` are those of :mod:`vxlab.vxlan` by name: with ``external`` the VNI comes from
    a bridge's VLANs (:class:`PortVlan`), a route or a tc action, with ``vnifilter`` beside it only
    the VNIs are taken that :class:`vxlab.operations.AddVni` added.
    """

    kind = _VxlanKind("vxlan")

    def settings(self) -> Attributes:
        """The attributes, each spelled as a number where ip(8) has a word."""
        return vxlan.normal(self.attributes)

    def needs(self) -> tuple[str, ...]:
        """The device that packets leave by, and the master."""
        dev = dict(self.attributes).get("dev")
        return tuple(str(name) for name in (dev, self.master) if name)
