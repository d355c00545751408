"""1.6 A device that is changed while it works: the next packet shows it.

a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2                172.18.1.3 vxlan0, or the reference (`far`)
"""

from __future__ import annotations

import dataclasses
import os

import pytest
from address_tools import wait_for_addresses
from outer_tools import family_of, inner_ip, made, see, see_all

from vxlab import operations

CHANGE = "drivers/net/vxlan/vxlan_core.c: vxlan_changelink()"

both_ways = pytest.mark.parametrize("by", ["netlink", "iproute2"])
not_changed = pytest.mark.control("the change is left out", without=operations.SetVxlan)


def change(lab, by, **attributes):
    lab.apply(operations.SetVxlan("a", "vxlan0", tuple(attributes.items())), by=by)


def before_and_after(lab, far, by, **attributes):
    """The outer packet of one flow before and after a change of a's device."""
    first, second = (inner_ip(far, 6, tos=0x20, ttl=33, label=5) for _ in range(2))
    before = see(lab, first)
    change(lab, by, **attributes)
    after = see(lab, second)
    far.wait_for(second)
    assert (before.vni, before.port, before.destination) == (after.vni, after.port, far.ip)
    assert before.source_port == after.source_port  # it is still the same flow
    return before, after


@pytest.mark.behaviour("a new ttl is that of the next packet", source=CHANGE)
@not_changed
@pytest.mark.topology(made, family=[4, 6])
@both_ways
def test_a_new_ttl_shows_at_once(lab, far, by):
    before, after = before_and_after(lab, far, by, ttl=7)
    assert (before.ttl, after.ttl) == (64, 7)


@pytest.mark.behaviour("a new tos is that of the next packet", source=CHANGE)
@not_changed
@pytest.mark.topology(made())
@both_ways
@pytest.mark.parametrize(("tos", "wanted"), [(0xB8, 0xB8), (1, 0x20)], ids=["fixed", "inherit"])
def test_a_new_tos_shows_at_once(lab, far, by, tos, wanted):
    before, after = before_and_after(lab, far, by, tos=tos)
    assert (before.tos, after.tos) == (0, wanted)


@pytest.mark.behaviour("a new df is that of the next packet", source=CHANGE)
@not_changed
@pytest.mark.topology(made())
@both_ways
@pytest.mark.requires("vxlan.df")
@pytest.mark.parametrize("df", [1, 2], ids=["set", "inherit"])
def test_a_new_df_shows_at_once(lab, far, by, df):
    before, after = before_and_after(lab, far, by, df=df)
    assert (before.df, after.df) == (False, True)


@pytest.mark.behaviour("a new flow label is that of the next packet", source=CHANGE)
@not_changed
@pytest.mark.topology(made, family=[6])
@both_ways
@pytest.mark.requires("vxlan.flowlabel")
def test_a_new_flow_label_shows_at_once(lab, far, by):
    before, after = before_and_after(lab, far, by, flowlabel=0xABCDE)
    assert (before.label, after.label) == (0, 0xABCDE)


@pytest.mark.behaviour("a new label policy is that of the next packet", source=CHANGE)
@not_changed
@pytest.mark.topology(made, family=[6])
@pytest.mark.requires("vxlan.label_policy")
def test_a_new_label_policy_shows_at_once(lab, far):
    before, after = before_and_after(lab, far, "netlink", label_policy=1)
    assert (before.label, after.label) == (0, 5)


def another(lab):
    """A second address for a's card, there for good."""
    new = "192.168.57.77" if family_of(lab) == 4 else "fd00:192:168:57::77"
    lab.apply(operations.AddAddress("a", "eth0", f"{new}/{24 if family_of(lab) == 4 else 64}"))
    wait_for_addresses(lab, "a")
    lab.apply(operations.SetLink("a", "eth0", up=True))  # the kernel has its route now, too
    return new


@pytest.mark.behaviour("a new local address is the source of the next packet", source=CHANGE)
@not_changed
@pytest.mark.topology(made, family=[4])
@both_ways
def test_a_new_local_address_shows_at_once(lab, far, by):
    old, new = lab.topology.host("a").nics[0].ip, another(lab)
    before, after = before_and_after(lab, far, by, local=new)
    assert (before.source, after.source) == (old, new)


@pytest.fixture
def one_cpu():
    """The test's own sending on one processor: the kernel caches routes for each by itself."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.behaviour(
    "over IPv6 a new local address waits until the cached route to the remote is no longer good",
    source=f"{CHANGE}; net/core/dst_cache.c: dst_cache_get_ip6()",
)
@pytest.mark.control("a's device never had a route cached", arguments={"packets": 0})
@pytest.mark.topology(made, family=[6])
@both_ways
@pytest.mark.usefixtures("one_cpu")
@pytest.mark.parametrize("packets", [2], ids=["route_in_use"])
def test_a_new_local_address_waits_for_a_new_route_over_ipv6(lab, far, by, packets):
    old, new = lab.topology.host("a").nics[0].ip, another(lab)
    frames = [inner_ip(far) for _ in range(packets)]
    assert {outer.source for outer in see_all(lab, frames)} <= {old}
    change(lab, by, local=new)
    assert see(lab, inner_ip(far)).source == old
    lab.apply(operations.AddRoute("a", f"{far.ip}/128", interface="eth0"))
    outer = see(lab, frame := inner_ip(far))
    assert outer.source == new
    far.wait_for(frame)


def three(family):
    """A third host, c, that nobody floods to."""
    plain = made(family).with_switch("lan", cable=False)
    (c,) = (dataclasses.replace(plain.host("b"), name="c", vteps=()),)
    last = "192.168.57.55/24" if family == 4 else "fd00:192:168:57::55/64"
    c = dataclasses.replace(c, nics=(dataclasses.replace(c.nics[0], address=last),))
    return dataclasses.replace(plain, hosts=(*plain.hosts, c))


@pytest.mark.behaviour(
    "a new remote takes the place of the old one: the next unknown destination goes there alone",
    source=f"{CHANGE}; vxlan_fdb_update(), the default destination",
)
@pytest.mark.control(
    "the change is left out", without=operations.SetVxlan, because="frame in a packet"
)
@pytest.mark.topology(three, family=[4, 6])
@both_ways
def test_a_new_remote_takes_the_place_of_the_old(lab, far, by):
    assert see(lab, inner_ip(far)).destination == far.ip
    there = lab.topology.host("c").nics[0].ip
    change(lab, by, remote=there)
    with lab.capture("b:eth0") as at_b:
        outer = see(lab, frame := inner_ip(far), "c:eth0", timeout=3)
        assert outer.destination == there
        lab.apply(operations.SetVxlan("a", "vxlan0", (("remote", far.ip),)), by=by)
        later = see(lab, inner_ip(far))  # and what comes later does come to b
        at_b["b:eth0"].assert_silent(lambda x: x.data.endswith(frame), "the frame")
    assert later.destination == far.ip


@pytest.mark.behaviour(
    "a change is of what it names alone: ttl, tos and df that were set before stay", source=CHANGE
)
@pytest.mark.control("the change is left out", without=operations.SetVxlan)
@pytest.mark.topology(made, family=[4, 6], ttl=9, tos=0x28)
@both_ways
def test_what_a_change_does_not_name_stays(lab, far, by):
    change(lab, by, ttl=11)
    outers = see_all(lab, [inner_ip(far), inner_ip(far, 6)])
    assert [(outer.ttl, outer.tos) for outer in outers] == [(11, 0x28)] * 2
