"""How the VTEPs of a host must fit together, with one another and with those of other hosts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from vxlab.describe import checks, vxlan
from vxlab.describe.elements import Host, Vtep
from vxlab.describe.interfaces import UnderlayInterface
from vxlab.describe.networks import Address
from vxlab.describe.peers import Peers, first_outside
from vxlab.describe.routing import Underlay
from vxlab.describe.wiring import Wiring
from vxlab.errors import TopologyError


def check_host(topology: Wiring, host: Host) -> None:
    """TopologyError for VTEPs of ``host`` that the kernel would refuse, alone or together."""
    _check_names(topology, host)
    _check_masters(host)
    _check_segments(topology, host)
    there = dict.fromkeys(["lo", *(nic.device for nic in host.nics)])
    there |= dict.fromkeys(device.name for device in host.devices)
    there |= dict.fromkeys(str(n) for v in host.vteps for n in (v.vrf, v.bridge) if n)
    there |= dict.fromkeys(each.host_device for each in topology.containers_of(host.name))
    for vtep in host.vteps:
        _check_vtep(topology, host, vtep, there)
        there[vtep.device] = None
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
    for container in topology.containers_of(host.name):
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
    known = topology.segment_names
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


def _check_vtep(topology: Wiring, host: Host, vtep: Vtep, there: Mapping[str, None]) -> None:
    """Refuse what is wrong with one; ``there`` are the interfaces that its host has before."""
    node, segment = f"{host} {vtep}", topology.segment(vtep.segment)
    nic = topology.nic(host, vtep)
    if nic is None:
        found = ", ".join(nic.device for nic in host.nics) or "none"
        raise TopologyError(
            node, "nic", f"wanted the interface {vtep.nic or '(any)'}, found {found}"
        )
    if segment.flood == "group" and not vtep.dev:
        raise TopologyError(node, "dev", "wanted True for a multicast group, found False")
    if vtep.remotes and segment.flood != "remote":
        raise TopologyError(node, "remotes", f"wanted none with flood {segment.flood!r}")
    attributes = topology.attributes(host, vtep)
    _check_family(topology, host, vtep, nic, attributes)
    problem = vxlan.check(attributes)
    if problem:
        raise TopologyError(node, *problem)
    if attributes.get("dev", "lo") not in there:
        found = f"{attributes['dev']}: {', '.join(there)}"
        raise TopologyError(node, "dev", f"wanted an interface that is there before, found {found}")
    if vtep.dev:
        check_mtu(node, topology.mtu(host, vtep), vtep.addresses)


def _check_family(
    topology: Wiring,
    host: Host,
    vtep: Vtep,
    nic: UnderlayInterface,
    attributes: Mapping[str, vxlan.Value],
) -> None:
    node, version = f"{host} {vtep}", nic.version
    if attributes.get("dev", nic.device) != nic.device or nic.families != {version}:
        return  # it leaves by another device, a tunnel perhaps
    named = [("remotes", remote) for remote in vtep.remotes or ()]
    if vtep.remotes is None and topology.segment(vtep.segment).flood == "remote":
        other = topology.peers(vtep.segment).first_of_family(host, 10 - version)
        named += [("remotes", other)] if other else []
    named += [(name, str(attributes.get(name, ""))) for name in ("group", "remote", "local")]
    for field, address in named:
        if address and checks.parsed_ip(address).version != version:
            raise TopologyError(
                node, field, f"wanted IPv{version} as {nic.device} has, found {address}"
            )
    if version == 6 and not any(address for _, address in named) and not attributes.get("external"):
        raise TopologyError(
            node, "local", "wanted True: with no address at all the device would be an IPv4 one"
        )


def check_mtu(node: str, mtu: int, addresses: Iterable[str]) -> None:
    """TopologyError where ``mtu``, in bytes, is too small for an IPv6 one of ``addresses``.

    ``node`` names the element in the error; ``addresses`` have their prefix length.
    """
    for address in addresses:
        if mtu < checks.MTU_IPV6 and checks.parsed(address).version == 6:
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
    others = topology.peers(vtep.segment) if vtep.remotes is None else None
    named, remote = list(vtep.remotes or ()), attributes.get("remote")
    if remote and not (others and flooding and remote == others.first(host)):
        named.append(str(remote))
    own = topology.addresses(host)
    shared = {str(end.ip) for end in [topology.end(host, vtep)] if end}
    same = others.first_of_addresses(host, own - shared) if others and flooding else None
    same = same or next((each for each in named if str(checks.parsed_ip(each)) in own), None)
    if same:
        raise TopologyError(node, "remotes", f"wanted another host's address, found its own {same}")
    if host.routes or topology.routing == "written":
        return
    sender = _Outbound(underlay, host, nic, bound="dev" in attributes)
    for strict, address in _doubtful(sender, others, flooding, named):
        problem = sender.no_way(address, strict)
        if problem:
            field = "remotes" if flooding else "segment"
            raise TopologyError(node, field, f"wanted a way to {address}, found {problem}")


def _doubtful(
    sender: _Outbound, others: Peers | None, flooding: bool, named: Iterable[str]
) -> Iterator[tuple[bool, str]]:
    """Addresses to be looked at, and how strictly: of the other VTEPs only those that are lost."""
    strictly = sender.first_lost(others, strict=True) if others else None
    if strictly and others and flooding:
        loosely = sender.first_lost(others, strict=False)
        yield from [(False, loosely)] if loosely else []
    yield from ((False, each) for each in named)
    yield from [(True, strictly)] if strictly else []


class _Outbound:
    """A VTEP of ``host`` that sends by ``nic``, and only by that where it is ``bound``."""

    def __init__(
        self, underlay: Underlay, host: Host, nic: UnderlayInterface, *, bound: bool
    ) -> None:
        self.underlay, self.host, self.nic = underlay, host, nic
        device = nic.device if bound else None
        self.near = underlay.connected(host, device)
        self.beside, self.ways = underlay.ways_of(host), underlay.ways_of(host, device)

    def first_lost(self, others: Peers, *, strict: bool) -> str | None:
        """The first of ``others`` that :meth:`no_way` finds no way to, without asking of each."""
        families = frozenset(version for each in self.ways for version in each.table.families)

        def reached(address: Address) -> bool:
            if address.version not in families:
                return False
            return not strict or any(
                self.underlay.reaches(each.table, address) for each in self.ways
            )

        key = strict, families, frozenset(id(each.table) for each in self.ways)
        return first_outside(others.left_by(key, reached), self.near)

    def no_way(self, address: str, strict: bool) -> str | None:
        """Why packets cannot get to ``address``; ``strict`` asks the routers if they know it."""
        ip = checks.parsed_ip(address)
        if ip.is_loopback or ip in self.near:
            return None
        usable = [each for each in self.ways if ip.version in each.table.families]
        if self.beside and not self.ways:
            first = self.beside[0].device
            found = f"the default route leaves by {first}, the first"
            return f"no router for {self.nic.device}: {found}"
        if not usable:
            switch = self.host.nics[0].switch if self.host.nics else "none"
            return f"no router on switch {switch}: add one"
        if strict and not any(self.underlay.reaches(each.table, ip) for each in usable):
            router = usable[0].table.machine
            return f"that {router}, the gateway, has no interface on its network"
        return None
