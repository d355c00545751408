"""Multicast routing daemons in real namespaces: ready when they are ready, stopped and gone."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from multicast_router_tools import GROUP, GROUP6, RouterLab, ip, router_lab

from vxlab.errors import DaemonError, MissingProgram, TopologyError
from vxlab.services import (
    MulticastRouter,
    Pimd,
    RunningDaemon,
    Smcroute,
    base,
    daemon_program,
    pimd,
    wait_all_ready,
)
from vxlab.system import programs
from vxlab.system.waiting import wait_until

Start = Callable[..., RunningDaemon]
Kind = type[Smcroute] | type[Pimd]

KINDS = [
    pytest.param(Smcroute, GROUP, id="smcroute"),
    pytest.param(Smcroute, GROUP6, id="smcroute-v6"),
    pytest.param(Pimd, GROUP, id="pimd"),
]
BOTH = pytest.mark.parametrize("kind", [Smcroute, Pimd])


@pytest.fixture
def labs() -> Iterator[Callable[[int], RouterLab]]:
    """Build labs with so many hosts; all are taken down at the end."""
    with ExitStack() as stack:
        yield lambda hosts: stack.enter_context(router_lab(hosts))


@pytest.fixture
def lab(labs: Callable[[int], RouterLab]) -> RouterLab:
    """A router and two hosts."""
    return labs(2)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a daemon on a lab's router; all are stopped at the end."""
    with ExitStack() as stack:

        def launch(lab: RouterLab, daemon: Smcroute | Pimd, name: str = "r1") -> RunningDaemon:
            need(daemon.program)
            running = daemon.start(lab.router, name, lab.folder, lab.helpers)
            stack.callback(running.stop)
            return running

        yield launch


def need(program: str) -> None:
    """Skip where a daemon is not installed."""
    try:
        daemon_program(program)
    except MissingProgram as missing:
        pytest.skip(str(missing))


def forget(lab: RouterLab) -> None:
    """Let all hosts forget their tunnels, so that the next packet is flooded to the group."""
    for host in lab.hosts:
        ip(host, "link set vxlan10 down", "link set vxlan10 up")


