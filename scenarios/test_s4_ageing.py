"""4.2 Ageing: which entries go when nothing is heard of them, and what keeps them.

    a eth0 192.168.57.50 ──── lan ──┬── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2             │                vxlan0 172.18.1.3
                                    └── 192.168.57.55 eth0 c
                                                     vxlan0 172.18.1.4

The kernel looks for old entries every 10 s, and at once where the ageing time is changed; from then
on it also wakes when the next entry is due.  So each test makes its entries first and lowers the
ageing time then; an entry that is learned last, the witness, tells when the others are due too.
"""

from __future__ import annotations

import dataclasses
import time

import pytest
from fdb_tools import (
    BROADCAST,
    MAC,
    MULTICAST,
    NUD_STALE,
    OTHER,
    RTM_DELNEIGH,
    Copy,
    address,
    arrives,
    collected_copies,
    entries,
    entry,
    fdb_events,
    inject,
    macs,
)

from vxlab import catalog, state, wait_until
from vxlab.operations import AddFdb, AddLink, AddNexthop, SetLink, SetVxlan

CLEANUP = "drivers/net/vxlan/vxlan_core.c: vxlan_cleanup()"
SNOOP = "drivers/net/vxlan/vxlan_core.c: vxlan_snoop()"
UPDATE = "drivers/net/vxlan/vxlan_core.c: vxlan_fdb_update_existing()"

#: Two periods of the kernel's scan, and some.
PATIENCE = 25

pytestmark = pytest.mark.topology(catalog.point_to_point(hosts=3))


def ageing(seconds):
    return SetVxlan("a", "vxlan0", (("ageing", seconds),))


def until_due(lab, seconds, meanwhile=lambda lab: None):
    """Wait until all that is now in a's table, and is not refreshed, is older than ``seconds``."""
    assert arrives(lab, "b", src=OTHER)
    meanwhile(lab)  # on a slow machine what was made before the witness would be due at once
    lab.apply(ageing(seconds))

    def gone():
        meanwhile(lab)
        return not entries(lab, OTHER)

    wait_until(gone, "the end of the witness", timeout=PATIENCE)


def make(lab, mac, state, flags=("self",), nexthop=False):
    """An entry of some kind; without a state one that is learned."""
    if not state:
        assert arrives(lab, "b", src=mac)
    elif nexthop:
        lab.apply(AddNexthop("a", 1, via=address(lab, "b")), AddNexthop("a", 10, group=(1,)))
        lab.apply(AddFdb("a", "vxlan0", mac, nhid=10, state=state, flags=flags))
    else:
        lab.apply(AddFdb("a", "vxlan0", mac, address(lab, "b"), state=state, flags=flags))


EXTERN, ROUTER = ("self", "extern_learn"), ("self", "router")
STAY = {
    "permanent": ("permanent",),
    "static": ("static",),
    "extern_learn-dynamic": ("dynamic", EXTERN),
    "extern_learn-static": ("static", EXTERN),
    "permanent-next-hop": ("permanent", ("self",), True),
}


def as_plain_dynamic(made):
    """An entry that nothing keeps."""
    if isinstance(made, AddFdb) and made.mac == MAC:
        return dataclasses.replace(made, state="dynamic", flags=("self",))
    return made


@pytest.mark.behaviour("static entries and those of another control plane stay", source=CLEANUP)
@pytest.mark.control("it is plainly dynamic", change=as_plain_dynamic, because="wanted one entry")
@pytest.mark.parametrize("kind", STAY.values(), ids=STAY.keys())
def test_an_entry_does_not_age(lab, kind):
    make(lab, MAC, *kind)
    before = entry(lab, MAC)
    until_due(lab, 1)
    assert entry(lab, MAC) == before


GO = [
    pytest.param(("dynamic",), id="dynamic-by-hand"),
    pytest.param(("dynamic", ROUTER), id="dynamic-router"),
    pytest.param(
        ("dynamic", ("self",), True),
        id="dynamic-next-hop",
        marks=pytest.mark.known_difference("K53", since="7.2"),  # it is refused
    ),
]


