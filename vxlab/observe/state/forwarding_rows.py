"""Rows of what bridges and vxlan devices forward by, spelled as bridge(8) and ip-nexthop(8) do.

They are as those of :mod:`vxlab.observe.state.rows`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vxlab.observe.state.base import Row, line, pair


@dataclass(frozen=True, slots=True, kw_only=True)
class FdbEntry(Row):
    """A forwarding entry of a bridge, a vxlan device, or a device's own address filter.

    ``interface`` is a name, ``mac`` the MAC address, ``dst`` the IP address of the remote VTEP.
    ``vni`` and ``port`` (UDP) are None where the device's own apply.  ``via`` is the device that
    packets leave through, ``nhid`` the id of a next hop, ``vlan`` a VLAN id, ``src_vni`` the VNI
    of an external device.  ``flags``: ``self``, ``master``, ``router``, ``extern_learn``,
    ``offload``, ``sticky``, ``locked``.  ``state``: ``permanent``, ``static``, ``stale``,
    ``reachable`` (learned; ``bridge fdb`` prints nothing for it), or empty.  ``master`` is the
    bridge that holds it; such an entry has the flag ``master`` too.
    """

    interface: str
    mac: str
    dst: str | None
    vni: int | None
    port: int | None
    via: str | None
    nhid: int | None
    flags: tuple[str, ...]
    state: str
    vlan: int | None
    master: str | None = None
    src_vni: int | None = None

    def __str__(self) -> str:
        return line(
            f"{self.mac} dev {self.interface}",
            pair("dst", self.dst),
            pair("vlan", self.vlan),
            pair("port", self.port),
            pair("vni", self.vni),
            pair("src_vni", self.src_vni),
            pair("via", self.via),
            pair("nhid", self.nhid),
            " ".join(flag for flag in self.flags if flag != "master" or not self.master),
            pair("master", self.master),
            self.state,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VlanEntry(Row):
    """A VLAN of a port, or of a bridge itself, where the bridge filters (``bridge vlan``).

    ``interface`` is a name, ``vlan`` the VLAN's id.  ``pvid``: frames without a tag belong to it;
    ``untagged``: its frames leave without a tag.  ``vni`` is the VNI that it stands for behind an
    external vxlan device (``bridge vlan tunnelshow``), or None.
    """

    interface: str
    vlan: int
    pvid: bool = False
    untagged: bool = False
    vni: int | None = None

    def __str__(self) -> str:
        return line(
            f"{self.vlan} dev {self.interface}",
            "pvid" if self.pvid else "",
            "untagged" if self.untagged else "",
            pair("vni", self.vni),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Vni(Row):
    """A VNI, or the range from ``vni`` to ``last``, of a device with vnifilter (``bridge vni``).

    ``interface`` is a name; ``group`` (a multicast address) or ``remote`` (an IP address) is where
    it floods to.  ``counters`` are its statistics by name (``rx_packets`` …), where the kernel
    keeps them.
    """

    interface: str
    vni: int
    last: int | None = None
    group: str | None = None
    remote: str | None = None
    counters: Mapping[str, int] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        shown = f"{self.vni}-{self.last}" if self.last else str(self.vni)
        return line(
            f"{shown} dev {self.interface}",
            pair("group", self.group),
            pair("remote", self.remote),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MdbEntry(Row):
    """A bridge port, or a remote of a vxlan device, that gets a multicast group (``bridge mdb``).

    ``interface`` and ``port_name`` are names; ``group`` is an address or, at layer 2, a MAC
    address, ``source`` the address of an (S,G) entry.  ``dst`` (IP address), ``port`` (UDP),
    ``vni`` and ``via`` (interface) are None where the device's own apply; ``src_vni`` is the VNI
    of an external device.  ``filter_mode`` is ``include`` or ``exclude`` with the addresses of
    ``source_list``; ``protocol`` says who added the entry (RTPROT_*, 4 is ``static``), ``state`` is
    ``permanent`` or ``temp``, ``vlan`` a VLAN id.  A ``blocked`` entry keeps the group away.
    """

    interface: str
    port_name: str
    group: str
    source: str | None = None
    dst: str | None = None
    port: int | None = None
    vni: int | None = None
    src_vni: int | None = None
    via: str | None = None
    filter_mode: str | None = None
    source_list: tuple[str, ...] = ()
    state: str = "permanent"
    vlan: int | None = None
    protocol: int | None = None
    blocked: bool = False

    def __str__(self) -> str:
        return line(
            f"dev {self.interface} port {self.port_name} grp {self.group}",
            pair("src", self.source),
            self.state,
            pair("filter_mode", self.filter_mode),
            pair("source_list", ",".join(self.source_list)),
            "blocked" if self.blocked else "",
            pair("proto", self.protocol),
            pair("vid", self.vlan),
            pair("dst", self.dst),
            pair("dst_port", self.port),
            pair("vni", self.vni),
            pair("src_vni", self.src_vni),
            pair("via", self.via),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NextHop(Row):
    """A next hop, or a group of them (``ip nexthop``).

    ``id`` is its number; ``via`` the IP address of a gateway or VTEP, ``interface`` the name of the
    one it leaves by; ``group`` are pairs of id and weight; ``fdb`` is True for one that forwarding
    entries use.
    """

    id: int
    via: str | None = None
    interface: str | None = None
    group: tuple[tuple[int, int], ...] = ()
    fdb: bool = False

    def __str__(self) -> str:
        shown = (f"{one},{weight}" if weight > 1 else str(one) for one, weight in self.group)
        return line(
            f"id {self.id}",
            pair("group", "/".join(shown)),
            pair("via", self.via),
            pair("dev", self.interface),
            "fdb" if self.fdb else "",
        )