def script(folder: Path, name: str, text: str) -> None:
    """A program of our own in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


# --- flows, end to end


@pytest.mark.parametrize("hosts", [2, 3])
@pytest.mark.parametrize(("kind", "group"), KINDS)
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


@BOTH
def test_eight_interfaces_and_two_tunnels_in_one_group(
    labs: Callable[[int], RouterLab], start: Start, kind: Kind
) -> None:
    lab = labs(8)
    lab.add_vxlan(vni=10)
    lab.add_vxlan(vni=20)
    start(lab, kind(lab.interfaces, [GROUP])).wait_ready()
    assert lab.ping(8, 1, vni=10)[0] == 0
    assert lab.ping(3, 6, vni=20)[0] == 0


def test_smcroute_routes_both_families_at_once(lab: RouterLab, start: Start) -> None:
    lab.add_vxlan(GROUP, vni=10)
    lab.add_vxlan(GROUP6, vni=20)
    start(lab, Smcroute(lab.interfaces, [GROUP, GROUP6])).wait_ready()
    assert lab.ping(1, 2, vni=10)[0] == 0
    assert lab.ping(1, 2, vni=20)[0] == 0


@BOTH
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


@BOTH
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


@BOTH
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


@BOTH
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


@BOTH
def test_a_group_of_link_scope_is_left_alone(lab: RouterLab, start: Start, kind: Kind) -> None:
    lab.add_vxlan("224.0.0.77")
    daemon = kind(lab.interfaces, ["224.0.0.77"])
    assert daemon.routed == ()
    start(lab, daemon).wait_ready()
    assert lab.ping(1, 2, wait=0.2)[0] == 1


# --- pimd and its members


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
    need("pimd")
    lab.add_vxlan()
    dumb = base.Helper(lab.hosts[0], "10.0.1.99", "10.0.1.254")  # not an address of this host
    helpers = [dumb, lab.helpers[1]]
    running = Pimd(lab.interfaces, [GROUP]).start(lab.router, "r1", lab.folder, helpers)
    try:
        running.wait_ready()
        assert lab.ping(1, 2)[0] == 0
    finally:
        running.stop()


# --- refusals


@BOTH
def test_a_missing_interface_is_named(lab: RouterLab, kind: Kind) -> None:
    need(kind.program)
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


@pytest.mark.parametrize(("group", "family"), [(GROUP, "ipv4"), (GROUP6, "ipv6")])
def test_smcroute_says_where_multicast_is_off(
    lab: RouterLab, start: Start, group: str, family: str
) -> None:
    ip(lab.router, "link set eth2 multicast off")
    running = start(lab, Smcroute(lab.interfaces, [group]))
    with pytest.raises(DaemonError, match=rf"table \({family}\), found no eth2") as it:
        running.wait_ready(timeout=60)
    assert "eth2" in str(it.value).partition("its output:")[2]


def test_pimd_wants_an_address_on_every_interface(lab: RouterLab) -> None:
    need("pimd")
    ip(lab.router, "address flush dev eth2")
    with pytest.raises(DaemonError, match="IPv4 address on every interface, found none on eth2"):
        Pimd(lab.interfaces, [GROUP]).start(lab.router, "r1", lab.folder, lab.helpers)


def test_pimd_wants_a_helper(lab: RouterLab) -> None:
    need("pimd")
    daemon = Pimd(lab.interfaces, [GROUP])
    with pytest.raises(DaemonError, match=r"beside 10\.0\.1\.254 or 10\.0\.2\.254, found none"):
        daemon.start(lab.router, "r1", lab.folder)
    far = base.Helper(lab.hosts[0], "10.9.9.1", "10.9.9.254")
    with pytest.raises(DaemonError, match=r"found 10\.9\.9\.254"):
        daemon.start(lab.router, "r1", lab.folder, [far])


@BOTH
def test_a_missing_program_is_named_with_its_package(
    lab: RouterLab, kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "SYSTEM_PATH", ())
    monkeypatch.setattr(base, "SYSTEM_TOOLS", tmp_path)
    for variable in ("VXLAB_TOOLS", "XDG_CACHE_HOME", "PATH"):
        monkeypatch.setenv(variable, str(tmp_path))
    with pytest.raises(MissingProgram, match=programs.PACKAGES[kind.program]):
        kind(lab.interfaces, [GROUP]).start(lab.router, "r1", lab.folder, lab.helpers)


# --- daemons that fail


@pytest.mark.parametrize(("kind", "group"), KINDS)
def test_a_killed_daemon_is_reported_at_once(
    lab: RouterLab, start: Start, kind: Kind, group: str
) -> None:
    running = start(lab, kind(lab.interfaces, [group]))
    os.kill(running.pid, signal.SIGKILL)
    wait_until(lambda: not running.alive, "its end")
    with pytest.raises(DaemonError, match=rf"start {kind.program} in r: .* had ended with -9"):
        running.wait_ready(timeout=60)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose programs stand in for the daemons."""
    monkeypatch.setenv("VXLAB_TOOLS", str(tmp_path))
    return tmp_path


@BOTH
def test_a_daemon_that_dies_is_quoted(
    lab: RouterLab, start: Start, tools: Path, kind: Kind
) -> None:
    script(tools, kind.program, "echo 'the flux is bent' >&2; exit 3")
    running = start(lab, kind(lab.interfaces, [GROUP]))
    with pytest.raises(DaemonError, match="had ended with 3; its output: the flux is bent"):
        running.wait_ready(timeout=60)


@BOTH
def test_a_daemon_that_never_gets_ready_is_reported(
    lab: RouterLab, start: Start, tools: Path, kind: Kind
) -> None:
    script(tools, kind.program, "echo thinking; exec sleep 1000")
    running = start(lab, kind(lab.interfaces, [GROUP]))
    wait_until(lambda: "thinking" in running.output(), "its output")
    with pytest.raises(
        DaemonError, match=r"waited 0\.05 s for its pid file.*found no /\S*\.pid.*: thinking"
    ):
        running.wait_ready(timeout=0.05)
    assert running.alive
    running.stop()
    assert not running.alive


