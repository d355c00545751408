"""A reference VTEP is opened, used and closed, and says what went wrong."""

from __future__ import annotations

import threading

import pytest
from reference_tools import (
    FAMILIES,
    FRAME,
    A,
    B,
    carries,
    ip_of,
    kernel_asks_once,
    one_kernel_vtep,
    reference,
    without_vteps,
)
from resource_tools import nothing_left
from scapy.layers.inet import ICMP

from vxlab import catalog
from vxlab.errors import VxlabError, WaitTimeout
from vxlab.live.lab import Lab
from vxlab.reference.host import OverlayHost
from vxlab.system.waiting import wait_until


def test_nothing_is_left_behind(tmp_path):
    with nothing_left(tmp_path), Lab(without_vteps()) as lab:
        with reference(lab, "a") as a, reference(lab, "b") as b:
            names = {thread.name for thread in threading.enumerate()}
            assert {"vxlab-reference-a", "vxlab-reference-b"} <= names
            assert a.ping(B)
            a.send_outer(b"x")
        assert udp_sockets(lab["b"]) == 0
        b.close()
        with reference(lab) as again:  # the port is free
            assert udp_sockets(lab["b"]) == 1
            again.close()


def udp_sockets(node):
    return len(node.namespaces.read("/proc/thread-self/net/udp").splitlines()) - 1


def test_where_opening_fails_nothing_is_left(tmp_path):
    with nothing_left(tmp_path), Lab(without_vteps()) as lab:
        far = reference(lab, group="239.1.1.1", dev="eth7")
        with pytest.raises(VxlabError, match="wanted the interface 'eth7', found only lo, eth0"):
            far.open()
        with reference(lab), pytest.raises(VxlabError, match="the port is in use"):
            reference(lab).open()


@pytest.mark.topology(catalog.point_to_point, **FAMILIES)
def test_a_port_in_use_is_named(lab):
    wanted = f"b: wanted the UDP port 4789 of {ip_of(lab, 'b')}, found: the port is in use"
    with pytest.raises(VxlabError, match=wanted):
        reference(lab).open()


@pytest.mark.topology(without_vteps, **FAMILIES)
def test_an_address_of_somebody_else_is_refused(lab):
    with pytest.raises(VxlabError, match="no interface of the node has that address"):
        reference(lab, local=ip_of(lab, "a")).open()


@pytest.mark.topology(without_vteps())
def test_it_is_used_while_it_is_open(lab):
    far = reference(lab)
    for use in (lambda: far.ping(A), lambda: far.send(FRAME), lambda: far.send_outer(b"")):
        with pytest.raises(VxlabError, match=r"reference VTEP on b: .*found it not open"):
            use()
    with far:
        assert repr(far) == "<ReferenceVtep b vni 42 192.168.57.54:4789>"
    with pytest.raises(VxlabError, match="found it not open"):
        far.send_bytes(b"")
    with pytest.raises(VxlabError, match="has run already"):
        far.open()


@pytest.mark.topology(one_kernel_vtep())
@pytest.mark.parametrize("use", ["close", "send", "ping", "wait_for"])
def test_an_error_in_the_thread_is_raised_once(lab, use, monkeypatch):
    def broken(self, packet):
        raise RuntimeError("out of order")

    monkeypatch.setattr(OverlayHost, "answer", broken)
    far = reference(lab).open()
    calls = {
        "close": far.close,
        "send": lambda: far.send(FRAME),
        "ping": lambda: far.ping(A),
        "wait_for": lambda: far.wait_for(lambda row: False, "nothing at all"),
    }
    assert not lab["a"].ping(B, timeout=0.3)
    wait_until(lambda: not far._journal.running, "its thread to fail")
    with pytest.raises(VxlabError, match="it found RuntimeError: out of order"):
        calls[use]()
    with pytest.raises(VxlabError, match="found it not open"):
        far.ping(A)
    assert not [x for x in threading.enumerate() if x.name == "vxlab-reference-b" and x.is_alive()]
    far.close()


@pytest.mark.topology(one_kernel_vtep())
def test_waiting_in_vain_tells_what_came(lab):
    kernel_asks_once(lab)
    with reference(lab) as far:
        with pytest.raises(WaitTimeout, match=r"s for a frame; found no packet$"):
            far.wait_for(lambda row: True, "a frame", timeout=0)
        assert lab["a"].ping(B)
        found = f"s for TCP; found 2 other packets, the last of them .*ARP who-has {B}"
        with pytest.raises(WaitTimeout, match=found):
            far.wait_for(lambda row: False, "TCP", timeout=0.01)
    with pytest.raises(WaitTimeout):  # closed: nothing comes any more
        far.wait_for(lambda row: False, "TCP")
    assert far.wait_for(carries(ICMP), "a request").inner
