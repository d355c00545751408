"""Frames made by hand, and what became of them: tools of chapters 5 and 6."""

from __future__ import annotations

import dataclasses
import ipaddress
import socket
import struct

from vxlab import decapsulate, frames, wait_until

ANY_MAC = "00:00:00:00:00:00"  # of the default FDB entry, by which a vxlan device floods
BROADCAST = "ff:ff:ff:ff:ff:ff"
#: The source MAC of frames made by hand, unless another is given: no device of a lab has it.
SENDER = "02:00:00:00:00:aa"


def mac_bytes(mac):
    """A MAC address as six bytes."""
    return bytes.fromhex(mac.replace(":", ""))


def ip_bytes(address):
    """An IPv4 or IPv6 address as bytes."""
    return ipaddress.ip_address(address).packed


def internet_checksum(data):
    """The internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def datagram_frame(to, data, *, mac=SENDER, src="172.18.1.200", dst="172.18.1.201", ttl=64):
    """A frame to the MAC ``to`` with a UDP datagram whose payload vxlab finds again as ``data``.

    It is an IPv4 packet, or an IPv6 packet, as ``dst`` is.
    """
    payload = frames.MARK_PREFIX + data
    udp = struct.pack("!HHHH", frames.MARK_PORT, frames.MARK_PORT, 8 + len(payload), 0) + payload
    source, destination = ip_bytes(src), ip_bytes(dst)
    if len(destination) == 16:
        pseudo = source + destination + struct.pack("!II", len(udp), 17)
        udp = udp[:6] + struct.pack("!H", internet_checksum(pseudo + udp) or 0xFFFF) + udp[8:]
        ip = struct.pack("!IHBB", 6 << 28, len(udp), 17, ttl) + source + destination
        return mac_bytes(to) + mac_bytes(mac) + b"\x86\xdd" + ip + udp
    head = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(udp), 0, 0, ttl, 17)
    check = struct.pack("!H", internet_checksum(head + b"\0\0" + source + destination))
    ip = head + check + source + destination
    return mac_bytes(to) + mac_bytes(mac) + b"\x08\x00" + ip + udp


def send_frames(node, interface, *data):
    """Send frames, byte by byte as they are, out of an interface of a node."""
    with node.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((interface, 0))
        for frame in data:
            sock.send(frame)


def carries(data, ports):
    """A predicate: the frame is a VXLAN packet, and its inner frame is marked ``data``."""

    def look(frame):
        packet = decapsulate(frame, ports)
        return packet is not None and packet.inner.mark == data

    return look


def is_vxlan(ports):
    """A predicate: the frame is a VXLAN packet."""
    return lambda frame: decapsulate(frame, ports) is not None


def copies_sent_to(capture, data):
    """The outer destinations of all captured copies of the frame marked ``data``, in order."""
    return [packet.outer_dst for packet in capture.encapsulated() if packet.inner.mark == data]


def underlay_address(lab, host):
    """The underlay address of a host."""
    return lab.topology.host(host).nics[0].ip


def group_of(lab):
    """The multicast group of the first segment."""
    return lab.topology.segments[0].group


def link_of(lab, host, name="vxlan0"):
    """An interface of a node, as the kernel shows it now."""
    (found,) = (link for link in lab[host].state.links if link.name == name)
    return found


def counters_of(lab, host, name="vxlan0"):
    """The counters of an interface now."""
    return link_of(lab, host, name).counters


def membership_count(lab, host, group, interface="eth0"):
    """How many sockets of a host are members of a group on an interface."""
    found = [
        row.users
        for row in lab[host].state.memberships
        if (row.interface, row.group) == (interface, group)
    ]
    return sum(found)


def start_querier(lab, **settings):
    """Make the bridge of the switch `vbr` an IGMP and MLD querier, with short delays.

    ``settings`` are more of `ip link set … type bridge`: mcast_igmp_version, mcast_mld_version.
    """
    short = {
        "mcast_query_response_interval": 20,  # hundredths of a second, as the next
        "mcast_last_member_interval": 20,
        "mcast_igmp_version": 3,  # in version 2 only the last host to report sends a leave
        "mcast_mld_version": 2,
        **settings,
    }
    words = [str(word) for pair in short.items() for word in pair]
    lab["vbr"].sysctl("net.ipv6.conf.switch.disable_ipv6", 0)  # MLD queries need a source address
    lab["vbr"].run("ip", "link", "set", "switch", "type", "bridge", *words)
    wait_until(lambda: has_ipv6_address(lab["vbr"], "switch"), "an IPv6 address of the querier")
    lab["vbr"].run("ip", "link", "set", "switch", "type", "bridge", "mcast_querier", "1")


def has_ipv6_address(node, interface):
    """Whether an interface has an IPv6 address that it may send from."""
    rows = [row for row in node.state.addresses if row.interface == interface]
    return any(row.family == "inet6" and "tentative" not in row.flags for row in rows)


def with_snooping(topology, snooping=True):
    """The same topology with switches that snoop, or do not."""
    switches = tuple(dataclasses.replace(switch, snooping=snooping) for switch in topology.switches)
    return dataclasses.replace(topology, switches=switches)


def member_ports(lab, group):
    """The ports behind which the switch `vbr` has found members of a group."""
    (tables,) = lab["vbr"].bridge("mdb", "show", "dev", "switch") or ({},)
    return sorted(row["port"] for row in tables.get("mdb", ()) if row["grp"] == group)
