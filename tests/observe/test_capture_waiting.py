"""Waiting for a frame or a marked payload, and what is told when it does not come."""

from __future__ import annotations

import socket
import threading

import pytest
from capture_tools import VethPair, ip, numbered, numbers, send, send_marked

from vxlab.errors import WaitTimeout
from vxlab.observe.capture import Capture
from vxlab.observe.frames import Frame


def test_marked_payloads_are_listed_as_often_as_they_came(veth: VethPair) -> None:
    with Capture(veth.a, "eth0", node="a") as out, Capture(veth.b, "eth0", node="b") as back:
        for data in (b"one", b"two", b"two", b""):
            send_marked(veth.a, "10.0.0.2", data)
            back.wait_for_payload(data)
    assert back.payloads() == [b"one", b"two", b"two", b""]
    assert out.payloads() == []


def test_marked_payloads_are_found_over_ipv6(veth: VethPair) -> None:
    for node, number in ((veth.a, 1), (veth.b, 2)):
        node.write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "0")
        ip(node, f"addr add fd00::{number}/64 dev eth0 nodad")
    with Capture(veth.b, "eth0", node="b") as capture:
        send_marked(veth.a, "fd00::2", b"six", socket.AF_INET6)
        frame = capture.wait_for_payload(b"six")
    assert (frame.outer_src, frame.outer_dst) == ("fd00::1", "fd00::2")
    assert capture.payloads() == [b"six"]


def test_wait_for_blocks_until_the_frame_comes(veth: VethPair) -> None:
    looked = threading.Event()

    def later() -> None:
        assert looked.wait(10)
        send(veth.a, "eth0", numbered(2))

    def second(frame: Frame) -> bool:
        looked.set()
        return numbers((frame,)) == [2]

    sender = threading.Thread(target=later)
    sender.start()
    with Capture(veth.b, "eth0", node="b") as capture:
        send(veth.a, "eth0", numbered(1))
        assert capture.wait_for(second, "the second frame").data == numbered(2)
        assert capture.wait_for(second, "the second frame again").data == numbered(2)
    sender.join()


def test_wait_for_says_what_came_instead(veth: VethPair) -> None:
    with Capture(veth.b, "eth0", node="b") as capture:
        with pytest.raises(WaitTimeout, match=r"b/eth0: waited .* s for ARP; found no frame at al"):
            capture.wait_for(lambda frame: frame.is_arp, "ARP", timeout=0.01)
        send(veth.a, "eth0", numbered(1), numbered(2))
        with pytest.raises(WaitTimeout) as caught:
            capture.wait_for_payload(b"x", timeout=0.01)
    assert "for the marked payload b'x'; found 2 other frames" in str(caught.value)
    assert "ethertype 0x88b6 02:00:00:00:00:0a > 02:00:00:00:00:0b" in str(caught.value)
    with pytest.raises(WaitTimeout, match="found 2 other frames"):
        capture.wait_for(lambda frame: frame.is_arp, "ARP", timeout=3600)
