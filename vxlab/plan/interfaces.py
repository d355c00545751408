"""Operations on one interface, and on one machine's routes and rules."""

from __future__ import annotations

from collections.abc import Iterator

from vxlab.describe import checks
from vxlab.describe.containers import Container
from vxlab.describe.devices import PortVlan
from vxlab.describe.elements import Host, Router
from vxlab.describe.filters import NftRules
from vxlab.describe.routes import StaticRoute
from vxlab.describe.vxlan import Attributes
from vxlab.plan.operations import (
    AddAddress,
    AddRoute,
    AddRule,
    AddVlan,
    AddVlanTunnel,
    Operation,
    RunProgram,
    SetLink,
    SetPort,
    SetSysctl,
)
from vxlab.plan.operations.routes import MAIN_TABLE


def enable(
    node: str, device: str, addresses: tuple[str, ...], *, up: bool = True
) -> Iterator[Operation]:
    """Give ``device`` of ``node`` its ``addresses``, IPv6 only where one of them needs it.

    With ``up`` it is brought up as well.
    """
    if any(checks.parsed(address).version == 6 for address in addresses):
        key = f"net.ipv6.conf.{device.replace('.', '/')}.disable_ipv6"
        yield SetSysctl(node, key, "0")
    if up:
        yield SetLink(node, device, up=True)
    for address in addresses:
        yield AddAddress(node, device, address)


def port_settings(
    node: str, device: str, settings: Attributes, vlans: tuple[PortVlan, ...]
) -> Iterator[Operation]:
    """What a bridge keeps about its port ``device`` of ``node``: ``settings`` and ``vlans``."""
    if settings:
        yield SetPort(node, device, settings)
    yield from port_vlans(node, device, vlans)


def port_vlans(
    node: str, device: str, vlans: tuple[PortVlan, ...], *, itself: bool = False
) -> Iterator[Operation]:
    """The ``vlans`` of the port ``device`` of ``node``, or of a bridge ``itself``."""
    for vlan in vlans:
        yield AddVlan(
            node,
            device,
            vlan.id,
            last=vlan.last,
            pvid=vlan.pvid,
            untagged=vlan.untagged,
            itself=itself,
        )
    for vlan in vlans:
        if vlan.vni is not None:
            yield AddVlanTunnel(node, device, vlan.id, vni=vlan.vni, last=vlan.last)


def add_route(
    machine: Host | Router | Container, tables: dict[str, int], route: StaticRoute
) -> AddRoute:
    """A ``route`` of a ``machine``; ``tables`` are the numbers of its VRFs' tables."""
    table = route.table or (tables[route.vrf] if route.vrf else MAIN_TABLE)
    return AddRoute(
        machine.name,
        route.destination,
        via=route.via,
        interface=route.interface,
        table=table,
        metric=route.metric,
        source=route.source,
        mtu=route.mtu,
        onlink=route.onlink,
        type=route.type,
        hops=route.hops,
    )


def rules(machine: Host | Router | Container) -> Iterator[Operation]:
    """The packet filter rules of ``machine``."""
    for rule in machine.rules:
        if isinstance(rule, NftRules):
            yield RunProgram(machine.name, ("nft", "-f", "-"), rule.text)
        else:
            yield AddRule(machine.name, rule.words, rule.family)
