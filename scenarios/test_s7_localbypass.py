"""7.4 Local bypass: a frame for a VTEP of the host itself skips UDP and IP.

    a eth0 192.168.57.50
      vxlan0 VNI 42 172.18.1.2 ── remote 192.168.57.50, VNI 43 ── second VNI 43

a's vxlan0 has an FDB entry with a's own address as its remote, and the VNI of a's second device.
"""

from __future__ import annotations

import socket

import pytest
from device_tools import PORTS, A, at, bare, device, find_link, holds, mac_of, swap_at, tunnels

from vxlab.operations import AddFdb, AddNeighbour, SetVxlan

BYPASS = "drivers/net/vxlan/vxlan_core.c: encap_bypass_if_local(), vxlan_encap_bypass()"
MAC, PEER = "02:00:00:00:00:43", "172.18.1.3"

pytestmark = [pytest.mark.topology(bare, hosts=1)]
needs_the_switch = pytest.mark.requires("vxlan.localbypass")

WITHOUT_BYPASS = "a's device `vxlan0` has `nolocalbypass`"
WITH_BYPASS = "a's device `vxlan0` has `localbypass`"
without_bypass = swap_at("a", localbypass=False)
with_bypass = swap_at("a", localbypass=True)


def make_devices(lab, *, vni=43, port=None, second=43, **attributes):
    """Make vxlan0 with an FDB entry that leads to a itself, and a second device of that VNI.

    `second` is the second device's VNI; there is no second device for None.
    """
    own = at(lab, "a")
    lab.apply(*device("a", "172.18.1.2/24", id=42, remote=own, **attributes))
    if second:
        lab.apply(*device("a", name="second", id=second, local=own))
    lab.apply(AddFdb("a", "vxlan0", MAC, own, vni=vni, port=port))
    lab.apply(AddNeighbour("a", "vxlan0", PEER, MAC))


def device_of_vni_43(lab):
    """A control: a has another device, which has VNI 43."""
    lab.apply(*device("a", name="third", id=43, local=at(lab, "a")))


def tx_errors(lab):
    return find_link(lab, "a").counters.tx_errors


def learned_remotes(lab):
    """What the second device has learned: remotes by MAC."""
    return {row.mac: row.dst for row in lab["a"].state.fdb if row.interface == "second"}


@pytest.mark.behaviour(
    "by default (`localbypass`), a frame to the host's own address reaches the device of its "
    "VNI without a packet on lo",
    source=BYPASS,
)
@pytest.mark.control(
    WITHOUT_BYPASS, change=without_bypass, because="a/lo: wanted no VXLAN packet on lo, found"
)
@pytest.mark.topology(bare, hosts=1, family=[4, 6])
def test_a_frame_for_the_host_itself_takes_no_packet(lab):
    make_devices(lab)
    with lab.capture("a:lo", "a:second", ports=PORTS) as seen:
        lab["a"].send_marked(PEER, b"to itself")
        seen["a:second"].wait_for_payload(b"to itself", timeout=3)
        lab["a"].send_marked("127.0.0.1", b"on lo")
        seen["a:lo"].wait_for(holds(b"on lo"), "the datagram to 127.0.0.1, which comes later")
    seen["a:lo"].assert_silent(holds(b"to itself"), "VXLAN packet on lo")


@pytest.mark.behaviour(
    "with `nolocalbypass`, a frame to the host's own address goes as a VXLAN packet over lo",
    source=BYPASS,
)
@pytest.mark.control(WITH_BYPASS, change=with_bypass, because=r"VXLAN packets on lo: \[\]")
@needs_the_switch
@pytest.mark.topology(bare, hosts=1, family=[4, 6])
def test_without_bypass_the_frame_goes_over_lo(lab):
    make_devices(lab, localbypass=False)
    with lab.capture("a:lo", "a:second", ports=PORTS) as seen:
        lab["a"].send_marked(PEER, b"to itself")
        seen["a:second"].wait_for_payload(b"to itself", timeout=3)
    own = at(lab, "a")
    found = [(row.vni, row.outer_src, row.outer_dst) for row in tunnels(seen["a:lo"], b"to itself")]
    wanted = [(43, own, own)] * 2  # lo shows each packet twice
    assert found == wanted, f"VXLAN packets on lo: {found}"


@pytest.mark.behaviour(
    "by default (`localbypass`), the MAC of a frame to the host's own address is learned with the "
    "remote 127.0.0.1",
    source=BYPASS,
)
@pytest.mark.control(WITHOUT_BYPASS, change=without_bypass, because=f"learned: {{'[^']+': '{A}'}}")
def test_a_bypassed_mac_is_learned_with_127_0_0_1(lab):
    make_devices(lab)
    with lab.capture("a:second") as seen:
        lab["a"].send_marked(PEER, b"to itself")
        seen["a:second"].wait_for_payload(b"to itself", timeout=3)
    learned = learned_remotes(lab)
    assert learned == {mac_of(lab, "a"): "127.0.0.1"}, f"learned: {learned}"


