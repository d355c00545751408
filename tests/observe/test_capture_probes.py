"""The probes of a capture change nothing: no bridge learns them, no tunnel carries them."""

from __future__ import annotations

import subprocess

import pytest
from capture_tools import A_MAC, VethPair, counters, heard, ip, raw

from vxlab.observe.capture import Capture
from vxlab.observe.recorder import Recorder
from vxlab.system.namespaces import Namespaces


def test_probes_cross_a_veth_and_are_shown_to_nobody(veth: VethPair) -> None:
    with (
        Capture(veth.b, "eth0", node="b") as other,
        Recorder(veth.b, node="b") as recorder,
        raw(veth.b, "eth0", 3) as bare,
    ):
        before = counters(veth.b, "eth0")
        with Capture(veth.a, "eth0", node="a") as capture:
            pass
        after = counters(veth.b, "eth0")
        mine = heard(bare)
    assert capture.was_live
    assert capture.frames == other.frames == recorder.frames == ()
    assert len(mine) >= 2
    assert all(frame[:14].hex() == "0180c2000001" + A_MAC.hex() + "88b5" for frame in mine)
    assert after == (before[0] + len(mine), before[1])


def test_a_bridge_neither_learns_from_a_probe_nor_forwards_it(veth: VethPair) -> None:
    ip(veth.b, "link add br0 type bridge mcast_snooping 0")
    ip(veth.b, "link add left type veth peer name right")
    for name in ("left", "right", "br0"):
        ip(veth.b, f"link set {name} up")
    for name in ("eth0", "left"):
        ip(veth.b, f"link set {name} master br0")
    known = fdb(veth.b)
    with raw(veth.b, "right", 3) as port, raw(veth.b, "br0", 3) as bridge:
        heard(port), heard(bridge)
        with Capture(veth.a, "eth0", node="a") as capture:
            pass
        assert (heard(port), heard(bridge)) == ([], [])
    assert capture.was_live
    assert fdb(veth.b) == known


def fdb(node: Namespaces) -> str:
    with node.entered():
        return subprocess.run(
            ["bridge", "fdb", "show"], check=True, text=True, stdout=subprocess.PIPE
        ).stdout


@pytest.mark.parametrize("interface", ["vx0", "br0", "mv0", "lo", None])
def test_no_probe_leaves_the_node_where_the_device_would_pass_it_on(
    veth: VethPair, interface: str | None
) -> None:
    veth.vxlan()
    ip(veth.a, "link add br0 type bridge mcast_snooping 0")
    if interface == "br0":  # it takes over the MAC of its port, and sends to it by that port
        ip(veth.a, "link set eth0 master br0")
    else:
        ip(veth.a, "link add mv0 link eth0 type macvlan")
        ip(veth.a, "link set mv0 up")
    ip(veth.a, "link set br0 up")
    with raw(veth.b, "eth0", 3) as peer, raw(veth.b, "vx0", 3) as tunnel:
        heard(peer), heard(tunnel)
        before = counters(veth.a, "eth0"), counters(veth.a, "vx0"), counters(veth.b, "eth0")
        with Capture(veth.a, interface, node="a") as capture:
            capture.assert_silent(lambda frame: True, "frame")
        after = counters(veth.a, "eth0"), counters(veth.a, "vx0"), counters(veth.b, "eth0")
        assert (heard(peer), heard(tunnel)) == ([], [])
    assert after == before
    assert capture.was_live
    assert capture.frames == ()
    assert "by a probe on lo" in capture.proof
