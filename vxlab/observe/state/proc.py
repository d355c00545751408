"""What only ``/proc/net`` tells: multicast memberships and the protocols' counters.

The files are read through ``/proc/thread-self``: ``/proc/net`` follows the first thread.
"""

from __future__ import annotations

import ipaddress
import sys

from vxlab.observe.state.rows import Membership
from vxlab.system.namespaces import Namespaces

NET = "/proc/thread-self/net/"


def _read(namespaces: Namespaces, name: str) -> list[str]:
    """The lines of a file; none where the kernel was built without what it shows."""
    try:
        return namespaces.read(NET + name).splitlines()
    except FileNotFoundError:
        return []


def read_memberships(namespaces: Namespaces) -> list[Membership]:
    """The groups that interfaces listen to, of both families, unsorted."""
    return [
        *_igmp(_read(namespaces, "igmp")),
        *_igmp6(_read(namespaces, "igmp6")),
    ]


def _igmp(lines: list[str]) -> list[Membership]:
    """A line for each device, and indented below it one for each group (net/ipv4/igmp.c).

    The group is an address in network order, printed as if it were a number of this machine.
    """
    found: list[Membership] = []
    interface = ""
    for line in lines[1:]:
        words = line.split()
        if not line[:1].isspace():
            interface = words[1].rstrip(":")
            continue
        group = int(words[0], 16).to_bytes(4, sys.byteorder)
        found.append(
            Membership(
                interface=interface,
                group=str(ipaddress.ip_address(group)),
                family="inet",
                users=int(words[1]),
            )
        )
    return found


def _igmp6(lines: list[str]) -> list[Membership]:
    """A line for each group: index, device, group, users, flags, timer (net/ipv6/mcast.c)."""
    found: list[Membership] = []
    for line in lines:
        _, interface, group, users, *_ = line.split()
        address = ipaddress.ip_address(bytes.fromhex(group))
        found.append(
            Membership(interface=interface, group=str(address), family="inet6", users=int(users))
        )
    return found


def read_counters(namespaces: Namespaces) -> dict[str, int]:
    """The counters of snmp and netstat (``Udp.NoPorts``, ``TcpExt.TCPTimeouts``), and of snmp6.

    Those of snmp6 have names of their own (``Udp6NoPorts``).
    """
    found: dict[str, int] = {}
    lines = [*_read(namespaces, "snmp"), *_read(namespaces, "netstat")]
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        protocol, *columns = names.split()
        pairs = zip(columns, values.split()[1:], strict=True)
        found |= {f"{protocol.rstrip(':')}.{name}": int(value) for name, value in pairs}
    for line in _read(namespaces, "snmp6"):
        name, value = line.split()
        found[name] = int(value)
    return found
