"""Read and set MTUs, send pings of an exact size, and build underlays of other MTUs."""

from __future__ import annotations

import dataclasses
import re

from outer_tools import family_of, one_tunnel

from vxlab import vxlan

#: IPv4 and ICMP headers in front of a ping's data.
PING_HEADERS = 28


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


def reported_mtu(result):
    """The MTU that ping prints, from its own kernel ("message too long") or from ICMP; or None."""
    found = re.search(r"mtu ?[=:] ?(\d+)", result.stdout + result.stderr)
    return int(found[1]) if found else None


def learned_mtu(lab, address, node="a"):
    """The path MTU that a node has cached for an address, or None."""
    (route,) = lab[node].ip("route", "get", address)
    return next((each["mtu"] for each in route.get("metrics", []) if "mtu" in each), None)


def link_counters(lab, node="a", device="vxlan0"):
    """The counters of a device."""
    return next(link for link in lab[node].state.links if link.name == device).counters
