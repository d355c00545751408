"""The sending half of a reference VTEP: its addresses, its sockets, and all it can send."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING

from vxlab.describe import checks, vxlan
from vxlab.errors import TopologyError, VxlabError
from vxlab.live.node import Node
from vxlab.reference import header, udp

if TYPE_CHECKING:
    from scapy.packet import Packet

    from vxlab.reference.outer import Checksum


class Sender:
    """The outer addresses of a VTEP, checked, and its sockets.

    ``node`` is a node of a lab, ``vni`` 0 to 16777215.  ``local`` is its underlay address,
    ``remotes`` are those to flood to, ``port`` is the UDP port; ``gbp`` or ``gpe`` is the extension
    of the header; ``group`` a multicast address to flood to, on the interface ``dev``; ``ttl`` that
    of all outer packets (None: the kernel's).  TopologyError for a value that cannot be.
    """

    def __init__(
        self,
        node: Node,
        vni: int,
        *,
        local: str,
        remotes: str | Iterable[str],
        port: int,
        gbp: bool,
        gpe: bool,
        group: str | None,
        dev: str | None,
        ttl: int | None,
    ) -> None:
        if not isinstance(node, Node):
            raise VxlabError(f"reference VTEP: wanted a node, as lab['b'] is, found {node!r}")
        self._where = where = f"reference VTEP on {node.name}"
        self.node = node
        self.gbp, self.gpe = checks.boolean(where, "gbp", gbp), checks.boolean(where, "gpe", gpe)
        self.vni = checks.number(where, "vni", vni, 0, vxlan.MAX_VNI)
        self.local = checks.host_address(where, "local", local)
        self.remotes = tuple(self._outer("remotes", remote) for remote in as_tuple(remotes))
        self.port = checks.number(where, "port", port, 1, 65535)
        self.ttl = None if ttl is None else checks.number(where, "ttl", ttl, 1, 255)
        self.dev = None if dev is None else checks.text(where, "dev", dev)
        self.group = None if group is None else self._checked_group(group)
        if gbp and gpe:
            raise TopologyError(where, "gpe", "wanted gbp or gpe, found both: they share bits")
        self._sockets: dict[socket.socket, str] = {}  # its own, the group's: bound to which address
        self._index = 0  # of the interface dev

    def _checked_group(self, group: str) -> str:
        found = self._outer("group", checks.group(self._where, "group", group))
        if self.dev is None:
            wanted = f"wanted the interface to join {group} on, found none: give dev="
            raise TopologyError(self._where, "dev", wanted)
        return found

    def _outer(self, field: str, address: str) -> str:
        """``address`` if it can be an outer one: of the family of ``local``."""
        try:
            good = ipaddress.ip_address(address).version == ipaddress.ip_address(self.local).version
        except ValueError:
            good = False
        if not good:
            wanted = f"wanted an address of the family of {self.local}"
            raise TopologyError(self._where, field, f"{wanted}, found {address!r}")
        return address

    def _open_sockets(self) -> None:
        """Open the VTEP's socket, and its group's; none is left where one cannot be."""
        self._index = udp.index_of(self.node, self.dev) if self.dev else 0
        try:
            for address in filter(None, (self.local, self.group)):
                sock = udp.open_udp(self.node, address, self.port, self._index)
                self._sockets[sock] = address
                udp.aim(sock, self._index, self.ttl)
                if address == self.group:
                    udp.join(sock, address, self._index)
        except BaseException:
            self._close_sockets()
            raise

    def _close_sockets(self) -> None:
        for sock in self._sockets:
            sock.close()
        self._sockets = {}

    def _check_open(self) -> None:
        """VxlabError unless it is in use."""
        raise NotImplementedError

    def encapsulate(
        self,
        inner: Packet | bytes,
        *,
        vni: int | None = None,
        flags: int | None = None,
        reserved1: int | None = None,
        reserved2: int = 0,
    ) -> bytes:
        """The UDP payload that carries an inner frame: a VXLAN header and the frame.

        ``inner`` is the frame, as bytes or as a packet of scapy's; it may be anything.
        ``flags`` (8 bits, 0x08), ``reserved1`` (24 bits, 0), ``vni`` (the VTEP's own) and
        ``reserved2`` (8 bits, 0) are what RFC 7348 says unless given: flags 0x88 and reserved1
        100 are GBP's policy 100.  With ``gpe`` flags are 0x0c, and reserved1 is the next protocol
        of ``inner``: 1 or 2 for scapy's IP and IPv6, else 3 (Ethernet).
        """
        from scapy.packet import Packet

        if not isinstance(inner, bytes | Packet):
            raise VxlabError(f"{self._where}: wanted a frame of bytes or scapy's, found {inner!r}")
        usual = header.FLAG_VNI | (header.FLAG_NEXT_PROTOCOL if self.gpe else 0)
        head = header.Header(
            flags=usual if flags is None else flags,
            reserved1=self._next_protocol(inner) if reserved1 is None else reserved1,
            vni=self.vni if vni is None else vni,
            reserved2=reserved2,
        )
        return bytes(head) + bytes(inner)

    def _next_protocol(self, inner: Packet | bytes) -> int:
        if not self.gpe:
            return 0
        names = {"IP": header.NEXT_IPV4, "IPv6": header.NEXT_IPV6}
        return names.get(type(inner).__name__, header.NEXT_ETHERNET)

    def send_bytes(self, payload: bytes, *, to: str | None = None) -> None:
        """Send a UDP ``payload`` as it is to ``to``, or to all remotes and the group."""
        self._check_open()
        sock = next(iter(self._sockets))  # its own
        for there in self._targets(to):
            try:
                sock.sendto(payload, udp.sockaddr(there, self.port, self._index))
            except OSError as error:
                wanted = f"wanted to send {len(payload)} bytes to {there}"
                raise VxlabError(f"{self._where}: {wanted}, found: {error.strerror}") from error

    def _targets(self, to: str | None) -> tuple[str, ...]:
        if to is not None:
            return (self._outer("to", to),)
        found = self.remotes if self.group is None else (*self.remotes, self.group)
        if not found:
            raise VxlabError(f"{self._where}: wanted a VTEP to send to, found none: give to=")
        return found

    def send_outer(
        self,
        payload: bytes,
        *,
        to: str | None = None,
        source: str | None = None,
        source_port: int | None = None,
        port: int | None = None,
        ttl: int = 64,
        tos: int = 0,
        df: bool = False,
        checksum: Checksum = "right",
        fragment: int | None = None,
    ) -> None:
        """Send a UDP payload in outer packets with fields of your choice.

        ``payload`` is of :meth:`encapsulate`, or any.  ``to`` is any destination address, or all
        remotes and the group; ``source`` any source address, also a spoofed one.  ``source_port``
        and ``port`` are the VTEP's own unless given.  ``ttl`` and ``tos`` (the whole byte, ECN in
        its last two bits) are those of the IP header, over IPv6 hop limit and traffic class; ``df``
        sets the DF bit, which IPv6 does not have.  ``checksum`` is that of UDP: ``right``, ``zero``
        or ``wrong``.  ``fragment`` splits the datagram into pieces of that many bytes of IP
        payload, a multiple of 8.  VxlabError where that cannot be sent.
        """
        from vxlab.reference import outer

        self._check_open()
        source = self._outer("source", self.local if source is None else source)
        for there in self._targets(to):
            packets = outer.build(
                payload,
                source=source,
                to=there,
                source_port=self.port if source_port is None else source_port,
                port=self.port if port is None else port,
                ttl=ttl,
                tos=tos,
                df=df,
                checksum=checksum,
                fragment=fragment,
            )
            outer.send(self.node, packets, there, self._index)


def as_tuple(value: str | Iterable[str]) -> tuple[str, ...]:
    """One text, or several, as a tuple; what is in it is not checked here."""
    several = isinstance(value, Iterable) and not isinstance(value, str)
    return tuple(value) if several else (value,)  # type: ignore[return-value]
