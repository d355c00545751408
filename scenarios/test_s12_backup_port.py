"""12.5 Backup ports of a bridge, as in test_bridge_backup_port.sh.

    ns0 eth0 172.18.1.2 ─ ns0-eth0 ┐
                               br0 ─ vxlan0 ─ a eth0 ──── lan ──── eth0 b
                                            192.168.57.50       192.168.57.54

ns0-eth0 loses its carrier when ns0 sets its eth0 down; the bridge then sends what is for a station
behind it to the backup port.  Frames are for MAC, which the bridge has at ns0-eth0.
"""

from __future__ import annotations

import itertools

import pytest
from fdb_tools import LATER, MAC, SENDER, marked_frame
from flood_tools import send_frames

from vxlab import catalog, wait_until
from vxlab.operations import AddFdb, SetLink, SetPort

SELFTEST = "tools/testing/selftests/net/test_bridge_backup_port.sh"
FORWARD = "net/bridge/br_forward.c: br_forward()"

_numbers = itertools.count(1)
pytestmark = pytest.mark.topology(catalog.bridged())


def set_carrier(lab, up):
    """Give ns0-eth0 its carrier, or take it away; the bridge has noticed."""
    lab.apply(SetLink("ns0", "eth0", up=up))
    wanted = "forwarding" if up else "disabled"

    def state():
        (port,) = lab["a"].bridge("link", "show", "dev", "ns0-eth0")
        return port["state"]

    wait_until(lambda: state() == wanted, f"ns0-eth0 to be {wanted}", found=state)


def marks_of(capture):
    """The marks of all captured frames."""
    return [frame.mark for frame in capture.frames]


def way_of(lab, *ports):
    """Out of which of these ports the bridge sends a frame for MAC; a flooded one follows."""
    text, last = (b"%s %d" % (word, next(_numbers)) for word in (b"frame", b"later"))
    places = [f"a:{port}" for port in ports]
    with lab.capture(*places) as seen:
        several = marked_frame(MAC, SENDER, text), marked_frame(LATER, SENDER, last)
        send_frames(lab["a"], "br0", *several)
        seen[places[-1]].wait_for(lambda frame: frame.mark == last, "a later frame")
    assert all(seen[place].was_live for place in places)
    return [port for port in ports if text in marks_of(seen[f"a:{port}"])]


def without_backup(operation):
    """A control: the port has no backup port."""
    return None if isinstance(operation, SetPort) else operation


@pytest.mark.behaviour(
    "while a bridge's port has no carrier, frames for the stations behind it leave by its backup "
    "port, a vxlan device, and no longer once the carrier is back or the backup port is taken away",
    source=f"{SELFTEST}: backup_port; {FORWARD}",
)
@pytest.mark.control(
    "the port has no backup port",
    change=without_backup,
    because=r"without a carrier the frame leaves by \[\]",
)
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
def test_frames_leave_by_the_backup_port(lab, by):
    lab.apply(AddFdb("a", "ns0-eth0", MAC, state="static", flags=("master",)))
    lab.apply(SetPort("a", "ns0-eth0", (("backup_port", "vxlan0"),)), by=by)
    both = ("ns0-eth0", "vxlan0")
    assert way_of(lab, *both) == ["ns0-eth0"]
    set_carrier(lab, up=False)
    found = way_of(lab, "vxlan0")  # without a carrier nothing can leave by the port itself
    assert found == ["vxlan0"], f"without a carrier the frame leaves by {found}"
    set_carrier(lab, up=True)
    assert way_of(lab, *both) == ["ns0-eth0"]
    set_carrier(lab, up=False)
    lab.apply(SetPort("a", "ns0-eth0", (("backup_port", ""),)), by=by)
    assert way_of(lab, "vxlan0") == []
