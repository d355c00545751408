"""4.2 Ageing: which FDB entries age out, and what refreshes them.

    a eth0 192.168.57.50 ──── lan ──┬── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2             │                vxlan0 172.18.1.3
                                    └── 192.168.57.55 eth0 c
                                                     vxlan0 172.18.1.4

The kernel looks for old entries every 10 s, and at once where the ageing time is changed; from then
on it also wakes when the next entry is due.  So each test makes its entries first and lowers the
ageing time then; an entry that is learned last tells when all others are due too.
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
    address,
    arrives,
    assert_copies,
    assert_no_entry,
    default_copies,
    entries,
    entry,
    fdb_events,
    inject,
    macs,
    remotes,
)

from vxlab import catalog, state, wait_until
from vxlab.operations import AddFdb, AddLink, AddNexthop, SetLink, SetVxlan

CLEANUP = "drivers/net/vxlan/vxlan_core.c: vxlan_cleanup()"
SNOOP = "drivers/net/vxlan/vxlan_core.c: vxlan_snoop()"
UPDATE = "drivers/net/vxlan/vxlan_core.c: vxlan_fdb_update_existing()"

#: Two periods of the kernel's scan, and some.
PATIENCE = 25

pytestmark = pytest.mark.topology(catalog.point_to_point(hosts=3))


def set_ageing(seconds):
    """The operation that changes the ageing time of a's device."""
    return SetVxlan("a", "vxlan0", (("ageing", seconds),))


def do_nothing(lab):
    """Refresh no entry."""


def wait_until_due(lab, seconds, meanwhile=do_nothing):
    """Wait until all that is now in a's FDB, and is not refreshed, is older than ``seconds``."""
    assert arrives(lab, "b", src=OTHER)
    meanwhile(lab)  # on a slow machine what was made before would be due at once
    lab.apply(set_ageing(seconds))

    def gone():
        meanwhile(lab)
        return not entries(lab, OTHER)

    wait_until(gone, "the entry that was learned last to age out", timeout=PATIENCE)


def make_entry(lab, mac, state, flags=("self",), nexthop=False):
    """An entry for a MAC on a; without a state one that is learned."""
    if not state:
        assert arrives(lab, "b", src=mac)
    elif nexthop:
        lab.apply(AddNexthop("a", 1, via=address(lab, "b")), AddNexthop("a", 10, group=(1,)))
        lab.apply(AddFdb("a", "vxlan0", mac, nhid=10, state=state, flags=flags))
    else:
        lab.apply(AddFdb("a", "vxlan0", mac, address(lab, "b"), state=state, flags=flags))


EXTERN, ROUTER = ("self", "extern_learn"), ("self", "router")
NOT_AGEING = {
    "permanent": ("permanent",),
    "static": ("static",),
    "extern_learn-dynamic": ("dynamic", EXTERN),
    "extern_learn-static": ("static", EXTERN),
    "permanent-next-hop": ("permanent", ("self",), True),
}


def as_plain_dynamic(operation):
    """The entry for MAC is added as a dynamic one without other flags."""
    if isinstance(operation, AddFdb) and operation.mac == MAC:
        return dataclasses.replace(operation, state="dynamic", flags=("self",))
    return operation


@pytest.mark.behaviour(
    "permanent and static FDB entries do not age out, nor do entries with the flag `extern_learn`",
    source=CLEANUP,
)
@pytest.mark.control(
    "the FDB entry is dynamic and has no flag `extern_learn`",
    change=as_plain_dynamic,
    because=f"wanted one entry for {MAC}, found none",
)
@pytest.mark.parametrize("kind", NOT_AGEING.values(), ids=NOT_AGEING.keys())
def test_a_static_or_external_entry_does_not_age_out(lab, kind):
    make_entry(lab, MAC, *kind)
    before = entry(lab, MAC)
    wait_until_due(lab, 1)
    assert entry(lab, MAC) == before


AGEING = [
    pytest.param(("dynamic",), id="dynamic-by-hand"),
    pytest.param(("dynamic", ROUTER), id="dynamic-router"),
    pytest.param(
        ("dynamic", ("self",), True),
        id="dynamic-next-hop",
        marks=pytest.mark.known_difference("K53", since="7.2"),  # it is refused
    ),
]


