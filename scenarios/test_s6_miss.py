"""6.3 Misses: the kernel tells whoever listens what a device does not know.

    a eth0 192.168.57.50 ── lan ── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2             172.18.1.3 vxlan0
      l2miss, l3miss, no remote

An event is a netlink message RTM_GETNEIGH to all that listen for neighbours, as `ip monitor neigh`
does; a controller answers it by adding an entry.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import tempfile

import pytest
from flood_tools import (
    BROADCAST,
    carries,
    copies_sent_to,
    counters_of,
    datagram_frame,
    send_frames,
    underlay_address,
)
from neighbour_tools import TARGETS, Misses, request_for

from vxlab import catalog, wait_until
from vxlab.operations import AddFdb, AddNeighbour, SetSysctl

MISS = "drivers/net/vxlan/vxlan_core.c: vxlan_fdb_miss()"
IP_MISS = "drivers/net/vxlan/vxlan_core.c: vxlan_ip_miss()"
MAC = "02:00:00:00:00:77"

both = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())


def missing(**attributes):
    """Two hosts; a's device has the given attributes, and nowhere to flood to."""
    made = catalog.point_to_point().with_vtep("a", "overlay", remotes=())
    return made.with_vtep("a", "overlay", **attributes)


@contextlib.contextmanager
def monitor(lab, host):
    """`ip monitor neigh` in a host, from when it prints; the file that it writes to.

    It listens first and reads the names of links then, and loses what comes between: so it is
    given events until it prints one.
    """
    macs = itertools.cycle(["02:00:00:00:00:01", "02:00:00:00:00:02"])

    def event():
        lab.apply(AddNeighbour(host, "eth0", "192.168.57.99", next(macs), replace=True))

    with tempfile.TemporaryFile() as file:
        process = lab[host].popen("ip", "monitor", "neigh", stdout=file, stderr=file)
        try:
            wait_until(lambda: event() or lines_of(file), "ip monitor to print", interval=0.01)
            yield file
        finally:
            process.kill()
            process.wait()


def lines_of(file):
    """What has been written to a file so far, as lines without spaces at their ends."""
    written = os.pread(file.fileno(), 1 << 16, 0)  # the writer's own position stays
    return [line.strip() for line in written.decode().splitlines()]


@pytest.mark.behaviour("`ip monitor neigh` prints a miss, with the MAC or address", source=MISS)
@pytest.mark.known_difference("I13", until="6.1", of="iproute2")
@pytest.mark.control("the device tells nothing", vteps={"a": {"l2miss": False, "l3miss": False}})
@pytest.mark.parametrize(
    ("frame", "wanted"),
    [
        (datagram_frame(MAC, b"x"), f"miss dev vxlan0 lladdr {MAC} STALE"),
        (request_for(TARGETS["arp"]), f"miss {TARGETS['arp']} dev vxlan0 STALE"),
        (request_for(TARGETS["nd"]), f"miss {TARGETS['nd']} dev vxlan0 STALE"),
    ],
    ids=["l2", "l3-ipv4", "l3-ipv6"],
)
@pytest.mark.topology(missing(l2miss=True, l3miss=True, proxy=True))
def test_a_miss_is_printed_by_ip_monitor(lab, frame, wanted):
    with monitor(lab, "a") as file:
        send_frames(lab["a"], "vxlan0", frame)
        know(lab)  # which is printed too, later
        wait_until(lambda: f"lladdr {MAC} NOARP" in "".join(lines_of(file)), "the later event")
        assert [line for line in lines_of(file) if line.startswith("miss")] == [wanted]


@pytest.mark.behaviour("with l2miss each frame to an unknown MAC is an event", source=MISS)
@pytest.mark.control("the MAC is known", lab=lambda lab: know(lab))
@pytest.mark.parametrize("number", [1, 3], ids=["one-frame", "three-frames"])
@pytest.mark.topology(missing(l2miss=True))
def test_each_frame_to_an_unknown_mac_is_an_event(lab, number):
    with Misses(lab["a"]) as misses:
        send_frames(lab["a"], "vxlan0", *[datagram_frame(MAC, b"x")] * number)
        assert misses.all_until_later(lab) == [MAC] * number


