"""1.8 Changes of a vxlan device that is in use: they apply to the next packet.

a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2                172.18.1.3 vxlan0, or the reference (`far`)
"""

from __future__ import annotations

import dataclasses
import os

import pytest
from address_tools import wait_for_addresses
from outer_tools import family_of, ip_frame, one_tunnel, outer_packet, outer_packets

from vxlab import operations

CHANGE = "drivers/net/vxlan/vxlan_core.c: vxlan_changelink()"

both_ways = pytest.mark.parametrize("by", ["netlink", "iproute2"])


def not_changed(because):
    """The control of all scenarios that change an attribute of VTEP a."""
    what = "the change of VTEP a is left out"
    return pytest.mark.control(what, without=operations.SetVxlan, because=because)


def change(lab, by, **attributes):
    lab.apply(operations.SetVxlan("a", "vxlan0", tuple(attributes.items())), by=by)


def before_and_after(lab, far, by, **attributes):
    """An outer packet of one flow before, and one after, a change of VTEP a."""
    first, second = (ip_frame(far, 6, tos=0x20, ttl=33, label=5) for _ in range(2))
    before = outer_packet(lab, first)
    change(lab, by, **attributes)
    after = outer_packet(lab, second)
    far.wait_for(second)
    assert (before.vni, before.port, before.destination) == (after.vni, after.port, far.ip)
    assert before.source_port == after.source_port, "the source port of the flow has changed"
    return before, after


@pytest.mark.behaviour("a new `ttl` applies to the next packet", source=CHANGE)
@not_changed(r"\(64, 64\) == \(64, 7\)")
@pytest.mark.topology(one_tunnel, family=[4, 6])
@both_ways
def test_a_new_ttl_applies_at_once(lab, far, by):
    before, after = before_and_after(lab, far, by, ttl=7)
    assert (before.ttl, after.ttl) == (64, 7)


@pytest.mark.behaviour("a new `tos` applies to the next packet", source=CHANGE)
@not_changed(r"\(0, 0\) == \(0, (184|32)\)")
@pytest.mark.topology(one_tunnel())
@both_ways
@pytest.mark.parametrize(("tos", "wanted"), [(0xB8, 0xB8), (1, 0x20)], ids=["fixed", "inherit"])
def test_a_new_tos_applies_at_once(lab, far, by, tos, wanted):
    before, after = before_and_after(lab, far, by, tos=tos)
    assert (before.tos, after.tos) == (0, wanted)


@pytest.mark.behaviour("a new `df` applies to the next packet", source=CHANGE)
@not_changed(r"\(False, False\) == \(False, True\)")
@pytest.mark.topology(one_tunnel())
@both_ways
@pytest.mark.requires("vxlan.df")
@pytest.mark.parametrize("df", [1, 2], ids=["set", "inherit"])
def test_a_new_df_applies_at_once(lab, far, by, df):
    before, after = before_and_after(lab, far, by, df=df)
    assert (before.df, after.df) == (False, True)


@pytest.mark.behaviour("a new `flowlabel` applies to the next packet", source=CHANGE)
@not_changed(r"\(0, 0\) == \(0, 703710\)")
@pytest.mark.topology(one_tunnel, family=[6])
@both_ways
@pytest.mark.requires("vxlan.flowlabel")
def test_a_new_flow_label_applies_at_once(lab, far, by):
    before, after = before_and_after(lab, far, by, flowlabel=0xABCDE)
    assert (before.label, after.label) == (0, 0xABCDE)


@pytest.mark.behaviour("a new label policy applies to the next packet", source=CHANGE)
@not_changed(r"\(0, 0\) == \(0, 5\)")
@pytest.mark.topology(one_tunnel, family=[6])
@pytest.mark.requires("vxlan.label_policy")
def test_a_new_label_policy_applies_at_once(lab, far):
    before, after = before_and_after(lab, far, "netlink", label_policy=1)
    assert (before.label, after.label) == (0, 5)


def add_another_source(lab):
    """Give a a second underlay address, and return it once it can be used."""
    new = "192.168.57.77" if family_of(lab) == 4 else "fd00:192:168:57::77"
    lab.apply(operations.AddAddress("a", "eth0", f"{new}/{24 if family_of(lab) == 4 else 64}"))
    wait_for_addresses(lab, "a")
    lab.apply(
        operations.SetLink("a", "eth0", up=True)
    )  # when this is done, the kernel has its route, too
    return new


