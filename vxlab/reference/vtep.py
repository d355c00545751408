"""The reference VTEP itself: its sockets, its thread, and what a test may do with it."""

from __future__ import annotations

import ipaddress
import itertools
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Self

from vxlab.describe import checks, vxlan
from vxlab.errors import VxlabError, WaitTimeout
from vxlab.live.node import Node
from vxlab.reference import header, udp
from vxlab.reference.journal import Journal, T
from vxlab.reference.received import Received
from vxlab.reference.sending import Sender, as_tuple
from vxlab.system.waiting import DEADLINE

if TYPE_CHECKING:
    from scapy.packet import Packet

    from vxlab.reference.host import OverlayHost

#: Seconds after which a question without an answer is asked again (as ARP and ping(8) do).
_ASK_AGAIN = 1.0


class ReferenceVtep(Sender):
    """A VTEP on a node that has an underlay address and no vxlan device; a context manager.

    ``node`` is a node of a lab (``lab["b"]``), ``vni`` 0 to 16777215.  ``local`` is the node's own
    underlay address and ``remotes`` those to flood to, one or several; the defaults are those of
    host b of ``catalog.point_to_point()``, which it replaces.  ``address`` is that of a host in the
    overlay, or several, v4 and v6, with prefix length; this host answers ARP, neighbour
    solicitations and echo requests, but with ``answer=False`` it only receives.  Its ``mac`` is
    made from ``local`` unless given.

    ``port`` is the UDP port, both of source and destination, where RFC 7348 section 5 only
    recommends a hash of the inner frame for the source.  ``gbp`` or ``gpe`` say which extension of
    the header to use.  With ``group`` it is a member of that multicast group on the interface
    ``dev``, and floods there too; a link-local ``local`` needs ``dev`` too.  ``ttl`` is that of all
    outer packets; None is 64, and 1 to groups.

    Packets are taken from any VTEP, as RFC 7348 has it.  Everything received is kept in
    :attr:`received`.  A thread does the receiving and answering; what goes wrong in it is raised
    by the next call, by :meth:`close` at the latest.  All errors are VxlabErrors.
    """

    def __init__(
        self,
        node: Node,
        vni: int = 42,
        *,
        local: str = "192.168.57.54",
        remotes: str | Iterable[str] = ("192.168.57.50",),
        port: int = vxlan.IANA_PORT,
        address: str | Iterable[str] = "172.18.1.3/24",
        mac: str | None = None,
        gbp: bool = False,
        gpe: bool = False,
        answer: bool = True,
        group: str | None = None,
        dev: str | None = None,
        ttl: int | None = None,
    ) -> None:
        super().__init__(
            node,
            vni,
            local=local,
            remotes=remotes,
            port=port,
            gbp=gbp,
            gpe=gpe,
            group=group,
            dev=dev,
            ttl=ttl,
        )
        where = self._where
        made = "02:fe:" + ipaddress.ip_address(local).packed[-4:].hex(":")
        self.mac = checks.mac(where, "mac", made if mac is None else mac)
        self.addresses = tuple(checks.interface(where, "address", one) for one in as_tuple(address))
        self.answer = checks.boolean(where, "answer", answer)
        self._journal = Journal(where)
        self._fdb: dict[str, str] = {}
        self._host: OverlayHost | None = None
        self._wake: socket.socket | None = None  # closing it ends the thread
        self._thread: threading.Thread | None = None
        self._dropped = 0
        self._numbers = itertools.count(1)

    def __repr__(self) -> str:
        return f"<ReferenceVtep {self.node.name} vni {self.vni} {self.local}:{self.port}>"

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- opening and closing -----------------------------------------------------------------

    def open(self) -> Self:
        """Receive from now on; VxlabError where the port is in use or the address not there."""
        from vxlab.reference.host import OverlayHost

        if self._host is not None:
            raise VxlabError(f"{self._where}: has run already: make a new one")
        self._open_sockets()
        self._host = OverlayHost(self.mac, self.addresses)
        self._wake, ending = socket.socketpair()
        self._journal.begin()
        name = f"vxlab-reference-{self.node.name}"
        self._thread = threading.Thread(target=self._run, args=(ending,), name=name, daemon=True)
        self._thread.start()
        return self

    def close(self) -> None:
        """End the thread and close the sockets, leaving all groups; safe to call twice.

        What was received stays.  VxlabError for what went wrong in the thread, if no call has
        raised it yet.
        """
        if self._thread is not None and self._wake is not None:
            self._wake.close()
            self._thread.join()
            self._thread = None
            self._dropped = sum(map(udp.dropped, self._sockets))
        self._close_sockets()
        self._journal.raise_error()

    def _check_open(self) -> None:
        """Raise what went wrong in the thread, or that it does not run."""
        self._journal.raise_error()
        if not self._journal.running:
            raise VxlabError(f"{self._where}: wanted to use it, found it not open")

    # --- its thread --------------------------------------------------------------------------

    def _run(self, ending: socket.socket) -> None:
        """Take datagrams until ``ending`` can be read; whatever goes wrong ends in the journal."""
        try:
            with ending, selectors.DefaultSelector() as selector:
                for sock in (ending, *self._sockets):
                    selector.register(sock, selectors.EVENT_READ)
                while ending not in (ready := [key.fileobj for key, _ in selector.select()]):
                    for sock, address in self._sockets.items():
                        if sock in ready and (datagram := udp.receive(sock)) is not None:
                            self._take(datagram, address)
        except BaseException as error:
            self._journal.end(error)
        else:
            self._journal.end()

    def _take(self, datagram: udp.Datagram, address: str) -> None:
        """Record a datagram, learn from it, and answer it."""
        why = header.problem(datagram.payload, self.vni, gbp=self.gbp, gpe=self.gpe)
        row = Received.of(datagram, address, why)
        learns = not (row.policy is not None and row.reserved1 & header.DONT_LEARN)
        if not why and learns and row.inner_src is not None:
            self._fdb[row.inner_src] = row.outer_src
        self._journal.add(row)
        if self.answer and not why and self._host is not None:
            answer = self._host.answer(row.packet())
            if answer is not None:
                self.send(answer, to=row.outer_src)

    # --- what it has seen --------------------------------------------------------------------

    @property
    def received(self) -> tuple[Received, ...]:
        """Everything received so far, the first packet first, refused ones with a ``problem``."""
        return self._journal.rows

    @property
    def dropped(self) -> int:
        """How many datagrams the kernel had no room for.

        Those with a wrong UDP checksum are in the node's ``state.counters``: Udp.InCsumErrors,
        Udp6InCsumErrors.
        """
        return sum(map(udp.dropped, self._sockets)) if self._sockets else self._dropped

    @property
    def fdb(self) -> dict[str, str]:
        """The VTEP behind which each MAC was last seen, learned from packets without a problem."""
        return dict(self._fdb)

    def wait_for(
        self, predicate: Callable[[Received], bool], what: str, *, timeout: float = DEADLINE
    ) -> Received:
        """The first packet since the start for which ``predicate`` is true, waiting for it.

        ``what`` names it in the error.  WaitTimeout after ``timeout`` seconds says what was
        awaited, and what came instead.
        """
        begun = time.monotonic()
        found = self._journal.first(lambda row: row if predicate(row) else None, 0, timeout)
        if found is not None:
            return found
        passed = time.monotonic() - begun
        rows = self.received
        last = "; ".join(map(str, rows[-5:]))
        instead = f"{len(rows)} other packets, the last of them {last}" if rows else "no packet"
        lost = f", and {self.dropped} dropped" if self.dropped else ""
        raise WaitTimeout(f"{self._where}: waited {passed:.3g} s for {what}; found {instead}{lost}")

    # --- what it sends -----------------------------------------------------------------------

    def ping(self, address: str, *, timeout: float = 5.0) -> bool:
        """Ask for the MAC of an overlay address, then send it an echo request; True if it replies.

        All within ``timeout`` seconds.  The MAC is asked for anew every time.  With ``gpe`` there
        is none: the echo request is a bare IP packet.
        """
        checks.host_address(self._where, "address", address)
        self._check_open()
        assert self._host
        host, number, deadline = self._host, next(self._numbers), time.monotonic() + timeout
        mac = None
        if not self.gpe:
            question = host.question(address)
            mac = self._ask(question, lambda packet: host.mac_in(packet, address), deadline)
            if mac is None:
                return False
        request = host.echo_request(address, mac, number)
        replied = self._ask(
            request, lambda packet: host.is_echo_reply(packet, address, number), deadline
        )
        return bool(replied)

    def _ask(self, question: Packet, read: Callable[[Packet], T], deadline: float) -> T | None:
        """Send a question, again each second, until ``read`` finds the answer in a packet."""
        start = len(self.received)
        while (left := deadline - time.monotonic()) > 0:
            self.send(question)
            found = self._journal.first(
                lambda row: None if row.problem else read(row.packet()),
                start,
                min(left, _ASK_AGAIN),
            )
            if found:
                return found
        return None

    def send(
        self,
        inner: Packet | bytes,
        *,
        vni: int | None = None,
        flags: int | None = None,
        reserved1: int | None = None,
        reserved2: int = 0,
        to: str | None = None,
    ) -> None:
        """Send an inner frame, encapsulated, to where its destination MAC was learned.

        ``inner`` is the frame, as bytes or as a packet of scapy's.  With an unknown or group MAC,
        or none, it is flooded: to all remotes, and the group.  ``to``, an underlay address, sends
        to that VTEP alone.  The header's fields ``vni``, ``flags``, ``reserved1`` and
        ``reserved2`` are those of :meth:`encapsulate`.
        """
        payload = self.encapsulate(
            inner, vni=vni, flags=flags, reserved1=reserved1, reserved2=reserved2
        )
        mac = payload[header.LENGTH :][:6].hex(":")
        self.send_bytes(payload, to=self._fdb.get(mac) if to is None else to)
