"""12.7 What takes things away and restores them, as in vxlan_bridge_1d.sh.

ns0 eth0 172.18.1.2 ─ br0 ─ vxlan0 ─ a ──── lan ──┬── b ─ vxlan0 ─ br0 ─ 172.18.1.3 eth0 ns1
                          192.168.57.50           └── c ─ vxlan0 ─ br0 ─ 172.18.1.4 eth0 ns2
"""

from __future__ import annotations

import dataclasses

import pytest
from fdb_tools import ANY, MAC, address, assert_copies, assert_remotes, default_copies

from vxlab import catalog
from vxlab.operations import AddAddress, AddFdb, DelAddress, DelFdb, SetLink

SELFTEST = "tools/testing/selftests/net/forwarding/vxlan_bridge_1d.sh"
XMIT = "drivers/net/vxlan/vxlan_core.c: "
B = "192.168.57.54"
UNREACHABLE = "203.0.113.9"


def flood_entries(lab, operation, **more):
    """Operations on a's flood entries: that of its device's own remote, and an appended one."""
    yield operation("a", "vxlan0", ANY, address(lab, "b"), via="eth0", **more)
    yield operation("a", "vxlan0", ANY, address(lab, "c"), **more)


def echoes(lab):
    """Which of the containers ns1 and ns2 answer ns0."""
    return [name for name, last in (("ns1", 3), ("ns2", 4)) if lab["ns0"].ping(f"172.18.1.{last}")]


def stays_out(operation):
    """A control: the vxlan device does not come back into its bridge."""
    return None if isinstance(operation, SetLink) and operation.master == "br0" else operation


@pytest.mark.behaviour(
    "after a vxlan device has left its bridge and come back, its underlay address was removed and "
    "added, and its flood entries were deleted and added, containers reach each other as before",
    source=f"{SELFTEST}: reapply_config()",
)
@pytest.mark.control(
    "the vxlan device does not come back into its bridge",
    change=stays_out,
    because=r"ns0 is answered by \[\] after all was restored",
)
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.topology(catalog.bridged(hosts=3))
def test_containers_reach_each_other_after_all_was_restored(lab, by):
    assert echoes(lab) == ["ns1", "ns2"]
    own = ("a", "eth0", f"{address(lab, 'a')}/24")
    lab.apply(*flood_entries(lab, DelFdb), by=by)
    assert_remotes(lab, ANY)
    lab.apply(SetLink("a", "vxlan0", master=""), DelAddress(*own), by=by)
    lab.apply(AddAddress(*own), SetLink("a", "vxlan0", master="br0"), by=by)
    lab.apply(*flood_entries(lab, AddFdb, append=True), by=by)
    found = echoes(lab)
    assert found == ["ns1", "ns2"], f"ns0 is answered by {found} after all was restored"
    assert_copies(lab, MAC, default_copies(lab, "b", "c"))


def to_a_reachable_one(operation):
    """A control: in place of the unreachable remote there is host b with another port."""
    if isinstance(operation, AddFdb) and operation.dst == UNREACHABLE:
        return dataclasses.replace(operation, dst=B, port=4790)
    return operation


@pytest.mark.behaviour(
    "a remote in the default FDB entry to which there is no route does not keep the copies of a "
    "flooded frame from the remotes after it and before it",
    source=f"{SELFTEST}: vxlan_flood_test(); {XMIT}vxlan_xmit_one()",
)
@pytest.mark.control(
    "the remote without a route is host b with another port",
    change=to_a_reachable_one,
    because=r"copies for .*; found \S+54 port 4789 VNI 42, \S+54 port 4790 VNI 42, \S+55 port",
)
@pytest.mark.parametrize("position", [0, 1, 2], ids=["first", "middle", "last"])
@pytest.mark.topology(catalog.bridged(hosts=3))
def test_an_unreachable_remote_is_skipped(lab, position):
    remotes = [address(lab, host) for host in "bc"]
    remotes.insert(position, UNREACHABLE)
    lab.apply(*flood_entries(lab, DelFdb))
    lab.apply(*(AddFdb("a", "vxlan0", ANY, dst, append=True) for dst in remotes))
    assert_copies(lab, MAC, default_copies(lab, "b", "c"))
    shown = lab["a"].run("ip", "route", "get", UNREACHABLE, check=False)
    assert "unreachable" in shown.stderr
