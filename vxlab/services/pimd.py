"""pimd: a PIM-SM router (IPv4 only), which learns from IGMP where each group has members.

By itself pimd takes 10 to 36 s to its first packet: it works in ticks of 5 s, accepts a
rendezvous point only after 15 s, and gives hosts take 10 s to report their groups.  These steps
bring that to about 0.02 s:

1. a host on one of its subnets sends it a PIM Bootstrap message (RFC 5059): the router itself is
   the rendezvous point for all groups.  pimd accepts it as long as it knows of no other;
2. an IGMPv3 general query that leaves no time to answer (RFC 3376) goes out of each interface of
   the router, and the hosts report their groups at once;
3. the kernel drops the packets that came too early, which would otherwise block their
   flow for 10 s.
"""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import os
import re
import signal
import socket
import struct
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from vxlab.errors import WaitTimeout
from vxlab.services.base import Helper, MulticastRouter, RunningService, service_program
from vxlab.system.namespaces import Namespaces
from vxlab.system.waiting import wait_until

#: Paths that pimd has built in (its pathnames.h; the pid file follows its name).
PID_FILE = "/var/run/pimd.pid"
DUMP_FILE = "/var/run/pimd/pimd.dump"

#: Seconds between IGMP queries; pimd's own default (igmpv2.h).
QUERY_INTERVAL = 12

#: Tenths of a second that hosts have to answer the query of the start (RFC 3376 section 4.1.1).
#: The kernel takes none as "at once" (net/ipv4/igmp.c).
MAX_RESPONSE = 0

#: Seconds after which the bootstrap message and the queries are sent once more.
SEND_AGAIN = 0.25

#: Seconds to wait for one state dump, before looking whether pimd still runs.
DUMP_DEADLINE = 0.02

IPPROTO_PIM = 103
SIOCGIFADDR = 0x8915  # linux/sockios.h
MRT_FLUSH, MRT_FLUSH_MFC = 212, 1  # linux/mroute.h
ROUTER_ALERT = bytes((0x94, 4, 0, 0))  # RFC 2113

#: pimd takes these as source-specific (RFC 4607); a vxlan device joins for any source.
SOURCE_SPECIFIC = ipaddress.ip_network("232.0.0.0/8")

# Lines of a state dump (pimd's debug.c): an interface, and a route for all sources of a group.
# The subnet has no prefix length where that is the one of its address class, as in 192.168.1.
_VIF = re.compile(r"^ *(\d+)  (\S+) +(?!register_vif)\S+ +\d+ ", re.MULTILINE)
_ROUTE = re.compile(r"^INADDR_ANY +(\S+) .*\nJoined.*\nPruned.*\nLeaves +oifs: (\S+)", re.MULTILINE)
_END = "Number of Cache MIRRORs:"

