"""Topologies: what a person writes down.

:class:`Topology` is frozen and complete; making one checks everything that can be known before
a kernel is asked, and the error names the element and the field.
:class:`~vxlab.describe.builder.TopologyBuilder` writes one down step by step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from vxlab.describe.elements import Host, Router, Switch, Vtep
from vxlab.describe.rules import check_topology
from vxlab.describe.wiring import Wiring
from vxlab.errors import TopologyError

E = TypeVar("E", Host, Router, Switch)


@dataclass(frozen=True, slots=True)
class Topology(Wiring):
    """A whole topology, checked; TopologyError where it cannot be built as described.

    ``name`` names it in messages and reports.  Its elements are tuples: ``switches``, ``routers``,
    ``hosts``, ``segments`` and ``containers``, each of the class of that name.  It cannot be
    changed; ``with_host`` and the like give a changed copy, checked again.
    """

    def __post_init__(self) -> None:
        check_topology(self)

    def with_host(self, name: str, **changes: Any) -> Topology:
        """The same topology with the host ``name`` changed.

        ``changes`` are new values for fields of :class:`~vxlab.describe.elements.Host`: ``nics``,
        ``vteps``, ``rules``.  TopologyError where there is no such host, or it does not fit.
        """
        host = _changed(self.host(name), changes)
        hosts = tuple(host if old.name == name else old for old in self.hosts)
        return dataclasses.replace(self, hosts=hosts)

    def with_vtep(self, host: str, segment: str, **changes: Any) -> Topology:
        """The same topology with the VTEP of ``host`` in ``segment`` changed.

        ``changes`` are new values for fields of :class:`~vxlab.describe.elements.Vtep`:
        ``device``, ``addresses``, ``bridge``, ``vrf``, ``dev``, ``local``, ``nic``, ``remotes``,
        ``mac``, ``attributes``.  All other names are vxlan attributes (``id``, ``dstport``,
        ``group``, ``ttl`` …) of this one device.  TopologyError where there is no such VTEP, or it
        does not fit.
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
        """The same topology with the switch or cable ``name`` changed.

        ``changes`` are new values for fields of :class:`~vxlab.describe.elements.Switch`:
        ``network``, ``snooping``, ``mtu``, ``cable`` (False makes a switch of a cable).
        TopologyError where there is no such switch, or it does not fit.
        """
        switch = _changed(self.switch(name), changes)
        switches = tuple(switch if old.name == name else old for old in self.switches)
        return dataclasses.replace(self, switches=switches)

    def with_router(self, name: str, **changes: Any) -> Topology:
        """The same topology with the router ``name`` changed.

        ``changes`` are new values for fields of :class:`~vxlab.describe.elements.Router`:
        ``nics``, ``daemon``, ``rules``.  TopologyError where there is no such router, or it does
        not fit.
        """
        router = _changed(self.router(name), changes)
        routers = tuple(router if old.name == name else old for old in self.routers)
        return dataclasses.replace(self, routers=routers)


def _changed(old: E, changes: Mapping[str, Any]) -> E:
    """A changed copy of an element; TopologyError where it has no such field."""
    known = [field.name for field in dataclasses.fields(old) if field.init]
    for name in changes:
        if name not in known:
            raise TopologyError(str(old), name, f"wanted a field ({', '.join(known)}), found none")
    return dataclasses.replace(old, **changes)
