"""4.1 Learning: which VTEP a received frame's source MAC is learned to be behind.

a eth0 192.168.57.50 ──── lan ──┬── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2             │                vxlan0 172.18.1.3
                                └── 192.168.57.55 eth0 c
                                                 vxlan0 172.18.1.4
"""

from __future__ import annotations

import itertools
import os
from subprocess import PIPE

import pytest
from fdb_tools import (
    BROADCAST,
    MAC,
    MULTICAST,
    OTHER,
    RTM_DELNEIGH,
    RTM_NEWNEIGH,
    SENDER,
    address,
    arrives,
    assert_copies,
    assert_no_entry,
    assert_remotes,
    changed_entries,
    default_copies,
    entries,
    entry,
    fdb_events,
    found_copies,
    found_remotes,
    inject,
    inject_all,
    macs,
    marked_frame,
    omitted_entries,
)
from reception_tools import accepted, assert_outcome, kernel_at_a, outcome, reference_at_b

from vxlab import catalog, state, wait_until
from vxlab.operations import AddFdb, AddNexthop, DelFdb, SetVxlan

SNOOP = "drivers/net/vxlan/vxlan_core.c: vxlan_snoop()"

two = pytest.mark.topology(catalog.point_to_point, family=[4, 6])
three = pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=3)

NOTHING_LEARNED = f"wanted one entry for {MAC}, found none"


def without_learning(because=NOTHING_LEARNED):
    """A control: a does not learn."""
    return pytest.mark.control(
        "VTEP a has `nolearning`", vteps={"a": {"learning": False}}, because=because
    )


def nolearning_at_a(family):
    """Two hosts, of which a has `nolearning`."""
    return catalog.point_to_point(family=family).with_vtep("a", "overlay", learning=False)


def assert_learned(lab, mac, remote):
    """Assert that the one entry for a MAC has this remote, and is as learning makes it."""
    found = entry(lab, mac)
    text = f"wanted a learned entry with remote {remote}, found {found}"
    assert (found.dst, found.state, found.flags) == (remote, "reachable", ("self",)), text
    assert (found.port, found.vni, found.via, found.nhid) == (None, None, None, None), text


@pytest.mark.behaviour(
    "the source MAC of a received unicast, multicast or broadcast frame is learned, with the outer "
    "source address as its remote",
    source=SNOOP,
)
@without_learning()
@two
@pytest.mark.parametrize(
    "to", [SENDER, MULTICAST, BROADCAST], ids=["unicast", "multicast", "broadcast"]
)
def test_a_source_is_learned_from_the_outer_address(lab, to):
    assert_no_entry(lab, MAC)
    assert arrives(lab, "b", dst=to)
    assert_learned(lab, MAC, address(lab, "b"))


@pytest.mark.behaviour(
    "when one host pings the other, both VTEPs learn the MAC of the other's device",
    source="RFC 7348, 4.1",
)
@without_learning(found_remotes())
@two
def test_both_vteps_learn_from_a_ping(lab):
    assert lab["a"].ping("172.18.1.3")
    for host, peer in ("ab", "ba"):
        (link,) = lab[peer].ip("link", "show", "vxlan0")
        assert_remotes(lab, link["address"], address(lab, peer), host=host)


@pytest.mark.behaviour(
    "frames for a learned MAC are sent to its remote alone, and no longer flooded", source=SNOOP
)
@without_learning(found_copies("b", "c"))
@three
def test_what_is_learned_is_not_flooded(lab):
    assert_copies(lab, MAC, default_copies(lab, "b", "c"))
    assert arrives(lab, "b")
    assert_copies(lab, MAC, default_copies(lab, "b"))


def receive_from_other(lab):
    """Have a receive a frame whose source MAC is the scenario's destination MAC."""
    assert arrives(lab, "b", src=OTHER)


@pytest.mark.behaviour(
    "of a received frame the source MAC is learned, the destination MAC is not", source=SNOOP
)
@pytest.mark.control(
    "VTEP a has learned the destination MAC already, from an earlier frame",
    lab=receive_from_other,
    because=f"wanted no entry for {OTHER}, found {OTHER} .* reachable",
)
@two
def test_a_destination_is_not_learned(lab):
    assert arrives(lab, "b", dst=OTHER, src=MAC)
    assert entries(lab, MAC)
    assert_no_entry(lab, OTHER)


@pytest.mark.behaviour(
    "when a frame comes from another VTEP than its source MAC's learned or dynamic FDB entry says, "
    "the entry's remote changes to that VTEP",
    source=SNOOP,
)
@without_learning(rf"{NOTHING_LEARNED}|wanted .* remote \S+[.:]55, found {MAC} .* \S+[.:]54 ")
@three
@pytest.mark.parametrize("by_hand", [False, True], ids=["learned", "dynamic-by-hand"])
def test_a_moved_mac_gets_another_remote(lab, by_hand):
    if by_hand:
        lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "b"), state="dynamic"))
    else:
        assert arrives(lab, "b")
    assert_learned(lab, MAC, address(lab, "b"))
    assert arrives(lab, "c")
    assert_learned(lab, MAC, address(lab, "c"))
    assert_copies(lab, MAC, default_copies(lab, "c"))