def know(lab):
    """Tell a where the MAC is."""
    lab.apply(AddFdb("a", "vxlan0", MAC, underlay_address(lab, "b")))


@pytest.mark.behaviour("l2miss is silent on broadcast and multicast", source=MISS)
@pytest.mark.control("it is unicast", arguments={"mac": MAC})
@pytest.mark.parametrize(
    "mac",
    [BROADCAST, "01:00:5e:01:02:03", "33:33:00:00:00:01"],
    ids=["broadcast", "ipv4-multicast", "ipv6-multicast"],
)
@pytest.mark.topology(missing(l2miss=True))
def test_l2miss_is_silent_on_broadcast_and_multicast(lab, mac):
    dropped = counters_of(lab, "a").tx_dropped
    with Misses(lab["a"]) as misses:
        send_frames(lab["a"], "vxlan0", datagram_frame(mac, b"x"))
        assert misses.all_until_later(lab) == []
    assert counters_of(lab, "a").tx_dropped == dropped + 1


@pytest.mark.behaviour("l2miss is silent where there is somewhere to flood to", source=MISS)
@pytest.mark.control("there is not", change=lambda op: remoteless(op))
@pytest.mark.topology(catalog.point_to_point().with_vtep("a", "overlay", l2miss=True))
@pytest.mark.topology(catalog.one_switch(port=4789).with_vtep("a", "overlay", l2miss=True))
def test_l2miss_is_silent_where_a_flood_goes_out(lab):
    with lab.capture("a:eth0") as seen, Misses(lab["a"]) as misses:
        send_frames(lab["a"], "vxlan0", datagram_frame(MAC, b"flooded"))
        assert misses.all_until_later(lab) == []
        seen["a:eth0"].wait_for(carries(b"flooded", lab.topology.ports), "the flood")


def remoteless(operation):
    """A vxlan device without remote and group."""
    if getattr(operation, "kind", None) != "vxlan":
        return operation
    kept = [pair for pair in operation.attributes if pair[0] not in ("remote", "group")]
    return dataclasses.replace(operation, attributes=tuple(kept))


@pytest.mark.behaviour("without l2miss an unknown MAC is no event", source=MISS)
@pytest.mark.control("the device has l2miss", vteps={"a": {"l2miss": True}})
@pytest.mark.topology(missing(l2miss=False))
def test_without_l2miss_an_unknown_mac_is_no_event(lab):
    with Misses(lab["a"]) as misses:
        send_frames(lab["a"], "vxlan0", datagram_frame(MAC, b"x"))
        assert misses.all_until_later(lab) == []


@pytest.mark.behaviour("the missed frame is lost; with an entry the next one flows", source=MISS)
@pytest.mark.control("nobody answers the event", without=AddFdb)
@pytest.mark.topology(missing(l2miss=True))
def test_after_an_answer_to_the_event_the_next_frame_flows(lab):
    dropped = counters_of(lab, "a").tx_dropped
    with lab.capture("b") as seen, Misses(lab["a"]) as misses:
        send_frames(lab["a"], "vxlan0", datagram_frame(MAC, b"missed"))
        misses.wait_for(MAC)
        lab.apply(AddFdb("a", "vxlan0", misses.seen[0], underlay_address(lab, "b")))
        send_frames(lab["a"], "vxlan0", datagram_frame(MAC, b"known"))
        seen["b"].wait_for(carries(b"known", lab.topology.ports), "what follows", timeout=3)
    assert copies_sent_to(seen["b"], b"missed") == []
    assert counters_of(lab, "a").tx_dropped == dropped + 1


@pytest.mark.behaviour(
    "with l3miss a proxy tells of what it is asked and does not know", source=IP_MISS
)
@pytest.mark.control("the device has no l3miss", vteps={"a": {"l3miss": False}})
@both
@pytest.mark.topology(missing(l3miss=True, proxy=True))
def test_a_question_that_a_proxy_cannot_answer_is_an_event(lab, target):
    with Misses(lab["a"]) as misses:
        send_frames(lab["a"], "vxlan0", request_for(target))
        assert misses.all_until_later(lab) == [target]


