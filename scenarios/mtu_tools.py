"""MTUs: read and set, pings of an exact size, and underlays of other MTUs."""

from __future__ import annotations

import dataclasses
import re

from outer_tools import family_of, made

from vxlab import vxlan

#: IPv4 and ICMP headers in front of a ping's data.
PING_HEADERS = 28


def underlay(family=4, mtu=1500, **fields):
    """Point to point over an underlay of that MTU."""
    return with_mtu(made(family, **fields), mtu)


def with_mtu(topology, mtu):
    """The same topology, all its switches of that MTU."""
    switches = tuple(dataclasses.replace(switch, mtu=mtu) for switch in topology.switches)
    return dataclasses.replace(topology, switches=switches)


def mtu_of(lab, node, device="vxlan0"):
    """The MTU of a device."""
    (link,) = lab[node].ip("link", "show", device)
    return link["mtu"]


def room(lab, mtu=1500):
    """What an underlay of that MTU leaves for an inner packet: 50 bytes less, or 70."""
    return mtu - vxlan.OVERHEAD[family_of(lab)]


def ping(lab, address, packet, *, df, node="a", timeout=3):
    """One ping whose IPv4 packet has ``packet`` bytes; the result's code is 0 if it is answered."""
    words = ["-n", "-c", "1", "-W", str(timeout), "-M", "do" if df else "dont"]
    return lab[node].run("ping", *words, "-s", str(packet - PING_HEADERS), address, check=False)


def told_mtu(result):
    """The MTU that ping was told of by its own kernel ("message too long") or by ICMP, or None."""
    found = re.search(r"mtu ?= ?(\d+)", result.stdout + result.stderr)
    return int(found[1]) if found else None


def learned_mtu(lab, address, node="a"):
    """The path MTU that a node has learned for an address, or None."""
    (route,) = lab[node].ip("route", "get", address)
    return next((each["mtu"] for each in route.get("metrics", []) if "mtu" in each), None)


def counters(lab, node="a", device="vxlan0"):
    """The counters of a device."""
    return next(link for link in lab[node].state.links if link.name == device).counters
