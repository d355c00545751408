"""Operations on what hangs on a vxlan device: forwarding entries, VNIs, multicast groups.

Their fields are those of the tables in :mod:`vxlab.describe.entries`.
"""

from __future__ import annotations

from dataclasses import dataclass

from vxlab.describe import entries
from vxlab.plan.operations.base import Command, Operation, bridge


@dataclass(frozen=True, slots=True)
class AddFdb(Operation):
    """A forwarding entry; ``append`` adds one more remote to a MAC, ``replace`` overwrites.

    ``dst`` is the remote VTEP (or ``nhid`` a next hop); ``port``, ``vni``, ``via`` override what
    the device would use; ``src_vni`` is the VNI an ``external`` device receives with.  ``state``
    is one of :data:`vxlab.describe.entries.FDB_STATES`, ``flags`` are names of :data:`vxlab.describe.entries.FLAGS`.
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
    """Take a forwarding entry away, or one of its remotes."""

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
    """Take all forwarding entries of a device away that match every filter given.

    ``states`` and ``flags`` are those an entry must have, ``no_states`` and ``no_flags`` those it
    must not have.
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
    """A VNI, or the range up to ``last``, that a device with vnifilter accepts.

    ``group`` or ``remote`` is where it floods to, in place of the device's own.
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
    """Take a VNI, or a range, from a device with vnifilter."""

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
    """A remote VTEP that listens to ``group`` (an address; ``0.0.0.0`` or ``::`` for all others).

    ``source`` makes it (S,G); ``filter_mode`` is ``include`` or ``exclude`` with ``source_list``;
    ``port``, ``vni``, ``via`` override the device's; ``src_vni`` is the VNI an ``external`` device
    sends with; ``state`` is ``permanent`` or ``temp``.
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

    def commands(self) -> tuple[Command, ...]:
        """``bridge mdb add`` or ``replace``."""
        return (_mdb(self, "replace" if self.replace else "add", self.state),)


@dataclass(frozen=True, slots=True)
class DelMdb(Operation):
    """Take a remote VTEP from a group."""

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
    line = ["mdb", verb, "dev", entry.interface, "port", entry.interface, "grp", entry.group]
    line += [state, *entries.words(entries.MDB, entry)]
    if isinstance(entry, AddMdb) and entry.source_list:
        line += ["source_list", ",".join(entry.source_list)]
    return bridge(entry.node, *line)
