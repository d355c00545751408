"""How the devices, routes and settings of a machine must fit together."""

from __future__ import annotations

from vxlab.describe.checks import parsed
from vxlab.describe.containers import Container
from vxlab.describe.devices import Device
from vxlab.describe.elements import Host, Nic, Router
from vxlab.describe.wiring import Wiring
from vxlab.errors import TopologyError

#: Kinds of device that others can be a port of.
MASTERS = ("bridge", "bond", "vrf", "team")


def check_devices(topology: Wiring, machine: Router | Host | Container) -> None:
    """TopologyError for devices of ``machine`` that cannot be, alone or together."""
    names = _names(topology, machine)
    ordered(machine, names)
    devices = {each.name: each for each in machine.devices}
    for device in machine.devices:
        _check_master(machine, device, devices, names)
    for nic in getattr(machine, "nics", ()):
        _check_master(machine, nic, devices, names)
    _check_addresses(machine)
    _check_routes(machine, names)


def _names(topology: Wiring, machine: Router | Host | Container) -> dict[str, str]:
    """All interfaces of a machine by name, with what they are; TopologyError for a second one."""
    if isinstance(machine, Container):
        own = {machine.device: "the card to its host"}
    else:
        own = {nic.device: "a card" for nic in machine.nics}
    for device in machine.devices:
        if device.made and device.name in own:
            node = f"{machine} {device}"
            raise TopologyError(node, "name", f"wanted a free name, found {own[device.name]}")
        own[device.name] = f"a {device.kind.name} device"
    return {"lo": "the loopback device", **_of_host(topology, machine), **own}


def _of_host(topology: Wiring, machine: Router | Host | Container) -> dict[str, str]:
    """The interfaces that a host has by its VTEPs and containers; none for another machine."""
    if not isinstance(machine, Host):
        return {}
    found = {vtep.device: "a vxlan device" for vtep in machine.vteps}
    for vtep in machine.vteps:
        found |= {name: "a bridge or VRF" for name in (vtep.bridge, vtep.vrf) if name}
    return found | {each.host_device: "a link" for each in topology.containers_of(machine.name)}


def ordered(
    machine: Router | Host | Container, known: dict[str, str] | None = None
) -> list[Device]:
    """The devices of ``machine`` in an order in which each finds what it needs.

    ``known`` are all its interfaces by name, for the check of what they need (None: no check).
    TopologyError where one needs what is not there, or two need one another.
    """
    devices = {each.name: each for each in machine.devices}
    done: dict[str, Device] = {}

    def visit(device: Device, above: tuple[str, ...]) -> None:
        if device.name in done:
            return
        if device.name in above:
            circle = " > ".join((*above[above.index(device.name) :], device.name))
            wanted = "wanted devices that do not stand upon themselves"
            raise TopologyError(f"{machine} {device}", "link", f"{wanted}, found {circle}")
        for need in device.needs():
            if known is not None and need not in known:
                have = ", ".join(sorted(known))
                raise TopologyError(
                    f"{machine} {device}",
                    "master" if need == device.master else "link",
                    f"wanted a device of {machine}, found {need!r}: {have}",
                )
            if need in devices:
                visit(devices[need], (*above, device.name))
        done[device.name] = device

    for device in machine.devices:
        visit(device, ())
    return list(done.values())


def _check_master(
    machine: Router | Host | Container,
    port: Device | Nic,
    devices: dict[str, Device],
    names: dict[str, str],
) -> None:
    """Refuse a port of what is no bridge, bond or VRF, and one of a bond that has addresses."""
    if port.master is None:
        return
    node = f"{machine} {port}"
    master = devices.get(port.master)
    kind = master.kind.name if master else names.get(port.master, "")
    if master is None and kind != "a bridge or VRF":
        have = ", ".join(each.name for each in devices.values() if each.kind.name in MASTERS)
        found = f"wanted a bridge, bond or VRF, found {port.master!r}: {have or 'none at all'}"
        raise TopologyError(node, "master", found)
    if master is not None and kind not in MASTERS:
        found = f"wanted a bridge, bond or VRF, found {master}"
        raise TopologyError(node, "master", found)
    if kind == "bond" and port.addresses:
        found = f"wanted none on a port of {master}, found {port.addresses[0]}"
        raise TopologyError(node, "addresses", found)
    if kind != "bridge" and kind != "a bridge or VRF" and (port.port or port.vlans):
        found = f"wanted a port of a bridge, found one of {master}"
        raise TopologyError(node, "port" if port.port else "vlans", found)


def _check_addresses(machine: Router | Host | Container) -> None:
    """Refuse the same address on two devices of one machine."""
    owners: dict[tuple[str | None, str], str] = {}
    cards = getattr(machine, "nics", ())
    rows = [(nic.device, nic.master, nic.addresses) for nic in cards]
    rows += [(each.name, each.master, each.addresses) for each in machine.devices]
    for name, master, addresses in rows:
        for address in addresses:
            key = master, str(parsed(address).ip)
            other = owners.setdefault(key, name)
            if other != name:
                found = f"wanted an address of its own, {key[1]} is {other}'s"
                raise TopologyError(f"{machine} {name}", "addresses", found)


def _check_routes(machine: Router | Host | Container, names: dict[str, str]) -> None:
    """Refuse routes by interfaces, and into VRFs, that the machine does not have."""
    vrfs = {each.name for each in machine.devices if each.kind.name == "vrf"}
    vrfs |= {vtep.vrf for vtep in getattr(machine, "vteps", ()) if vtep.vrf}
    for route in machine.routes:
        for name in (route.interface, *(hop.interface for hop in route.hops)):
            if name is not None and name not in names:
                found = f"wanted an interface, found {name!r}: {', '.join(sorted(names))}"
                raise TopologyError(f"{machine} {route}", "interface", found)
        if route.vrf is not None and route.vrf not in vrfs:
            known = ", ".join(sorted(vrfs)) or "none at all"
            found = f"wanted a VRF, found {route.vrf!r}: {known}"
            raise TopologyError(f"{machine} {route}", "vrf", found)