@pytest.mark.behaviour("dynamic entries go, also those made by hand", source=CLEANUP)
@pytest.mark.control(
    "it is static",
    change=lambda made: (
        dataclasses.replace(made, state="static")
        if isinstance(made, AddFdb) and made.mac in (MAC, MULTICAST)
        else made
    ),
    because="assert",
)
@pytest.mark.parametrize("mac", [MAC, MULTICAST], ids=["unicast", "multicast"])
@pytest.mark.parametrize("kind", GO)
def test_a_dynamic_entry_goes(lab, kind, mac):
    make(lab, mac, *kind)
    assert entry(lab, mac).state == "reachable"
    until_due(lab, 1)
    assert not entries(lab, mac)


@pytest.mark.behaviour("what has aged is flooded again", source=CLEANUP)
@pytest.mark.control("nothing ages", without=SetVxlan, because="waited")
@pytest.mark.slow
def test_what_has_aged_is_flooded_again(lab):
    assert arrives(lab, "c")
    assert collected_copies(lab, MAC) == [Copy(address(lab, "c"), 4789, 42)]
    until_due(lab, 1)
    assert collected_copies(lab, MAC) == sorted(Copy(address(lab, host), 4789, 42) for host in "bc")


@pytest.mark.behaviour("the end of an aged entry is notified, as of a stale one", source=CLEANUP)
@pytest.mark.control("a does not learn", vteps={"a": {"learning": False}}, because="assert")
def test_ageing_is_notified(lab):
    assert arrives(lab, "b")
    with fdb_events(lab) as events:
        until_due(lab, 1)
        told = [event for event in events() if event.mac == MAC]
    assert [(one.kind, one.dst, one.state) for one in told] == [
        (RTM_DELNEIGH, address(lab, "b"), NUD_STALE)
    ]


def again(lab, dst, flags=("self",)):
    """Replace the entry with one that has this remote."""
    lab.apply(AddFdb("a", "vxlan0", MAC, dst, state="dynamic", flags=flags, replace=True))


def receive(lab):
    inject(lab, "b", BROADCAST, MAC)


def receive_elsewhere(lab):
    inject(lab, "bc"[int(time.monotonic() * 20) % 2], BROADCAST, MAC)


def use(lab):
    again(lab, address(lab, "b"), ("self", "use"))


def move(lab):
    now = entry(lab, MAC).dst
    again(lab, address(lab, "b" if now == address(lab, "c") else "c"))


def transmit(lab):
    inject(lab, "a", MAC)


def look(lab):
    lab["a"].run("bridge", "fdb", "get", MAC, "dev", "vxlan0", "self", check=False)


def nothing(lab):
    pass


AGES_ALL_THE_SAME = pytest.mark.known_difference("K68", since="6.12.46", until="6.13")


@pytest.mark.behaviour("received frames and the user's refreshing keep an entry", source=UPDATE)
@pytest.mark.control("nothing refreshes it", arguments={"refresh": nothing}, because="assert")
@pytest.mark.slow
@pytest.mark.parametrize(
    "refresh",
    [
        pytest.param(receive, id="receive", marks=AGES_ALL_THE_SAME),
        pytest.param(receive_elsewhere, id="wander", marks=AGES_ALL_THE_SAME),
        pytest.param(use, id="use", marks=AGES_ALL_THE_SAME),
        pytest.param(move, id="replace", marks=pytest.mark.known_difference("K51", until="6.15")),
    ],
)
@pytest.mark.parametrize("by_hand", [False, True], ids=["learned", "by-hand"])
def test_what_keeps_an_entry(lab, refresh, by_hand):
    make(lab, MAC, "dynamic" if by_hand else "")
    with fdb_events(lab) as events:
        until_due(lab, 4, refresh)
        told = [event.kind for event in events() if event.mac == MAC]
    assert entries(lab, MAC)
    assert RTM_DELNEIGH not in told, "it had aged, and was made again"


