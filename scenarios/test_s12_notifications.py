"""12.2 How often a change of entries and VNIs is notified: fdb_notify.sh and others.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0                           192.168.57.55 eth0 c

A notification is in its socket before the kernel answers the change that causes it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import struct
from typing import NamedTuple

import pytest
from device_tools import B, C, bare, device
from fdb_tools import MAC, RTM_DELNEIGH, RTM_NEWNEIGH, fdb_events

from vxlab import ApplyError, catalog, frames
from vxlab.operations import AddFdb, AddVni, DelFdb, DelVni

SELFTEST = "tools/testing/selftests/net/"
FILTER = "drivers/net/vxlan/vxlan_vnifilter.c: "
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 270, 1  # linux/socket.h, linux/netlink.h
RTNLGRP_TUNNEL, RTM_NEWTUNNEL, RTM_DELTUNNEL = 35, 120, 121  # linux/rtnetlink.h
VNI_START, VNI_END, VNI_GROUP = 1, 2, 3  # VXLAN_VNIFILTER_ENTRY_*, linux/if_link.h

BOTH = pytest.mark.parametrize("by", ["netlink", "iproute2"])
filtering = pytest.mark.requires("vxlan.vnifilter", "bridge.vni")


class VniEvent(NamedTuple):
    """A notification about VNIs of a filter, the last of them 0 for a single one."""

    what: str
    first: int
    last: int
    remote: str


@contextlib.contextmanager
def vni_events(lab):
    """Within the block: a function that gives all events of VNIs of host a's devices so far."""
    with lab["a"].socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.bind((0, 0))
        sock.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, RTNLGRP_TUNNEL)
        seen = []

        def events():
            with contextlib.suppress(BlockingIOError):
                while True:
                    seen.extend(vni_event(sock.recv(1 << 16, socket.MSG_DONTWAIT)))
            return list(seen)

        yield events


def vni_event(data):
    """The events in a netlink message: struct tunnel_msg of 8 bytes, and entries."""
    kind = struct.unpack_from("=IH", data)[1]
    what = {RTM_NEWTUNNEL: "new", RTM_DELTUNNEL: "deleted"}[kind]
    for _, entry in attributes(data[24:]):
        found = dict(attributes(entry))
        first, last = (
            int.from_bytes(found.get(which, b""), "little") for which in (VNI_START, VNI_END)
        )
        remote = found.get(VNI_GROUP, b"")
        yield VniEvent(what, first, last, frames.address(remote) if remote else "")


def attributes(data):
    """The attributes of a netlink message: pairs of number and content."""
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += max((length + 3) & ~3, 4)


def assert_events(found, *wanted):
    """Assert that these are the notifications so far."""
    shown = "; ".join(f"{each.what} {each.first} {each.remote}".strip() for each in found)
    assert found == [VniEvent(*each) for each in wanted], f"notifications: {shown or 'none'}."


def make_filtering_device(lab):
    """Make a's device with a VNI filter, and no VNI in it yet."""
    lab.apply(*device("a", external=True, vnifilter=True))


def without_remote(operation):
    """A control: VNIs are added without a remote."""
    return (
        dataclasses.replace(operation, remote=None) if isinstance(operation, AddVni) else operation
    )


def last_remote_first(operation):
    """A control: VNI 200 has the remote c from the start, so that the change changes nothing."""
    return dataclasses.replace(operation, remote=B) if isinstance(operation, AddVni) else operation


@pytest.mark.behaviour(
    "a VNI that is added to the filter with a remote is notified once, with its remote",
    source=f"{SELFTEST}test_vxlan_vnifilter_notify.sh; {FILTER}vxlan_vnifilter_notify()",
)
@pytest.mark.control(
    "another remote is given to the VNI",
    change=last_remote_first,
    because=rf"notifications: new 200 {B}\.",
)
@filtering
@pytest.mark.topology(bare())
@BOTH
def test_a_vni_with_a_remote_is_notified_once(lab, by):
    make_filtering_device(lab)
    with vni_events(lab) as events:
        lab.apply(AddVni("a", "vxlan0", 200, remote=C), by=by)
        assert_events(events(), ("new", 200, 0, C))


