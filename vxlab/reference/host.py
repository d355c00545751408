"""The host behind a reference VTEP: it answers ARP, neighbour solicitations and echo requests.

Packets are scapy's: an Ethernet frame, or, in a VXLAN-GPE tunnel, an IP packet without one.  This
module loads scapy, most of a second: import it only where it is used.

Sources: ARP RFC 826, ICMP RFC 792, neighbour discovery RFC 4861, ICMPv6 RFC 4443.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from vxlab.describe.checks import Interface
from vxlab.errors import VxlabError

_BROADCAST = "ff:ff:ff:ff:ff:ff"
_ALL_NODES = "ff02::1"
_DATA = b"reference VTEP"
#: The identifier of all echo requests; their sequence numbers tell them apart.
_ECHO_ID = 0x7348


def is_group(mac: str) -> bool:
    """True for broadcast and multicast MAC addresses."""
    return bool(int(mac[:2], 16) & 1)


def multicast_mac(group: IPv6Address) -> str:
    """The MAC that frames to an IPv6 group go to (RFC 2464 section 7)."""
    return "33:33:" + group.packed[-4:].hex(":")


def solicited_node(address: IPv6Address) -> IPv6Address:
    """The group in which an address is asked for (RFC 4291 section 2.7.1)."""
    return IPv6Address(IPv6Address("ff02::1:ff00:0").packed[:13] + address.packed[13:])


class OverlayHost:
    """A host of one MAC and some addresses; it holds no state and sends nothing by itself."""

    def __init__(self, mac: str, addresses: tuple[Interface, ...]) -> None:
        self.mac = mac
        self._addresses = addresses
        self._own = {str(address.ip) for address in addresses}

    def answer(self, packet: Packet) -> Packet | None:
        """What the host replies to ``packet``; None where it does not reply."""
        if not isinstance(packet, Ether):
            return self._reply(packet)
        if packet.dst != self.mac and not is_group(packet.dst):
            return None
        reply = self._reply(packet.payload)
        if reply is None:
            return None
        to_all = isinstance(reply, IPv6) and reply.dst == _ALL_NODES
        to = multicast_mac(IPv6Address(_ALL_NODES)) if to_all else packet.src
        return Ether(src=self.mac, dst=to) / reply

    def _reply(self, packet: Packet) -> Packet | None:
        if isinstance(packet, ARP):
            return self._arp_reply(packet)
        if isinstance(packet, IP | IPv6):
            what = packet.payload
            if isinstance(what, ICMPv6ND_NS):
                return self._advertisement(packet, what)
            if packet.dst in self._own and isinstance(what, ICMP | ICMPv6EchoRequest):
                return _echo_reply(packet, what)
        return None

    def _arp_reply(self, asked: Packet) -> Packet | None:
        if asked.op != 1 or asked.pdst not in self._own:
            return None
        return ARP(op=2, hwsrc=self.mac, psrc=asked.pdst, hwdst=asked.hwsrc, pdst=asked.psrc)

    def _advertisement(self, packet: Packet, asked: Packet) -> Packet | None:
        """The answer to a neighbour solicitation; one from ``::`` checks for duplicates."""
        if packet.hlim != 255 or asked.tgt not in self._own:
            return None
        known = packet.src != "::"
        ip = IPv6(src=asked.tgt, dst=packet.src if known else _ALL_NODES, hlim=255)
        said = ICMPv6ND_NA(tgt=asked.tgt, R=0, S=int(known), O=1)
        return ip / said / ICMPv6NDOptDstLLAddr(lladdr=self.mac)

    def question(self, address: str) -> Packet:
        """The frame that asks for the MAC of ``address``."""
        own, target = self.address_for(address), ip_address(address)
        if not isinstance(target, IPv6Address):
            unknown = "00:00:00:00:00:00"
            asks = ARP(op=1, hwsrc=self.mac, psrc=own, hwdst=unknown, pdst=address)
            return Ether(src=self.mac, dst=_BROADCAST) / asks
        group = solicited_node(target)
        frame = Ether(src=self.mac, dst=multicast_mac(group))
        asks = ICMPv6ND_NS(tgt=address) / ICMPv6NDOptSrcLLAddr(lladdr=self.mac)
        return frame / IPv6(src=own, dst=str(group), hlim=255) / asks

    def mac_in(self, packet: Packet, address: str) -> str | None:
        """The MAC of ``address``, where ``packet`` is the answer that tells it."""
        found = None
        if (said := packet.getlayer(ARP)) is not None:
            found = said.hwsrc if said.op == 2 and said.psrc == address else None
        elif (said := packet.getlayer(ICMPv6ND_NA)) is not None and said.tgt == address:
            option = said.getlayer(ICMPv6NDOptDstLLAddr)
            found = packet.src if option is None else option.lladdr
        return None if found is None else str(found)

    def echo_request(self, address: str, mac: str | None, number: int) -> Packet:
        """Echo request ``number`` to ``address``: a frame to ``mac``, or an IP packet without one.

        ``number`` is the sequence number.  VxlabError where the host has no address to send from.
        """
        own = self.address_for(address)
        if ":" in address:
            asks = IPv6(src=own, dst=address, hlim=64) / ICMPv6EchoRequest(
                id=_ECHO_ID, seq=number, data=_DATA
            )
        else:
            asks = IP(src=own, dst=address) / ICMP(type=8, id=_ECHO_ID, seq=number) / _DATA
        return asks if mac is None else Ether(src=self.mac, dst=mac) / asks

    def is_echo_reply(self, packet: Packet, address: str, number: int) -> bool:
        """True where ``packet`` is the reply of ``address`` to echo request ``number``."""
        ip = packet.payload if isinstance(packet, Ether) else packet
        said = ip.payload
        right = isinstance(said, ICMPv6EchoReply) or (isinstance(said, ICMP) and said.type == 0)
        return bool(right and ip.src == address and (said.id, said.seq) == (_ECHO_ID, number))

    def address_for(self, address: str) -> str:
        """The host's own address to talk to ``address`` from; VxlabError where it has none."""
        target = ip_address(address)
        own = [have for have in self._addresses if have.version == target.version]
        near = [have for have in own if target in have.network]
        for have in (*near, *own):
            return str(have.ip)
        found = ", ".join(map(str, self._addresses)) or "none"
        raise VxlabError(f"wanted an overlay address to reach {address} from, found {found}")


def _echo_reply(packet: Packet, asked: Packet) -> Packet | None:
    """The reply to an echo request; None for other ICMP (scapy's v6 replies are requests too)."""
    if asked.type == 128 and isinstance(packet, IPv6):
        said = ICMPv6EchoReply(id=asked.id, seq=asked.seq, data=asked.data)
        return IPv6(src=packet.dst, dst=packet.src, hlim=64) / said
    if asked.type == 8 and isinstance(packet, IP) and not packet.flags.MF:
        data = asked.payload.load if type(asked.payload) is Raw else b""  # not link padding
        said = ICMP(type=0, id=asked.id, seq=asked.seq)
        return IP(src=packet.dst, dst=packet.src) / said / data
    return None
