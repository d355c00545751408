"""ARP and neighbour discovery made by hand, and misses: tools of chapter 6."""

from __future__ import annotations

import dataclasses
import socket
import struct
from ipaddress import ip_address

from flood_tools import BROADCAST, SENDER, internet_checksum, ip_bytes, mac_bytes

from vxlab import catalog, frames, wait_until
from vxlab.operations import AddFdb

#: The sender's address in requests made by hand: an overlay address that no host has.
REQUESTER = {4: "172.18.1.200", 6: "fd42::200"}

#: Addresses of neighbours that exist in tables only.
TARGETS = {"arp": "172.18.1.77", "nd": "fd42::77"}

REQUEST, REPLY = 1, 2  # RFC 826
SOLICITATION, ADVERTISEMENT = 135, 136  # RFC 4861

RTMGRP_NEIGH, RTM_NEWNEIGH, RTM_GETNEIGH = 4, 28, 30  # linux/rtnetlink.h
NDA_DST, NDA_LLADDR = 1, 2  # linux/neighbour.h


def proxy_at_a():
    """Two hosts with IPv4 and IPv6 in the overlay; a's device has `proxy`."""
    made = catalog.point_to_point()
    for number, host in enumerate("ab", 2):
        addresses = (f"172.18.1.{number}/24", f"fd42::{number}/64")
        made = made.with_vtep(host, "overlay", addresses=addresses)
    return made.with_vtep("a", "overlay", proxy=True)


def bridged_with_ipv6(hosts=2):
    """Hosts with a bridge and a container each, which has IPv4 and IPv6."""
    made = catalog.bridged(hosts=hosts)
    containers = tuple(
        dataclasses.replace(one, addresses=(*one.addresses, f"fd42::{number}/64"))
        for number, one in enumerate(made.containers, 2)
    )
    return dataclasses.replace(made, containers=containers)


def arp_message(
    operation, sender_ip, target_ip, *, mac=SENDER, target_mac="00:00:00:00:00:00", to=BROADCAST
):
    """An ARP frame from ``mac`` to the MAC ``to``."""
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    body += mac_bytes(mac) + ip_bytes(sender_ip) + mac_bytes(target_mac) + ip_bytes(target_ip)
    return mac_bytes(to) + mac_bytes(mac) + b"\x08\x06" + body


def nd_message(kind, target, *, mac=SENDER, source=None, flags=0, to=None, dst=None):
    """A neighbour solicitation or advertisement of ``target``, with the option of ``mac``."""
    target6 = ip_bytes(target)
    solicited = ip_bytes("ff02::1:ff00:0")[:13] + target6[13:]
    dst6 = ip_bytes(dst) if dst else solicited
    src6 = ip_bytes(source or REQUESTER[6])
    option = bytes([1 if kind == SOLICITATION else 2, 1]) + mac_bytes(mac)
    option = b"" if not any(src6) else option  # from :: there is no source link-layer address
    body = struct.pack("!BBHI", kind, 0, 0, flags << 24) + target6 + option
    pseudo = src6 + dst6 + struct.pack("!II", len(body), frames.ICMPV6)
    body = body[:2] + struct.pack("!H", internet_checksum(pseudo + body)) + body[4:]
    ip = struct.pack("!IHBB", 6 << 28, len(body), frames.ICMPV6, 255) + src6 + dst6
    to = to or "33:33:" + dst6[12:].hex(":")
    return mac_bytes(to) + mac_bytes(mac) + b"\x86\xdd" + ip + body


def request_for(target, **changes):
    """The frame that asks for the MAC of ``target``: an ARP request or neighbour solicitation."""
    if ip_address(target).version == 4:
        return arp_message(REQUEST, REQUESTER[4], target, **changes)
    return nd_message(SOLICITATION, target, **changes)


def is_request_for(target):
    """A predicate: the frame is an ARP request or neighbour solicitation for ``target``."""
    return lambda frame: (read_message(frame) or ())[:2] == ("request", target)


def is_reply_about(target):
    """A predicate: the frame is an ARP reply or neighbour advertisement of ``target``."""
    return lambda frame: (read_message(frame) or ())[:2] == ("reply", target)


def read_message(frame):
    """``("request" or "reply", address, MAC)`` of an ARP or ND frame, None for all others.

    A neighbour solicitation is a request and an advertisement a reply.  The address is the one that
    is asked for, or whose MAC is told; the MAC is the sender's in ARP, that of the option in ND.
    """
    found = frames.layer3(frame.data)
    if found is None:
        return None
    if found[0] == frames.ARP:
        body = frame.data[found[1] : found[1] + 28]
        is_request = struct.unpack("!H", body[6:8])[0] == REQUEST
        at = 24 if is_request else 14
        kind = "request" if is_request else "reply"
        return kind, frames.address(body[at : at + 4]), body[8:14].hex(":")
    header = frames.ip_header(frame.data) if found[0] == frames.IPV6 else None
    if header is None or header.protocol != frames.ICMPV6:
        return None
    body = frame.data[header.payload : header.end]
    if body[0] not in (SOLICITATION, ADVERTISEMENT):
        return None
    kind = "request" if body[0] == SOLICITATION else "reply"
    return kind, frames.address(body[8:24]), body[26:32].hex(":")


class Misses:
    """The misses that a node's kernel reports, from a netlink socket; a context manager.

    The socket is open from the moment it is made: later events are not lost.
    """

    def __init__(self, node):
        self.sock = node.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self.sock.bind((0, RTMGRP_NEIGH))
        self.sock.setblocking(False)
        self.seen = []  # the missed MACs and addresses, in order
        self.added = []  # MACs and addresses of new entries

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def read(self):
        """All misses so far."""
        while True:
            try:
                data = self.sock.recv(65536)
            except BlockingIOError:
                return self.seen
            while len(data) >= 16:
                length, kind = struct.unpack_from("=IH", data)
                if kind in (RTM_NEWNEIGH, RTM_GETNEIGH):
                    place = self.seen if kind == RTM_GETNEIGH else self.added
                    place.append(_subject(data[28:length]))
                data = data[(length + 3) & ~3 :]

    def wait_for(self, what, *, timeout=3, times=1):
        """Wait until a MAC or an address has been reported as a miss so often."""
        wait_until(
            lambda: self.read().count(what) >= times,
            f"{times} reports of the miss of {what}",
            timeout=timeout,
            found=lambda: str(self.seen),
        )

    def all_until_later(self, lab, node="a", interface="vxlan0"):
        """All misses until a later event, that of an entry which is added for this purpose."""
        mac = "02:00:00:00:00:ee"
        lab.apply(AddFdb(node, interface, mac, lab.topology.hosts[1].nics[0].ip))
        wait_until(lambda: self.read() is not None and mac in self.added, "a later event")
        return [what for what in self.seen if what != mac]


def _subject(data):
    """The MAC, or else the address, in the attributes of one event."""
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        found[kind] = data[4:length]
        data = data[(length + 3) & ~3 :]
    if NDA_LLADDR in found:
        return found[NDA_LLADDR].hex(":")
    return frames.address(found[NDA_DST]) if NDA_DST in found else None
