"""The host behind a reference VTEP: what it answers, and what it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from reference_tools import MAC, A, B
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether

from vxlab.live.node import Node
from vxlab.reference import ReferenceVtep
from vxlab.reference.host import OverlayHost

HOST = OverlayHost(
    MAC,
    ReferenceVtep(Node("b", None, lambda: None, Path), address=(f"{B}/24", "fd42::3/64")).addresses,
)
PEER = "02:00:00:00:00:01"
TO_ALL = "ff:ff:ff:ff:ff:ff"
ASKED = "33:33:ff:00:00:03"


def solicitation(source="fd42::2", target="fd42::3", hops=255):
    ip = IPv6(src=source, dst="ff02::1:ff00:3", hlim=hops)
    return Ether(bytes(Ether(src=PEER, dst=ASKED) / ip / ICMPv6ND_NS(tgt=target)))


def test_a_solicitation_is_answered_to_who_asks():
    answer = HOST.answer(solicitation())
    assert (answer.src, answer.dst) == (MAC, PEER)
    assert (answer[IPv6].src, answer[IPv6].dst, answer[IPv6].hlim) == ("fd42::3", "fd42::2", 255)
    assert (answer[ICMPv6ND_NA].S, answer[ICMPv6ND_NA].O, answer[ICMPv6ND_NA].R) == (1, 1, 0)
    assert HOST.mac_in(answer, "fd42::3") == MAC
    assert HOST.mac_in(answer, "fd42::2") is None


def test_who_tests_an_address_is_answered_to_all_nodes():
    answer = HOST.answer(solicitation("::"))
    assert (answer.dst, answer[IPv6].dst) == ("33:33:00:00:00:01", "ff02::1")
    assert answer[ICMPv6ND_NA].S == 0


ECHO = IP(src=A, dst=B) / ICMP(type=8, id=1, seq=2) / b"data"


@pytest.mark.parametrize(
    "packet",
    [
        solicitation(hops=64),
        solicitation(target="fd42::4"),
        Ether(src=PEER, dst=TO_ALL) / ARP(op=1, psrc=A, pdst="172.18.1.4"),
        Ether(src=PEER, dst=TO_ALL) / ARP(op=2, psrc=A, pdst=B),
        Ether(src=PEER, dst=TO_ALL) / Dot1Q(vlan=5) / ARP(op=1, psrc=A, pdst=B),
        Ether(src=PEER, dst=PEER) / ECHO,
        Ether(src=PEER, dst=MAC) / IP(src=A, dst="172.18.1.4") / ICMP(type=8),
        Ether(src=PEER, dst=MAC) / IP(src=A, dst=B) / ICMP(type=0),
        Ether(src=PEER, dst=MAC) / IP(src=A, dst=B, flags="MF") / ICMP(type=8),
        Ether(src=PEER, dst=MAC) / IP(src=A, dst=B) / UDP(),
        Ether(src=PEER, dst=MAC, type=0x88B6) / b"what is this",
    ],
)
def test_what_is_not_for_the_host_has_no_answer(packet):
    assert HOST.answer(Ether(bytes(packet))) is None


def test_an_echo_reply_has_the_data_and_no_padding():
    request = Ether(src=PEER, dst=MAC) / ECHO
    answer = HOST.answer(Ether(bytes(request) + bytes(18)))
    assert (answer[IP].src, answer[IP].dst, answer.dst) == (B, A, PEER)
    assert bytes(answer[ICMP].payload) == b"data"
    assert (answer[ICMP].type, answer[ICMP].id, answer[ICMP].seq) == (0, 1, 2)


@pytest.mark.parametrize("address", [A, "fd42::2"])
def test_a_reply_is_not_replied_to(address):
    own = ReferenceVtep(
        Node("a", None, lambda: None, Path), address=(f"{A}/24", "fd42::2/64")
    ).addresses
    reply = OverlayHost(PEER, own).answer(Ether(bytes(HOST.echo_request(address, PEER, 1))))
    assert HOST.is_echo_reply(Ether(bytes(reply)), address, 1)
    assert HOST.answer(Ether(bytes(reply))) is None


def test_only_its_own_echo_reply_counts():
    request = HOST.echo_request(A, PEER, 5)
    reply = OverlayHost(
        PEER, ReferenceVtep(Node("a", None, lambda: None, Path), address=f"{A}/24").addresses
    )
    found = Ether(bytes(reply.answer(Ether(bytes(request)))))
    assert HOST.is_echo_reply(found, A, 5)
    assert not HOST.is_echo_reply(found, A, 6)
    assert not HOST.is_echo_reply(found, "172.18.1.4", 5)
    assert not HOST.is_echo_reply(Ether(bytes(request)), B, 5)
