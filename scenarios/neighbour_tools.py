"""What the scenarios on neighbours have in common: questions by hand, and the kernel's events."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address

from flood_tools import BROADCAST, SENDER, checksum, packed, raw

from vxlab import catalog, wait_until
from vxlab.observe.frames import ARP, ICMPV6, IPV6, address, ip_header, layer3
from vxlab.operations import AddFdb

#: Who asks in hand-made questions: an overlay address that nobody has.
ASKER = {4: "172.18.1.200", 6: "fd42::200"}

#: Neighbours that only a test knows of.
TARGETS = {"arp": "172.18.1.77", "nd": "fd42::77"}

REQUEST, REPLY = 1, 2  # RFC 826
SOLICITATION, ADVERTISEMENT = 135, 136  # RFC 4861

RTMGRP_NEIGH, RTM_NEWNEIGH, RTM_GETNEIGH = 4, 28, 30  # linux/rtnetlink.h
NDA_DST, NDA_LLADDR = 1, 2  # linux/neighbour.h


def answering():
    """Two hosts with IPv4 and IPv6 in the overlay; a's device answers for others."""
    made = catalog.point_to_point()
    for number, host in enumerate("ab", 2):
        addresses = (f"172.18.1.{number}/24", f"fd42::{number}/64")
        made = made.with_vtep(host, "overlay", addresses=addresses)
    return made.with_vtep("a", "overlay", proxy=True)


def arp(
    operation, sender_ip, target_ip, *, mac=SENDER, target_mac="00:00:00:00:00:00", to=BROADCAST
):
    """An ARP frame from ``mac`` to the MAC ``to``."""
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    body += raw(mac) + packed(sender_ip) + raw(target_mac) + packed(target_ip)
    return raw(to) + raw(mac) + b"\x08\x06" + body


def neighbour(kind, target, *, mac=SENDER, source=None, flags=0, to=None, dst=None):
    """A neighbour solicitation or advertisement about ``target``, with the option of ``mac``."""
    target6 = packed(target)
    solicited = packed("ff02::1:ff00:0")[:13] + target6[13:]
    dst6 = packed(dst) if dst else solicited
    src6 = packed(source or ASKER[6])
    option = bytes([1 if kind == SOLICITATION else 2, 1]) + raw(mac)
    option = b"" if not any(src6) else option  # who asks from :: gives no address
    body = struct.pack("!BBHI", kind, 0, 0, flags << 24) + target6 + option
    pseudo = src6 + dst6 + struct.pack("!II", len(body), ICMPV6)
    body = body[:2] + struct.pack("!H", checksum(pseudo + body)) + body[4:]
    ip = struct.pack("!IHBB", 6 << 28, len(body), ICMPV6, 255) + src6 + dst6
    to = to or "33:33:" + dst6[12:].hex(":")
    return raw(to) + raw(mac) + b"\x86\xdd" + ip + body


def question(target, **changes):
    """The frame that asks for the MAC of ``target``: ARP or ND."""
    if ip_address(target).version == 4:
        return arp(REQUEST, ASKER[4], target, **changes)
    return neighbour(SOLICITATION, target, **changes)


def is_question(target):
    """A predicate: the frame asks for the MAC of ``target``."""
    return lambda frame: told(frame) is not None and told(frame)[:2] == ("asks", target)


def is_answer(target):
    """A predicate: the frame says which MAC ``target`` has."""
    return lambda frame: told(frame) is not None and told(frame)[:2] == ("says", target)


def told(frame):
    """``("asks" or "says", address, MAC)`` of an ARP or ND frame, None for all others."""
    found = layer3(frame.data)
    if found is None:
        return None
    if found[0] == ARP:
        body = frame.data[found[1] : found[1] + 28]
        asks = struct.unpack("!H", body[6:8])[0] == REQUEST
        at = 24 if asks else 14
        return ("asks" if asks else "says"), address(body[at : at + 4]), body[8:14].hex(":")
    header = ip_header(frame.data) if found[0] == IPV6 else None
    if header is None or header.protocol != ICMPV6:
        return None
    body = frame.data[header.payload : header.end]
    if body[0] not in (SOLICITATION, ADVERTISEMENT):
        return None
    verb = "asks" if body[0] == SOLICITATION else "says"
    return verb, address(body[8:24]), body[26:32].hex(":")


class Misses:
    """The misses that a node's kernel tells of, from a netlink socket; a context manager.

    The socket listens from the moment it is made: what comes later is not lost.
    """

    def __init__(self, node):
        self.sock = node.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self.sock.bind((0, RTMGRP_NEIGH))
        self.sock.setblocking(False)
        self.seen = []  # MACs and addresses, in order
        self.added = []  # those of new entries

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
        """Wait until a MAC or an address has been missed so often."""
        wait_until(
            lambda: self.read().count(what) >= times,
            f"{times} events of the miss of {what}",
            timeout=timeout,
            found=lambda: str(self.seen),
        )

    def all_until_later(self, lab, node="a", interface="vxlan0"):
        """All misses until a later event, of an entry made for this purpose, has come."""
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
    return address(found[NDA_DST]) if NDA_DST in found else None