def as_static(operation):
    """The entry of the scenario is added as a static one."""
    if isinstance(operation, AddFdb) and operation.mac in (MAC, MULTICAST):
        return dataclasses.replace(operation, state="static")
    return operation


@pytest.mark.behaviour(
    "dynamic FDB entries age out also if a user has added them, of unicast and multicast MACs",
    source=CLEANUP,
)
@pytest.mark.control(
    "the FDB entry is static", change=as_static, because=r"wanted no entry for .* static$"
)
@pytest.mark.parametrize("mac", [MAC, MULTICAST], ids=["unicast", "multicast"])
@pytest.mark.parametrize("kind", AGEING)
def test_a_dynamic_entry_ages_out(lab, kind, mac):
    make_entry(lab, mac, *kind)
    before = entry(lab, mac)
    wait_until_due(lab, 1)
    assert_no_entry(lab, mac)
    assert before.state == "reachable"


@pytest.mark.behaviour("frames for a MAC whose FDB entry has aged out are flooded", source=CLEANUP)
@pytest.mark.control(
    "the ageing time of VTEP a stays at 300 s",
    without=SetVxlan,
    because="for the entry that was learned last to age out",
)
@pytest.mark.slow
def test_what_has_aged_out_is_flooded(lab):
    assert arrives(lab, "c")
    assert_copies(lab, MAC, default_copies(lab, "c"))
    wait_until_due(lab, 1)
    assert_copies(lab, MAC, default_copies(lab, "b", "c"))


@pytest.mark.behaviour(
    "when a learned FDB entry ages out, netlink notifies its deletion with the state stale",
    source=CLEANUP,
)
@pytest.mark.control(
    "VTEP a has `nolearning`",
    vteps={"a": {"learning": False}},
    because=r"wanted one notification, found \[\]",
)
def test_ageing_out_is_notified(lab):
    assert arrives(lab, "b")
    with fdb_events(lab) as events:
        wait_until_due(lab, 1)
        found = [(one.kind, one.dst, one.state) for one in events() if one.mac == MAC]
    wanted = [(RTM_DELNEIGH, address(lab, "b"), NUD_STALE)]
    assert found == wanted, f"wanted one notification, found {found}"


def replace_entry(lab, dst, flags=("self",)):
    """Replace the entry with one that has this remote."""
    lab.apply(AddFdb("a", "vxlan0", MAC, dst, state="dynamic", flags=flags, replace=True))


def receive(lab):
    """Receive a frame from the MAC."""
    inject(lab, "b", BROADCAST, MAC)


def receive_elsewhere(lab):
    """Receive a frame from the MAC by the VTEP that it is not behind, so that it moves."""
    at_b = address(lab, "b") in remotes(lab, MAC)
    source = "c" if at_b else "b"
    inject(lab, source, BROADCAST, MAC)


def use(lab):
    """Replace the entry with itself, and the flag `use`."""
    replace_entry(lab, address(lab, "b"), ("self", "use"))


def move(lab):
    """Replace the entry with one that has the other remote."""
    at_c = entry(lab, MAC).dst == address(lab, "c")
    replace_entry(lab, address(lab, "b" if at_c else "c"))


def transmit(lab):
    """Send a frame to the MAC."""
    inject(lab, "a", MAC)


def get(lab):
    """Show the entry."""
    lab["a"].run("bridge", "fdb", "get", MAC, "dev", "vxlan0", "self", check=False)


AGES_ALL_THE_SAME = pytest.mark.known_difference("K68", since="6.12.46", until="6.13")


@pytest.mark.behaviour(
    "an FDB entry does not age out while frames with its MAC are received, also from changing "
    "VTEPs, nor while `bridge fdb replace` gives it the flag `use` or another remote",
    source=UPDATE,
)
@pytest.mark.control(
    "no frame and no command refreshes the FDB entry",
    arguments={"refresh": do_nothing},
    because="the FDB entry has aged out",
)
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
def test_receiving_and_replacing_refresh_an_entry(lab, refresh, by_hand):
    make_entry(lab, MAC, "dynamic" if by_hand else "")
    with fdb_events(lab) as events:
        wait_until_due(lab, 4, refresh)
        kinds = [event.kind for event in events() if event.mac == MAC]
    assert entries(lab, MAC), "the FDB entry has aged out"
    assert RTM_DELNEIGH not in kinds, "the FDB entry had aged out, and was made again"


