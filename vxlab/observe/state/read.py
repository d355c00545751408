"""Reading one node: a socket, the names of its interfaces, and one method for each kind of row."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable, Iterator
from typing import TypeVar

from vxlab.errors import VxlabError
from vxlab.netlink.dumps import dump, open_socket
from vxlab.netlink.messages import (
    BRIDGE_PORT,
    HEADER,
    IFADDR,
    IFINFO,
    NEIGHBOUR,
    NEXTHOP,
    NTF_PROXY,
    ROUTE,
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_GETMDB,
    RTM_GETNEIGH,
    RTM_GETNEXTHOP,
    RTM_GETROUTE,
    RTM_GETTUNNEL,
    TUNNEL,
    u32,
)
from vxlab.observe.state import decode, tunnels
from vxlab.observe.state.base import sort_key
from vxlab.observe.state.forwarding_rows import FdbEntry, MdbEntry, NextHop, VlanEntry, Vni
from vxlab.observe.state.linkinfo import link_row
from vxlab.observe.state.rows import TABLES, Address, Link, MulticastRoute, Neighbour, Route
from vxlab.observe.state.vlan_rows import bridge_message, vlan_rows
from vxlab.system.namespaces import Namespaces

_RTA_TABLE = 15  # linux/rtnetlink.h
_IFLA_EXT_MASK, _BRIDGE_VLANS = 29, 2  # linux/if_link.h, RTEXT_FILTER_BRVLAN of linux/rtnetlink.h
_TUNNEL_MSG_FLAG_STATS = 0x01  # linux/if_link.h

T = TypeVar("T")


def in_order(rows: Iterator[T] | list[T]) -> tuple[T, ...]:
    """Rows sorted: the kernel promises no order of its own."""
    return tuple(sorted(rows, key=sort_key))


def _neighbour_header(family: int, index: int = 0, flags: int = 0) -> bytes:
    return NEIGHBOUR.pack(family, index, 0, flags, 0)


class NodeReader:
    """The state of one node's network namespace, read once for each call; see :func:`reading`."""

    def __init__(self, namespaces: Namespaces, sock: socket.socket) -> None:
        self._namespaces = namespaces
        self._socket = sock
        self._names: dict[int, str] = {}

    def name_of(self, index: int) -> str:
        """The name of an interface; ``if7`` for one that is gone, as ip(8) spells it."""
        if index not in self._names:
            self._names |= dict(self._namespaces.visit(socket.if_nameindex))
        return self._names.get(index, f"if{index}")

    def index_of(self, interface: str) -> int:
        """The index of an interface; VxlabError, listing those there are, where there is none."""
        self.name_of(0)
        for index, name in self._names.items():
            if name == interface:
                return index
        have = ", ".join(sorted(self._names.values()))
        raise VxlabError(
            f"{self._namespaces.name}: wanted the interface {interface!r}, found only {have}"
        )

    def links(self) -> tuple[Link, ...]:
        """All links, by index."""
        answers = dump(self._socket, RTM_GETLINK, bytes(IFINFO.size))
        return in_order([link_row(answer, self.name_of) for answer in answers])

    def addresses(self) -> tuple[Address, ...]:
        """All IPv4 and IPv6 addresses."""
        return self._rows(RTM_GETADDR, bytes(IFADDR.size), decode.address_row)

    def neighbours(self) -> tuple[Neighbour, ...]:
        """ARP and ND entries, and those that the node answers for."""
        known, proxied = (
            self._rows(RTM_GETNEIGH, _neighbour_header(0, flags=flags), decode.neighbour_row)
            for flags in (0, NTF_PROXY)
        )
        return in_order([*known, *proxied])

    def fdb(self, interface: str | None) -> tuple[FdbEntry, ...]:
        """Forwarding entries of one interface, or of all."""
        index = self.index_of(interface) if interface else 0
        header = _neighbour_header(socket.AF_BRIDGE, index)
        rows = self._rows(RTM_GETNEIGH, header, decode.fdb_row)
        return tuple(row for row in rows if interface in (None, row.interface))

    def vlans(self) -> tuple[VlanEntry, ...]:
        """The VLANs of bridges that filter, and of their ports."""
        header = IFINFO.pack(socket.AF_BRIDGE, 0, 0, 0, 0) + u32(_IFLA_EXT_MASK, _BRIDGE_VLANS)
        found = [bridge_message(each) for each in dump(self._socket, RTM_GETLINK, header)]
        messages = [message for message in found if message is not None]
        if not messages:
            return ()
        filtering = {each.index for each in self.links() if each.attributes.get("vlan_filtering")}
        rows = (vlan_rows(m, self.name_of) for m in messages if m.bridge in filtering)
        return in_order([row for each in rows for row in each])

    def routes(self, table: int | None) -> tuple[Route, ...]:
        """IPv4 and IPv6 routes of one table, or of all."""
        found: list[Route] = []
        only = u32(_RTA_TABLE, table) if table else b""
        for family in decode.FAMILIES:
            for answer in self._route_dump(family, only):
                found += decode.route_rows(answer, self.name_of)
        return in_order([row for row in found if table in (None, row.table)])

    def multicast_routes(self) -> tuple[MulticastRoute, ...]:
        """The IPv4 and IPv6 multicast forwarding caches."""
        found = (
            decode.multicast_route_row(answer, self.name_of)
            for family in decode.MULTICAST_FAMILIES
            for answer in self._route_dump(family)
        )
        return in_order([row for row in found if row is not None])

    def vnis(self) -> tuple[Vni, ...]:
        """The VNIs of devices with vnifilter, with their statistics."""
        header = TUNNEL.pack(socket.AF_BRIDGE, _TUNNEL_MSG_FLAG_STATS, 0, 0)
        answers = self._newer_dump(RTM_GETTUNNEL, header)
        return in_order([row for each in answers for row in tunnels.vni_rows(each, self.name_of)])

    def mdb(self) -> tuple[MdbEntry, ...]:
        """The multicast groups of bridges and vxlan devices."""
        answers = self._newer_dump(RTM_GETMDB, BRIDGE_PORT.pack(socket.AF_BRIDGE, 0))
        return in_order([row for each in answers for row in tunnels.mdb_rows(each, self.name_of)])

    def nexthops(self) -> tuple[NextHop, ...]:
        """All next hops, and groups of them."""
        answers = self._newer_dump(RTM_GETNEXTHOP, bytes(NEXTHOP.size))
        return in_order([tunnels.nexthop_row(each, self.name_of) for each in answers])

    def _newer_dump(self, kind: int, header: bytes) -> list[bytes]:
        """A dump; empty on a kernel that does not have what is asked for."""
        try:
            return dump(self._socket, kind, header)
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                return []
            raise

    def _route_dump(self, family: int, filters: bytes = b"") -> list[bytes]:
        """Routes of a family; a kernel without that family answers with other ones, or none."""
        try:
            answers = dump(self._socket, RTM_GETROUTE, ROUTE.pack(family, *bytes(8)) + filters)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP):
                return []  # no such table, or no such family
            raise
        return [answer for answer in answers if answer[HEADER.size] == family]

    def _rows(
        self, kind: int, payload: bytes, row: Callable[[bytes, decode.Names], T | None]
    ) -> tuple[T, ...]:
        found = (row(answer, self.name_of) for answer in dump(self._socket, kind, payload))
        return in_order([each for each in found if each is not None])


