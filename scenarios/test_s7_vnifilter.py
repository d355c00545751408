"""7.7 VNI filter: an external device receives only the VNIs in its filter.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 external vnifilter        vxlan42, vxlan43, … 172.18.VNI.3

`bridge vni` adds VNIs to the filter of a's device, each with a group or remote of its own, if any.
"""

from __future__ import annotations

import dataclasses
import errno

import pytest
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
    mac_of,
    swap_at,
)

from vxlab import ApplyError
from vxlab.operations import AddLink, AddNeighbour, AddVni, DelVni, SetVxlan

FILTER = "drivers/net/vxlan/vxlan_vnifilter.c: "
RECEIVE = "drivers/net/vxlan/vxlan_core.c: vxlan_vs_find_vni()"
BOTH = pytest.mark.parametrize("by", ["netlink", "iproute2"])

pytestmark = [pytest.mark.requires("vxlan.vnifilter"), pytest.mark.topology(bare())]


def make_filtering_device(lab, **more):
    """Make a's device with a VNI filter, and no VNI in it yet."""
    lab.apply(*device("a", "172.18.1.2/24", external=True, vnifilter=True, **more))


def make_sender(lab, vni):
    """Make b's device of one VNI."""
    lab.apply(*device("b", f"172.18.{vni}.3/24", name=f"vxlan{vni}", id=vni, remote=at(lab, "a")))


def vni_rows(lab, *words):
    """The VNIs of a's device, as `bridge vni` shows them."""
    found = lab["a"].bridge(*words, "vni", "show", "dev", "vxlan0")
    return found[0]["vnis"] if found else []


def vni_ranges(lab):
    """The VNIs in the filter of a's device, as ranges: first and last."""
    return [(row["vni"], row.get("vniEnd", row["vni"])) for row in vni_rows(lab)]


def counters(lab):
    """The counters that are not 0 of each VNI in the filter."""
    return {
        row["vni"]: {name: count for name, count in sorted(row["stats"].items()) if count}
        for row in vni_rows(lab, "-s")
    }


def assert_received(lab, wanted, *, of):
    """Assert which VNIs a receives of those in which b sends, one after the other.

    The last one of them has to be received.
    """
    with lab.capture("a:vxlan0", ports=PORTS) as seen:
        for vni in of:
            lab["b"].send_marked(f"172.18.{vni}.255", b"vni %d" % vni)
        seen["a:vxlan0"].wait_for_payload(b"vni %d" % of[-1], timeout=3)
        found = [int(payload.split()[1]) for payload in seen["a:vxlan0"].payloads()]
    assert found == wanted, f"a receives the VNIs {found}, not {wanted}"


def flood_remotes(lab):
    """The flood entries in the FDB of a's device: remotes by VNI, the device's own as of None."""
    rows = lab["a"].bridge("fdb", "show", "dev", "vxlan0")
    return {row.get("src_vni"): row["dst"] for row in rows}


def vnis_from_42_to_44(operation):
    """A control: VNIs 42 to 44 are added in place of one."""
    if isinstance(operation, AddVni):
        return dataclasses.replace(operation, vni=42, last=44)
    return operation


def without_vni_42(operation):
    """A control: VNI 42 is not added."""
    return None if isinstance(operation, AddVni) and operation.vni == 42 else operation


def keep_vnis(operation):
    """A control: no VNI is deleted."""
    return None if isinstance(operation, DelVni) else operation


def shorter_range(operation):
    """A control: a range ends one VNI earlier."""
    if isinstance(operation, AddVni) and operation.last:
        return dataclasses.replace(operation, last=operation.last - 1)
    return operation


def an_existing_vni(operation):
    """A control: the VNI that is deleted is in the filter."""
    return dataclasses.replace(operation, vni=42) if isinstance(operation, DelVni) else operation


def second_device_on_another_port(operation):
    """A control: the second device has another UDP port."""
    if isinstance(operation, AddLink) and operation.name == "second":
        return swap_at("a", dstport=14789)(operation)
    return operation


def vnis_in_which_packets_are_sent(operation):
    """A control: the filter has the VNIs 43 and 16777215."""
    if isinstance(operation, AddVni):
        other = {42: 43, 44: 16777215}
        return dataclasses.replace(operation, vni=other[operation.vni])
    return operation


def without_remotes(operation):
    """A control: no VNI has a remote of its own."""
    return (
        dataclasses.replace(operation, remote=None) if isinstance(operation, AddVni) else operation
    )


def a_valid_vni(operation):
    """A control: VNI 9 is added in place of what must be refused."""
    return AddVni("a", "vxlan0", 9) if isinstance(operation, AddVni) else operation


@pytest.mark.behaviour(
    "a device with `vnifilter` receives packets of the VNIs in its filter only", source=RECEIVE
)
@pytest.mark.control(
    "the filter has the VNIs 42 to 44, not 44 alone",
    change=vnis_from_42_to_44,
    because=r"a receives the VNIs \[42, 43, 44\], not \[44\]",
)
def test_only_vnis_in_the_filter_are_received(lab):
    make_filtering_device(lab)
    for vni in (42, 43, 44):
        make_sender(lab, vni)
    lab.apply(AddVni("a", "vxlan0", 44))
    assert_received(lab, [44], of=[42, 43, 44])


