"""4.1 Learning: a frame's source MAC is behind the VTEP that the frame came from.

a eth0 192.168.57.50 ──── lan ──┬── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2             │                vxlan0 172.18.1.3
                                └── 192.168.57.55 eth0 c
                                                 vxlan0 172.18.1.4
"""

from __future__ import annotations

import dataclasses
import itertools
import os

import pytest
from fdb_tools import (
    BROADCAST,
    MAC,
    MULTICAST,
    OTHER,
    RTM_DELNEIGH,
    RTM_NEWNEIGH,
    SENDER,
    Copy,
    address,
    arrives,
    collected_copies,
    entries,
    entry,
    fdb_events,
    inject,
    inject_all,
    macs,
    marked_frame,
    remotes,
)
from reception_tools import accepted, kernel_at_a, outcome, reference_at_b

from vxlab import catalog, state, wait_until
from vxlab.operations import AddFdb, AddNexthop, DelFdb, SetVxlan

SNOOP = "drivers/net/vxlan/vxlan_core.c: vxlan_snoop()"

deaf = pytest.mark.control("a's device does not learn", vteps={"a": {"learning": False}})
two = pytest.mark.topology(catalog.point_to_point, family=[4, 6])
three = pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=3)


def learned(lab, mac):
    """The one entry of a MAC as (remote, state), with nothing else to it."""
    found = entry(lab, mac)
    assert (found.port, found.vni, found.via, found.nhid) == (None, None, None, None)
    assert found.flags == ("self",)
    return found.dst, found.state


@pytest.mark.behaviour(
    "the source of a received frame is learned, whomever it is for", source=SNOOP
)
@deaf
@two
@pytest.mark.parametrize("to", [SENDER, MULTICAST, BROADCAST], ids=["known", "group", "all"])
def test_a_source_is_learned_from_the_outer_address(lab, to):
    assert not entries(lab, MAC)
    assert arrives(lab, "b", dst=to)
    assert learned(lab, MAC) == (address(lab, "b"), "reachable")


@pytest.mark.behaviour(
    "a question by ARP is enough for both sides to learn", source="RFC 7348, 4.1"
)
@deaf
@two
def test_both_ends_learn_from_one_arp_exchange(lab):
    assert lab["a"].ping("172.18.1.3")
    for host, peer in ("ab", "ba"):
        (link,) = lab[peer].ip("link", "show", "vxlan0")
        assert remotes(lab, link["address"], host) == {address(lab, peer)}


@pytest.mark.behaviour("frames for a learned MAC go to its remote alone", source=SNOOP)
@deaf
@three
def test_what_is_learned_ends_the_flooding(lab):
    everywhere = sorted(Copy(address(lab, host), 4789, 42) for host in "bc")
    assert collected_copies(lab, MAC) == everywhere
    assert arrives(lab, "b")
    assert collected_copies(lab, MAC) == [Copy(address(lab, "b"), 4789, 42)]


@pytest.mark.behaviour("only the source MAC is learned, never the destination", source=SNOOP)
@deaf
@two
def test_a_destination_is_not_learned(lab):
    assert arrives(lab, "b", dst=OTHER, src=MAC)
    assert entries(lab, MAC)
    assert not entries(lab, OTHER)


@pytest.mark.behaviour("a MAC seen behind another VTEP moves there", source=SNOOP)
@deaf
@three
@pytest.mark.parametrize("by_hand", [False, True], ids=["learned", "dynamic-by-hand"])
def test_a_moved_mac_rewrites_the_remote(lab, by_hand):
    if by_hand:
        lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "b"), state="dynamic"))
    else:
        assert arrives(lab, "b")
    assert learned(lab, MAC) == (address(lab, "b"), "reachable")
    assert arrives(lab, "c")
    assert learned(lab, MAC) == (address(lab, "c"), "reachable")
    assert collected_copies(lab, MAC) == [Copy(address(lab, "c"), 4789, 42)]


