"""7.7 VNI filter: an external device that knows which VNIs are its own.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 external vnifilter        vxlan42, vxlan43, … 172.18.VNI.3

`bridge vni` tells a's device its VNIs, each with a group or remote of its own.
"""

from __future__ import annotations

import dataclasses
import errno

import pytest
from address_tools import acquaint
from device_tools import (
    PORTS,
    B,
    C,
    assert_refused,
    at,
    bare,
    device,
    encap_route,
    holds,
    swap_at,
)

from vxlab import ApplyError
from vxlab.operations import AddNeighbour, AddVni, DelVni, SetVxlan

FILTER = "drivers/net/vxlan/vxlan_vnifilter.c: "
RECEIVE = "drivers/net/vxlan/vxlan_core.c: vxlan_vs_find_vni()"
BOTH = pytest.mark.parametrize("by", ["netlink", "iproute2"])

pytestmark = [pytest.mark.requires("vxlan.vnifilter"), pytest.mark.topology(bare())]


def filtering(lab, **more):
    """a's device with a filter, and no VNI yet."""
    lab.apply(*device("a", "172.18.1.2/24", external=True, vnifilter=True, **more))


def sender(lab, vni):
    """b's device of one VNI."""
    lab.apply(*device("b", f"172.18.{vni}.3/24", name=f"vxlan{vni}", id=vni, remote=at(lab, "a")))


def rows(lab, *words):
    """The VNIs of a's device, as `bridge vni` has them."""
    found = lab["a"].bridge(*words, "vni", "show", "dev", "vxlan0")
    return found[0]["vnis"] if found else []


def ranges(lab):
    return [(row["vni"], row.get("vniEnd", row["vni"])) for row in rows(lab)]


def stats(lab, vni):
    """The counters of one VNI that are not 0."""
    (row,) = [row for row in rows(lab, "-s") if row["vni"] == vni]
    return {name: count for name, count in row["stats"].items() if count}


def heard(lab, *vnis):
    """Which of these VNIs a hears, asked in this order; the last one has to be heard."""
    with lab.capture("a:vxlan0", ports=PORTS) as seen:
        for vni in vnis:
            lab["b"].send_marked(f"172.18.{vni}.255", b"vni %d" % vni)
        seen["a:vxlan0"].wait_for_payload(b"vni %d" % vnis[-1], timeout=3)
        return [int(mark.split()[1]) for mark in seen["a:vxlan0"].payloads()]


def no_filter_entry(operation):
    """A control: no VNI is added."""
    return None if isinstance(operation, AddVni) else operation


def with_42_too(operation):
    """A control: the filter's VNIs begin with 42."""
    if isinstance(operation, AddVni):
        return dataclasses.replace(operation, vni=42, last=44)
    return operation


def in_the_filter(operation):
    """A control: what is taken away is there."""
    return dataclasses.replace(operation, vni=42) if isinstance(operation, DelVni) else operation


def keep_vnis(operation):
    """A control: no VNI is taken away."""
    return None if isinstance(operation, DelVni) else operation


def shorter(operation):
    """A control: a range ends one VNI earlier."""
    if isinstance(operation, AddVni) and operation.last:
        return dataclasses.replace(operation, last=operation.last - 1)
    return operation


def elsewhere(operation):
    """A control: the second device has a port of its own."""
    return (
        swap_at("a", dstport=14789)(operation)
        if getattr(operation, "name", "") == "second"
        else operation
    )


def silent_43(operation):
    return swap_at("b", id=42)(operation)


def flood(lab):
    return {
        row.get("src_vni"): row["dst"] for row in lab["a"].bridge("fdb", "show", "dev", "vxlan0")
    }


def good(operation):
    return AddVni("a", "vxlan0", 9) if isinstance(operation, AddVni) else operation


@pytest.mark.behaviour("only a VNI of the filter is received", source=RECEIVE)
@pytest.mark.control("42 is one of them", change=with_42_too, because=r"\[42, 43, 44\]")
def test_only_its_own_vnis_are_received(lab):
    filtering(lab)
    for vni in (42, 43, 44):
        sender(lab, vni)
    lab.apply(AddVni("a", "vxlan0", 44))
    assert heard(lab, 42, 43, 44) == [44]


