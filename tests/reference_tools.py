"""Reference VTEPs in a small lab, with the kernel or another of its kind at the other end.

a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2                172.18.1.3 the reference
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from scapy.layers.l2 import Ether

from vxlab import catalog
from vxlab.describe.topology import Topology
from vxlab.live.lab import Lab
from vxlab.observe.state import Link
from vxlab.reference import Received, ReferenceVtep

FAMILIES = {"family": [4, 6]}
A, B = "172.18.1.2", "172.18.1.3"
MAC = "02:00:00:00:00:99"
FRAME = bytes(Ether(src=MAC, dst="ff:ff:ff:ff:ff:ff", type=0x88B6) / b"only a test")


def kernel_asks_once(lab: Lab) -> None:
    """Let a's kernel ask for a neighbour once a minute, as the reference does."""
    lab["a"].sysctl("net.ipv4.neigh.vxlan0.retrans_time_ms", 60_000)


def one_kernel_vtep(family: int = 4, hosts: int = 2, v6: bool = False, **fields: Any) -> Topology:
    """The picture above; ``fields`` are those of a's VTEP, ``v6`` adds overlay addresses."""
    full = catalog.point_to_point(family=family, hosts=hosts)
    far = tuple(host.nics[0].ip for host in full.hosts if host.name != "a")
    own = {"addresses": (f"{A}/24", "fd42::2/64")} if v6 else {}
    return full.with_host("b", vteps=()).with_vtep("a", "overlay", remotes=far, **own, **fields)


def without_vteps(family: int = 4, hosts: int = 2) -> Topology:
    """The same without any vxlan device."""
    full = catalog.point_to_point(family=family, hosts=hosts)
    bare = tuple(dataclasses.replace(host, vteps=()) for host in full.hosts)
    return dataclasses.replace(full, hosts=bare)


def ip_of(lab: Lab, host: str) -> str:
    """The underlay address of a host."""
    return lab.topology.host(host).nics[0].ip


def reference(lab: Lab, host: str = "b", **options: Any) -> ReferenceVtep:
    """A reference VTEP on a host, which floods to all other hosts."""
    others = [other.nics[0].ip for other in lab.topology.hosts if other.name != host]
    own = {"local": ip_of(lab, host), "remotes": others}
    if host != "b":
        own["address"] = f"{A}/24"
    return ReferenceVtep(lab[host], **{**own, **options})


def device(lab: Lab, host: str = "a") -> Link:
    """The vxlan device of a host, as the kernel shows it."""
    (link,) = [link for link in lab[host].state.links if link.name == "vxlan0"]
    return link


def mac_of(lab: Lab, host: str) -> str:
    """The MAC address of a host's vxlan device."""
    return device(lab, host).mac


def learned(lab: Lab, host: str) -> dict[str, str]:
    """The FDB entries of a host's vxlan device that nobody set: MAC and remote."""
    rows = [row for row in lab[host].state.fdb if row.interface == "vxlan0"]
    return {row.mac: row.dst for row in rows if row.state != "permanent"}


def carries(kind: type) -> Callable[[Received], bool]:
    """A predicate: the packet is fine and has a layer of that kind inside."""
    return lambda row: not row.problem and kind in row.packet()
