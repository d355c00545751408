"""12.3 Flushing the FDB of a bridge with a vxlan port, as in fdb_flush.sh.

ns0 eth0 ─ ns0-eth0 ┐
                 br0 ─ vxlan0 ── a eth0 ──── lan ──── eth0 b
"""

from __future__ import annotations

import pytest

from vxlab import catalog
from vxlab.operations import AddFdb, SetBridge

SELFTEST = "tools/testing/selftests/net/fdb_flush.sh"
BULK = "net/bridge/br_fdb.c: br_fdb_delete_bulk()"
REMOTE = "192.168.57.54"

#: The entries that are added: MAC, device, and in whose FDB it is.
PERMANENT_AT_VXLAN = "02:00:00:05:00:01"
STATIC_AT_VXLAN = "02:00:00:05:00:02"
PERMANENT_AT_VETH = "02:00:00:05:00:03"
STATIC_AT_VETH = "02:00:00:05:00:04"
OF_BRIDGE_ITSELF = "02:00:00:05:00:05"
OF_VXLAN = "02:00:00:05:00:06"
IN_BOTH = "02:00:00:05:00:07"
AT_VXLAN = {PERMANENT_AT_VXLAN, STATIC_AT_VXLAN, IN_BOTH}
AT_VETH = {PERMANENT_AT_VETH, STATIC_AT_VETH}
STATIC = {STATIC_AT_VXLAN, STATIC_AT_VETH}
OF_BRIDGE = AT_VXLAN | AT_VETH | {OF_BRIDGE_ITSELF}
OF_DEVICE = {OF_VXLAN, IN_BOTH}

pytestmark = [pytest.mark.requires("bridge.fdb_flush"), pytest.mark.topology(catalog.bridged())]


def fill(lab):
    """Fill the FDBs of a's bridge and of its vxlan device."""
    at_ports = {
        PERMANENT_AT_VXLAN: ("vxlan0", "permanent"),
        STATIC_AT_VXLAN: ("vxlan0", "static"),
        PERMANENT_AT_VETH: ("ns0-eth0", "permanent"),
        STATIC_AT_VETH: ("ns0-eth0", "static"),
        IN_BOTH: ("vxlan0", "permanent"),
    }
    for mac, (port, state) in at_ports.items():
        lab.apply(AddFdb("a", port, mac, state=state, flags=("master",)))
    lab.apply(AddFdb("a", "br0", OF_BRIDGE_ITSELF))
    for mac in OF_DEVICE:
        lab.apply(AddFdb("a", "vxlan0", mac, REMOTE))


def entries(lab):
    """The added entries that are there: those of the bridge's FDB, and those of the device's."""
    rows = [row for row in lab["a"].bridge("fdb", "show") if row["mac"].startswith("02:00:00:05")]
    of_device = {row["mac"] for row in rows if "dst" in row}
    return {row["mac"] for row in rows if "dst" not in row}, of_device


def assert_left(lab, of_bridge, of_device):
    """Assert which of the added entries the two FDBs have."""
    found = entries(lab)
    shown = " and ".join(",".join(sorted(mac[-1] for mac in macs)) or "none" for macs in found)
    assert found == (of_bridge, of_device), f"of the entries these are left: {shown}."


FLUSHES = {
    "device": (("br0", "self"), OF_BRIDGE, set()),
    "port": (("br0", "self", "brport", "vxlan0"), AT_VXLAN, set()),
    "other-port": (("br0", "self", "brport", "ns0-eth0"), AT_VETH, set()),
    "bridge-as-port": (("br0", "self", "brport", "br0"), {OF_BRIDGE_ITSELF}, set()),
    "port-by-master": (("vxlan0", "master"), AT_VXLAN, set()),
    "other-port-by-master": (("ns0-eth0", "master"), AT_VETH, set()),
    "static": (("br0", "self", "static", "nopermanent"), STATIC, set()),
    "port-and-state": (("vxlan0", "master", "nopermanent"), {STATIC_AT_VXLAN}, set()),
    "vxlan": (("vxlan0", "self"), set(), OF_DEVICE),
    "bridge-and-vxlan": (("vxlan0", "master", "self"), AT_VXLAN, OF_DEVICE),
}


@pytest.mark.behaviour(
    "`bridge fdb flush` removes a bridge's entries of all ports or of the port that it names, and "
    "of a vxlan port with `self` those of the vxlan device, with `master self` those of both FDBs",
    source=f"{SELFTEST}; {BULK}",
)
@pytest.mark.known_difference("K58", until="6.12")
@pytest.mark.control(
    "the flush names entries that are sticky, of which there are none",
    arguments={"words": ("br0", "self", "sticky")},
    because=r"of the entries these are left: 1,2,3,4,5,7 and 6,7\.",
)
@pytest.mark.parametrize(("words", "of_bridge", "of_device"), FLUSHES.values(), ids=FLUSHES.keys())
def test_a_flush_empties_the_fdb_that_it_names(lab, words, of_bridge, of_device):
    fill(lab)
    assert_left(lab, OF_BRIDGE, OF_DEVICE)
    lab["a"].run("bridge", "fdb", "flush", "dev", *words)
    assert_left(lab, OF_BRIDGE - of_bridge, OF_DEVICE - of_device)


VLANS = {"by-bridge": ("br0", "self"), "by-port": ("vxlan0", "master")}
IN_VLAN_10, IN_VLAN_20 = STATIC_AT_VXLAN, PERMANENT_AT_VXLAN


@pytest.mark.behaviour(
    "`bridge fdb flush … vlan` removes a bridge's entries in that VLAN, and no others",
    source=f"{SELFTEST}; {BULK}",
)
@pytest.mark.control(
    "the flush names a VLAN without an entry",
    arguments={"vlan": "30"},
    because=r"of the entries these are left: 1,2 and none\.",
)
@pytest.mark.requires("bridge-vlan")
@pytest.mark.parametrize("words", VLANS.values(), ids=VLANS.keys())
@pytest.mark.parametrize("vlan", ["10"])
def test_a_flush_by_vlan_keeps_other_vlans(lab, words, vlan):
    lab.apply(SetBridge("a", "br0", (("vlan_filtering", 1),)))
    for mac, vid in ((IN_VLAN_10, 10), (IN_VLAN_20, 20)):
        lab["a"].run("bridge", "vlan", "add", "dev", "vxlan0", "vid", str(vid))
        lab.apply(AddFdb("a", "vxlan0", mac, vlan=vid, state="static", flags=("master",)))
    assert_left(lab, {IN_VLAN_10, IN_VLAN_20}, set())
    lab["a"].run("bridge", "fdb", "flush", "dev", *words, "vlan", vlan)
    assert_left(lab, {IN_VLAN_20}, set())
