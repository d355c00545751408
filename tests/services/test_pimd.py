"""pimd: its members, its helpers, its packets, and what it refuses."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from multicast_router_tools import GROUP, GROUP6, RouterLab, Start, ip, skip_without

from vxlab.errors import DaemonError, TopologyError
from vxlab.services import Pimd, base, pimd
from vxlab.system.waiting import wait_until


def test_pimd_waits_for_the_members_it_is_told_of(
    labs: Callable[[int], RouterLab], start: Start
) -> None:
    lab = labs(3)
    lab.add_vxlan(hosts=(1, 3))
    start(lab, Pimd(lab.interfaces, [GROUP], {GROUP: ["eth1", "eth3"]})).wait_ready()
    assert lab.ping(1, 3)[0] == 0


def test_pimd_says_which_members_did_not_come(
    labs: Callable[[int], RouterLab], start: Start
) -> None:
    lab = labs(3)
    lab.add_vxlan(hosts=(1, 3))
    running = start(lab, Pimd(lab.interfaces, [GROUP]))
    assert isinstance(running, pimd.RunningPimd)
    wait_until(lambda: running.poll() or len(running.members) > 1, "the two members")
    with pytest.raises(DaemonError, match=rf"found no members of {GROUP} on eth2 \(") as it:
        running.wait_ready(timeout=0.01)
    assert "its output:" in str(it.value)
    assert "Interface eth2 comes up" in running.output()
    assert running.alive


def test_pimd_is_ready_without_members_and_takes_those_that_come(
    lab: RouterLab, start: Start
) -> None:
    running = start(lab, Pimd(lab.interfaces, [GROUP], {}))
    running.wait_ready()
    assert "Received PIM Bootstrap" in running.output()
    lab.add_vxlan()
    wait_until(lambda: lab.ping(1, 2, wait=0.1)[0] == 0, "an answer")


def test_pimd_waits_for_members_that_come_late(lab: RouterLab, start: Start) -> None:
    running = start(lab, Pimd(lab.interfaces, [GROUP]))
    joining = threading.Timer(0.1, lab.add_vxlan)
    joining.start()
    running.wait_ready()
    joining.join()
    assert lab.ping(1, 2)[0] == 0


def test_pimd_goes_on_to_the_next_helper(lab: RouterLab, start: Start) -> None:
    skip_without("pimd")
    lab.add_vxlan()
    dumb = base.Helper(lab.hosts[0], "10.0.1.99", "10.0.1.254")  # not an address of this host
    helpers = [dumb, lab.helpers[1]]
    running = Pimd(lab.interfaces, [GROUP]).start(lab.router, "r1", lab.folder, helpers)
    try:
        running.wait_ready()
        assert lab.ping(1, 2)[0] == 0
    finally:
        running.stop()


def test_pimd_wants_an_address_on_every_interface(lab: RouterLab) -> None:
    skip_without("pimd")
    ip(lab.router, "address flush dev eth2")
    with pytest.raises(DaemonError, match="IPv4 address on every interface, found none on eth2"):
        Pimd(lab.interfaces, [GROUP]).start(lab.router, "r1", lab.folder, lab.helpers)


def test_pimd_wants_a_helper(lab: RouterLab) -> None:
    skip_without("pimd")
    daemon = Pimd(lab.interfaces, [GROUP])
    with pytest.raises(DaemonError, match=r"beside 10\.0\.1\.254 or 10\.0\.2\.254, found none"):
        daemon.start(lab.router, "r1", lab.folder)
    far = base.Helper(lab.hosts[0], "10.9.9.1", "10.9.9.254")
    with pytest.raises(DaemonError, match=r"found 10\.9\.9\.254"):
        daemon.start(lab.router, "r1", lab.folder, [far])


@pytest.mark.parametrize(
    ("group", "members", "message"),
    [
        (GROUP6, None, "pimd: groups: wanted IPv4 groups, found ff05::1:1: use smcroute for IPv6"),
        ("232.1.1.1", None, "groups: wanted groups outside 232.0.0.0/8"),
        (GROUP, {"239.9.9.9": ["a"]}, "members: .* found 239.9.9.9 on a"),
        (GROUP, {GROUP: ["c"]}, f"members: .* found {GROUP} on c"),
    ],
)
def test_pimd_refuses_what_it_cannot_do(
    group: str, members: dict[str, list[str]] | None, message: str
) -> None:
    with pytest.raises(TopologyError, match=message):
        Pimd(["a", "b"], [group], members)


def test_the_packets_are_those_of_the_standards() -> None:
    assert pimd.general_query(1).hex(" ") == "11 01 ec f2 00 00 00 00 02 0c 00 00"
    assert pimd.bootstrap_message("10.0.1.1", "10.0.1.254").hex(" ", 2) == (
        "2400 c2fa 0000 1e00 0100 0a00 0101 0100 0004 e000 0000 0101 0000 0100 0a00 01fe ffff 0000"
    )


DUMP = """\
Virtual Interface Table ======================================================
Vif  Local Address    Subnet              Thresh  Flags      Neighbors
---  ---------------  ------------------  ------  ---------  -----------------
  0  10.9.9.254       10.9.9/24                1  DISABLED
  1  10.0.1.254       10.0.1/24                1  DR NO-NBR
  2  10.0.2.254       10.0.2/24                1  DR NO-NBR
  3  10.0.1.254       register_vif0            1

 Vif  SSM Group        Sources
   2  232.1.1.1        10.0.1.1

Multicast Routing Table ======================================================
----------------------------------- (*,G) ------------------------------------
Source           Group            RP Address       Flags
---------------  ---------------  ---------------  ---------------------------
INADDR_ANY       239.1.1.1        10.0.1.254       WC RP
Joined   oifs: ...j
Pruned   oifs: ....
Leaves   oifs: lll.
Asserted oifs: ....
Outgoing oifs: lll.
Incoming     : ...I

----------------------------------- (S,G) ------------------------------------
Source           Group            RP Address       Flags
---------------  ---------------  ---------------  ---------------------------
10.0.1.1         239.2.2.2        10.0.1.254       SG
Joined   oifs: ...j
Pruned   oifs: ....
Leaves   oifs: .ll.
--------------------------------- (*,*,G) ------------------------------------
Number of Groups: 2
Number of Cache MIRRORs: 0
------------------------------------------------------------------------------
"""


def test_members_are_read_from_a_dump() -> None:
    addresses = {"eth1": "10.0.1.254", "eth2": "10.0.2.254"}
    assert pimd.members_in(DUMP, addresses) == {(GROUP, "eth1"), (GROUP, "eth2")}
    assert pimd.members_in("", addresses) == set()
    of_class_c = DUMP.replace("10.0.1.254 ", "192.168.1.9 ").replace("10.0.1/24", "192.168.1")
    assert "192.168.1 " in of_class_c
    addresses["eth1"] = "192.168.1.9"
    assert pimd.members_in(of_class_c, addresses) == {(GROUP, "eth1"), (GROUP, "eth2")}


def test_the_register_interface_of_a_dump_is_not_a_member() -> None:
    dump = DUMP.replace("Leaves   oifs: lll.", "Leaves   oifs: ...l")
    assert pimd.members_in(dump, {"eth1": "10.0.1.254"}) == set()