@pytest.mark.behaviour(
    "neither frames sent to its MAC nor `bridge fdb get` keep an FDB entry from ageing out",
    source=SNOOP,
)
@pytest.mark.known_difference("K51", until="6.15")
@pytest.mark.control(
    "frames with the MAC of the FDB entry are received",
    arguments={"refresh": receive},
    because=f"wanted no entry for {MAC}, found {MAC} .* reachable",
)
@pytest.mark.slow
@pytest.mark.parametrize("refresh", [transmit, get, do_nothing], ids=["transmit", "get", "nothing"])
@pytest.mark.parametrize("by_hand", [False, True], ids=["learned", "by-hand"])
def test_transmitting_does_not_refresh_an_entry(lab, refresh, by_hand):
    make_entry(lab, MAC, "dynamic" if by_hand else "")
    wait_until_due(lab, 4, refresh)
    assert_no_entry(lab, MAC)


def assert_ageing(lab, wanted):
    """Assert that `ip` shows this ageing time of a's device."""
    (link,) = lab["a"].ip("-d", "link", "show", "vxlan0")
    found = link["linkinfo"]["info_data"]["ageing"]
    assert found == wanted, f"wanted an ageing time of {wanted} s, found {found} s"


@pytest.mark.behaviour(
    "a device made with an ageing time of 0 gets the default of 300 s, its FDB entries do age out",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_dev_configure()",
)
@pytest.mark.control(
    "VTEP a is made with an ageing time of 7 s",
    vteps={"a": {"ageing": 7}},
    because="wanted an ageing time of 300 s, found 7 s",
)
@pytest.mark.topology(catalog.point_to_point().with_vtep("a", "overlay", ageing=0))
def test_ageing_zero_is_the_default(lab):
    assert_ageing(lab, 300)


def eight_for_zero(operation):
    """The ageing time is changed to 8 s in place of 0."""
    return set_ageing(8) if operation == set_ageing(0) else operation


@pytest.mark.behaviour(
    "a device whose ageing time is changed to 0 gets the default of 300 s",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_changelink()",
)
@pytest.mark.control(
    "the ageing time of VTEP a is changed to 8 s in place of 0",
    change=eight_for_zero,
    because="wanted an ageing time of 300 s, found 8 s",
)
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
def test_ageing_changed_to_zero_is_the_default(lab, by):
    lab.apply(set_ageing(7), by=by)
    assert_ageing(lab, 7)
    lab.apply(set_ageing(0), by=by)
    assert_ageing(lab, 300)


def one_second(operation):
    """vxlan43 gets an ageing time of 1 s in place of 100 s."""
    if isinstance(operation, SetVxlan) and operation.name == "vxlan43":
        return dataclasses.replace(operation, attributes=(("ageing", 1),))
    return operation


@pytest.mark.behaviour(
    "each device of a host ages its FDB entries by its own ageing time", source=CLEANUP
)
@pytest.mark.control(
    "both devices of host a have an ageing time of 1 s",
    change=one_second,
    because="the entry of vxlan43 has aged out",
)
def test_each_device_ages_by_its_own_time(lab):
    shape = (("id", 43), ("dstport", 4789), ("local", address(lab, "a")), ("ageing", 300))
    lab.apply(AddLink("a", "vxlan43", "vxlan", 0, attributes=shape, up=True))
    for device in ("vxlan0", "vxlan43"):
        lab.apply(AddFdb("a", device, MAC, address(lab, "b"), state="dynamic"))
    lab.apply(SetVxlan("a", "vxlan43", (("ageing", 100),)))
    wait_until_due(lab, 1)
    assert_no_entry(lab, MAC)
    found = {row.mac for row in state.fdb(lab["a"].namespaces, "vxlan43")}
    assert MAC in found, "the entry of vxlan43 has aged out"


@pytest.mark.behaviour(
    "an FDB entry older than the ageing time stays until the kernel's next scan, the first of "
    "which is 10 s after the device went up",
    source=CLEANUP,
)
@pytest.mark.control(
    "the ageing time of VTEP a is changed, upon which the kernel scans at once",
    arguments={"change": (set_ageing(2),)},
    because=r"the entry aged out [0-8]\.\d s after the device went up",
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
    wait_until(lambda: MAC not in macs(lab), "the entry to age out", timeout=PATIENCE)
    passed = time.monotonic() - begun
    assert passed > 9, f"the entry aged out {passed:.1f} s after the device went up"
