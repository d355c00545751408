"""Read and set MTUs, send pings of an exact size, and build underlays of other MTUs."""

from __future__ import annotations

import dataclasses
import errno
import re
import socket
import struct

from outer_tools import family_of, one_tunnel

from vxlab import vxlan

#: IPv4 and ICMP headers in front of a ping's data; those of IPv4 and UDP are as long.
PING_HEADERS = UDP_HEADERS = 28

#: Of linux/in.h, for which Python has no names.
IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_RECVERR = 10, 2, 11
#: struct sock_extended_err of linux/errqueue.h: errno, origin, type, code, padding, info, data.
EXTENDED_ERROR = struct.Struct("=IBBBBII")


def tunnel_over(family=4, mtu=1500, **fields):
    """Two hosts with a tunnel over an underlay of that MTU."""
    return with_mtu(one_tunnel(family, **fields), mtu)


def with_mtu(topology, mtu):
    """The same topology, all links of its underlay with that MTU."""
    switches = tuple(dataclasses.replace(switch, mtu=mtu) for switch in topology.switches)
    return dataclasses.replace(topology, switches=switches)


def mtu_of(lab, node, device="vxlan0"):
    """The MTU of a device."""
    (link,) = lab[node].ip("link", "show", device)
    return link["mtu"]


def inner_mtu(lab, mtu=1500):
    """The largest inner packet on an underlay of that MTU: 50 bytes less over IPv4, 70 over IPv6.

    These are the inner Ethernet header, and the VXLAN, UDP and outer IP headers.
    """
    return mtu - vxlan.OVERHEAD[family_of(lab)]


def sized_ping(lab, address, packet, *, df, node="a", timeout=3):
    """One ping whose IPv4 packet has ``packet`` bytes; the result's code is 0 if it is answered."""
    words = ["-n", "-c", "1", "-W", str(timeout), "-M", "do" if df else "dont"]
    return lab[node].run("ping", *words, "-s", str(packet - PING_HEADERS), address, check=False)


def refused_mtu(lab, address, packet, node="a"):
    """The MTU for which a kernel refuses its own host a packet with DF; None if it sends it.

    ``packet`` is the length in bytes of the IPv4 packet. The kernel puts the MTU into the socket's
    queue of errors (ip(7): IP_RECVERR); not every ping prints it.
    """
    with lab[node].socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        try:
            sock.sendto(bytes(packet - UDP_HEADERS), (address, 9))
        except OSError as error:
            assert error.errno == errno.EMSGSIZE, error  # noqa: PT017 - what others would mean
            _, ((_, _, data),), _, _ = sock.recvmsg(0, 512, socket.MSG_ERRQUEUE)
            return EXTENDED_ERROR.unpack_from(data)[5]
    return None


def reported_mtu(result):
    """The MTU that ping prints of an ICMP error or its own kernel's; None where it prints none."""
    found = re.search(r"mtu ?[=:] ?(\d+)", result.stdout + result.stderr)
    return int(found[1]) if found else None


def learned_mtu(lab, address, node="a"):
    """The path MTU that a node has cached for an address, or None."""
    (route,) = lab[node].ip("route", "get", address)
    return next((each["mtu"] for each in route.get("metrics", []) if "mtu" in each), None)


def link_counters(lab, node="a", device="vxlan0"):
    """The counters of a device."""
    return next(link for link in lab[node].state.links if link.name == device).counters
