"""How the elements of a topology must fit together.

What a person can get wrong is refused here, in words, before any kernel sees it: also what the
kernel or a routing daemon would refuse later, and what could never carry a packet.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from vxlab.describe import checks
from vxlab.describe.checks import parsed
from vxlab.describe.containers import Container
from vxlab.describe.device_rules import check_devices
from vxlab.describe.elements import Host, Nic, Router, Segment, Switch, Vtep
from vxlab.describe.networks import first_overlap
from vxlab.describe.routing import underlay_of
from vxlab.describe.vtep_rules import check_host, check_mtu, check_ways
from vxlab.describe.wiring import Wiring
from vxlab.errors import TopologyError

#: How many interfaces a multicast router routes between; why, see ``services/base.py``.
ROUTER_INTERFACES = 2, 31

#: The longest line of smcrouted's configuration in bytes (``services/smcroute.py``).
SMCROUTE_LINE = 510

#: What pimd takes as source-specific (RFC 4607), and then does not forward for a vxlan device.
SOURCE_SPECIFIC = ipaddress.ip_network("232.0.0.0/8")

#: The most ports of a bridge: 1024 (BR_MAX_PORTS, net/bridge/br_private.h) less the number 0, which
#: is none (find_portno() in net/bridge/br_if.c).
BRIDGE_PORTS = 1023

#: The least MTU of a veth in bytes (ETH_MIN_MTU, linux/if_ether.h).
_LEAST_MTU = 68


def check_topology(topology: Wiring) -> None:
    """Raise TopologyError, naming the element and the field, for the first thing that is wrong."""
    checks.text("topology", "name", topology.name)
    for field, kind in (
        ("switches", Switch),
        ("routers", Router),
        ("hosts", Host),
        ("segments", Segment),
        ("containers", Container),
    ):
        checks.members(f"topology {topology}", field, getattr(topology, field), kind)
    checks.unique(f"topology {topology}", "nodes", topology.nodes, "node name")
    names = (segment.name for segment in topology.segments)
    checks.unique(f"topology {topology}", "segments", names, "segment name")
    _check_switches(topology)
    _check_ports(topology)
    _check_macs(topology)
    for machine in (*topology.machines, *topology.containers):
        check_devices(topology, machine)
    for host in topology.hosts:
        check_host(topology, host)
    for container in topology.containers:
        _check_container(topology, container)
    pimd = any(router.daemon == "pimd" for router in topology.routers)
    specific = _source_specific(topology) if pimd else {}
    for router in topology.routers:
        _check_router(topology, router, specific)
    _check_overlay_addresses(topology)
    underlay = underlay_of(topology)
    for host, vtep in _vteps(topology):
        check_ways(underlay, host, vtep)
    _check_changes(topology)


def _check_changes(topology: Wiring) -> None:
    nodes = set(topology.nodes)
    for change in topology.changes:
        if getattr(change, "node", None) not in nodes:
            wanted = "wanted operations on nodes of it (vxlab.operations)"
            raise TopologyError(f"topology {topology}", "changes", f"{wanted}, found {change!r}")


def _vteps(topology: Wiring) -> Iterator[tuple[Host, Vtep]]:
    return ((host, vtep) for host in topology.hosts for vtep in host.vteps)


# --- the underlay ----------------------------------------------------------------------------


def _check_switches(topology: Wiring) -> None:
    names = (switch.name for switch in topology.switches)
    checks.unique(f"topology {topology}", "switches", names, "switch name")
    _check_nics(topology, {switch.name: switch for switch in topology.switches})
    for switch in topology.switches:
        ends = [str(end) for end, _ in topology.cards(switch)] if switch.cable else ["", ""]
        if len(ends) != 2:
            found = ", ".join(ends) or "none"
            raise TopologyError(
                str(switch), "cable", f"wanted two ends, found {found}: make it a switch"
            )


def _check_ports(topology: Wiring) -> None:
    """Refuse a bridge with more ports than the kernel gives it, on a switch or on a host."""
    ports = Counter((f"switch {nic.switch}", "ports") for m in topology.machines for nic in m.nics)
    ports += Counter((f"host {c.host}", f"bridge {c.bridge}") for c in topology.containers)
    for host in topology.hosts:
        ports.update((str(host), f"bridge {vtep.bridge}") for vtep in host.vteps if vtep.bridge)
    for (node, field), found in ports.items():
        if found > BRIDGE_PORTS:
            raise TopologyError(
                node,
                field,
                f"wanted at most {BRIDGE_PORTS} ports, as the kernel's bridges have, found "
                f"{found}: use several, joined by a router",
            )


def _check_nics(topology: Wiring, switches: Mapping[str, Switch]) -> None:
    """Refuse underlay interfaces that do not fit their switch, or one another."""
    taken: dict[tuple[str, str], str] = {}
    for element in topology.machines:
        devices = (nic.device for nic in element.nics)
        checks.unique(str(element), "nics", devices, "interface name")
        for nic in element.nics:
            switch = switches.get(nic.switch)
            if switch is None:
                known = ", ".join(switches) or "none at all"
                raise TopologyError(
                    str(element),
                    nic.device,
                    f"wanted a known switch, found {nic.switch!r}: {known}",
                )
            for address in nic.addresses:
                _check_on_network(element, nic, switch, address)
                ip = address.partition("/")[0]
                other = taken.setdefault((nic.switch, ip), str(element))
                if other != str(element):
                    raise TopologyError(
                        str(element), nic.device, f"wanted an address of its own, {ip} is {other}'s"
                    )
        rows = [(nic.device, parsed(each)) for nic in element.nics for each in nic.addresses]
        _check_overlaps(str(element), "nics", rows)


def _check_on_network(element: Host | Router, nic: Nic, switch: Switch, address: str) -> None:
    if not any(parsed(address).network == ipaddress.ip_network(one) for one in switch.networks):
        networks = " or ".join(switch.networks) or "no subnet at all"
        raise TopologyError(
            str(element),
            nic.device,
            f"wanted an address in {networks} as on {switch}, found {address}",
        )


def _check_overlaps(
    node: str, field: str, interfaces: Sequence[tuple[str, checks.Interface]]
) -> None:
    """Refuse networks that overlap on different interfaces of one routing table."""
    found = first_overlap(interfaces)
    if found:
        (device, address), (other, known) = (interfaces[place] for place in found)
        raise TopologyError(
            node,
            field,
            f"wanted networks apart, found {known} ({other}) over {address} ({device})",
        )


def _check_macs(topology: Wiring) -> None:
    owners: dict[tuple[str, str], str] = {}
    for element in topology.machines:
        for nic in element.nics:
            if nic.mac is None:
                continue
            other = owners.setdefault((nic.switch, nic.mac), str(element))
            if other != str(element):
                raise TopologyError(
                    str(element),
                    nic.device,
                    f"wanted a mac of its own on switch {nic.switch}, {nic.mac} is {other}'s",
                )


def _check_router(
    topology: Wiring, router: Router, specific: Mapping[str, tuple[int, str, str]]
) -> None:
    if not router.nics:
        raise TopologyError(str(router), "nics", "wanted at least one, found none")
    if router.daemon is None:
        return
    low, high = ROUTER_INTERFACES
    if not low <= len(router.nics) <= high:
        raise TopologyError(
            str(router),
            "nics",
            f"wanted {low} to {high} for {router.daemon} to route between, found "
            f"{len(router.nics)}: add an interface, or say daemon=None",
        )
    if router.daemon == "pimd":
        _check_pimd(topology, router, specific)
    names = sorted((len(nic.device) for nic in router.nics), reverse=True)
    longest = len("mroute from  group  to") + 39 + sum(names) + len(names)  # 39: an IPv6 group
    if router.daemon == "smcroute" and longest > SMCROUTE_LINE:
        raise TopologyError(
            str(router),
            "nics",
            f"wanted names that fit into a line of smcroute's {SMCROUTE_LINE} bytes together, "
            f"found {longest} bytes: use shorter names",
        )


def _check_pimd(
    topology: Wiring, router: Router, specific: Mapping[str, tuple[int, str, str]]
) -> None:
    if any(parsed(each).version == 6 for nic in router.nics for each in nic.addresses):
        raise TopologyError(
            str(router), "daemon", "pimd routes IPv4 only, found an IPv6 underlay: use smcroute"
        )
    switches = {nic.switch for nic in router.nics}
    # the hosts of a switch come last: if any is there, the last one is a host
    if not any(isinstance(m, Host) for name in switches for m, _ in topology.cards_on(name)[-1:]):
        raise TopologyError(
            str(router), "daemon", "pimd needs a host on one of its subnets to start, found none"
        )
    found = min((specific[name] for name in switches if name in specific), default=None)
    if found:
        _, group, vtep = found
        raise TopologyError(
            str(router),
            "daemon",
            f"pimd wanted a group outside {SOURCE_SPECIFIC} (source-specific), found "
            f"{group} of {vtep}: use another group, or smcroute",
        )


def _source_specific(topology: Wiring) -> dict[str, tuple[int, str, str]]:
    """Of each switch the first VTEP with a source-specific group: its place, group and name."""
    found: dict[str, tuple[int, str, str]] = {}
    for place, (host, vtep) in enumerate(_vteps(topology)):
        nic = topology.nic(host, vtep)
        group = str(topology.attributes(host, vtep).get("group", "::"))
        if nic and checks.parsed_ip(group) in SOURCE_SPECIFIC:
            found.setdefault(nic.switch, (place, group, f"{host} {vtep}"))
    return found


# --- the overlay -----------------------------------------------------------------------------


def _check_container(topology: Wiring, container: Container) -> None:
    names = topology.host_names
    if container.host not in names:
        known = ", ".join(names) or "none at all"
        raise TopologyError(
            str(container), "host", f"wanted a known host, found {container.host!r}: {known}"
        )
    if container.bridge is None:
        return
    host, behind = names[container.host], topology.bridges(container.host)
    bridges = [each.name for each in host.devices if each.kind.name == "bridge"]
    if container.bridge not in behind and container.bridge not in bridges:
        known = ", ".join(sorted({*behind, *bridges})) or "none at all"
        raise TopologyError(
            str(container),
            "bridge",
            f"wanted a bridge of {host}, found {container.bridge!r}: {known}",
        )
    mtu = topology.container_mtu(container)
    if mtu is None:
        return
    if mtu < _LEAST_MTU:
        raise TopologyError(
            str(container),
            "bridge",
            f"wanted an MTU of {_LEAST_MTU} at least, found {mtu} behind the encapsulation: give "
            "the switch a larger one",
        )
    check_mtu(str(container), mtu, container.addresses)


def _check_overlay_addresses(topology: Wiring) -> None:
    """Refuse a second owner of an address in one segment, and overlaps within one host."""
    owners: dict[tuple[str, str], str] = {}
    for segment, owner, address in _overlay_addresses(topology):
        key = (segment, str(parsed(address).ip))
        if key in owners and not topology.segment(segment).duplicates:
            raise TopologyError(
                owner,
                "addresses",
                f"wanted {address} once in segment {segment}, {owners[key]} has it",
            )
        owners[key] = owner
    for host in topology.hosts:
        tables: dict[str | None, list[tuple[str, checks.Interface]]] = {
            None: [(nic.device, parsed(each)) for nic in host.nics for each in nic.addresses]
        }
        for vtep in host.vteps:
            rows = tables.setdefault(vtep.vrf, [])
            rows += [(vtep.device, parsed(text)) for text in vtep.addresses]
        for rows in tables.values():
            _check_overlaps(str(host), "addresses", rows)


def _overlay_addresses(topology: Wiring) -> Iterator[tuple[str, str, str]]:
    """(segment, owner, address) of everything that has an address in a segment."""
    for host, vtep in _vteps(topology):
        for address in vtep.addresses:
            yield vtep.segment, f"{host} {vtep}", address
    bridges = {(host.name, vtep.bridge): vtep.segment for host, vtep in _vteps(topology)}
    filtering = {
        (host.name, each.name)
        for host in topology.hosts
        for each in host.devices
        if dict(each.settings()).get("vlan_filtering")
    }
    for container in topology.containers:
        place = container.host, container.bridge
        for address in container.addresses:
            if place in bridges and place not in filtering:
                yield bridges[place], str(container), address