@pytest.mark.behaviour(
    "packets of a VNI are received once the VNI is added to the filter",
    source=FILTER + "vxlan_vni_add()",
)
@pytest.mark.control(
    "VNI 42 is not added to the filter",
    change=without_vni_42,
    because=r"a receives the VNIs \[43\], not \[42, 43\]",
)
@BOTH
def test_an_added_vni_is_received(lab, by):
    make_filtering_device(lab)
    for vni in (42, 43):
        make_sender(lab, vni)
    lab.apply(AddVni("a", "vxlan0", 43))
    assert_received(lab, [43], of=[42, 43])
    lab.apply(AddVni("a", "vxlan0", 42), by=by)
    assert_received(lab, [42, 43], of=[42, 43])


@pytest.mark.behaviour(
    "packets of a VNI are no longer received once the VNI is deleted from the filter",
    source=FILTER + "vxlan_vni_del()",
)
@pytest.mark.control(
    "VNI 42 is not deleted from the filter",
    change=keep_vnis,
    because=r"a receives the VNIs \[42, 43\], not \[43\]",
)
@BOTH
def test_a_deleted_vni_is_not_received(lab, by):
    make_filtering_device(lab)
    for vni in (42, 43):
        make_sender(lab, vni)
        lab.apply(AddVni("a", "vxlan0", vni))
    assert_received(lab, [42, 43], of=[42, 43])
    lab.apply(DelVni("a", "vxlan0", 42), by=by)
    assert_received(lab, [43], of=[42, 43])


@pytest.mark.behaviour(
    "a range of VNIs in the filter is received from its first VNI to its last",
    source=FILTER + "vxlan_vni_add_del()",
)
@pytest.mark.control(
    "the range in the filter ends one VNI earlier",
    change=shorter_range,
    because=r"a receives the VNIs \[100, 50\], not \[100, 109, 50\]",
)
@BOTH
def test_a_range_is_received_to_its_last(lab, by):
    make_filtering_device(lab)
    lab.apply(AddVni("a", "vxlan0", 100, 109), AddVni("a", "vxlan0", 50), by=by)
    for vni in (99, 100, 109, 110, 50):
        make_sender(lab, vni)
    assert_received(lab, [100, 109, 50], of=[99, 100, 109, 110, 50])


@pytest.mark.behaviour(
    "`bridge vni` shows the VNIs in the filter as ranges, and a part of a range may be deleted",
    source=FILTER + "vxlan_vnifilter_dump_dev()",
)
@pytest.mark.control(
    "no VNI is deleted from the filter",
    change=keep_vnis,
    because=r"the filter has the VNIs \[\(100, 109\)\]",
)
@BOTH
def test_a_part_of_a_range_may_be_deleted(lab, by):
    make_filtering_device(lab)
    lab.apply(AddVni("a", "vxlan0", 100, 109))
    assert vni_ranges(lab) == [(100, 109)]
    lab.apply(DelVni("a", "vxlan0", 103, 105), by=by)
    found = vni_ranges(lab)
    assert found == [(100, 102), (106, 109)], f"the filter has the VNIs {found}"


@pytest.mark.behaviour(
    "deleting a VNI that is not in the filter is refused", source=FILTER + "vxlan_vni_del()"
)
@pytest.mark.control(
    "the VNI is in the filter", change=an_existing_vni, because="DID NOT RAISE ApplyError"
)
@BOTH
def test_an_unknown_vni_cannot_be_deleted(lab, by):
    make_filtering_device(lab)
    lab.apply(AddVni("a", "vxlan0", 42))
    with pytest.raises(ApplyError, match="No such file or directory") as refused:
        lab.apply(DelVni("a", "vxlan0", 7), by=by)
    assert refused.value.errno == errno.ENOENT


@pytest.mark.behaviour(
    "a VNI cannot be in the filters of two devices on the same UDP port",
    source=FILTER + "vxlan_vni_add(), vxlan_vni_in_use()",
)
@pytest.mark.control(
    "the two devices have different UDP ports",
    change=second_device_on_another_port,
    because="DID NOT RAISE ApplyError",
)
@BOTH
def test_a_vni_belongs_to_one_device(lab, by):
    make_filtering_device(lab)
    lab.apply(*device("a", name="second", external=True, vnifilter=True))
    lab.apply(AddVni("a", "vxlan0", 42), AddVni("a", "second", 43))
    with pytest.raises(ApplyError) as refused:
        lab.apply(AddVni("a", "second", 42), by=by)
    assert_refused(refused, by, errno.EEXIST, "VNI in use")


