"""MDB entries, and where a device sends a multicast group: tools of the scenarios of the MDB.

In their labs a floods to b, c and d.  Groups are of IPv4 or IPv6, and so is the underlay: the case
`6-in-4` has IPv6 groups in an IPv4 underlay.
"""

from __future__ import annotations

import dataclasses
import errno
import ipaddress
import os
import socket
import struct

import pytest
from device_tools import ANY_MAC, PORTS, at, bare, device, find_link, tunnels
from fdb_tools import remotes
from flood_tools import BROADCAST, datagram_frame, send_frames

from vxlab import wait_until
from vxlab.operations import AddFdb, AddMdb, DelMdb, FlushMdb

FAMILIES = ["4-in-4", "6-in-4", "4-in-6", "6-in-6"]
RTPROT_STATIC, RTPROT_BGP, RTPROT_ZEBRA = 4, 186, 11  # include/uapi/linux/rtnetlink.h
NO_ENTRIES = "a's MDB has no entries"
NONE_DELETED = "no MDB entry is deleted"


@dataclasses.dataclass(frozen=True)
class Overlay:
    """Multicast groups of one family, and the addresses of those who send to them.

    ``every`` is the group that stands for all without an entry of their own.
    """

    group: str
    other: str
    spare: str
    link_local: str
    every: str
    source: str
    other_source: str
    third_source: str


OVERLAYS = {
    "4": Overlay(
        group="239.1.1.1",
        other="239.1.1.2",
        spare="239.9.9.9",
        link_local="224.0.0.77",
        every="0.0.0.0",
        source="172.18.1.2",
        other_source="172.18.1.98",
        third_source="172.18.1.99",
    ),
    "6": Overlay(
        group="ff0e::1",
        other="ff0e::2",
        spare="ff0e::99",
        link_local="ff02::77",
        every="::",
        source="fd00:172:18:1::2",
        other_source="fd00:172:18:1::98",
        third_source="fd00:172:18:1::99",
    ),
}


def four_hosts(families="4-in-4"):
    """Four hosts without vxlan devices on an underlay of the family that `families` ends with."""
    return bare(hosts=4, family=int(families[-1]))


#: Every family of groups in every family of underlay.
in_all_families = pytest.mark.topology(four_hosts, families=FAMILIES)
in_ipv4 = pytest.mark.topology(four_hosts, families="4-in-4")


def overlay(chosen):
    """The groups of a case, by the fixture ``chosen``."""
    return OVERLAYS[chosen["families"][0]]


def make_device(lab, *entries, **attributes):
    """Make a's device, which floods to b, c and d, and its MDB entries."""
    if not attributes:
        attributes = {"id": 42, "remote": at(lab, "b")}
        lab.apply(*device("a", **attributes))
        more = (AddFdb("a", "vxlan0", ANY_MAC, at(lab, host), append=True) for host in "cd")
        lab.apply(*more)
    else:
        lab.apply(*device("a", **attributes))
    lab.apply(*entries)


def entry(lab, group, to="b", **fields):
    """The operation that adds an MDB entry with one remote, a host or an address."""
    return AddMdb("a", "vxlan0", group, at(lab, to) if to in ("b", "c", "d") else to, **fields)


def no_entry(lab, group, to="b", **fields):
    """The operation that deletes a remote of an MDB entry."""
    return DelMdb("a", "vxlan0", group, at(lab, to), **fields)


def rows(lab, name="vxlan0"):
    """The rows of the MDB of one of a's devices."""
    return [row for row in lab["a"].state.mdb if row.interface == name]


def sources(lab, group):
    """The sources that a group has (S,G) entries for, with `blocked` behind those that have it."""
    found = (row for row in rows(lab) if row.group == group and row.source)
    return sorted(row.source + " blocked" * row.blocked for row in found)


def mac_of_group(group):
    """The MAC address of a multicast group (RFC 1112 section 6.4, RFC 2464 section 7)."""
    address = ipaddress.ip_address(group)
    if address.version == 6:
        return (b"\x33\x33" + address.packed[-4:]).hex(":")
    low = int(address) & 0x7FFFFF
    return (b"\x01\x00\x5e" + low.to_bytes(3)).hex(":")


def group_frame(group, source, data=b"to a group", mac=None):
    """A frame with a marked datagram to a group, to the group's MAC unless another is given."""
    return datagram_frame(mac or mac_of_group(group), data, src=source, dst=group)


