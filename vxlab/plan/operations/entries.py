"""Operations on what a vxlan device holds: forwarding entries, VNIs, multicast groups.

Their fields are those of the tables in :mod:`vxlab.describe.entries`.
"""

from __future__ import annotations

from dataclasses import dataclass

from vxlab.describe import entries
from vxlab.plan.operations.base import Command, Operation, bridge


@dataclass(frozen=True, slots=True)
class AddFdb(Operation):
    """A forwarding entry of a vxlan device or a bridge port.

    ``node`` and ``interface`` are names, ``mac`` is the MAC address.  ``dst`` is the IP address of
    the remote VTEP, or ``nhid`` the id of a next hop; ``port`` (UDP), ``vni`` and ``via`` (the name
    of an interface) override what the device would use; ``src_vni`` is the VNI an ``external``
    device receives with; ``vlan`` is a VLAN id.  ``append`` adds one more remote to a MAC address,
    ``replace`` overwrites the entry.  ``state`` is one of
    :data:`vxlab.describe.entries.FDB_STATES`, ``flags`` are names of
    :data:`vxlab.describe.entries.FLAGS`.
    """

    interface: str
    mac: str
    dst: str | None = None
    append: bool = False
    port: int | None = None
    vni: int | None = None
    src_vni: int | None = None
    via: str | None = None
    nhid: int | None = None
    vlan: int | None = None
    state: str = "permanent"
    flags: tuple[str, ...] = ("self",)
    replace: bool = False

    def commands(self) -> tuple[Command, ...]:
        """``bridge fdb add``, ``append`` or ``replace``."""
        verb = "append" if self.append else "replace" if self.replace else "add"
        line = ["fdb", verb, self.mac, "dev", self.interface, *entries.words(entries.FDB, self)]
        return (bridge(self.node, *line, *self.flags, self.state),)


@dataclass(frozen=True, slots=True)
class DelFdb(Operation):
    """Remove a forwarding entry, or one of its remotes.

    ``node`` and ``interface`` are names, ``mac`` is the MAC address; ``dst`` (IP address),
    ``port`` (UDP), ``vni``, ``src_vni``, ``via`` (interface), ``nhid`` (next hop), ``vlan`` and
    ``flags`` are as the entry was added.
    """

    interface: str
    mac: str
    dst: str | None = None
    port: int | None = None
    vni: int | None = None
    src_vni: int | None = None
    via: str | None = None
    nhid: int | None = None
    vlan: int | None = None
    flags: tuple[str, ...] = ("self",)

    def commands(self) -> tuple[Command, ...]:
        """``bridge fdb del``."""
        line = ["fdb", "del", self.mac, "dev", self.interface, *entries.words(entries.FDB, self)]
        return (bridge(self.node, *line, *self.flags),)


@dataclass(frozen=True, slots=True)
class FlushFdb(Operation):
    """Remove all forwarding entries of a device that match every filter given.

    ``node`` and ``interface`` are names.  The filters: ``dst`` (IP address), ``port`` (UDP),
    ``vni``, ``src_vni``, ``via`` (interface), ``nhid`` (next hop), ``vlan``; ``states`` and
    ``flags`` that an entry must have, ``no_states`` and ``no_flags`` that it must not have.
    """

    interface: str
    dst: str | None = None
    port: int | None = None
    vni: int | None = None
    src_vni: int | None = None
    via: str | None = None
    nhid: int | None = None
    vlan: int | None = None
    states: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    no_states: tuple[str, ...] = ()
    no_flags: tuple[str, ...] = ()

    def commands(self) -> tuple[Command, ...]:
        """``bridge fdb flush``."""
        line = ["fdb", "flush", "dev", self.interface, *entries.words(entries.FDB, self)]
        line += [*self.states, *self.flags]
        line += [f"no{word}" for word in (*self.no_states, *self.no_flags)]
        return (bridge(self.node, *line, "self"),)


@dataclass(frozen=True, slots=True)
class AddVni(Operation):
    """A VNI, or the range from ``vni`` to ``last``, that a device with vnifilter accepts.

    ``node`` and ``interface`` are names.  ``group`` (a multicast address) or ``remote`` (an IP
    address) is where it floods to, in place of the device's own.
    """

    interface: str
    vni: int
    last: int | None = None
    group: str | None = None
    remote: str | None = None

    def commands(self) -> tuple[Command, ...]:
        """``bridge vni add``."""
        return (_vni(self, "add"),)