@pytest.mark.behaviour(
    "a VNI whose remote is changed is notified once, with the new remote",
    source=f"{SELFTEST}test_vxlan_vnifilter_notify.sh; {FILTER}vxlan_vni_update()",
)
@pytest.mark.control(
    "the change of the remote is one to the remote that the VNI has",
    change=last_remote_first,
    because=rf"notifications: (new 200 {B}|none)\.",
)
@filtering
@pytest.mark.topology(bare())
@BOTH
def test_a_changed_remote_is_notified_once(lab, by):
    make_filtering_device(lab)
    lab.apply(AddVni("a", "vxlan0", 200, remote=B))
    with vni_events(lab) as events:
        lab.apply(AddVni("a", "vxlan0", 200, remote=C), by=by)
        assert_events(events(), ("new", 200, 0, C))


@pytest.mark.behaviour(
    "a VNI that is deleted from the filter is notified once, with the remote that it had",
    source=f"{SELFTEST}test_vxlan_vnifilter_notify.sh; {FILTER}vxlan_vni_delete_group()",
)
@pytest.mark.control(
    "the VNI has no remote", change=without_remote, because=r"notifications: deleted 200\."
)
@filtering
@pytest.mark.topology(bare())
@BOTH
def test_a_deleted_vni_is_notified_once(lab, by):
    make_filtering_device(lab)
    lab.apply(AddVni("a", "vxlan0", 200, remote=C))
    with vni_events(lab) as events:
        lab.apply(DelVni("a", "vxlan0", 200), by=by)
        assert_events(events(), ("deleted", 200, 0, C))


def a_known_vni(operation):
    """A control: the VNI that is deleted is in the filter."""
    return dataclasses.replace(operation, vni=200) if isinstance(operation, DelVni) else operation


@pytest.mark.behaviour(
    "a deletion that is refused, of a VNI that is not in the filter, is not notified",
    source=f"{SELFTEST}test_vxlan_vnifilter_notify.sh; {FILTER}vxlan_vni_del()",
)
@pytest.mark.control(
    "the VNI is in the filter",
    change=a_known_vni,
    because=rf"notifications: deleted 200 {C}\.",
)
@filtering
@pytest.mark.topology(bare())
@BOTH
def test_a_refused_deletion_is_not_notified(lab, by):
    make_filtering_device(lab)
    lab.apply(AddVni("a", "vxlan0", 200, remote=C))
    with vni_events(lab) as events:
        with contextlib.suppress(ApplyError):
            lab.apply(DelVni("a", "vxlan0", 201), by=by)
        assert_events(events())
        lab.apply(AddVni("a", "vxlan0", 200, remote=B))
        assert_events(events(), ("new", 200, 0, B))


def in_both_tables(operation):
    """A control: the entry is added to the FDB of the vxlan device, too."""
    if isinstance(operation, AddFdb):
        return dataclasses.replace(operation, flags=("self", "master"), dst=B)
    return operation


@pytest.mark.behaviour(
    "an entry that a user adds to a bridge's FDB at a vxlan port (`master`) is notified once for no"
    " VLAN, and so is its deletion; a bridge that knows VLANs has one for the port's VLAN as well",
    source=f"{SELFTEST}fdb_notify.sh: test_dup_vxlan_master; net/bridge/br_fdb.c: fdb_notify()",
)
@pytest.mark.control(
    "the entry is added to the FDB of the vxlan device as well",
    change=in_both_tables,
    because=r"notifications of new entries 2, of deleted ones 1",
)
@pytest.mark.topology(catalog.bridged())
@BOTH
def test_an_entry_of_the_bridge_is_notified_once(lab, by):
    entry = {"flags": ("master",)}
    with fdb_events(lab) as events:
        lab.apply(AddFdb("a", "vxlan0", MAC, state="static", **entry), by=by)
        lab.apply(DelFdb("a", "vxlan0", MAC, **entry), by=by)
        kinds = [event.kind for event in events() if event.mac == MAC and not event.vlan]
    new, deleted = kinds.count(RTM_NEWNEIGH), kinds.count(RTM_DELNEIGH)
    text = f"notifications of new entries {new}, of deleted ones {deleted}"
    assert kinds == [RTM_NEWNEIGH, RTM_DELNEIGH], text