@pytest.mark.behaviour("learning and moving are told to listeners, once each", source=SNOOP)
@deaf
@three
@pytest.mark.known_difference("K55", until="6.13")
def test_learning_and_moving_are_notified(lab):
    with fdb_events(lab) as events:
        for source in "bbbccc":
            assert arrives(lab, source)
        lab.apply(DelFdb("a", "vxlan0", MAC))
        told = [(event.kind, event.dst) for event in events() if event.mac == MAC]
    b, c = address(lab, "b"), address(lab, "c")
    assert told == [(RTM_NEWNEIGH, b), (RTM_NEWNEIGH, c), (RTM_DELNEIGH, c)]


@pytest.mark.behaviour(
    "`bridge monitor fdb` tells of a learned MAC", source="man 8 bridge: monitor"
)
@deaf
@two
def test_bridge_monitor_tells_of_a_learned_mac(lab):
    numbers, told = itertools.count(), []
    with lab["a"].popen("bridge", "monitor", "fdb", text=False) as monitor:
        os.set_blocking(monitor.stdout.fileno(), False)

        def seen():  # what is learned before the program listens is not told
            inject(lab, "b", BROADCAST, f"02:00:00:01:{next(numbers).to_bytes(2).hex(':')}")
            told.append(monitor.stdout.read() or b"")
            return b" dev vxlan0 dst " in b"".join(told)

        try:
            wait_until(seen, "a line about a learned MAC", timeout=5)
        finally:
            monitor.terminate()
    line = b"".join(told).decode().splitlines()[0]
    assert line.startswith("02:00:00:01:")
    assert f"dst {address(lab, 'b')} self" in line


def as_dynamic(made):
    """The same operation, but an entry it makes is dynamic."""
    return dataclasses.replace(made, state="dynamic") if isinstance(made, AddFdb) else made


@pytest.mark.behaviour("a static MAC never moves, and frames that say so are dropped", source=SNOOP)
@pytest.mark.control("the entry is dynamic", change=as_dynamic, because="not True")
@three
@pytest.mark.parametrize("state", ["permanent", "static"])
def test_a_static_mac_never_moves(lab, state):
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "b"), state=state))
    assert not arrives(lab, "c")
    found = entry(lab, MAC)
    assert (found.dst, found.state) == (address(lab, "b"), state)
    assert arrives(lab, "b")


@pytest.mark.behaviour("an entry of another control plane moves when it is dynamic", source=SNOOP)
@deaf
@three
def test_a_dynamic_extern_learn_entry_moves_and_keeps_its_flag(lab):
    flags = ("self", "extern_learn")
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "b"), state="dynamic", flags=flags))
    assert arrives(lab, "c")
    found = entry(lab, MAC)
    assert (found.dst, found.flags) == (address(lab, "c"), flags)


@pytest.mark.behaviour("a next hop is never overridden: the frame is dropped", source=SNOOP)
@pytest.mark.known_difference("K53", since="7.2")
@pytest.mark.known_difference("K50", until="6.12", deadly=True)
@pytest.mark.control("there is no next hop", without=AddNexthop, because="does not exist")
@three
@pytest.mark.parametrize("source", ["b", "c"], ids=["from-a-member", "from-another"])
def test_an_entry_with_a_next_hop_is_never_overridden(lab, source):
    lab.apply(AddNexthop("a", 1, via=address(lab, "b")), AddNexthop("a", 10, group=(1,)))
    lab.apply(AddFdb("a", "vxlan0", MAC, nhid=10, state="dynamic"))
    assert not arrives(lab, source)
    found = entry(lab, MAC)
    assert (found.nhid, found.dst) == (10, None)


@pytest.mark.behaviour("with nolearning frames are received, and nothing learned", source=SNOOP)
@pytest.mark.control("a's device learns", vteps={"a": {"learning": True}}, because="reachable")
@pytest.mark.topology(
    lambda family: catalog.point_to_point(family=family).with_vtep("a", "overlay", learning=False),
    family=[4, 6],
)
def test_nolearning_learns_nothing(lab):
    assert arrives(lab, "b")
    assert entries(lab, MAC) == []


