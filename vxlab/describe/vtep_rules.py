"""How the VTEPs of a host must fit together, with one another and with those of other hosts."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from vxlab.describe import checks, vxlan
from vxlab.describe.elements import Host, Vtep, parsed
from vxlab.describe.routing import Underlay
from vxlab.describe.wiring import UnderlayInterface, Wiring
from vxlab.errors import TopologyError


def check_host(topology: Wiring, host: Host) -> None:
    """TopologyError for VTEPs of ``host`` that the kernel would refuse, alone or together."""
    _check_names(topology, host)
    _check_masters(host)
    _check_segments(topology, host)
    for vtep in host.vteps:
        _check_vtep(topology, host, vtep)
    _check_sockets(topology, host)


def _check_names(topology: Wiring, host: Host) -> None:
    """Refuse a second interface of one name."""
    used: dict[str, str] = {nic.device: "an underlay interface" for nic in host.nics}
    declared = {each.name: each.kind.name for each in host.devices if each.made}
    used |= {name: f"a {kind} device" for name, kind in declared.items()}
    for vtep in host.vteps:
        if vtep.device in used:
            raise TopologyError(
                f"{host} {vtep}", "device", f"wanted a free name, found {used[vtep.device]}"
            )
        used[vtep.device] = "a vxlan device"
    for field, what in (("bridge", "a bridge"), ("vrf", "a VRF")):
        for name in dict.fromkeys(getattr(vtep, field) for vtep in host.vteps):
            if declared.get(name or "") == field:
                continue
            if name in used:
                raise TopologyError(str(host), field, f"wanted a free name, {name} is {used[name]}")
            if name is not None:
                used[name] = what
    for container in topology.containers:
        if container.host == host.name:
            if container.host_device in used:
                what = used[container.host_device]
                raise TopologyError(
                    str(container), "host_device", f"wanted a free name on {host}, found {what}"
                )
            used[container.host_device] = "a container's link"


def _check_masters(host: Host) -> None:
    """Refuse a bridge whose VTEPs are said to be in different VRFs."""
    masters: dict[str, str | None] = {}
    for vtep in host.vteps:
        if vtep.bridge and masters.setdefault(vtep.bridge, vtep.vrf) != vtep.vrf:
            found = f"{vtep.bridge} in {masters[vtep.bridge]} and in {vtep.vrf}"
            raise TopologyError(f"{host} {vtep}", "vrf", f"wanted one for a bridge, found {found}")


def _check_segments(topology: Wiring, host: Host) -> None:
    known = dict.fromkeys(segment.name for segment in topology.segments)
    first: dict[str, Vtep] = {}
    for vtep in host.vteps:
        if vtep.segment not in known:
            found = f"{vtep.segment!r}: {', '.join(known) or 'none at all'}"
            raise TopologyError(
                f"{host} {vtep}", "segment", f"wanted a known segment, found {found}"
            )
        other = first.setdefault(vtep.segment, vtep)
        if other is not vtep:
            raise TopologyError(
                f"{host} {vtep}",
                "segment",
                f"wanted one device a segment, {other} is in {vtep.segment} already",
            )


def _check_vtep(topology: Wiring, host: Host, vtep: Vtep) -> None:
    node, segment = f"{host} {vtep}", topology.segment(vtep.segment)
    nic = topology.nic(host, vtep)
    if nic is None:
        found = ", ".join(nic.device for nic in (*host.nics,)) or "none"
        raise TopologyError(
            node, "nic", f"wanted the interface {vtep.nic or '(any)'}, found {found}"
        )
    if segment.flood == "group" and not vtep.dev:
        raise TopologyError(node, "dev", "wanted True for a multicast group, found False")
    if vtep.remotes and segment.flood != "remote":
        raise TopologyError(node, "remotes", f"wanted none with flood {segment.flood!r}")
    _check_family(topology, host, vtep, nic)
    problem = vxlan.check(topology.attributes(host, vtep))
    if problem:
        raise TopologyError(node, *problem)
    _check_device(topology, host, vtep)


def _check_family(topology: Wiring, host: Host, vtep: Vtep, nic: UnderlayInterface) -> None:
    node, version = f"{host} {vtep}", nic.version
    attributes = topology.attributes(host, vtep)
    if attributes.get("dev", nic.device) != nic.device or _families(host, nic) != {version}:
        return  # it leaves by another device, a tunnel perhaps
    named = [("remotes", remote) for remote in topology.remotes(host, vtep)]
    named += [(name, str(attributes.get(name, ""))) for name in ("group", "remote", "local")]
    for field, address in named:
        if address and ipaddress.ip_address(address).version != version:
            raise TopologyError(
                node, field, f"wanted IPv{version} as {nic.device} has, found {address}"
            )
    if version == 6 and not any(address for _, address in named) and not attributes.get("external"):
        raise TopologyError(
            node, "local", "wanted True: with no address at all the device would be an IPv4 one"
        )


def _families(host: Host, nic: UnderlayInterface) -> set[int]:
    """The address families that ``host`` has on ``nic``."""
    held = [each.addresses for each in host.nics if each.device == nic.device]
    held += [each.addresses for each in host.devices if each.name == nic.device]
    return {parsed(address).version for addresses in held for address in addresses}


def _check_device(topology: Wiring, host: Host, vtep: Vtep) -> None:
    """Refuse a ``dev`` that is not there when the device is made, and IPv6 in too small an MTU."""
    node, attributes = f"{host} {vtep}", topology.attributes(host, vtep)
    there = ["lo", *(nic.device for nic in host.nics), *(each.name for each in host.devices)]
    if attributes.get("dev", "lo") not in there:
        there += [str(name) for each in host.vteps for name in (each.vrf, each.bridge) if name]
        there += [each.host_device for each in topology.containers if each.host == host.name]
        there += [each.device for each in host.vteps[: host.vteps.index(vtep)]]
    if attributes.get("dev", "lo") not in there:
        found = f"{attributes['dev']}: {', '.join(dict.fromkeys(there))}"
        raise TopologyError(node, "dev", f"wanted an interface that is there before, found {found}")
    if vtep.dev:
        check_mtu(node, topology.mtu(host, vtep), vtep.addresses)


def check_mtu(node: str, mtu: int, addresses: Iterable[str]) -> None:
    """TopologyError where ``mtu``, in bytes, is too small for an IPv6 one of ``addresses``.

    ``node`` names the element in the error; ``addresses`` have their prefix length.
    """
    for address in addresses:
        if mtu < checks.MTU_IPV6 and ipaddress.ip_interface(address).version == 6:
            raise TopologyError(
                node,
                "addresses",
                f"wanted an MTU of {checks.MTU_IPV6} for {address}, found {mtu} behind the "
                "encapsulation: give the switch a larger one",
            )


def _check_sockets(topology: Wiring, host: Host) -> None:
    """Refuse devices that the kernel could not tell apart, or that could not share a socket."""
    devices: dict[tuple[object, int, int], str] = {}
    sockets: dict[tuple[int, int], tuple[str, dict[str, bool]]] = {}
    for vtep in host.vteps:
        node, attributes = f"{host} {vtep}", topology.attributes(host, vtep)
        vni, port = attributes.get("id", 0), topology.port(host, vtep)
        family = vxlan.family(attributes)
        other = devices.setdefault((vni, port, family), str(vtep))
        if other != str(vtep):
            raise TopologyError(
                node, "id", f"wanted one device a VNI and port, {other} has {(vni, port)}"
            )
        flags = {name: bool(attributes.get(name)) for name in vxlan.RECEIVE_FLAGS}
        for version in (4, 6) if flags["external"] else (family,):
            other, known = sockets.setdefault((port, version), (str(vtep), flags))
            for name, value in flags.items():
                if value != known[name]:
                    raise TopologyError(
                        node,
                        name,
                        f"wanted {known[name]} as {other} has on the same port {port}, found "
                        f"{value}: use another port",
                    )


def check_ways(underlay: Underlay, host: Host, vtep: Vtep) -> None:
    """Refuse remotes that are the host itself, or that no packet of this VTEP can get to.

    ``underlay`` is that of the whole topology, ``vtep`` one of the VTEPs of ``host``.
    TopologyError.
    """
    topology = underlay.topology
    node, nic = f"{host} {vtep}", topology.nic(host, vtep)
    attributes = topology.attributes(host, vtep)
    if nic is None or attributes.get("dev", nic.device) != nic.device:
        return
    flooding = topology.segment(vtep.segment).flood == "remote"
    given = [*topology.remotes(host, vtep), *filter(None, [attributes.get("remote")])]
    own = {parsed(each).ip for near in host.nics for each in near.addresses}
    for remote in given:
        if ipaddress.ip_address(str(remote)) in own:
            raise TopologyError(
                node, "remotes", f"wanted another host's address, found its own {remote}"
            )
    peers = [] if vtep.remotes is not None else _peers(topology, host, vtep)
    for strict, addresses in ((False, given), (True, peers)):
        for address in map(str, addresses):
            problem = _no_way(underlay, host, nic, "dev" in attributes, address, strict)
            if problem:
                field = "remotes" if flooding else "segment"
                raise TopologyError(node, field, f"wanted a way to {address}, found {problem}")


def _peers(topology: Wiring, host: Host, vtep: Vtep) -> list[str]:
    """The underlay addresses of all other VTEPs of a segment."""
    others = topology.vteps(vtep.segment)
    found = (topology.address(other, far) for other, far in others if other.name != host.name)
    own = topology.address(host, vtep)
    return [address for address in dict.fromkeys(found) if address not in ("", own)]


def _no_way(
    underlay: Underlay,
    host: Host,
    nic: UnderlayInterface,
    bound: bool,
    address: str,
    strict: bool,
) -> str | None:
    """Why packets cannot get to ``address``; ``strict`` asks the routers whether they know it."""
    ip = ipaddress.ip_address(address)
    tables = underlay.tables_of(host)
    if ip.is_loopback or host.routes or underlay.topology.routing == "written":
        return None
    devices = [each for table in tables for each in table.interfaces]
    if bound:
        devices = [each for each in devices if each.device == nic.device]
    if any(ip in known.network for each in devices for known in each.addresses):
        return None
    beside = [hop for table in tables for hop in underlay.ways(table)]
    usable = [each for each in beside if not bound or each.device == nic.device]
    if not usable:
        if beside:
            first = beside[0].device
            return f"no router for {nic.device}: the default route leaves by {first}, the first"
        switch = host.nics[0].switch if host.nics else "none"
        return f"no router on switch {switch}: add one"
    if strict and not any(underlay.reaches(each.table, address) for each in usable):
        router = usable[0].table.machine
        return f"that {router}, the gateway, has no interface on its network"
    return None