@pytest.mark.behaviour(
    "netlink notifies once that a MAC was learned, once that it moved to another VTEP, and once "
    "that its FDB entry was deleted",
    source=SNOOP,
)
@without_learning()
@three
@pytest.mark.known_difference("K55", until="6.13")
def test_learning_and_moving_are_notified_once(lab):
    b, c = address(lab, "b"), address(lab, "c")
    with fdb_events(lab) as events:
        for source in "bbbccc":
            assert arrives(lab, source)
        assert_learned(lab, MAC, c)
        lab.apply(DelFdb("a", "vxlan0", MAC))
        found = [(event.kind, event.dst) for event in events() if event.mac == MAC]
    assert found == [(RTM_NEWNEIGH, b), (RTM_NEWNEIGH, c), (RTM_DELNEIGH, c)]


@pytest.mark.behaviour(
    "`bridge monitor fdb` prints a line when a MAC is learned", source="man 8 bridge: monitor"
)
@without_learning("for a line of `bridge monitor` about a learned MAC")
@two
def test_bridge_monitor_shows_a_learned_mac(lab):
    numbers, printed = itertools.count(), []
    with lab["a"].popen("bridge", "monitor", "fdb", stdout=PIPE, text=False) as monitor:
        os.set_blocking(monitor.stdout.fileno(), False)

        def seen():  # what is learned before the program listens is not printed
            inject(lab, "b", BROADCAST, f"02:00:00:01:{next(numbers).to_bytes(2).hex(':')}")
            printed.append(monitor.stdout.read() or b"")
            return b" dev vxlan0 dst " in b"".join(printed)

        try:
            wait_until(seen, "a line of `bridge monitor` about a learned MAC", timeout=5)
        finally:
            monitor.terminate()
    line = b"".join(printed).decode().splitlines()[0]
    assert line.startswith("02:00:00:01:")
    assert f"dst {address(lab, 'b')} self" in line


@pytest.mark.behaviour(
    "a static FDB entry does not move: a frame with its MAC from another VTEP is dropped, and a "
    "frame from its own remote is delivered",
    source=SNOOP,
)
@pytest.mark.control(
    "the FDB entry is dynamic",
    change=changed_entries(MAC, state="dynamic"),
    because="the frame from another VTEP was delivered",
)
@three
@pytest.mark.parametrize("state", ["permanent", "static"])
def test_a_static_mac_never_moves(lab, state):
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "b"), state=state))
    assert not arrives(lab, "c"), "the frame from another VTEP was delivered"
    found = entry(lab, MAC)
    assert (found.dst, found.state) == (address(lab, "b"), state)
    assert arrives(lab, "b")


@pytest.mark.behaviour(
    "a dynamic FDB entry with the flag `extern_learn` moves to the VTEP that a frame with its MAC "
    "comes from, and keeps the flag",
    source=SNOOP,
)
@without_learning(rf"found {MAC} .* dst \S+[.:]54 self extern_learn")
@three
def test_a_dynamic_extern_learn_entry_moves_and_keeps_its_flag(lab):
    flags = ("self", "extern_learn")
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "b"), state="dynamic", flags=flags))
    assert arrives(lab, "c")
    found, wanted = entry(lab, MAC), (address(lab, "c"), flags)
    assert (found.dst, found.flags) == wanted, f"wanted {wanted}, found {found}"


@pytest.mark.behaviour(
    "a dynamic FDB entry with a next hop group never moves: frames with its MAC are dropped, "
    "whether they come from a member of the group or from another VTEP",
    source=SNOOP,
)
@pytest.mark.known_difference("K53", since="7.2")
@pytest.mark.known_difference("K50", until="6.12", deadly=True)
@pytest.mark.control(
    "the FDB has no entry with a next hop group",
    change=omitted_entries(nhid=10),
    because="the frame was delivered",
)
@three
@pytest.mark.parametrize("source", ["b", "c"], ids=["from-a-member", "from-another"])
def test_an_entry_with_a_next_hop_never_moves(lab, source):
    lab.apply(AddNexthop("a", 1, via=address(lab, "b")), AddNexthop("a", 10, group=(1,)))
    lab.apply(AddFdb("a", "vxlan0", MAC, nhid=10, state="dynamic"))
    assert not arrives(lab, source), "the frame was delivered"
    found = entry(lab, MAC)
    assert (found.nhid, found.dst) == (10, None)