@pytest.mark.behaviour(
    "over IPv4 a new `local` is the source address of the next outer packet", source=CHANGE
)
@not_changed("'192.168.57.50' != '192.168.57.77'")
@pytest.mark.topology(one_tunnel, family=[4])
@both_ways
def test_a_new_local_address_applies_at_once_over_ipv4(lab, far, by):
    old, new = lab.topology.host("a").nics[0].ip, add_another_source(lab)
    before, after = before_and_after(lab, far, by, local=new)
    assert (before.source, after.source) == (old, new)


@pytest.fixture
def one_cpu():
    """Let the test send from one CPU only, as the kernel caches routes for each CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.behaviour(
    "over IPv6 a new `local` is not used as source address until the cached route to the "
    "remote is invalid",
    source=f"{CHANGE}; net/core/dst_cache.c: dst_cache_get_ip6()",
)
@pytest.mark.control(
    "no packet is sent before the change, so VTEP a has no cached route to the remote",
    arguments={"packets": 0},
    because=r"the new local address is used at once\nassert 'fd00:192:168:57::77' ==",
)
@pytest.mark.topology(one_tunnel, family=[6])
@both_ways
@pytest.mark.usefixtures("one_cpu")
@pytest.mark.parametrize("packets", [2], ids=["route_in_use"])
def test_a_new_local_address_waits_for_a_new_route_over_ipv6(lab, far, by, packets):
    old, new = lab.topology.host("a").nics[0].ip, add_another_source(lab)
    frames = [ip_frame(far) for _ in range(packets)]
    assert {outer.source for outer in outer_packets(lab, frames)} <= {old}
    change(lab, by, local=new)
    outer = outer_packet(lab, ip_frame(far))
    assert outer.source == old, "the new local address is used at once"
    lab.apply(operations.AddRoute("a", f"{far.ip}/128", interface="eth0"))
    outer = outer_packet(lab, frame := ip_frame(far))
    assert outer.source == new, "the new local address is not used with a new route"
    far.wait_for(frame)


def with_third_host(family):
    """The same and a third host, c, which is the remote of no VTEP."""
    plain = one_tunnel(family).with_switch("lan", cable=False)
    c = dataclasses.replace(plain.host("b"), name="c", vteps=())
    address = "192.168.57.55/24" if family == 4 else "fd00:192:168:57::55/64"
    c = dataclasses.replace(c, nics=(dataclasses.replace(c.nics[0], address=address),))
    return dataclasses.replace(plain, hosts=(*plain.hosts, c))


@pytest.mark.behaviour(
    "a new `remote` replaces the old one: an unknown unicast frame goes to the new remote only",
    source=f"{CHANGE}; vxlan_fdb_update(), the default destination",
)
@pytest.mark.control(
    "the change of VTEP a is left out",
    without=operations.SetVxlan,
    because="c/eth0: waited 3.* for an outer packet with the inner frame",
)
@pytest.mark.topology(with_third_host, family=[4, 6])
@both_ways
def test_a_new_remote_replaces_the_old_one(lab, far, by):
    first = outer_packet(lab, ip_frame(far))
    assert first.destination == far.ip
    there = lab.topology.host("c").nics[0].ip
    change(lab, by, remote=there)
    with lab.capture("b:eth0") as at_b:
        outer = outer_packet(lab, frame := ip_frame(far), "c:eth0", timeout=3)
        assert outer.destination == there
        lab.apply(operations.SetVxlan("a", "vxlan0", (("remote", far.ip),)), by=by)
        later = outer_packet(lab, ip_frame(far))  # which b receives again
        at_b["b:eth0"].assert_silent(
            lambda x: x.data.endswith(frame), "packet with the frame for c"
        )
    assert later.destination == far.ip


@pytest.mark.behaviour(
    "a change of one attribute leaves the others alone: `tos` stays when `ttl` is changed",
    source=CHANGE,
)
@not_changed(r"\(9, 40\), \(9, 40\)\] == ")
@pytest.mark.topology(one_tunnel, family=[4, 6], ttl=9, tos=0x28)
@both_ways
def test_a_change_leaves_other_attributes_alone(lab, far, by):
    change(lab, by, ttl=11)
    outers = outer_packets(lab, [ip_frame(far), ip_frame(far, 6)])
    assert [(outer.ttl, outer.tos) for outer in outers] == [(11, 0x28)] * 2