def sent_packets(lab, group, source, mac=None):
    """A datagram to a group as a sends it: (host or remote, VNI, UDP port) of each packet.

    A broadcast is sent after it; once each remote that a floods to got it, all has been seen.
    """
    last = datagram_frame(BROADCAST, b"to all")
    with lab.capture("a:eth0", ports=PORTS) as seen:
        send_frames(lab["a"], "vxlan0", group_frame(group, source, mac=mac), last)
        flooded = len(remotes(lab, ANY_MAC))
        wait_until(
            lambda: len(tunnels(seen["a:eth0"], b"to all")) >= flooded,
            "the broadcast that comes later",
        )
    assert seen["a:eth0"].was_live, seen["a:eth0"].proof
    names = {at(lab, host): host for host in "bcd"}
    found = tunnels(seen["a:eth0"], b"to a group")
    return sorted((names.get(one.outer_dst, one.outer_dst), one.vni, one.port) for one in found)


def assert_sent_to(lab, wanted, group, source, mac=None):
    """Assert that a sends a datagram from a source to a group to these hosts and no others."""
    found = [host for host, _, _ in sent_packets(lab, group, source, mac)]
    assert found == wanted, f"{group} is {sent_to(found)}, not {sent_to(wanted)}"


def sent_to(hosts):
    """These hosts in the words of `assert_sent_to`."""
    return f"sent to {', '.join(hosts) or 'nobody'}"


def attribute(kind, payload):
    """A netlink attribute."""
    head = struct.pack("=HH", 4 + len(payload), kind)
    return head + payload + bytes(-len(payload) % 4)


def get_remotes(lab, group, source=None):
    """The remotes of one MDB entry, as the kernel answers a request for that entry alone.

    OSError where it refuses.  RTM_GETMDB, MDBA_GET_ENTRY, MDBE_ATTR_SOURCE of
    include/uapi/linux/{rtnetlink,if_bridge}.h.
    """
    address = ipaddress.ip_address(group)
    kind = b"\x08\x00" if address.version == 4 else b"\x86\xdd"
    asked = attribute(1, struct.pack("=IBBH16s2sxx", 0, 0, 0, 0, address.packed, kind))
    if source:
        asked += attribute(0x8002, attribute(1, ipaddress.ip_address(source).packed))
    body = struct.pack("=BxxxI", socket.AF_BRIDGE, find_link(lab, "a").index) + asked
    with lab["a"].socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
        sock.send(struct.pack("=IHHII", 16 + len(body), 86, 1, 1, 0) + body)
        answer = sock.recv(1 << 16)
    if struct.unpack_from("=H", answer, 4) == (2,):  # NLMSG_ERROR
        number = -struct.unpack_from("=i", answer, 16)[0]
        raise OSError(number, os.strerror(number))
    (entry_,) = (one for _, mdb in _attributes(answer[24:]) for _, one in _attributes(mdb))
    found = (dict(_attributes(info[28:])) for _, info in _attributes(entry_))
    return sorted(str(ipaddress.ip_address(each[6])) for each in found)  # MDBA_MDB_EATTR_DST


def has_entry(lab, group, source=None):
    """Whether the kernel finds an MDB entry that it is asked for."""
    try:
        return bool(get_remotes(lab, group, source))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise


def _attributes(data):
    at_byte = 0
    while at_byte + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at_byte)
        yield kind, data[at_byte + 4 : at_byte + length]
        at_byte += max((length + 3) & ~3, 4)


def changed_entries(**fields):
    """A control: MDB entries have these fields."""

    def change(operation):
        return dataclasses.replace(operation, **fields) if _adds(operation) else operation

    return change


def _adds(operation):
    return isinstance(operation, AddMdb)


def no_entries(operation):
    """A control: the MDB stays empty."""
    return None if _adds(operation) else operation


def keep_entries(operation):
    """A control: no MDB entry is deleted."""
    return None if isinstance(operation, DelMdb | FlushMdb) else operation


#: A control: entries are for every source.
entries_for_all_sources = changed_entries(source=None, filter_mode=None, source_list=())


def no_replacement(operation):
    """A control: no MDB entry is replaced."""
    return None if _adds(operation) and operation.replace else operation


def a_valid_entry(operation):
    """A control: in place of every MDB entry, one that is accepted any number of times."""
    if not _adds(operation):
        return operation
    return AddMdb("a", "vxlan0", "239.9.9.9", "192.168.57.54", replace=True)


def flood_to_b_only(operation):
    """A control: no remotes are added to the flood entry."""
    return None if isinstance(operation, AddFdb) else operation
