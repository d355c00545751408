"""What the scenarios on flooding and on neighbours have in common: frames made by hand."""

from __future__ import annotations

import dataclasses
import ipaddress
import socket
import struct

from vxlab import decapsulate, wait_until
from vxlab.observe.frames import MARK_PORT, MARK_PREFIX

ANY_MAC = "00:00:00:00:00:00"
BROADCAST = "ff:ff:ff:ff:ff:ff"
#: Where the hand-made frames come from, unless told otherwise: nobody's MAC.
SENDER = "02:00:00:00:00:aa"


def raw(mac):
    """A MAC address as six bytes."""
    return bytes.fromhex(mac.replace(":", ""))


def packed(address):
    """An IP address as bytes."""
    return ipaddress.ip_address(address).packed


def checksum(data):
    """The internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def marked(to, data, *, mac=SENDER, src="172.18.1.200", dst="172.18.1.201", ttl=64):
    """A frame with a marked datagram for the MAC ``to``, in IPv4 or IPv6 as ``dst`` is."""
    payload = MARK_PREFIX + data
    udp = struct.pack("!HHHH", MARK_PORT, MARK_PORT, 8 + len(payload), 0) + payload
    source, destination = packed(src), packed(dst)
    if len(destination) == 16:
        pseudo = source + destination + struct.pack("!II", len(udp), 17)
        udp = udp[:6] + struct.pack("!H", checksum(pseudo + udp) or 0xFFFF) + udp[8:]
        ip = struct.pack("!IHBB", 6 << 28, len(udp), 17, ttl) + source + destination
        return raw(to) + raw(mac) + b"\x86\xdd" + ip + udp
    head = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(udp), 0, 0, ttl, 17)
    check = struct.pack("!H", checksum(head + b"\0\0" + source + destination))
    return raw(to) + raw(mac) + b"\x08\x00" + head + check + source + destination + udp


def send(node, interface, *frames):
    """Send frames, just as they are, out of an interface of a node."""
    with node.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((interface, 0))
        for frame in frames:
            sock.send(frame)


def carries(data, ports):
    """A predicate: the frame is a tunnel's, and what it carries is marked ``data``."""

    def look(frame):
        tunnel = decapsulate(frame, ports)
        return tunnel is not None and tunnel.inner.mark == data

    return look


def copies(capture, data):
    """The outer destinations of all copies of a marked frame that a capture has, in order."""
    return [tunnel.outer_dst for tunnel in capture.encapsulated() if tunnel.inner.mark == data]


def is_tunnel(ports):
    """A predicate: the frame is a tunnel's."""
    return lambda frame: decapsulate(frame, ports) is not None


def address_of(lab, host, card=0):
    """The underlay address of a host."""
    return lab.topology.host(host).nics[card].ip


def group_of(lab):
    """The multicast group of the first segment."""
    return lab.topology.segments[0].group


def link_of(lab, host, name="vxlan0"):
    """An interface of a node, as the kernel sees it now."""
    (found,) = (link for link in lab[host].state.links if link.name == name)
    return found


def counters_of(lab, host, name="vxlan0"):
    """The counters of an interface now."""
    return link_of(lab, host, name).counters


def users_of(lab, host, group, interface="eth0"):
    """How often an interface of a host has joined a group."""
    found = [
        row.users
        for row in lab[host].state.memberships
        if (row.interface, row.group) == (interface, group)
    ]
    return sum(found)


def wait_for_users(lab, host, group, number, interface="eth0"):
    """Wait until an interface has joined a group so often."""
    wait_until(
        lambda: users_of(lab, host, group, interface) == number,
        f"{host} {interface} to have joined {group} {number} times",
        timeout=3,
        found=lambda: str(users_of(lab, host, group, interface)),
    )


def start_querier(lab, **settings):
    """Let the bridge of the switch `vbr` send queries, and keep its delays short.

    ``settings`` are more of `ip link set … type bridge`: mcast_igmp_version, mcast_mld_version.
    """
    short = {
        "mcast_query_response_interval": 20,  # hundredths of a second, as the next
        "mcast_last_member_interval": 20,
        "mcast_igmp_version": 3,  # in version 2 only the last to report says that it leaves
        "mcast_mld_version": 2,
        **settings,
    }
    words = [str(word) for pair in short.items() for word in pair]
    lab["vbr"].sysctl("net.ipv6.conf.switch.disable_ipv6", 0)  # MLD is asked by address
    lab["vbr"].run("ip", "link", "set", "switch", "type", "bridge", *words)
    wait_until(lambda: speaks_ipv6(lab["vbr"], "switch"), "an IPv6 address of the querier")
    lab["vbr"].run("ip", "link", "set", "switch", "type", "bridge", "mcast_querier", "1")


def speaks_ipv6(node, interface):
    """Whether an interface has an IPv6 address that it may send from."""
    rows = [row for row in node.state.addresses if row.interface == interface]
    return any(row.family == "inet6" and "tentative" not in row.flags for row in rows)


def snooping(topology):
    """The same topology with switches that snoop."""
    switches = tuple(dataclasses.replace(switch, snooping=True) for switch in topology.switches)
    return dataclasses.replace(topology, switches=switches)


def ports_of(lab, group):
    """The ports of the switch `vbr` behind which it knows members of a group."""
    (tables,) = lab["vbr"].bridge("mdb", "show", "dev", "switch") or ({},)
    return sorted(row["port"] for row in tables.get("mdb", ()) if row["grp"] == group)
