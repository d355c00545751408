"""Messages of ARP, neighbour discovery and echo: bytes made by scapy, and bytes by hand."""

from __future__ import annotations

from typing import Any

import pytest

from vxlab.observe.protocols import ArpPacket, Message, read_arp, read_message

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
NOBODY = "00:00:00:00:00:00"


def ethernet(layers: Any) -> Any:
    return layers.Ether(src=A, dst=B)


def arp(layers: Any, operation: int) -> bytes:
    layer = layers.ARP(op=operation, hwsrc=A, psrc="1.1.1.1", hwdst=NOBODY, pdst="1.1.1.2")
    return bytes(ethernet(layers) / layer)


def ipv4(layers: Any, payload: Any) -> bytes:
    return bytes(ethernet(layers) / layers.IP(src="1.1.1.1", dst="1.1.1.2") / payload)


def ipv6(layers: Any, *payload: Any) -> bytes:
    packet = ethernet(layers) / layers.IPv6(src="fd00::1", dst="fd00::2")
    for layer in payload:
        packet = packet / layer
    return bytes(packet)


@pytest.mark.parametrize(("operation", "name"), [(1, "arp-request"), (2, "arp-reply")])
def test_arp_is_read(layers: Any, operation: int, name: Any) -> None:
    assert read_message(arp(layers, operation)) == Message(
        type=name, sender="1.1.1.1", target="1.1.1.2", sender_mac=A, target_mac=NOBODY
    )


def test_an_arp_operation_that_is_neither_is_no_message_but_can_be_read(layers: Any) -> None:
    inverse = arp(layers, 0x0102)
    assert read_message(inverse) is None
    assert read_arp(inverse) == ArpPacket(
        operation=0x0102, sender_mac=A, sender="1.1.1.1", target_mac=NOBODY, target="1.1.1.2"
    )


def test_a_solicitation_says_who_asks_and_for_which_address(layers: Any) -> None:
    asked = layers.ICMPv6ND_NS(tgt="fd00::9")
    bare = Message(type="neighbour-solicitation", sender="fd00::1", target="fd00::9")
    assert read_message(ipv6(layers, asked)) == bare
    with_mac = read_message(ipv6(layers, asked, layers.ICMPv6NDOptSrcLLAddr(lladdr=A)))
    assert with_mac
    assert (with_mac.sender, with_mac.target, with_mac.sender_mac) == ("fd00::1", "fd00::9", A)


def test_an_advertisement_says_whose_address_it_is_and_to_whom(layers: Any) -> None:
    told = layers.ICMPv6ND_NA(tgt="fd00::9")
    bare = Message(type="neighbour-advertisement", sender="fd00::9", target="fd00::2")
    assert read_message(ipv6(layers, told)) == bare
    source, target = layers.ICMPv6NDOptSrcLLAddr(lladdr=B), layers.ICMPv6NDOptDstLLAddr(lladdr=A)
    with_mac = read_message(ipv6(layers, told, source, target))
    assert with_mac
    assert (with_mac.sender, with_mac.target, with_mac.sender_mac) == ("fd00::9", "fd00::2", A)


def test_an_option_without_a_length_ends_the_options(layers: Any) -> None:
    found = read_message(
        ipv6(layers, layers.ICMPv6ND_NS(tgt="fd00::9"), layers.Raw(b"\1\0" + bytes(14)))
    )
    assert found
    assert found.sender_mac is None


@pytest.mark.parametrize(("number", "name"), [(8, "echo-request"), (0, "echo-reply")])
def test_echo_is_read(layers: Any, number: int, name: Any) -> None:
    wanted = Message(type=name, sender="1.1.1.1", target="1.1.1.2")
    assert read_message(ipv4(layers, layers.ICMP(type=number))) == wanted


def test_echo_of_ipv6_is_read(layers: Any) -> None:
    asked, told = (
        read_message(ipv6(layers, one))
        for one in (layers.ICMPv6EchoRequest(), layers.ICMPv6EchoReply())
    )
    assert asked == Message(type="echo-request", sender="fd00::1", target="fd00::2")
    assert told == Message(type="echo-reply", sender="fd00::1", target="fd00::2")


def test_what_is_cut_off_is_missing(layers: Any) -> None:
    for whole in (arp(layers, 1), ipv6(layers, layers.ICMPv6ND_NS(tgt="fd00::9"))):
        last = read_message(whole)
        assert last
        found = [read_message(whole[:length]) for length in range(len(whole))]
        partial = Message(type=last.type, sender=last.sender if "arp" not in last.type else None)
        assert set(found) == {None, partial}


def test_the_padding_of_the_link_is_no_option(layers: Any) -> None:
    asked = ipv6(layers, layers.ICMPv6ND_NS(tgt="fd00::9"))
    found = read_message(asked + b"\1\1" + bytes(6))
    assert found
    assert found.sender_mac is None