@pytest.mark.behaviour(
    "adding a VNI to a device without `vnifilter` is refused",
    source=FILTER + "vxlan_vnifilter_process()",
)
@pytest.mark.control(
    "b's device has `vnifilter`",
    change=swap_at("b", id=None, external=True, vnifilter=True),
    because="DID NOT RAISE ApplyError",
)
@BOTH
def test_a_device_without_a_filter_refuses_vnis(lab, by):
    lab.apply(*device("b", id=42))
    with pytest.raises(ApplyError) as refused:
        lab.apply(AddVni("b", "vxlan0", 77), by=by)
    assert refused.value.errno == errno.EOPNOTSUPP


@pytest.mark.behaviour(
    "each VNI in the filter has its own counters of packets and bytes received and sent",
    source=FILTER + "vxlan_vnifilter_count()",
)
@pytest.mark.control(
    "b's device has VNI 42, so that it answers nothing in VNI 43",
    change=swap_at("b", id=42),
    because=r"counted: .*43: \{'tx_bytes': \d+, 'tx_pkts': \d+\}",
)
def test_each_vni_counts_for_itself(lab):
    make_filtering_device(lab)
    lab.apply(AddVni("a", "vxlan0", 42, 43))
    lab.apply(*device("b", "172.18.1.3/24", id=43, remote=at(lab, "a")))
    # Else b asks for a's MAC, 5 s after its first answer.
    lab.apply(AddNeighbour("b", "vxlan0", "172.18.1.2", mac_of(lab, "a")))
    encap_route(lab, "a", "172.18.1.3/32", 43, B)
    assert counters(lab) == {42: {}, 43: {}}
    lab["a"].ping("172.18.1.3", timeout=3)
    # ARP and ICMP: 28 and 84 bytes, with their Ethernet header only where they are sent.
    of_43 = {"rx_bytes": 112, "rx_pkts": 2, "tx_bytes": 140, "tx_pkts": 2}
    found = counters(lab)
    assert found == {42: {}, 43: of_43}, f"counted: {found}"


@pytest.mark.behaviour(
    "a packet in a VNI that is not in the filter is sent, but not counted for any VNI",
    source=FILTER + "vxlan_vnifilter_count()",
)
@pytest.mark.control(
    "the filter has the VNIs in which packets are sent",
    change=vnis_in_which_packets_are_sent,
    because=r"counted: .*(43|16777215): \{'tx_bytes': 51, 'tx_pkts': 1\}",
)
@pytest.mark.parametrize("vni", [43, 16777215])
def test_a_packet_in_another_vni_is_sent_uncounted(lab, vni):
    make_filtering_device(lab)
    lab.apply(AddVni("a", "vxlan0", 42), AddVni("a", "vxlan0", 44))
    encap_route(lab, "a", "172.18.1.3/32", vni, B)
    lab.apply(AddNeighbour("a", "vxlan0", "172.18.1.3", "02:00:00:00:00:03"))
    with lab.capture("a:eth0", ports=PORTS) as seen:
        lab["a"].send_marked("172.18.1.3", b"out")
        seen["a:eth0"].wait_for(holds(b"out"), "the datagram")
    found = counters(lab)
    assert found == {42: {}, 44: {}}, f"counted: {found}"


@pytest.mark.behaviour(
    "the flood entry of a VNI in the filter has the VNI's own remote, or the device's remote if "
    "the VNI has none",
    source=FILTER + "vxlan_update_default_fdb_entry()",
)
@pytest.mark.control(
    "VNI 51 has no remote of its own",
    change=without_remotes,
    because=rf"flood remotes by VNI: .*51: '{B}'",
)
@BOTH
def test_each_vni_has_its_own_flood_entry(lab, by):
    make_filtering_device(lab, remote=B)
    lab.apply(AddVni("a", "vxlan0", 50), AddVni("a", "vxlan0", 51, remote=C), by=by)
    found = flood_remotes(lab)
    assert found == {None: B, 50: B, 51: C}, f"flood remotes by VNI: {found}"
    lab.apply(SetVxlan("a", "vxlan0", (("remote", "192.168.57.56"),)))
    assert flood_remotes(lab) == {None: "192.168.57.56", 50: "192.168.57.56", 51: C}
    lab.apply(DelVni("a", "vxlan0", 51))
    assert 51 not in flood_remotes(lab)


@pytest.mark.behaviour(
    "adding VNI 0, or a VNI with a multicast group to a device without a lower device, is refused",
    source=FILTER + "vxlan_process_vni_filter()",
)
@pytest.mark.control(
    "VNI 9 without a group is added instead",
    change=a_valid_vni,
    because="DID NOT RAISE ApplyError",
)
@BOTH
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({"vni": 0}, "vni start nor end found in vni entry", id="vni-0"),
        pytest.param(
            {"vni": 42, "group": "239.1.1.1"},
            "Local interface required for multicast remote group",
            id="a-group-without-a-lower-device",
        ),
    ],
)
def test_an_invalid_vni_is_refused(lab, fields, words, by):
    make_filtering_device(lab, remote=B)
    with pytest.raises(ApplyError) as refused:
        lab.apply(AddVni("a", "vxlan0", **fields), by=by)
    assert_refused(refused, by, errno.EINVAL, words)