#: The signals that a process catches (proc_pid_status(5)).
_CAUGHT = re.compile(r"^SigCgt:\s*([0-9a-f]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Pimd(MulticastRouter):
    """pimd on ``interfaces``, each of which has an IPv4 address, for ``groups``.

    ``members`` says, for each group, on which interfaces there are hosts that join it: pimd is
    ready when it knows all of them.  None: all groups have members on all interfaces.
    """

    members: Mapping[str, Collection[str]] | None = field(default=None, hash=False)

    program: ClassVar[str] = "pimd"

    def __post_init__(self) -> None:
        super().__post_init__()
        for address in map(ipaddress.ip_address, self.groups):
            if address.version != 4:
                wanted = "wanted IPv4 groups"
                raise self._wrong("groups", f"{wanted}, found {address}: use smcroute for IPv6")
            if address in SOURCE_SPECIFIC:
                wanted = f"wanted groups outside {SOURCE_SPECIFIC}, which need a known source"
                raise self._wrong("groups", f"{wanted}, found {address}: use another, or smcroute")
        for group, names in (self.members or {}).items():
            if group not in self.groups or not set(names) <= set(self.interfaces):
                wanted = "wanted groups and interfaces of this router"
                raise self._wrong("members", f"{wanted}, found {group} on {', '.join(names)}")

    def config(self) -> str:
        """The text of its configuration file (pimd(8))."""
        lines = [f"igmp-query-interval {QUERY_INTERVAL}"]
        lines += [f"phyint {name} enable" for name in self.interfaces]
        return "\n".join(lines) + "\n"

    def leaves(self) -> set[tuple[str, str]]:
        """The pairs of group and interface that pimd must know of before it is ready."""
        members = self.members
        return {
            (group, name)
            for group in self.routed
            for name in (self.interfaces if members is None else members.get(group, ()))
        }

    def start(
        self, namespaces: Namespaces, name: str, folder: Path, helpers: Sequence[Helper] = ()
    ) -> RunningPimd:
        """Launch pimd in the node of ``namespaces``, its files called ``name`` in ``folder``.

        At least one of ``helpers`` must be on the subnet of an interface of this pimd.
        MissingProgram, or DaemonError where it can be seen not to work.
        """
        program = service_program(self.program)
        self._check_interfaces(namespaces)
        self._check_alone(namespaces, "ipv4")
        addresses = ipv4_addresses(namespaces, self.interfaces)
        bare = [name for name in self.interfaces if name not in addresses]
        if bare:
            wanted = "wanted an IPv4 address on every interface"
            raise self._refused(namespaces, f"{wanted}, found none on {', '.join(bare)}: add one")
        near = [helper for helper in helpers if helper.router in addresses.values()]
        if not near:
            wanted = f"wanted a helper beside {' or '.join(addresses.values())}"
            found = ", ".join(helper.router for helper in helpers) or "none"
            raise self._refused(
                namespaces, f"{wanted}, found {found}: give a host on one of its subnets"
            )
        config = folder / f"{name}.conf"
        config.write_text(self.config())
        # -N: only the interfaces named; -f: in the foreground; -d: say on stderr what happens,
        # for which it wants the name of a subsystem: this one has the least to say by itself
        argv = [program, "-f", "-N", "-dpim_asserts", "-c", str(config)]
        return RunningPimd(self, namespaces, argv, folder / f"{name}.log", addresses, near)


class RunningPimd(RunningService):
    """A running pimd; ready when its own dump shows all members that it was described with.

    ``described`` is the description that it was started from; ``namespaces``, ``argv`` and ``log``
    are those of :class:`~vxlab.services.base.RunningService`.  ``addresses`` are the IPv4 addresses
    of its interfaces by name, ``helpers`` the hosts on their subnets.
    """

    awaited = "its pid file, and all members in its state dump"

    def __init__(
        self,
        described: Pimd,
        namespaces: Namespaces,
        argv: Sequence[str],
        log: Path,
        addresses: Mapping[str, str],
        helpers: Sequence[Helper],
    ) -> None:
        self.described = described
        self._addresses = addresses
        self._helpers = helpers
        self._rounds = 0
        self._next_round = 0.0
        self._asked = False
        self._has_pid = False
        self._catches = False
        self._members: set[tuple[str, str]] = set()
        self._trouble = ""
        super().__init__(described.program, namespaces, argv, log)

    @property
    def members(self) -> frozenset[tuple[str, str]]:
        """The pairs of group and interface with members, when pimd was last asked for them."""
        return frozenset(self._members)

    def _ready(self) -> bool:
        self._has_pid = self._has_pid or self._wrote_pid(PID_FILE)
        if not self._has_pid or not self._listens():
            return False
        if time.monotonic() >= self._next_round:
            self._send()
        expected = self.described.leaves()
        if expected:
            dump = self._dump()
            self._members = members_in(dump, self._addresses) if dump else self._members
            settled = expected <= self._members
        else:  # no members yet: then its log must say that it took the bootstrap message
            settled = "Received PIM Bootstrap" in self.output()
        if settled:
            _flush_multicast_cache(self.namespaces)
        return settled

    def _listens(self) -> bool:
        """Whether SIGUSR1 asks it for a dump; it has a pid file before that."""
        if not self._catches:
            try:
                status = Path(f"/proc/{self._process.pid}/status").read_text()
            except OSError:  # it has ended, which its caller finds out
                return False
            caught = int(_CAUGHT.findall(status)[0], 16)
            self._catches = bool(caught >> (signal.SIGUSR1 - 1) & 1)
        return self._catches

    def _found(self) -> str:
        if not self._has_pid:
            return f"no {PID_FILE} with its process number"
        if not self._catches:
            return "no handler for the signal that asks for a dump"
        missing = sorted(self.described.leaves() - self._members)
        if not missing:
            return "no sign of the bootstrap message" + self._trouble
        pairs = ", ".join(f"{group} on {name}" for group, name in missing)
        return f"no members of {pairs} (do hosts there join, and are the links up?){self._trouble}"

    def _send(self) -> None:
        """Send a bootstrap message, from one helper after the other, and the queries."""
        helper = self._helpers[self._rounds % len(self._helpers)]
        self._rounds += 1
        self._next_round = time.monotonic() + SEND_AGAIN
        self._trouble = ""
        try:
            _send_bootstrap(helper)
            _query_groups(self.namespaces, self._addresses.values())
        except OSError as error:  # a link that is not up yet, say: the next round may succeed
            self._trouble = f"; sending to it failed: {error}"

    def _dump(self) -> str:
        """The state that pimd dumps, or "" where that takes a while: ask once more then."""
        if not self._asked:
            self.namespaces.in_mounts(lambda: Path(DUMP_FILE).unlink(missing_ok=True))
        self._asked = True
        self._process.send_signal(signal.SIGUSR1)

        def whole() -> str:
            dump = self._read(DUMP_FILE)
            return dump if _END in dump else ""

        try:
            dump = wait_until(whole, "a dump", timeout=DUMP_DEADLINE, interval=0.0002)
        except WaitTimeout:
            return ""
        self._asked = False
        return dump


def members_in(dump: str, addresses: Mapping[str, str]) -> set[tuple[str, str]]:
    """The pairs of group and interface with members, from the text of a state dump.

    ``addresses`` maps the router's interfaces to the addresses that the dump names them by.
    """
    names = {address: name for name, address in addresses.items()}
    vifs = {int(vif): names[address] for vif, address in _VIF.findall(dump) if address in names}
    return {
        (group, vifs[vif])
        for group, marks in _ROUTE.findall(dump)
        for vif, mark in enumerate(marks)
        if mark == "l" and vif in vifs
    }


def bootstrap_message(bsr: str, rp: str) -> bytes:
    """A PIM Bootstrap message: ``bsr`` says that ``rp`` serves all groups, for ever.

    RFC 5059 section 4.1, with the encoded addresses of RFC 7761 section 4.9.1.
    """
    unicast = bytes((1, 0))  # an address of family 1, IPv4, in native encoding
    body = struct.pack("!HBB", 0, 30, 0)  # fragment tag, hash mask length, priority
    body += unicast + socket.inet_aton(bsr)
    body += bytes((1, 0, 0, 4)) + socket.inet_aton("224.0.0.0")  # the group prefix 224.0.0.0/4
    body += struct.pack("!BBH", 1, 1, 0)  # one RP, and it is in this message
    body += unicast + socket.inet_aton(rp)
    body += struct.pack("!HBB", 0xFFFF, 0, 0)  # holdtime, priority
    return _checked(0x24, 0, body)  # version 2, type 4


def general_query(max_response: int = MAX_RESPONSE) -> bytes:
    """An IGMPv3 general query (RFC 3376 section 4.1).

    To be answered within ``max_response`` tenths of a second, 0 to 127.
    """
    robustness = 2
    rest = struct.pack("!BBH", robustness, QUERY_INTERVAL, 0)  # no sources
    return _checked(0x11, max_response, socket.inet_aton("0.0.0.0") + rest)


def _checked(kind: int, code: int, body: bytes) -> bytes:
    """Two bytes, the Internet checksum of all (RFC 1071), and a body of even length."""
    data = bytes((kind, code, 0, 0)) + body
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return data[:2] + struct.pack("!H", ~total & 0xFFFF) + body


def _send_bootstrap(helper: Helper) -> None:
    """Send, from the helper, the message that makes its router the rendezvous point."""
    with helper.namespaces.socket(socket.AF_INET, socket.SOCK_RAW, IPPROTO_PIM) as sock:
        sock.bind((helper.address, 0))
        sock.sendto(bootstrap_message(helper.address, helper.router), (helper.router, 0))


def _query_groups(namespaces: Namespaces, addresses: Collection[str]) -> None:
    """Ask the hosts on the subnets of these addresses which groups they are in."""
    with namespaces.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, ROUTER_ALERT)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        for address in addresses:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
            sock.sendto(general_query(), ("224.0.0.1", 0))  # all systems


def _flush_multicast_cache(namespaces: Namespaces) -> None:
    """Drop the packets that wait in the kernel for a route, and the routes they block."""
    with namespaces.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP) as sock:
        try:
            sock.setsockopt(socket.IPPROTO_IP, MRT_FLUSH, MRT_FLUSH_MFC)
        except OSError as error:
            if error.errno != errno.ENOPROTOOPT:  # Linux before 5.1: such flows start 10 s late
                raise


def ipv4_addresses(namespaces: Namespaces, interfaces: Sequence[str]) -> dict[str, str]:
    """The first IPv4 address of each of these interfaces that has one."""
    found = {}
    with namespaces.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for name in interfaces:
            with suppress(OSError):
                reply = fcntl.ioctl(sock, SIOCGIFADDR, struct.pack("256s", os.fsencode(name)))
                found[name] = socket.inet_ntoa(reply[20:24])
    return found
