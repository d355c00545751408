"""Links: RTM_NEWLINK messages become :class:`~vxlab.observe.state.rows.Link` rows.

The attributes of a vxlan device bear the names of :data:`vxlab.describe.vxlan.ATTRIBUTES`, that is
those of ``ip link add``, and the values that a topology gives them.  An address or a device that is
not set is absent, and so is what this kernel does not have.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from vxlab.describe.devices import PORT, kind_of
from vxlab.describe.vxlan import Value
from vxlab.netlink import values
from vxlab.netlink.decoding import DecodedMessage, raw, slots
from vxlab.netlink.messages import IFF_LOWER_UP, IFF_RUNNING, IFF_UP, attributes
from vxlab.observe.state.rows import Counters, Link

#: Names of IFF_* bits, in the order ``ip link`` prints them (linux/if.h).
FLAGS = {
    0x8: "LOOPBACK",
    0x2: "BROADCAST",
    0x10: "POINTOPOINT",
    0x1000: "MULTICAST",
    0x80: "NOARP",
    0x200: "ALLMULTI",
    0x100: "PROMISC",
    0x400: "MASTER",
    0x800: "SLAVE",
    0x8000: "DYNAMIC",
    IFF_UP: "UP",
    IFF_LOWER_UP: "LOWER_UP",
    0x20000: "DORMANT",
    0x40000: "ECHO",
}

#: What bridges count or time by themselves, besides everything called ``*_timer``.
VOLATILE = {
    "config_pending",
    "fdb_n_learned",
    "mcast_eht_hosts_cnt",
    "mcast_n_groups",
    "mcast_querier_state",
    "topology_change_ack",
}

#: What the kernel calls settings of a port that have another name in bridge(8).
_KERNEL_NAMES = {
    "hairpin": "mode",
    "root_block": "protect",
    "fastleave": "fast_leave",
    "flood": "unicast_flood",
    "proxy_arp": "proxyarp",
    "proxy_arp_wifi": "proxyarp_wifi",
    "mcast_router": "multicast_router",
    "mcast_to_unicast": "mcast_to_ucast",
}


def link_row(data: bytes, name_of: Callable[[int], str]) -> Link:
    """Decode one RTM_NEWLINK message; ``name_of`` finds the name of an interface's index."""
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

    message = DecodedMessage(ifinfmsg, data)
    info = slots(message.get("IFLA_LINKINFO"))
    master = message.get("IFLA_MASTER")
    # An index of another namespace must not be looked up in this one.
    below = _foreign if message.has("IFLA_LINK_NETNSID") else name_of
    lower, flags = message.get("IFLA_LINK"), message["flags"]
    kind = info["IFLA_INFO_KIND"][1] if "IFLA_INFO_KIND" in info else ""
    return Link(
        index=message["index"],
        name=message.get("IFLA_IFNAME"),
        kind=kind,
        up=bool(flags & IFF_UP),
        running=bool(flags & IFF_RUNNING),
        state=message.get("IFLA_OPERSTATE", "UNKNOWN"),
        mtu=message.get("IFLA_MTU", 0),
        mac=_hardware_address(message),
        master=name_of(master) if master else None,
        link=below(lower) if lower else None,
        attributes=_kind_attributes(kind, info, below),
        counters=_counters(message),
        flags=_flags(flags),
        port=_port(info, name_of),
    )


def _port(info: dict[str, Any], name_of: Callable[[int], str]) -> dict[str, Value]:
    """What a bridge keeps about its port, by the names that bridge(8) sets it with."""
    found = _plain(info, "IFLA_INFO_SLAVE_DATA")
    if "IFLA_INFO_SLAVE_KIND" not in info or info["IFLA_INFO_SLAVE_KIND"][1] != "bridge":
        return found
    read = dict(attributes(raw(info["IFLA_INFO_SLAVE_DATA"])))
    for setting in PORT.values():
        found.pop(_KERNEL_NAMES.get(setting.name, ""), None)
        if setting.number in read:
            value = values.decode(setting.type, read[setting.number], name_of)
            found[setting.name] = int(value) if isinstance(value, bool) else value
    return found


def _counters(message: DecodedMessage) -> Counters:
    found = dict(message.get("IFLA_STATS64") or {})
    return Counters(**{name: found.get(name, 0) for name in Counters.__slots__})


def _foreign(index: int) -> str:
    return f"if{index}"


def _flags(bits: int) -> tuple[str, ...]:
    names = [name for bit, name in FLAGS.items() if bits & bit]
    if bits & IFF_UP and not bits & IFF_RUNNING:
        names.insert(0, "NO-CARRIER")
    return tuple(names)


def _hardware_address(message: DecodedMessage) -> str:
    """A MAC; an IP address for the tunnels that have one instead; empty for devices without.

    pyroute2 takes six bytes whatever there is, so this reads the bytes.
    """
    data = raw(message.slot("IFLA_ADDRESS"))
    if len(data) in (4, 16):
        return str(ipaddress.ip_address(data))
    return data.hex(":")


def _kind_attributes(
    kind: str, info: dict[str, Any], below: Callable[[int], str]
) -> dict[str, Value]:
    if "IFLA_INFO_DATA" not in info:
        return {}
    known = kind_of(kind).decode(raw(info["IFLA_INFO_DATA"]), below)
    return known if kind == "vxlan" else {**_plain(info, "IFLA_INFO_DATA"), **known}


def _plain(info: dict[str, Any], name: str) -> dict[str, Value]:
    """Attributes of any kind: IFLA_BR_HELLO_TIME becomes hello_time; only numbers and words."""
    if name not in info:
        return {}
    found: dict[str, Value] = {}
    for long_name, slot in slots(info[name][1]).items():
        short = "_".join(long_name.split("_")[2:]).lower()
        if not short or short.endswith("_timer") or short in VOLATILE:
            continue
        value = slot[1]
        if isinstance(value, int | str):
            found[short] = value
    return found