@pytest.mark.behaviour(
    "a device with `nolearning` receives frames and learns no MAC from them", source=SNOOP
)
@pytest.mark.control(
    "VTEP a learns MACs",
    vteps={"a": {"learning": True}},
    because=f"wanted no entry for {MAC}, found {MAC} .* reachable",
)
@pytest.mark.topology(nolearning_at_a, family=[4, 6])
def test_with_nolearning_nothing_is_learned(lab):
    assert arrives(lab, "b")
    assert_no_entry(lab, MAC)


@pytest.mark.behaviour(
    "when a device is changed to `nolearning`, learned FDB entries stay, no longer move, and none "
    "are added",
    source="vxlan_core.c: vxlan_changelink()",
)
@pytest.mark.control(
    "learning is not switched off on VTEP a",
    without=SetVxlan,
    because=f"wanted no entry for {OTHER}, found {OTHER} .* reachable",
)
@three
def test_switching_learning_off_keeps_what_is_learned(lab):
    assert arrives(lab, "b")
    lab.apply(SetVxlan("a", "vxlan0", (("learning", False),)))
    assert arrives(lab, "c", src=OTHER)
    assert arrives(lab, "c", src=MAC)
    assert_no_entry(lab, OTHER)
    assert_remotes(lab, MAC, address(lab, "b"))


@pytest.mark.behaviour(
    "when a device with `nolearning` is changed to learn, it learns from the next frame",
    source=SNOOP,
)
@pytest.mark.control(
    "learning is not switched on on VTEP a", without=SetVxlan, because=NOTHING_LEARNED
)
@pytest.mark.topology(nolearning_at_a, family=[4, 6])
def test_after_switching_learning_on_the_next_frame_is_learned(lab):
    assert arrives(lab, "b")
    assert_no_entry(lab, MAC)
    lab.apply(SetVxlan("a", "vxlan0", (("learning", True),)))
    assert arrives(lab, "b")
    assert_learned(lab, MAC, address(lab, "b"))


@pytest.mark.behaviour(
    "a learned MAC whose FDB entry was deleted is learned again from the next frame", source=SNOOP
)
@pytest.mark.control(
    "the FDB entry is not deleted", without=DelFdb, because=f"wanted no entry for {MAC}, found"
)
@three
def test_a_deleted_mac_is_learned_again(lab):
    assert arrives(lab, "b")
    lab.apply(DelFdb("a", "vxlan0", MAC))
    assert_no_entry(lab, MAC)
    assert arrives(lab, "c")
    assert_learned(lab, MAC, address(lab, "c"))


@pytest.mark.behaviour("many MACs, here 200, can be learned to be behind one remote", source=SNOOP)
@without_learning("for 200 learned MACs")
@two
def test_many_macs_are_learned_behind_one_remote(lab):
    many = {f"02:00:00:02:00:{number:02x}" for number in range(200)}
    inject_all(lab, "b", [marked_frame(BROADCAST, mac) for mac in many])
    wait_until(lambda: many <= macs(lab), "200 learned MACs", timeout=5)
    rows = state.fdb(lab["a"].namespaces, "vxlan0")
    assert {row.dst for row in rows if row.mac in many} == {address(lab, "b")}


@pytest.mark.behaviour(
    "a MAC from a link-local outer source address is learned with the lower device on which the "
    "packet came",
    source=SNOOP,
)
@pytest.mark.control(
    "the outer source address is not link-local",
    arguments={"source": "fd00::77"},
    because=f"found {MAC} dev vxlan0 dst fd00::77 self",
)
@pytest.mark.topology(kernel_at_a(6))
@pytest.mark.parametrize("source", ["fe80::77"])
def test_a_link_local_remote_is_learned_with_its_lower_device(lab, source):
    with reference_at_b(lab) as far:

        def send(far, frame):
            far.send_outer(far.encapsulate(frame), source=source)

        assert_outcome(outcome(lab, far, send), accepted())
    found = entry(lab, MAC)
    assert (found.dst, found.via) == (source, "eth0"), f"wanted via eth0, found {found}"


def add_entry_with_port(lab):
    """Give a an FDB entry as if it had learned b's source port."""
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "b"), port=1234, state="dynamic"))


@pytest.mark.behaviour(
    "whatever UDP source port a frame comes from, its MAC is learned without a port, and frames "
    "for it are sent to the device's own destination port",
    source=SNOOP,
)
@pytest.mark.control(
    "VTEP a has a dynamic FDB entry for the MAC, with the sender's UDP source port",
    lab=add_entry_with_port,
    because=found_copies("b", port=1234),
)
@pytest.mark.topology(kernel_at_a, family=[4, 6])
def test_the_source_port_is_not_learned(lab):
    with reference_at_b(lab) as far:

        def send(far, frame):
            far.send_outer(far.encapsulate(frame), source_port=1234)

        assert_outcome(outcome(lab, far, send), accepted())
        assert_copies(lab, MAC, default_copies(lab, "b"), ports=(4789, 1234))
        assert_learned(lab, MAC, address(lab, "b"))
