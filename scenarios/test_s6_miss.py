"""6.3 Misses: the events by which the kernel reports MACs and addresses that a device lacks.

    a eth0 192.168.57.50 ── lan ── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2             172.18.1.3 vxlan0
      l2miss, l3miss, no remote

An event is a netlink message RTM_GETNEIGH to all sockets that listen for neighbours, as that of
`ip monitor neigh` does; a controller answers it by adding an entry.
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
from neighbour_tools import TARGETS, Misses, bridged_with_ipv6, request_for

from vxlab import catalog, wait_until
from vxlab.operations import AddFdb, AddNeighbour, SetSysctl

MISS = "drivers/net/vxlan/vxlan_core.c: vxlan_fdb_miss()"
IP_MISS = "drivers/net/vxlan/vxlan_core.c: vxlan_ip_miss()"
MAC = "02:00:00:00:00:77"
IPV6_ON = SetSysctl("a", "net.ipv6.conf.vxlan0.disable_ipv6", "0")

arp_and_nd = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())

#: What a control expects: the miss of the MAC, or of a target, was reported, or nothing was.
MAC_REPORTED = rf"misses reported: \['{MAC}'\]"
TARGET_REPORTED = rf"misses reported: \['({'|'.join(TARGETS.values())})'\]"
NOTHING_REPORTED = r"misses reported: \[\]"


def without_remote(**attributes):
    """Two hosts; a's device has the given attributes, and no remote."""
    made = catalog.point_to_point().with_vtep("a", "overlay", remotes=())
    return made.with_vtep("a", "overlay", **attributes)


@contextlib.contextmanager
def ip_monitor(lab, host):
    """`ip monitor neigh` in a host, from when it prints; the file that it writes to.

    The program opens its socket first, then reads the names of links, and loses the events between
    the two: so it is given events until it prints one.
    """
    macs = itertools.cycle(["02:00:00:00:00:01", "02:00:00:00:00:02"])

    def has_printed():
        lab.apply(AddNeighbour(host, "eth0", "192.168.57.99", next(macs), replace=True))
        return bool(lines_of(file))

    with tempfile.TemporaryFile() as file:
        process = lab[host].popen("ip", "monitor", "neigh", stdout=file, stderr=file)
        try:
            wait_until(has_printed, "ip monitor to print", interval=0.01)
            yield file
        finally:
            process.kill()
            process.wait()


def lines_of(file):
    """What has been written to a file so far, as lines without spaces at their ends."""
    written = os.pread(file.fileno(), 1 << 16, 0)  # the writer's own position stays
    return [line.strip() for line in written.decode().splitlines()]


def add_entry(lab):
    """Give a's device an FDB entry for the MAC, with the remote b."""
    lab.apply(AddFdb("a", "vxlan0", MAC, underlay_address(lab, "b")))


@pytest.mark.behaviour(
    "`ip monitor neigh` prints a miss with its MAC (`l2miss`) or its IP address (`l3miss`)",
    source=MISS,
)
@pytest.mark.known_difference("I13", until="6.1", of="iproute2")
@pytest.mark.control(
    "a's device has neither `l2miss` nor `l3miss`",
    vteps={"a": {"l2miss": False, "l3miss": False}},
    because=r"ip monitor printed the misses \[\]",
)
@pytest.mark.parametrize(
    ("frame", "wanted"),
    [
        (datagram_frame(MAC, b"x"), f"miss dev vxlan0 lladdr {MAC} STALE"),
        (request_for(TARGETS["arp"]), f"miss {TARGETS['arp']} dev vxlan0 STALE"),
        (request_for(TARGETS["nd"]), f"miss {TARGETS['nd']} dev vxlan0 STALE"),
    ],
    ids=["l2", "l3-ipv4", "l3-ipv6"],
)
@pytest.mark.topology(without_remote(l2miss=True, l3miss=True, proxy=True))
def test_a_miss_is_printed_by_ip_monitor(lab, frame, wanted):
    with ip_monitor(lab, "a") as file:
        send_frames(lab["a"], "vxlan0", frame)
        add_entry(lab)  # which is printed too, later
        wait_until(lambda: f"lladdr {MAC} NOARP" in "".join(lines_of(file)), "the later event")
        found = [line for line in lines_of(file) if line.startswith("miss")]
        assert found == [wanted], f"ip monitor printed the misses {found}"


@pytest.mark.behaviour(
    "with `l2miss`, each frame to a MAC without an FDB entry is reported as a miss", source=MISS
)
@pytest.mark.control(
    "a's device has an FDB entry for the MAC", lab=add_entry, because=NOTHING_REPORTED
)
@pytest.mark.parametrize("number", [1, 3], ids=["one-frame", "three-frames"])
@pytest.mark.topology(without_remote(l2miss=True))
def test_each_frame_to_an_unknown_mac_is_reported(lab, number):
    with Misses(lab["a"]) as misses:
        send_frames(lab["a"], "vxlan0", *[datagram_frame(MAC, b"x")] * number)
        found = misses.all_until_later(lab)
        assert found == [MAC] * number, f"misses reported: {found}"