@pytest.mark.behaviour(
    "with `nolocalbypass`, the MAC of a frame to the host's own address is learned with that "
    "address as its remote",
    source=BYPASS,
)
@pytest.mark.control(WITH_BYPASS, change=with_bypass, because="learned: {'[^']+': '127.0.0.1'}")
@needs_the_switch
def test_a_mac_over_lo_is_learned_with_the_own_address(lab):
    make_devices(lab, localbypass=False)
    with lab.capture("a:second") as seen:
        lab["a"].send_marked(PEER, b"to itself")
        seen["a:second"].wait_for_payload(b"to itself", timeout=3)
    learned = learned_remotes(lab)
    assert learned == {mac_of(lab, "a"): A}, f"learned: {learned}"


@pytest.mark.behaviour(
    "by default (`localbypass`), a frame to the host's own address in a VNI that no device has "
    "counts as a transmit error",
    source=BYPASS,
)
@pytest.mark.control(
    "a has another device, which has the VNI of the frame",
    lab=device_of_vni_43,
    because="transmit errors after the frame: 0",
)
@pytest.mark.parametrize("second", [None, 44], ids=["no-device", "another-vni"])
def test_a_bypassed_frame_for_no_vni_is_an_error(lab, second):
    make_devices(lab, second=second)
    assert tx_errors(lab) == 0
    lab["a"].send_marked(PEER, b"no such VNI")
    found = tx_errors(lab)
    assert found == 1, f"transmit errors after the frame: {found}"


@pytest.mark.behaviour(
    "with `nolocalbypass`, a frame to the host's own address is sent even in a VNI that no device "
    "has",
    source=BYPASS,
)
@pytest.mark.control(
    WITH_BYPASS, change=with_bypass, because="for the VXLAN packet on lo; found no frame at all"
)
@needs_the_switch
def test_without_bypass_a_frame_for_no_vni_is_sent(lab):
    make_devices(lab, second=None, localbypass=False)
    with lab.capture("a:lo", ports=PORTS) as seen:
        lab["a"].send_marked(PEER, b"no such VNI")
        seen["a:lo"].wait_for(holds(b"no such VNI"), "the VXLAN packet on lo", timeout=3)
    assert tx_errors(lab) == 0


def listener(lab, port):
    """A UDP socket of a program on a."""
    sock = lab["a"].socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((A, port))
    sock.settimeout(5)
    return sock


@pytest.mark.behaviour(
    "with `nolocalbypass`, a program on the host may be the VTEP that frames to the host's own "
    "address go to",
    source=BYPASS,
)
@pytest.mark.control(WITH_BYPASS, change=with_bypass, because="transmit errors after the frame: 1")
@needs_the_switch
def test_without_bypass_a_program_may_be_the_vtep(lab):
    make_devices(lab, second=None, port=14789, localbypass=False)
    with listener(lab, 14789) as sock:
        lab["a"].send_marked(PEER, b"to a program")
        found = tx_errors(lab)
        assert found == 0, f"transmit errors after the frame: {found}"
        payload, sender = sock.recvfrom(2048)
    assert payload[:8].hex() == "0800000000002b00"
    assert (sender[0], payload.endswith(b"to a program")) == (A, True)


@pytest.mark.behaviour(
    "by default (`localbypass`), a frame to a UDP port of a program on the host is a transmit "
    "error and does not reach the program",
    source=BYPASS,
)
@pytest.mark.control(
    WITHOUT_BYPASS, change=without_bypass, because="transmit errors after the frame: 0"
)
def test_with_bypass_no_program_gets_the_frame(lab):
    make_devices(lab, second=None, port=14789)
    with listener(lab, 14789) as sock:
        lab["a"].send_marked(PEER, b"to a program")
        found = tx_errors(lab)
        assert found == 1, f"transmit errors after the frame: {found}"
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(2048)


@pytest.mark.behaviour("`localbypass` may be switched off while the device is up", source=BYPASS)
@pytest.mark.control(
    "`localbypass` is not switched off",
    without=SetVxlan,
    because="for the VXLAN packet on lo; found no frame at all",
)
@needs_the_switch
def test_the_bypass_may_be_switched_off(lab):
    make_devices(lab, second=None)
    lab["a"].send_marked(PEER, b"before")
    assert tx_errors(lab) == 1
    lab.apply(SetVxlan("a", "vxlan0", (("localbypass", False),)))
    with lab.capture("a:lo", ports=PORTS) as seen:
        lab["a"].send_marked(PEER, b"after")
        seen["a:lo"].wait_for(holds(b"after"), "the VXLAN packet on lo", timeout=3)
    assert tx_errors(lab) == 1