@contextlib.contextmanager
def reading(namespaces: Namespaces, what: str) -> Iterator[NodeReader]:
    """A :class:`NodeReader` of a node, for the length of the block; errors as :func:`explained`."""
    with explained(namespaces, what), open_socket(namespaces) as sock:
        yield NodeReader(namespaces, sock)


@contextlib.contextmanager
def explained(namespaces: Namespaces, what: str) -> Iterator[None]:
    """Within the block, a closed node and refusals of the kernel become VxlabError."""
    if namespaces.closed:
        raise VxlabError(
            f"{namespaces.name}: wanted its {what}, found that the node is closed: "
            "read it while its lab is up"
        )
    try:
        yield
    except VxlabError:
        raise
    except OSError as error:
        raise VxlabError(
            f"{namespaces.name}: wanted its {what}, the kernel answered {error.strerror or error}"
            f" ({errno.errorcode.get(error.errno or 0, error.errno)})"
        ) from error


def table_number(table: int | str) -> int:
    """The number of a route table: itself, ``main``, ``local`` or ``default``."""
    for number, name in TABLES.items():
        if table == name:
            return number
    try:
        return int(table)
    except ValueError:
        names = ", ".join(TABLES.values())
        raise VxlabError(
            f"wanted a route table, found {table!r}: give its number, or one of {names}"
        ) from None