@pytest.mark.behaviour(
    "`l2miss` does not report broadcast and multicast frames, which are dropped", source=MISS
)
@pytest.mark.control("the frame is a unicast frame", arguments={"mac": MAC}, because=MAC_REPORTED)
@pytest.mark.parametrize(
    "mac",
    [BROADCAST, "01:00:5e:01:02:03", "33:33:00:00:00:01"],
    ids=["broadcast", "ipv4-multicast", "ipv6-multicast"],
)
@pytest.mark.topology(without_remote(l2miss=True))
def test_l2miss_does_not_report_broadcast_and_multicast(lab, mac):
    dropped = counters_of(lab, "a").tx_dropped
    with Misses(lab["a"]) as misses:
        send_frames(lab["a"], "vxlan0", datagram_frame(mac, b"x"))
        found = misses.all_until_later(lab)
        assert found == [], f"misses reported: {found}"
    assert counters_of(lab, "a").tx_dropped == dropped + 1


def without_remote_or_group(operation):
    """The same vxlan device with nowhere to flood to."""
    if getattr(operation, "kind", None) != "vxlan":
        return operation
    kept = [pair for pair in operation.attributes if pair[0] not in ("remote", "group")]
    return dataclasses.replace(operation, attributes=tuple(kept))


@pytest.mark.behaviour(
    "`l2miss` does not report a frame that is flooded to a remote or group", source=MISS
)
@pytest.mark.control(
    "a's device has neither a remote nor a group",
    change=without_remote_or_group,
    because=MAC_REPORTED,
)
@pytest.mark.topology(catalog.point_to_point().with_vtep("a", "overlay", l2miss=True))
@pytest.mark.topology(catalog.one_switch(port=4789).with_vtep("a", "overlay", l2miss=True))
def test_l2miss_does_not_report_a_flooded_frame(lab):
    with lab.capture("a:eth0") as seen, Misses(lab["a"]) as misses:
        send_frames(lab["a"], "vxlan0", datagram_frame(MAC, b"flooded"))
        found = misses.all_until_later(lab)
        assert found == [], f"misses reported: {found}"
        seen["a:eth0"].wait_for(carries(b"flooded", lab.topology.ports), "the flooded frame")


@pytest.mark.behaviour(
    "without `l2miss`, a frame to a MAC without an FDB entry is not reported", source=MISS
)
@pytest.mark.control("a's device has `l2miss`", vteps={"a": {"l2miss": True}}, because=MAC_REPORTED)
@pytest.mark.topology(without_remote(l2miss=False))
def test_without_l2miss_an_unknown_mac_is_not_reported(lab):
    with Misses(lab["a"]) as misses:
        send_frames(lab["a"], "vxlan0", datagram_frame(MAC, b"x"))
        found = misses.all_until_later(lab)
        assert found == [], f"misses reported: {found}"


@pytest.mark.behaviour(
    "a frame that is reported by `l2miss` is dropped; when an FDB entry is added, the next frame "
    "is sent",
    source=MISS,
)
@pytest.mark.control(
    "the miss is not answered with an FDB entry",
    without=AddFdb,
    because="b/eth0: waited .* for the frame after the miss",
)
@pytest.mark.topology(without_remote(l2miss=True))
def test_after_a_miss_is_answered_the_next_frame_is_sent(lab):
    dropped = counters_of(lab, "a").tx_dropped
    with lab.capture("b") as seen, Misses(lab["a"]) as misses:
        send_frames(lab["a"], "vxlan0", datagram_frame(MAC, b"missed"))
        misses.wait_for(MAC)
        lab.apply(AddFdb("a", "vxlan0", misses.seen[0], underlay_address(lab, "b")))
        send_frames(lab["a"], "vxlan0", datagram_frame(MAC, b"known"))
        known = carries(b"known", lab.topology.ports)
        seen["b"].wait_for(known, "the frame after the miss", timeout=3)
    assert copies_sent_to(seen["b"], b"missed") == []
    assert counters_of(lab, "a").tx_dropped == dropped + 1


@pytest.mark.behaviour(
    "with `proxy` and `l3miss`, a request for an address that is not in the neighbour table is "
    "reported as a miss",
    source=IP_MISS,
)
@pytest.mark.control(
    "a's device has no `l3miss`", vteps={"a": {"l3miss": False}}, because=NOTHING_REPORTED
)
@arp_and_nd
@pytest.mark.topology(without_remote(l3miss=True, proxy=True))
def test_a_request_that_a_proxy_cannot_answer_is_reported(lab, target):
    with Misses(lab["a"]) as misses:
        send_frames(lab["a"], "vxlan0", request_for(target))
        found = misses.all_until_later(lab)
        assert found == [target], f"misses reported: {found}"


