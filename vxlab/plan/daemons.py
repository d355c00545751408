"""The multicast daemons of routers."""

from __future__ import annotations

from vxlab.describe.elements import Router
from vxlab.describe.topology import Topology
from vxlab.plan.operations import HostOnLink, Members, StartDaemon


def start_daemon(topology: Topology, router: Router, daemon: str) -> StartDaemon:
    """The operation that starts the multicast ``daemon`` of ``router`` in ``topology``."""
    switches = {nic.switch: nic for nic in router.nics}
    members: dict[str, dict[str, None]] = {}
    hosts: dict[str, HostOnLink] = {}
    for host in topology.hosts:
        for nic in host.nics:
            near = switches.get(nic.switch)
            if near and near.address and nic.address:
                link = HostOnLink(host.name, nic.ip, near.ip)
                hosts.setdefault(nic.switch, link)
        for vtep in host.vteps:
            group = topology.attributes(host, vtep).get("group")
            lower = topology.nic(host, vtep)
            if group and lower and lower.switch in switches:
                members.setdefault(str(group), {})[switches[lower.switch].device] = None
    return StartDaemon(
        router.name,
        daemon,
        tuple(nic.device for nic in router.nics),
        members=tuple(Members(group, tuple(devices)) for group, devices in members.items()),
        hosts=tuple(hosts.values()),
    )
