"""Topologies: what a person writes down.

:class:`Topology` is frozen and complete; making one checks everything that can be known before
a kernel is asked, and the error names the element and the field.
:class:`~vxlab.describe.builder.TopologyBuilder` is the comfortable way to write one.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from vxlab.describe.elements import Vtep
from vxlab.describe.rules import check_topology
from vxlab.describe.wiring import Wiring


@dataclass(frozen=True, slots=True)
class Topology(Wiring):
    """A whole topology; raises TopologyError where it cannot be built as described."""

    def __post_init__(self) -> None:
        check_topology(self)

    def with_host(self, name: str, **changes: Any) -> Topology:
        """The same topology with fields of one host changed."""
        host = dataclasses.replace(self.host(name), **changes)
        hosts = tuple(host if old.name == name else old for old in self.hosts)
        return dataclasses.replace(self, hosts=hosts)

    def with_vtep(self, host: str, segment: str, **changes: Any) -> Topology:
        """The same topology with fields of one VTEP changed.

        Names that are vxlan attributes and no field (``id``, ``dstport``, ``group``, ``ttl``…)
        become overriding attributes of the device.
        """
        fields = {field.name for field in dataclasses.fields(Vtep)}
        extra = {key: value for key, value in changes.items() if key not in fields}
        changes = {key: value for key, value in changes.items() if key in fields}
        old = self.vtep(host, segment)
        changes.setdefault("attributes", tuple({**dict(old.attributes), **extra}.items()))
        new = dataclasses.replace(old, **changes)
        vteps = tuple(new if vtep is old else vtep for vtep in self.host(host).vteps)
        return self.with_host(host, vteps=vteps)

    def with_switch(self, name: str, **changes: Any) -> Topology:
        """The same topology with fields of one switch changed (``cable=False`` makes it one)."""
        switch = dataclasses.replace(self.switch(name), **changes)
        switches = tuple(switch if old.name == name else old for old in self.switches)
        return dataclasses.replace(self, switches=switches)

    def with_router(self, name: str, **changes: Any) -> Topology:
        """The same topology with fields of one router changed."""
        router = dataclasses.replace(self.router(name), **changes)
        routers = tuple(router if old.name == name else old for old in self.routers)
        return dataclasses.replace(self, routers=routers)
