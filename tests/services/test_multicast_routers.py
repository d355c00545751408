"""What smcroute and pimd have in common: once they are ready, multicast flows."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from multicast_router_tools import (
    EACH_KIND,
    GROUP,
    GROUP6,
    KINDS_AND_GROUPS,
    Kind,
    RouterLab,
    Start,
    forget,
    skip_without,
)

from vxlab.errors import DaemonError, MissingProgram, TopologyError
from vxlab.services import Pimd, Smcroute, base, wait_all_ready
from vxlab.system import programs
from vxlab.system.waiting import wait_until


@pytest.mark.parametrize("hosts", [2, 3])
@pytest.mark.parametrize(("kind", "group"), KINDS_AND_GROUPS)
def test_the_first_packet_after_ready_gets_through(
    labs: Callable[[int], RouterLab], start: Start, kind: Kind, group: str, hosts: int
) -> None:
    lab = labs(hosts)
    lab.add_vxlan(group)
    code, output = lab.ping(1, 2, wait=0.2)
    assert code == 1, f"there is no router yet, and still: {output}"
    forget(lab)
    start(lab, kind(lab.interfaces, [group])).wait_ready()
    for target in range(2, hosts + 1):
        code, output = lab.ping(1, target)
        assert code == 0, output


@EACH_KIND
def test_eight_interfaces_and_two_tunnels_share_one_group(
    labs: Callable[[int], RouterLab], start: Start, kind: Kind
) -> None:
    lab = labs(8)
    lab.add_vxlan(vni=10)
    lab.add_vxlan(vni=20)
    start(lab, kind(lab.interfaces, [GROUP])).wait_ready()
    assert lab.ping(8, 1, vni=10)[0] == 0
    assert lab.ping(3, 6, vni=20)[0] == 0


@EACH_KIND
def test_packets_that_came_too_early_do_not_block_the_flow(
    lab: RouterLab, start: Start, kind: Kind
) -> None:
    lab.add_vxlan()
    running = start(lab, kind(lab.interfaces, [GROUP]))
    with lab.multicast_sender(1) as sock:
        wait_until(
            lambda: "eth1" in base.multicast_interfaces(lab.router, socket.AF_INET), "the vif"
        )
        sock.sendto(b"early", (GROUP, 9))
        running.wait_ready()
    assert lab.ping(1, 2)[0] == 0


@EACH_KIND
def test_stopped_nothing_flows_and_started_again_it_flows(
    lab: RouterLab, start: Start, kind: Kind
) -> None:
    lab.add_vxlan()
    daemon = kind(lab.interfaces, [GROUP])
    first = start(lab, daemon)
    first.wait_ready()
    assert lab.ping(1, 2)[0] == 0
    first.stop()
    assert not first.alive
    assert not base.multicast_interfaces(lab.router, socket.AF_INET)
    forget(lab)
    assert lab.ping(1, 2, wait=0.2)[0] == 1
    forget(lab)
    again = start(lab, daemon)
    again.wait_ready()
    assert lab.ping(1, 2)[0] == 0
    assert again.pid != first.pid


@EACH_KIND
def test_it_starts_again_after_having_been_killed(lab: RouterLab, start: Start, kind: Kind) -> None:
    lab.add_vxlan()
    first = start(lab, kind(lab.interfaces, [GROUP]))
    first.wait_ready()
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: not first.alive, "its end")
    start(lab, kind(lab.interfaces, [GROUP])).wait_ready()
    assert lab.ping(1, 2)[0] == 0


def test_several_daemons_are_awaited_together(
    labs: Callable[[int], RouterLab], start: Start
) -> None:
    several = [labs(2), labs(2), labs(3)]
    for lab in several:
        lab.add_vxlan()
    kinds: list[Kind] = [Pimd, Smcroute, Pimd]
    running = [
        start(lab, kind(lab.interfaces, [GROUP])) for lab, kind in zip(several, kinds, strict=True)
    ]
    wait_all_ready(running)
    assert all(daemon.poll() for daemon in running)
    assert [lab.ping(1, 2)[0] for lab in several] == [0, 0, 0]


@EACH_KIND
def test_only_the_interfaces_named_are_routed(
    labs: Callable[[int], RouterLab], start: Start, kind: Kind
) -> None:
    lab = labs(3)
    lab.add_vxlan()
    start(lab, kind(["eth1", "eth3"], [GROUP])).wait_ready()
    routed = base.multicast_interfaces(lab.router, socket.AF_INET)
    assert {name for name in routed if name.startswith("eth")} == {"eth1", "eth3"}
    assert lab.ping(3, 1)[0] == 0
    assert lab.ping(3, 2, wait=0.2)[0] == 1


@EACH_KIND
def test_a_group_of_link_scope_is_left_alone(lab: RouterLab, start: Start, kind: Kind) -> None:
    lab.add_vxlan("224.0.0.77")
    daemon = kind(lab.interfaces, ["224.0.0.77"])
    assert daemon.routed == ()
    start(lab, daemon).wait_ready()
    assert lab.ping(1, 2, wait=0.2)[0] == 1


@EACH_KIND
def test_a_missing_interface_is_named(lab: RouterLab, kind: Kind) -> None:
    skip_without(kind.program)
    daemon = kind([*lab.interfaces, "eth9"], [GROUP])
    with pytest.raises(DaemonError, match=r"wanted the interface eth9, found only lo, eth1, eth2"):
        daemon.start(lab.router, "r1", lab.folder, lab.helpers)


@pytest.mark.parametrize("second", [Smcroute, Pimd])
@pytest.mark.parametrize("first", [Smcroute, Pimd])
def test_a_second_one_in_the_namespace_is_refused(
    lab: RouterLab, start: Start, first: Kind, second: Kind
) -> None:
    lab.add_vxlan()
    running = start(lab, first(lab.interfaces, [GROUP]))
    running.wait_ready()
    with pytest.raises(DaemonError, match=r"only multicast router .* stop that one first"):
        start(lab, second(lab.interfaces, [GROUP]), "r2")
    assert running.alive
    assert lab.ping(1, 2)[0] == 0


@EACH_KIND
def test_a_missing_program_is_named_with_its_package(
    lab: RouterLab, kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "SYSTEM_PATH", ())
    monkeypatch.setattr(base, "SYSTEM_TOOLS", tmp_path)
    for variable in ("VXLAB_TOOLS", "XDG_CACHE_HOME", "PATH"):
        monkeypatch.setenv(variable, str(tmp_path))
    with pytest.raises(MissingProgram, match=programs.PACKAGES[kind.program]):
        kind(lab.interfaces, [GROUP]).start(lab.router, "r1", lab.folder, lab.helpers)


@EACH_KIND
def test_a_description_is_plain_comparable_data(kind: Kind) -> None:
    one = kind(["a", "b", "b"], [GROUP, GROUP])
    assert one == kind(("a", "b"), (GROUP,))
    assert hash(one) == hash(kind(("a", "b"), (GROUP,)))
    assert one != kind(("a", "c"), (GROUP,))
    assert "interfaces=('a', 'b')" in repr(one)


@EACH_KIND
@pytest.mark.parametrize(
    ("interfaces", "groups", "message"),
    [
        (["a"], [GROUP], "interfaces: wanted 2 to 31 to route between, found 1"),
        ([f"e{n}" for n in range(32)], [GROUP], "wanted 2 to 31 to route between, found 32"),
        (["a", "b"], ["10.0.0.1"], "groups: wanted multicast addresses, found '10.0.0.1'"),
        (["a", "b"], ["nonsense"], "groups: wanted multicast addresses, found 'nonsense'"),
    ],
)
def test_senseless_descriptions_are_refused(
    kind: Kind, interfaces: list[str], groups: list[str], message: str
) -> None:
    with pytest.raises(TopologyError, match=message):
        kind(interfaces, groups)


def test_the_configurations_name_every_interface() -> None:
    names = ["a", "b", "c"]
    assert Smcroute(names, [GROUP, "224.0.0.5", GROUP6]).config().splitlines() == [
        *(f"phyint {name} enable" for name in names),
        f"mroute from a group {GROUP} to b c",
        f"mroute from b group {GROUP} to a c",
        f"mroute from c group {GROUP} to a b",
        f"mroute from a group {GROUP6} to b c",
        f"mroute from b group {GROUP6} to a c",
        f"mroute from c group {GROUP6} to a b",
    ]
    assert Pimd(names, [GROUP]).config().splitlines() == [
        "igmp-query-interval 12",
        *(f"phyint {name} enable" for name in names),
    ]