@pytest.mark.behaviour("nolearning forgets nothing", source="vxlan_core.c: vxlan_changelink()")
@pytest.mark.control("learning stays on", without=SetVxlan, because="OTHER|02:00:00:00:00:02")
@three
def test_switching_learning_off_freezes_what_is_known(lab):
    assert arrives(lab, "b")
    lab.apply(SetVxlan("a", "vxlan0", (("learning", False),)))
    assert arrives(lab, "c", src=OTHER)
    assert arrives(lab, "c", src=MAC)
    assert OTHER not in macs(lab)
    assert remotes(lab, MAC) == {address(lab, "b")}


@pytest.mark.behaviour("learning switched on learns from the next frame", source=SNOOP)
@pytest.mark.control("learning stays off", without=SetVxlan)
@pytest.mark.topology(
    lambda family: catalog.point_to_point(family=family).with_vtep("a", "overlay", learning=False),
    family=[4, 6],
)
def test_switching_learning_on_learns_from_the_next_frame(lab):
    assert arrives(lab, "b")
    assert not entries(lab, MAC)
    lab.apply(SetVxlan("a", "vxlan0", (("learning", True),)))
    assert arrives(lab, "b")
    assert learned(lab, MAC) == (address(lab, "b"), "reachable")


@pytest.mark.behaviour("a deleted MAC is learned again from the next frame", source=SNOOP)
@pytest.mark.control("it is not deleted", without=DelFdb, because=MAC)
@three
def test_a_deleted_mac_is_learned_again(lab):
    assert arrives(lab, "b")
    lab.apply(DelFdb("a", "vxlan0", MAC))
    assert not entries(lab, MAC)
    assert arrives(lab, "c")
    assert learned(lab, MAC) == (address(lab, "c"), "reachable")


@pytest.mark.behaviour("one VTEP may stand for many MACs", source=SNOOP)
@deaf
@two
def test_many_macs_are_learned_behind_one_remote(lab):
    many = {f"02:00:00:02:00:{number:02x}" for number in range(200)}
    inject_all(lab, "b", [marked_frame(BROADCAST, mac) for mac in many])
    wait_until(lambda: many <= macs(lab), "200 learned MACs", timeout=5)
    rows = state.fdb(lab["a"].namespaces, "vxlan0")
    assert {row.dst for row in rows if row.mac in many} == {address(lab, "b")}


@pytest.mark.behaviour("a link-local remote is learned with the card it is on", source=SNOOP)
@pytest.mark.control("it is no link-local one", arguments={"source": "fd00::77"}, because="assert")
@pytest.mark.topology(kernel_at_a(6))
@pytest.mark.parametrize("source", ["fe80::77"])
def test_a_link_local_remote_is_learned_with_its_card(lab, source):
    with reference_at_b(lab) as far:

        def send(far, frame):
            far.send_outer(far.encapsulate(frame), source=source)

        assert outcome(lab, far, send) == accepted()
    found = entry(lab, MAC)
    assert (found.dst, found.via) == (source, "eth0")


@pytest.mark.behaviour(
    "whatever port a VTEP sends from, it is answered on the device's", source=SNOOP
)
@pytest.mark.control("a's device does not learn", vteps={"a": {"learning": False}})
@pytest.mark.topology(kernel_at_a, family=[4, 6])
def test_the_source_port_is_not_learned(lab):
    with reference_at_b(lab) as far:

        def send(far, frame):
            far.send_outer(far.encapsulate(frame), source_port=1234)

        assert outcome(lab, far, send) == accepted()
        assert learned(lab, MAC) == (address(lab, "b"), "reachable")
        assert collected_copies(lab, MAC) == [Copy(address(lab, "b"), 4789, 42)]
