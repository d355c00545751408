"""7.4 Local bypass: what goes to the host itself takes no way through the UDP stack.

    a eth0 192.168.57.50
      vxlan0 VNI 42 172.18.1.2 ── remote 192.168.57.50, VNI 43 ── second VNI 43

a's vxlan0 has an entry that leads to a's own address, and to the VNI of a's second device.
"""

from __future__ import annotations

import socket

import pytest
from device_tools import PORTS, A, at, bare, device, holds, link_of, mac_of, swap_at, tunnels

from vxlab.operations import AddFdb, AddNeighbour, SetVxlan

BYPASS = "drivers/net/vxlan/vxlan_core.c: encap_bypass_if_local(), vxlan_encap_bypass()"
MAC, PEER = "02:00:00:00:00:43", "172.18.1.3"

pytestmark = [pytest.mark.topology(bare, hosts=1)]
OFF = pytest.mark.requires("vxlan.localbypass")

without_bypass = swap_at("a", localbypass=False)
with_bypass = swap_at("a", localbypass=True)


def prepared(lab, *, vni=43, port=None, second=43, **attributes):
    """vxlan0 with an entry to the host itself, and a second device of that VNI, if any."""
    own = at(lab, "a")
    lab.apply(*device("a", "172.18.1.2/24", id=42, remote=own, **attributes))
    if second:
        lab.apply(*device("a", name="second", id=second, local=own))
    lab.apply(AddFdb("a", "vxlan0", MAC, own, vni=vni, port=port))
    lab.apply(AddNeighbour("a", "vxlan0", PEER, MAC))


def errors(lab):
    return link_of(lab, "a").counters.tx_errors


@pytest.mark.behaviour("the other device gets a frame without a packet on lo", source=BYPASS)
@pytest.mark.control("it does not bypass", change=without_bypass, because="wanted no")
@pytest.mark.topology(bare, hosts=1, family=[4, 6])
def test_a_frame_for_the_host_itself_takes_no_packet(lab):
    prepared(lab)
    with lab.capture("a:lo", "a:second", ports=PORTS) as seen:
        lab["a"].send_marked(PEER, b"home")
        seen["a:second"].wait_for_payload(b"home", timeout=3)
        lab["a"].send_marked("127.0.0.1", b"on lo")
        seen["a:lo"].wait_for(holds(b"on lo"), "what comes later")
    seen["a:lo"].assert_silent(holds(b"home"), "packet of the tunnel")


@pytest.mark.behaviour("without bypass the frame goes as a packet over lo", source=BYPASS)
@pytest.mark.control("it bypasses", change=with_bypass, because=r"\[\]")
@OFF
@pytest.mark.topology(bare, hosts=1, family=[4, 6])
def test_without_bypass_the_frame_goes_over_lo(lab):
    prepared(lab, localbypass=False)
    with lab.capture("a:lo", "a:second", ports=PORTS) as seen:
        lab["a"].send_marked(PEER, b"home")
        seen["a:second"].wait_for_payload(b"home", timeout=3)
    own = at(lab, "a")
    found = [(row.vni, row.outer_src, row.outer_dst) for row in tunnels(seen["a:lo"], b"home")]
    assert found == [(43, own, own)] * 2  # lo shows each packet twice


@pytest.mark.behaviour("what is bypassed is learned from the loopback address", source=BYPASS)
@pytest.mark.control("it does not bypass", change=without_bypass, because=A)
def test_a_bypassed_mac_is_learned_from_127_0_0_1(lab):
    prepared(lab)
    with lab.capture("a:second") as seen:
        lab["a"].send_marked(PEER, b"home")
        seen["a:second"].wait_for_payload(b"home", timeout=3)
    learned = {row.mac: row.dst for row in lab["a"].state.fdb if row.interface == "second"}
    assert learned == {mac_of(lab, "a"): "127.0.0.1"}


@pytest.mark.behaviour("what is not bypassed is learned from the host's own address", source=BYPASS)
@pytest.mark.control("it bypasses", change=with_bypass, because="127.0.0.1")
@OFF
def test_a_mac_over_lo_is_learned_from_the_own_address(lab):
    prepared(lab, localbypass=False)
    with lab.capture("a:second") as seen:
        lab["a"].send_marked(PEER, b"home")
        seen["a:second"].wait_for_payload(b"home", timeout=3)
    learned = {row.mac: row.dst for row in lab["a"].state.fdb if row.interface == "second"}
    assert learned == {mac_of(lab, "a"): A}


@pytest.mark.behaviour("where no device has the VNI, a bypassed frame is an error", source=BYPASS)
@pytest.mark.control("a device has it", arguments={"second": 43}, because="0 == 1")
@pytest.mark.parametrize("second", [None, 44], ids=["no-device", "another-vni"])
def test_a_bypassed_frame_for_no_vni_is_an_error(lab, second):
    prepared(lab, second=second)
    assert errors(lab) == 0
    lab["a"].send_marked(PEER, b"nowhere")
    assert errors(lab) == 1


@pytest.mark.behaviour("without bypass a frame for no VNI leaves all the same", source=BYPASS)
@pytest.mark.control("it bypasses", change=with_bypass, because="waited|1 == 0")
@OFF
def test_without_bypass_a_frame_for_no_vni_leaves(lab):
    prepared(lab, second=None, localbypass=False)
    with lab.capture("a:lo", ports=PORTS) as seen:
        lab["a"].send_marked(PEER, b"nowhere")
        seen["a:lo"].wait_for(holds(b"nowhere"), "the packet on lo", timeout=3)
    assert errors(lab) == 0


def listener(lab, port):
    sock = lab["a"].socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((A, port))
    sock.settimeout(5)
    return sock


@pytest.mark.behaviour("without bypass a program of the host may be the other end", source=BYPASS)
@pytest.mark.control("it bypasses", change=with_bypass, because="1 == 0")
@OFF
def test_without_bypass_a_program_may_be_the_other_end(lab):
    prepared(lab, second=None, port=14789, localbypass=False)
    with listener(lab, 14789) as sock:
        lab["a"].send_marked(PEER, b"to a program")
        assert errors(lab) == 0
        payload, sender = sock.recvfrom(2048)
    assert payload[:8].hex() == "0800000000002b00"
    assert (sender[0], payload.endswith(b"to a program")) == (A, True)


@pytest.mark.behaviour("with bypass no program of the host gets a frame", source=BYPASS)
@pytest.mark.control("it does not bypass", change=without_bypass, because="0 == 1")
def test_with_bypass_no_program_gets_it(lab):
    prepared(lab, second=None, port=14789)
    with listener(lab, 14789):
        lab["a"].send_marked(PEER, b"to a program")
        assert errors(lab) == 1


@pytest.mark.behaviour("the bypass may be switched while the device is up", source=BYPASS)
@pytest.mark.control("it is not", without=SetVxlan, because="waited")
@OFF
def test_the_bypass_may_be_switched_off(lab):
    prepared(lab, second=None)
    lab["a"].send_marked(PEER, b"before")
    assert errors(lab) == 1
    lab.apply(SetVxlan("a", "vxlan0", (("localbypass", False),)))
    with lab.capture("a:lo", ports=PORTS) as seen:
        lab["a"].send_marked(PEER, b"after")
        seen["a:lo"].wait_for(holds(b"after"), "the packet on lo", timeout=3)
    assert errors(lab) == 1