@pytest.mark.behaviour(
    "a VNI that is added is received from then on", source=FILTER + "vxlan_vni_add()"
)
@pytest.mark.control("it is not added", change=no_filter_entry, because="waited")
@BOTH
def test_an_added_vni_is_received(lab, by):
    filtering(lab)
    for vni in (42, 43):
        sender(lab, vni)
    lab.apply(AddVni("a", "vxlan0", 43))
    assert heard(lab, 42, 43) == [43]
    lab.apply(AddVni("a", "vxlan0", 42), by=by)
    assert heard(lab, 42, 43) == [42, 43]


@pytest.mark.behaviour(
    "a VNI that is taken away is no longer received", source=FILTER + "vxlan_vni_del()"
)
@pytest.mark.control("it stays", change=keep_vnis, because=r"\[42, 43\]")
@BOTH
def test_a_vni_taken_away_is_not_received(lab, by):
    filtering(lab)
    for vni in (42, 43):
        sender(lab, vni)
        lab.apply(AddVni("a", "vxlan0", vni))
    assert heard(lab, 42, 43) == [42, 43]
    lab.apply(DelVni("a", "vxlan0", 42), by=by)
    assert heard(lab, 42, 43) == [43]


@pytest.mark.behaviour(
    "a range of VNIs is received from its first to its last", source=FILTER + "vxlan_vni_add_del()"
)
@pytest.mark.control("it ends before", change=shorter, because="waited|==")
@BOTH
def test_a_range_is_received_to_its_last(lab, by):
    filtering(lab)
    lab.apply(AddVni("a", "vxlan0", 100, 109), AddVni("a", "vxlan0", 50), by=by)
    for vni in (99, 100, 109, 110, 50):
        sender(lab, vni)
    assert heard(lab, 99, 100, 109, 110, 50) == [100, 109, 50]


@pytest.mark.behaviour(
    "VNIs are shown as ranges; a part of one may be taken out",
    source=FILTER + "vxlan_vnifilter_dump_dev()",
)
@pytest.mark.control("nothing is taken out", change=keep_vnis, because="109")
@BOTH
def test_a_part_of_a_range_may_be_taken_out(lab, by):
    filtering(lab)
    lab.apply(AddVni("a", "vxlan0", 100, 109))
    assert ranges(lab) == [(100, 109)]
    lab.apply(DelVni("a", "vxlan0", 103, 105), by=by)
    assert ranges(lab) == [(100, 102), (106, 109)]


@pytest.mark.behaviour(
    "a VNI that is not in the filter cannot be taken out", source=FILTER + "vxlan_vni_del()"
)
@pytest.mark.control("it is in the filter", change=in_the_filter, because="DID NOT RAISE")
@BOTH
def test_an_unknown_vni_cannot_be_taken_out(lab, by):
    filtering(lab)
    lab.apply(AddVni("a", "vxlan0", 42))
    with pytest.raises(ApplyError, match="No such file or directory") as refused:
        lab.apply(DelVni("a", "vxlan0", 7), by=by)
    assert refused.value.errno == errno.ENOENT


@pytest.mark.behaviour(
    "a VNI belongs to one device of a port only",
    source=FILTER + "vxlan_vni_add(), vxlan_vni_in_use()",
)
@pytest.mark.control("the devices have two ports", change=elsewhere, because="DID NOT")
@BOTH
def test_a_vni_belongs_to_one_device(lab, by):
    filtering(lab)
    lab.apply(*device("a", name="second", external=True, vnifilter=True))
    lab.apply(AddVni("a", "vxlan0", 42), AddVni("a", "second", 43))
    with pytest.raises(ApplyError) as refused:
        lab.apply(AddVni("a", "second", 42), by=by)
    assert_refused(refused, by, errno.EEXIST, "VNI in use")