@pytest.mark.behaviour("neither transmitted frames nor a look at it keep an entry", source=SNOOP)
@pytest.mark.known_difference("K51", until="6.15")
@pytest.mark.control("frames are received", arguments={"refresh": receive}, because="assert")
@pytest.mark.slow
@pytest.mark.parametrize("refresh", [transmit, look, nothing], ids=["transmit", "get", "nothing"])
@pytest.mark.parametrize("by_hand", [False, True], ids=["learned", "by-hand"])
def test_what_does_not_keep_an_entry(lab, refresh, by_hand):
    make(lab, MAC, "dynamic" if by_hand else "")
    until_due(lab, 4, refresh)
    assert not entries(lab, MAC)


def shown(lab):
    (link,) = lab["a"].ip("-d", "link", "show", "vxlan0")
    return link["linkinfo"]["info_data"]["ageing"]


@pytest.mark.behaviour(
    "an ageing time of 0 is the default of 300 s, not never",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_dev_configure()",
)
@pytest.mark.control("the ageing time is 7 s", vteps={"a": {"ageing": 7}}, because="assert")
@pytest.mark.topology(catalog.point_to_point().with_vtep("a", "overlay", ageing=0))
def test_ageing_zero_is_the_default(lab):
    assert shown(lab) == 300


@pytest.mark.behaviour(
    "an ageing time changed to 0 is the default too",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_changelink()",
)
@pytest.mark.control("it is changed to 8 s", arguments={"seconds": 8}, because="assert")
@pytest.mark.parametrize("seconds", [0], ids=["0"])
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
def test_ageing_changed_to_zero_is_the_default(lab, by, seconds):
    lab.apply(ageing(7), by=by)
    assert shown(lab) == 7
    lab.apply(ageing(seconds), by=by)
    assert shown(lab) == 300


@pytest.mark.behaviour("each device ages by its own time", source=CLEANUP)
@pytest.mark.control("both have the same", change=lambda made: quick(made), because="assert")
def test_each_device_ages_by_its_own_time(lab):
    shape = (("id", 43), ("dstport", 4789), ("local", address(lab, "a")), ("ageing", 300))
    lab.apply(AddLink("a", "vxlan43", "vxlan", 0, attributes=shape, up=True))
    for device in ("vxlan0", "vxlan43"):
        lab.apply(AddFdb("a", device, MAC, address(lab, "b"), state="dynamic"))
    lab.apply(SetVxlan("a", "vxlan43", (("ageing", 100),)))
    until_due(lab, 1)
    assert not entries(lab, MAC)
    assert MAC in {row.mac for row in state.fdb(lab["a"].namespaces, "vxlan43")}


def quick(made):
    """vxlan43 is set to 1 s in place of 100 s."""
    if isinstance(made, SetVxlan) and made.name == "vxlan43":
        return dataclasses.replace(made, attributes=(("ageing", 1),))
    return made


@pytest.mark.behaviour("the first scan is 10 s after the device went up", source=CLEANUP)
@pytest.mark.control(
    "the ageing time is changed, which scans at once",
    arguments={"change": (ageing(2),)},
    because="assert",
)
@pytest.mark.slow
@pytest.mark.topology(catalog.point_to_point().with_vtep("a", "overlay", ageing=1))
@pytest.mark.parametrize("change", [()], ids=["unchanged"])
def test_an_old_entry_stays_until_the_next_scan(lab, change):
    lab.apply(SetLink("a", "vxlan0", up=False))
    begun = time.monotonic()
    lab.apply(SetLink("a", "vxlan0", up=True))
    assert arrives(lab, "b")
    lab.apply(*change)
    wait_until(lambda: MAC not in macs(lab), "the end of the entry", timeout=PATIENCE)
    assert time.monotonic() - begun > 9
