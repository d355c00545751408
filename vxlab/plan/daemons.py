"""What the multicast daemons of routers are told: who is beside them, and which groups are used."""

from __future__ import annotations

from collections import defaultdict

from vxlab.describe.elements import Nic, Router
from vxlab.describe.topology import Topology
from vxlab.plan.operations import HostOnLink, Members, StartDaemon


class Daemons:
    """The daemons of all routers of ``topology``; its hosts are gone through once for all."""

    def __init__(self, topology: Topology) -> None:
        #: Of each switch: the first host on it, with its place among all interfaces.
        self._first_hosts: dict[str, tuple[int, str, Nic]] = {}
        #: Of each switch: the groups used on it, with the place of their first VTEP among all.
        self._groups: dict[str, dict[str, int]] = defaultdict(dict)
        nics = ((host.name, nic) for host in topology.hosts for nic in host.nics)
        for place, (host, nic) in enumerate(nics):
            if nic.address:
                self._first_hosts.setdefault(nic.switch, (place, host, nic))
        ends = ((host, vtep) for host in topology.hosts for vtep in host.vteps)
        for place, (owner, vtep) in enumerate(ends):
            group = topology.attributes(owner, vtep).get("group")
            lower = topology.nic(owner, vtep)
            if group and lower:
                self._groups[lower.switch].setdefault(str(group), place)

    def start(self, router: Router, daemon: str) -> StartDaemon:
        """The operation that starts the program ``daemon`` of ``router``."""
        switches = {nic.switch: nic for nic in router.nics}
        used = sorted(
            (place, group, nic.device)
            for switch, nic in switches.items()
            for group, place in self._groups.get(switch, {}).items()
        )
        members: dict[str, dict[str, None]] = {}
        for _, group, device in used:
            members.setdefault(group, {})[device] = None
        numbered = [name for name, nic in switches.items() if nic.address]
        hosts = sorted(self._first_hosts[name] for name in numbered if name in self._first_hosts)
        return StartDaemon(
            router.name,
            daemon,
            tuple(nic.device for nic in router.nics),
            members=tuple(Members(group, tuple(devices)) for group, devices in members.items()),
            hosts=tuple(HostOnLink(host, n.ip, switches[n.switch].ip) for _, host, n in hosts),
        )