@pytest.mark.behaviour(
    "a device without a filter has no VNIs to add", source=FILTER + "vxlan_vnifilter_process()"
)
@pytest.mark.control(
    "it has one", change=swap_at("b", id=None, external=True, vnifilter=True), because="DID NOT"
)
@BOTH
def test_a_device_without_a_filter_refuses_vnis(lab, by):
    lab.apply(*device("b", id=42))
    with pytest.raises(ApplyError) as refused:
        lab.apply(AddVni("b", "vxlan0", 77), by=by)
    assert refused.value.errno == errno.EOPNOTSUPP


@pytest.mark.behaviour(
    "each VNI counts what it receives and sends", source=FILTER + "vxlan_vnifilter_count()"
)
@pytest.mark.control("b answers in VNI 42 alone", change=silent_43)
def test_each_vni_counts_for_itself(lab):
    filtering(lab)
    lab.apply(AddVni("a", "vxlan0", 42, 43))
    lab.apply(*device("b", "172.18.1.3/24", id=43, remote=at(lab, "a")))
    encap_route(lab, "a", "172.18.1.3/32", 43, B)
    acquaint(lab)
    assert stats(lab, 43) == {}
    assert lab["a"].ping("172.18.1.3", timeout=3)
    # ARP and ICMP: 28 and 84 bytes, with their Ethernet header only where they are sent.
    assert stats(lab, 43) == {"rx_pkts": 2, "rx_bytes": 112, "tx_pkts": 2, "tx_bytes": 140}
    assert stats(lab, 42) == {}


@pytest.mark.behaviour(
    "sending needs no VNI of the filter, and is not counted without one",
    source=FILTER + "vxlan_vnifilter_count()",
)
@pytest.mark.control("it is sent in VNI 42", arguments={"vni": 42}, because="tx_pkts")
@pytest.mark.parametrize("vni", [43, 16777215])
def test_a_packet_in_another_vni_leaves_uncounted(lab, vni):
    filtering(lab)
    lab.apply(AddVni("a", "vxlan0", 42))
    encap_route(lab, "a", "172.18.1.3/32", vni, B)
    lab.apply(AddNeighbour("a", "vxlan0", "172.18.1.3", "02:00:00:00:00:03"))
    with lab.capture("a:eth0", ports=PORTS) as seen:
        lab["a"].send_marked("172.18.1.3", b"out")
        seen["a:eth0"].wait_for(holds(b"out"), "the datagram")
    assert stats(lab, 42) == {}


@pytest.mark.behaviour(
    "a VNI without a remote floods to the device's, one with a remote to that",
    source=FILTER + "vxlan_update_default_fdb_entry()",
)
@pytest.mark.control("no VNI is added", change=no_filter_entry, because="51")
@BOTH
def test_each_vni_has_its_own_flood_entry(lab, by):
    filtering(lab, remote=B)
    lab.apply(AddVni("a", "vxlan0", 50), AddVni("a", "vxlan0", 51, remote=C), by=by)
    assert flood(lab) == {None: B, 50: B, 51: C}
    lab.apply(SetVxlan("a", "vxlan0", (("remote", "192.168.57.56"),)))
    assert flood(lab) == {None: "192.168.57.56", 50: "192.168.57.56", 51: C}
    lab.apply(DelVni("a", "vxlan0", 51))
    assert 51 not in flood(lab)


@pytest.mark.behaviour("a bad VNI entry is refused", source=FILTER + "vxlan_process_vni_filter()")
@pytest.mark.control("it is a good one", change=good, because="DID NOT")
@BOTH
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({"vni": 0}, "vni start nor end found in vni entry", id="vni-0"),
        pytest.param(
            {"vni": 42, "group": "239.1.1.1"},
            "Local interface required for multicast remote group",
            id="a-group-on-a-device-without-a-card",
        ),
    ],
)
def test_a_bad_entry_is_refused(lab, fields, words, by):
    filtering(lab, remote=B)
    with pytest.raises(ApplyError) as refused:
        lab.apply(AddVni("a", "vxlan0", **fields), by=by)
    assert_refused(refused, by, errno.EINVAL, words)
