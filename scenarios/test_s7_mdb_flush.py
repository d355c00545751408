"""7.11 MDB flush: all entries of a device, or those with a port, VNI, protocol or remote.

    a eth0 192.168.57.50 ──── lan ──── .54 eth0 b
      vxlan0, external

Entries are of an external device, so that they may have different source VNIs.
"""

from __future__ import annotations

import errno

import pytest
from device_tools import bare
from mdb_tools import RTPROT_BGP, RTPROT_ZEBRA, make_device, rows

from vxlab import ApplyError
from vxlab.operations import AddMdb, FlushMdb

FLUSH = "drivers/net/vxlan/vxlan_mdb.c: vxlan_mdb_del_bulk()"
ONE, TWO, SIX, SEVEN = "192.168.57.54", "192.168.57.55", "fd00:57::54", "fd00:57::55"

#: Entries that differ in one field or another, by the group that they are for.
ENTRIES = {
    "239.1.1.1": {"dst": ONE, "src_vni": 10010},
    "239.1.1.2": {"dst": TWO, "src_vni": 10010},
    "239.1.1.3": {"dst": SIX, "src_vni": 10010},
    "239.1.1.4": {"dst": SEVEN, "src_vni": 10010},
    "239.1.1.5": {"dst": ONE, "src_vni": 10011},
    "239.1.1.6": {"dst": ONE, "src_vni": 10010, "protocol": RTPROT_BGP},
    "239.1.1.7": {"dst": ONE, "src_vni": 10010, "protocol": RTPROT_ZEBRA},
    "239.1.1.8": {"dst": ONE, "src_vni": 10010, "port": 11111},
    "239.1.1.9": {"dst": ONE, "src_vni": 10010, "vni": 20010},
    "ff0e::1": {"dst": ONE, "src_vni": 10010},
}
#: What flushes by each field leave.
LEFT = {
    "nothing": ({}, []),
    "port": ({"port_name": "vxlan0"}, []),
    "permanent": ({"state": "permanent"}, []),
    "source-vni": ({"src_vni": 10011}, sorted({*ENTRIES} - {"239.1.1.5"})),
    "protocol": ({"protocol": RTPROT_BGP}, sorted({*ENTRIES} - {"239.1.1.6"})),
    "static": ({"protocol": 4}, ["239.1.1.6", "239.1.1.7"]),
    "remote": ({"dst": TWO}, sorted({*ENTRIES} - {"239.1.1.2"})),
    "ipv6-remote": ({"dst": SEVEN}, sorted({*ENTRIES} - {"239.1.1.4"})),
    "udp-port": ({"port": 11111}, sorted({*ENTRIES} - {"239.1.1.8"})),
    "the-device's-udp-port": ({"port": 4789}, ["239.1.1.8"]),
    "vni": ({"vni": 20010}, sorted({*ENTRIES} - {"239.1.1.9"})),
    "vni-that-is-the-source-vni": ({"vni": 10010}, ["239.1.1.5", "239.1.1.9"]),
    "remote-and-source-vni": ({"dst": ONE, "src_vni": 10011}, sorted({*ENTRIES} - {"239.1.1.5"})),
    "none-that-is-there": ({"dst": TWO, "port": 11111}, sorted(ENTRIES)),
}

pytestmark = [pytest.mark.requires("vxlan-mdb"), pytest.mark.topology(bare)]


def another_flush(operation):
    """A control: one entry that the flush leaves is flushed, or none if it leaves none."""
    if not isinstance(operation, FlushMdb):
        return operation
    if operation in (FlushMdb("a", "vxlan0", **LEFT[each][0]) for each in ALL_GONE):
        return None
    return FlushMdb("a", "vxlan0")


ALL_GONE = ("nothing", "port", "permanent")


def fill(lab):
    """Make a's device with all these entries."""
    entries = (AddMdb("a", "vxlan0", group, **fields) for group, fields in ENTRIES.items())
    make_device(lab, *entries, external=True)


@pytest.mark.behaviour(
    "a flush of the MDB removes all its entries, or those with the port, state, source VNI, "
    "protocol, remote, UDP port and VNI that the flush names, and leaves the others",
    source=FLUSH,
)
@pytest.mark.control(
    "a flush that leaves entries removes all; one that leaves none is left out",
    change=another_flush,
    because=r"the flush left (nothing|239\.1\.1\.1, .*ff0e::1), not (239|nothing)",
)
@pytest.mark.parametrize("case", LEFT)
def test_a_flush_removes_what_it_names(lab, case):
    filters, left = LEFT[case]
    fill(lab)
    assert sorted(row.group for row in rows(lab)) == sorted(ENTRIES)
    lab.apply(FlushMdb("a", "vxlan0", **filters), by="netlink")
    found = sorted(row.group for row in rows(lab))
    shown, wanted = (", ".join(each) or "nothing" for each in (found, left))
    assert found == left, f"the flush left {shown}, not {wanted}"


@pytest.mark.behaviour(
    "a flush removes from an MDB entry the remotes with the address that it names, and leaves the "
    "others of the same group",
    source=FLUSH,
)
@pytest.mark.control(
    "the flush is left out",
    without=FlushMdb,
    because=rf"239\.1\.1\.1 has the remotes \['{ONE}', '{TWO}'\]",
)
def test_a_flush_leaves_other_remotes_of_a_group(lab):
    to_both = (AddMdb("a", "vxlan0", "239.1.1.1", dst) for dst in (ONE, TWO))
    make_device(lab, *to_both, id=42)
    lab.apply(FlushMdb("a", "vxlan0", dst=TWO), by="netlink")
    found = [row.dst for row in rows(lab)]
    assert found == [ONE], f"239.1.1.1 has the remotes {found}"


def a_plain_flush(operation):
    """A control: the flush names nothing."""
    return FlushMdb("a", "vxlan0") if isinstance(operation, FlushMdb) else operation


@pytest.mark.behaviour(
    "a flush of a vxlan device's MDB by VLAN, by the port of another device or by `nopermanent` is "
    "refused, and removes nothing",
    source="drivers/net/vxlan/vxlan_mdb.c: vxlan_mdb_flush_desc_init()",
)
@pytest.mark.control(
    "the flush names nothing", change=a_plain_flush, because="DID NOT RAISE ApplyError"
)
@pytest.mark.parametrize(
    ("filters", "words"),
    [
        pytest.param({"vlan": 10}, "VID must not be specified", id="vlan"),
        pytest.param({"port_name": "eth0"}, "Invalid port net device", id="another-port"),
        pytest.param({"state": "nopermanent"}, "Only permanent MDB entries", id="nopermanent"),
    ],
)
def test_a_flush_is_refused(lab, filters, words):
    fill(lab)
    with pytest.raises(ApplyError, match=words) as refused:
        lab.apply(FlushMdb("a", "vxlan0", **filters), by="netlink")
    assert refused.value.errno == errno.EINVAL
    assert sorted(row.group for row in rows(lab)) == sorted(ENTRIES)