@dataclass(frozen=True, slots=True)
class DelVni(Operation):
    """Remove a VNI, or the range from ``vni`` to ``last``, from a device with vnifilter.

    ``node`` and ``interface`` are names; ``group`` and ``remote`` are as the VNI was added.
    """

    interface: str
    vni: int
    last: int | None = None
    group: str | None = None
    remote: str | None = None

    def commands(self) -> tuple[Command, ...]:
        """``bridge vni delete``."""
        return (_vni(self, "delete"),)  # ``del`` is younger than ``bridge vni``


def _vni(entry: AddVni | DelVni, verb: str) -> Command:
    shown = f"{entry.vni}-{entry.last}" if entry.last else str(entry.vni)
    line = ["vni", verb, "dev", entry.interface, "vni", shown]
    line += ["group", entry.group] if entry.group else []
    line += ["remote", entry.remote] if entry.remote else []
    return bridge(entry.node, *line)


@dataclass(frozen=True, slots=True)
class AddMdb(Operation):
    """A remote VTEP that gets what a vxlan device sends to a multicast group of the overlay.

    ``node`` and ``interface`` are names; ``group`` is the group's address, ``0.0.0.0`` or ``::``
    for all others; ``dst`` is the IP address of the remote VTEP.  ``source``, an IP address, makes
    the entry (S,G); ``filter_mode`` is ``include`` or ``exclude`` with the addresses of
    ``source_list``.  ``port`` (UDP), ``vni`` and ``via`` (interface) override the device's;
    ``src_vni`` is the VNI an ``external`` device sends with; ``protocol`` says who added the entry
    (RTPROT_*, 4 is ``static``); ``state`` is ``permanent`` or ``temp``; ``replace`` overwrites the
    entry.  Entries of bridges have a ``port_name``, which is else the device itself, and a
    ``vlan``; their ``group`` may be a MAC address.
    """

    interface: str
    group: str
    dst: str | None = None
    source: str | None = None
    port: int | None = None
    vni: int | None = None
    src_vni: int | None = None
    via: str | None = None
    filter_mode: str | None = None
    source_list: tuple[str, ...] = ()
    state: str = "permanent"
    replace: bool = False
    protocol: int | None = None
    port_name: str | None = None
    vlan: int | None = None

    def commands(self) -> tuple[Command, ...]:
        """``bridge mdb add`` or ``replace``."""
        return (_mdb(self, "replace" if self.replace else "add", self.state),)


@dataclass(frozen=True, slots=True)
class DelMdb(Operation):
    """Remove a remote VTEP from a group.

    ``node`` and ``interface`` are names; ``group``, ``dst`` and ``source`` (IP addresses), ``port``
    (UDP), ``vni``, ``src_vni`` and ``via`` (interface) are as the entry was added.
    """

    interface: str
    group: str
    dst: str | None = None
    source: str | None = None
    port: int | None = None
    vni: int | None = None
    src_vni: int | None = None
    via: str | None = None

    def commands(self) -> tuple[Command, ...]:
        """``bridge mdb del``."""
        return (_mdb(self, "del", "permanent"),)


def _mdb(entry: AddMdb | DelMdb, verb: str, state: str) -> Command:
    port = getattr(entry, "port_name", None) or entry.interface
    line = ["mdb", verb, "dev", entry.interface, "port", port, "grp", entry.group, state]
    if isinstance(entry, AddMdb) and entry.vlan is not None:
        line += ["vid", str(entry.vlan)]
    line += entries.words(entries.MDB, entry)
    if isinstance(entry, AddMdb) and entry.source_list:
        line += ["source_list", ",".join(entry.source_list)]
    return bridge(entry.node, *line)


@dataclass(frozen=True, slots=True)
class FlushMdb(Operation):
    """Remove from all multicast groups of a device the remotes that match every filter given.

    ``node`` and ``interface`` are names.  The filters: ``dst`` (IP address), ``port`` (UDP),
    ``vni``, ``src_vni``, ``protocol`` (RTPROT_*); ``port_name``, a port of a bridge, or a vxlan
    device itself; ``vlan`` (of a bridge); ``state`` is ``permanent`` or ``nopermanent``.
    """

    interface: str
    dst: str | None = None
    port: int | None = None
    vni: int | None = None
    src_vni: int | None = None
    protocol: int | None = None
    port_name: str | None = None
    vlan: int | None = None
    state: str | None = None

    def commands(self) -> tuple[Command, ...]:
        """``bridge mdb flush``."""
        line = ["mdb", "flush", "dev", self.interface, *entries.words(entries.MDB, self)]
        line += ["port", self.port_name] if self.port_name else []
        line += ["vid", str(self.vlan)] if self.vlan is not None else []
        return (bridge(self.node, *line, *([self.state] if self.state else [])),)