@pytest.mark.behaviour(
    "with `l3miss` but without `proxy`, a request for an unknown address is not reported",
    source=IP_MISS,
)
@pytest.mark.control(
    "a's device has `proxy`", vteps={"a": {"proxy": True}}, because=TARGET_REPORTED
)
@arp_and_nd
@pytest.mark.topology(without_remote(l3miss=True))
def test_without_proxy_a_request_is_not_reported(lab, target):
    with Misses(lab["a"]) as misses:
        send_frames(lab["a"], "vxlan0", request_for(target))
        found = misses.all_until_later(lab)
        assert found == [], f"misses reported: {found}"


@pytest.mark.behaviour(
    "`l3miss` does not report an address that has a neighbour entry, even a stale one",
    source=IP_MISS,
)
@pytest.mark.control(
    "the address has no neighbour entry",
    without=AddNeighbour,
    because="the address was reported as a miss",
)
@pytest.mark.parametrize("state", ["permanent", "stale"])
@arp_and_nd
@pytest.mark.topology(without_remote(l3miss=True, proxy=True))
def test_l3miss_does_not_report_an_address_with_an_entry(lab, target, state):
    lab.apply(IPV6_ON, AddNeighbour("a", "vxlan0", target, MAC, state=state))
    with Misses(lab["a"]) as misses:
        send_frames(lab["a"], "vxlan0", request_for(target))
        found = misses.all_until_later(lab)
        assert target not in found, "the address was reported as a miss"


def route_by_eth0(lab):
    """Give a's host a route to the target by eth0, where it then asks for the target's MAC."""
    lab["a"].run("ip", "route", "add", TARGETS["arp"], "dev", "eth0")


@pytest.mark.behaviour(
    "`l3miss` does not report an address that the device's own host has asked for, because the "
    "host then has an unresolved neighbour entry",
    source=IP_MISS,
)
@pytest.mark.control(
    "a's host has a route to the address by eth0, and does not ask on the vxlan device",
    lab=route_by_eth0,
    because="the address was reported as a miss",
)
@pytest.mark.topology(without_remote(l3miss=True, proxy=True))
def test_an_address_that_the_own_host_asks_for_is_not_reported(lab):
    target = TARGETS["arp"]
    with Misses(lab["a"]) as misses:
        lab["a"].send_marked(target, b"asks for the MAC")
        send_frames(lab["a"], "vxlan0", request_for(target))
        found = misses.all_until_later(lab)
        assert target not in found, "the address was reported as a miss"
    (row,) = (row for row in lab["a"].state.neighbours if row.address == target)
    assert row.state in ("INCOMPLETE", "FAILED")  # the kernel gives up in the end


def hosts_without_entries():
    """Containers on two hosts, whose devices have and learn no entries, and report all misses."""
    made = bridged_with_ipv6()
    settings = {"learning": False, "proxy": True, "l2miss": True, "l3miss": True}
    for host in "ab":
        made = made.with_vtep(host, "overlay", remotes=(), **settings)
    return made


@pytest.mark.behaviour(
    "a controller that answers each miss with an entry lets two containers reach each other "
    "through devices that learn and flood nothing",
    source=IP_MISS,
)
@pytest.mark.control(
    "the controller adds neighbour entries, but no FDB entries",
    without=AddFdb,
    because="the ping was not answered",
)
@pytest.mark.parametrize("address", ["172.18.1.3", "fd42::3"], ids=["ipv4", "ipv6"])
@pytest.mark.topology(hosts_without_entries())
def test_a_controller_that_answers_misses_connects_containers(lab, address):
    macs, remotes = {}, {}
    for name, host in (("ns0", "a"), ("ns1", "b")):
        mac = lab[name].ip("link", "show", "eth0")[0]["address"]
        remotes[mac] = underlay_address(lab, host)
        for row in lab[name].state.addresses:
            macs[row.address] = mac
        lab.apply(SetSysctl(host, "net.ipv6.conf.vxlan0.disable_ipv6", "0"))
    command = ("ping", "-n", "-c", "1", "-w", "20", "-i", "0.2", address)
    with Misses(lab["a"]) as of_a, Misses(lab["b"]) as of_b, lab["ns0"].popen(*command) as ping:

        def control_until_ping_ends():
            answer_misses(lab, "a", of_a, macs, remotes)
            answer_misses(lab, "b", of_b, macs, remotes)
            return ping.poll() is not None

        wait_until(control_until_ping_ends, "the ping to end, at the latest in 20 s", timeout=30)
    assert ping.returncode == 0, "the ping was not answered"


def answer_misses(lab, host, misses, macs, remotes):
    """The controller: add entries for what a host's device has missed since the last time."""
    missed, misses.seen = misses.read(), []
    for what in missed:
        if what in remotes:
            lab.apply(AddFdb(host, "vxlan0", what, remotes[what], replace=True))
        elif what in macs:
            lab.apply(AddNeighbour(host, "vxlan0", what, macs[what], replace=True))