@pytest.mark.behaviour("l3miss without proxy tells nothing of questions", source=IP_MISS)
@pytest.mark.control("it is a proxy", vteps={"a": {"proxy": True}})
@both
@pytest.mark.topology(missing(l3miss=True))
def test_without_a_proxy_a_question_is_no_event(lab, target):
    with Misses(lab["a"]) as misses:
        send_frames(lab["a"], "vxlan0", request_for(target))
        assert misses.all_until_later(lab) == []


@pytest.mark.behaviour("l3miss is silent for an entry, even a stale one", source=IP_MISS)
@pytest.mark.control("there is no entry", without=AddNeighbour)
@pytest.mark.parametrize("state", ["permanent", "stale"])
@both
@pytest.mark.topology(missing(l3miss=True, proxy=True))
def test_an_entry_is_no_miss_whatever_its_state(lab, target, state):
    lab.apply(IPV6_ON, AddNeighbour("a", "vxlan0", target, MAC, state=state))
    with Misses(lab["a"]) as misses:
        send_frames(lab["a"], "vxlan0", request_for(target))
        assert misses.all_until_later(lab).count(target) == 0


IPV6_ON = SetSysctl("a", "net.ipv6.conf.vxlan0.disable_ipv6", "0")


@pytest.mark.behaviour(
    "what the device's own host asks is no miss: it has an entry", source=IP_MISS
)
@pytest.mark.control("another asks", arguments={"asker": "frame"})
@pytest.mark.parametrize("asker", ["host"])
@pytest.mark.topology(missing(l3miss=True, proxy=True))
def test_a_question_of_the_own_host_is_no_miss(lab, asker):
    with Misses(lab["a"]) as misses:
        if asker == "host":
            assert not lab["a"].ping("172.18.1.77", timeout=0.3)
        send_frames(lab["a"], "vxlan0", request_for("172.18.1.77"))
        assert "172.18.1.77" not in misses.all_until_later(lab)
    (row,) = (row for row in lab["a"].state.neighbours if row.address == "172.18.1.77")
    assert row.state in ("INCOMPLETE", "FAILED")  # the kernel gives up in the end


def two_blind_bridges():
    """Containers on two hosts, whose devices know nothing, learn nothing and tell all."""
    made = catalog.bridged()
    containers = tuple(
        dataclasses.replace(one, addresses=(*one.addresses, f"fd42::{number}/64"))
        for number, one in enumerate(made.containers, 2)
    )
    made = dataclasses.replace(made, containers=containers)
    blind = {"learning": False, "proxy": True, "l2miss": True, "l3miss": True}
    for host in "ab":
        made = made.with_vtep(host, "overlay", remotes=(), **blind)
    return made


@pytest.mark.behaviour("a controller that answers misses makes a network", source=IP_MISS)
@pytest.mark.control("it answers those of addresses only", without=AddFdb)
@pytest.mark.parametrize("address", ["172.18.1.3", "fd42::3"], ids=["ipv4", "ipv6"])
@pytest.mark.topology(two_blind_bridges())
def test_a_controller_in_ten_lines(lab, address):
    macs, places = {}, {}
    for name, host in (("ns0", "a"), ("ns1", "b")):
        mac = lab[name].ip("link", "show", "eth0")[0]["address"]
        places[mac] = underlay_address(lab, host)
        for row in lab[name].state.addresses:
            macs[row.address] = mac
        lab.apply(SetSysctl(host, "net.ipv6.conf.vxlan0.disable_ipv6", "0"))
    asks = ("ping", "-n", "-c", "1", "-w", "20", "-i", "0.2", address)
    with Misses(lab["a"]) as of_a, Misses(lab["b"]) as of_b, lab["ns0"].popen(*asks) as ping:

        def control():
            answer(lab, "a", of_a, macs, places)
            answer(lab, "b", of_b, macs, places)
            return ping.poll() is not None

        wait_until(control, "the ping to end: answered, or after 20 s", timeout=30)
    assert ping.returncode == 0, "wanted an answer"


def answer(lab, host, misses, macs, places):
    """The controller: tell a host's device what it has missed since the last time."""
    news, misses.seen = misses.read(), []
    for what in news:
        if what in places:
            lab.apply(AddFdb(host, "vxlan0", what, places[what], replace=True))
        elif what in macs:
            lab.apply(AddNeighbour(host, "vxlan0", what, macs[what], replace=True))
