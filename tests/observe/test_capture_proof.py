"""A capture is proven live, or says why not: silence counts only then."""

from __future__ import annotations

import contextlib

import pytest
from capture_tools import TEST_TYPE, VethPair, ip, numbered, numbers, send

from vxlab.errors import CaptureError, WaitTimeout
from vxlab.observe import packetsocket
from vxlab.observe.capture import Capture
from vxlab.system.waiting import wait_until


def test_an_unknown_interface_is_an_error_that_names_the_others(veth: VethPair) -> None:
    capture = Capture(veth.a, "eth7", node="a")
    with pytest.raises(CaptureError, match=r"a: wanted the interface 'eth7', found only lo, eth0"):
        capture.start()


def test_an_interface_that_is_down_is_an_error(veth: VethPair) -> None:
    ip(veth.a, "link set eth0 down")
    with pytest.raises(CaptureError, match=r"a/eth0: found eth0 down: set it up first$"):
        Capture(veth.a, "eth0", node="a").start()


@pytest.mark.parametrize("interface", [None, "vx0"])
def test_where_probes_need_lo_it_must_be_up(veth: VethPair, interface: str | None) -> None:
    veth.vxlan()
    ip(veth.a, "link set lo down")
    with pytest.raises(CaptureError, match=r"found lo down: .* the proof of life goes there"):
        Capture(veth.a, interface, node="a").start()


def test_a_veth_whose_peer_is_down_cannot_be_proven_live(
    veth: VethPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Capture, "proof_timeout", 0.05)
    ip(veth.b, "link set eth0 down")
    wait_until(lambda: "DOWN mode" in ip(veth.a, "link show dev eth0"), "a to notice")
    with pytest.raises(CaptureError, match="wanted a live capture, found that no probe"):
        Capture(veth.a, "eth0", node="a").start()


def test_a_ring_the_kernel_refuses_is_an_error(veth: VethPair) -> None:
    capture = Capture(veth.a, "eth0", node="a", buffer=1 << 46)
    with pytest.raises(CaptureError, match="a/eth0: wanted a ring of"):
        capture.start()


def test_a_socket_that_does_not_listen_fails_at_once(
    veth: VethPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Capture, "proof_timeout", 0.05)
    monkeypatch.setattr(packetsocket, "listen", lambda sock, index: None)
    capture = Capture(veth.a, "eth0", node="a")
    with pytest.raises(CaptureError, match=r"no probe was seen on eth0 within 0\.05 s"):
        capture.start()
    assert not capture.was_live
    assert "no probe was seen" in capture.proof


@pytest.mark.parametrize("interface", ["eth0", "lo", "vx0", "br0", None])
def test_a_capture_that_went_deaf_was_not_live(
    veth: VethPair, interface: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Capture, "proof_timeout", 0.05)
    veth.vxlan()
    ip(veth.a, "link add br0 type bridge mcast_snooping 0")
    ip(veth.a, "link set br0 up")
    with Capture(veth.a, interface, node="a") as capture:
        assert capture.was_live
        capture.deafen()
        with pytest.raises(CaptureError, match="wanted to be sure of no frame, found that no pro"):
            capture.assert_silent(lambda frame: True, "frame")
    assert not capture.was_live
    assert capture.proof.startswith("not proven live: found that no probe was seen on ")
    with pytest.raises(CaptureError, match="not proven live"):
        capture.assert_silent(lambda frame: True, "frame")


def test_only_a_running_capture_can_be_deafened(veth: VethPair) -> None:
    capture = Capture(veth.a, "eth0", node="a")
    with pytest.raises(CaptureError, match="wanted a running capture, found it not running"):
        capture.deafen()


def test_silence_counts_while_a_live_capture_runs_and_after(veth: VethPair) -> None:
    with Capture(veth.b, "eth0", node="b") as capture:
        capture.assert_silent(lambda frame: True, "frame")
        send(veth.a, "eth0", numbered(1))
        with pytest.raises(AssertionError, match="wanted no frame, found 1: ethertype 0x88b6"):
            capture.assert_silent(lambda frame: True, "frame")
        capture.assert_silent(lambda frame: frame.is_arp, "ARP")
    capture.assert_silent(lambda frame: frame.is_arp, "ARP")


def test_silence_of_a_capture_that_dropped_counts_for_nothing(veth: VethPair) -> None:
    with Capture(veth.b, "eth0", node="b", buffer=4096) as capture:
        send(veth.a, "eth0", *(numbered(number) for number in range(10)))
    with pytest.raises(CaptureError, match="8 frames dropped: give a larger buffer"):
        capture.assert_silent(lambda frame: frame.is_arp, "ARP")


def test_an_interface_that_vanished_was_not_live(
    veth: VethPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Capture, "proof_timeout", 0.05)
    veth.vxlan()
    with Capture(veth.a, "vx0", node="a") as tunnel, Capture(veth.a, "eth0", node="a") as link:
        ip(veth.a, "link del vx0")
        ip(veth.a, "link del eth0")
    assert "vx0 had gone away" in tunnel.proof
    assert "no probe could be sent" in link.proof
    assert not tunnel.was_live
    assert not link.was_live


def test_a_link_that_was_down_for_a_while_is_live_again(veth: VethPair) -> None:
    with Capture(veth.b, "eth0", node="b") as capture:
        ip(veth.b, "link set eth0 down")
        assert capture.frames == ()
        ip(veth.b, "link set eth0 up")
        capture.assert_silent(lambda frame: frame.data[12:14] == TEST_TYPE, "numbered frame")
        send(veth.b, "eth0", numbered(1))
    assert numbers(capture.frames) == [1]
    assert capture.was_live


def test_counters_that_moved_unseen_mean_not_live(
    veth: VethPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Capture, "proof_timeout", 0.05)
    veth.vxlan()
    with Capture(veth.b, "vx0", node="b") as capture:
        ring = capture._ring
        assert ring
        only_lo = (0x20, 0, 0, 0xFFFFF008), (0x15, 0, 1, 1), (6, 0, 0, 0x40000), (6, 0, 0, 0)
        packetsocket.attach_filter(ring.sock, *only_lo)
        send(veth.a, "vx0", numbered(5))
        with contextlib.suppress(WaitTimeout):
            capture.wait_for(lambda frame: True, "nothing", timeout=0.05)
    assert capture.frames == ()
    assert not capture.was_live
    assert "found counters of vx0 moving" in capture.proof