def test_a_pid_file_of_another_process_is_no_evidence(
    lab: RouterLab, start: Start, tools: Path
) -> None:
    script(tools, "smcrouted", "echo 1 > /run/r1.pid; echo done; exec sleep 1000")
    running = start(lab, Smcroute(lab.interfaces, [GROUP]))
    wait_until(lambda: "done" in running.output(), "its pid file")
    assert not running.poll()


def test_stop_kills_what_does_not_listen(lab: RouterLab, start: Start, tools: Path) -> None:
    script(tools, "smcrouted", "trap 'echo no' TERM; echo set; while :; do sleep 0.01; done")
    running = start(lab, Smcroute(lab.interfaces, [GROUP]))
    wait_until(lambda: "set" in running.output(), "its trap")
    os.kill(running.pid, signal.SIGTERM)
    wait_until(lambda: "no" in running.output(), "its trap to run")
    running.stop(timeout=0.1)
    assert not running.alive


@BOTH
def test_stop_may_come_early_and_often(lab: RouterLab, start: Start, kind: Kind) -> None:
    running = start(lab, kind(lab.interfaces, [GROUP]))
    running.stop()
    assert not running.alive
    running.stop()
    with pytest.raises(DaemonError, match="had ended"):
        running.wait_ready()


@BOTH
def test_stop_works_after_the_node_is_gone(
    labs: Callable[[int], RouterLab], start: Start, kind: Kind
) -> None:
    lab = labs(2)
    lab.add_vxlan()
    running = start(lab, kind(lab.interfaces, [GROUP]))
    running.wait_ready()
    lab.router.close()
    running.stop()
    assert not running.alive


# --- descriptions


@BOTH
def test_a_description_is_plain_comparable_data(kind: Kind) -> None:
    one = kind(["a", "b", "b"], [GROUP, GROUP])
    assert one == kind(("a", "b"), (GROUP,))
    assert hash(one) == hash(kind(("a", "b"), (GROUP,)))
    assert one != kind(("a", "c"), (GROUP,))
    assert "interfaces=('a', 'b')" in repr(one)


@BOTH
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


def test_smcroute_refuses_a_line_that_smcroute_would_cut() -> None:
    names = [f"interface-{n:05}" for n in range(31)]
    assert isinstance(Smcroute(names[:25], [GROUP]), MulticastRouter)
    with pytest.raises(TopologyError, match=r"found 52. bytes: use shorter names"):
        Smcroute(names, [GROUP])


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


# --- finding programs


def test_programs_are_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "vxlab-imagined-daemon"
    monkeypatch.setattr(base, "SYSTEM_TOOLS", tmp_path / "var")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("VXLAB_TOOLS", str(tmp_path / "tools"))
    with pytest.raises(MissingProgram, match=name):
        daemon_program(name)
    packed = f"{name}/usr/sbin"
    for folder in (
        tmp_path / "var" / packed,
        tmp_path / "cache/vxlab/tools" / packed,
        tmp_path / "path",
        tmp_path / "tools" / packed,
    ):
        script(folder, name, "exit 0")
        assert daemon_program(name) == str(folder / name)
    script(tmp_path / "own", name, "exit 0")
    monkeypatch.setenv("VXLAB_TOOLS", str(tmp_path / "own"))
    assert daemon_program(name) == str(tmp_path / "own" / name)
    monkeypatch.delenv("VXLAB_TOOLS")
    assert daemon_program(name) == str(tmp_path / "path" / name)


def test_without_a_cache_variable_the_home_folder_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "vxlab-imagined-daemon"
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".cache/vxlab/tools" / name / "usr/sbin"
    script(folder, name, "exit 0")
    assert daemon_program(name) == str(folder / name)
