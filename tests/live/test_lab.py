"""Live labs: opened, changed, asked, closed, and nothing left of them or touched outside."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from lab_tools import EditingBackend, describe, two_hosts, with_containers
from resource_tools import captures_closing, nothing_left, resources

from vxlab import catalog
from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.topology import Topology
from vxlab.errors import CaptureError, DaemonError, SandboxError, VxlabError
from vxlab.live.captures import Captures
from vxlab.live.lab import Lab, check_place
from vxlab.live.node import Node
from vxlab.operations import (
    AddAddress,
    AddFdb,
    AddLink,
    AddNamespace,
    DelLink,
    Operation,
    Peer,
    SetLink,
    StartDaemon,
)
from vxlab.plan.planner import make_plan
from vxlab.system.waiting import wait_until


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with nothing_left(tmp_path / "temp"), Lab(two_hosts()) as lab:
        yield lab


def test_a_lab_is_a_mapping_of_its_nodes(lab: Lab) -> None:
    assert list(lab) == ["lan", "h1", "h2"]
    assert len(lab) == 3
    assert "h1" in lab
    assert "h9" not in lab
    assert isinstance(lab["h1"], Node)
    assert lab["h1"] is lab["h1"]
    assert repr(lab) == "<Lab two-hosts: lan, h1, h2>"
    with pytest.raises(VxlabError, match="lab two-hosts: wanted the node 'h9', found lan, h1, h2"):
        lab["h9"]


def test_it_is_ready_when_it_is_open(lab: Lab) -> None:
    """The very first packet gets through: no retry, no grace."""
    assert lab["h1"].ping("172.16.0.2", timeout=5).received == 1


def test_its_plan_is_that_of_its_topology(lab: Lab) -> None:
    assert lab.plan == make_plan(two_hosts())
    assert lab.topology == two_hosts()


def test_a_lab_that_is_not_open_has_no_nodes() -> None:
    lab = Lab(two_hosts())
    assert list(lab) == []
    assert "h1" not in lab
    assert repr(lab) == "<Lab two-hosts: not open>"
    lab.close()
    with pytest.raises(VxlabError, match="wanted the node 'h1', found none: the lab is not open"):
        lab["h1"]


def test_opening_twice_is_refused_and_closing_twice_is_not(tmp_path: Path) -> None:
    with nothing_left(tmp_path / "temp"):
        lab = Lab(two_hosts()).open()
        with pytest.raises(VxlabError, match="lab two-hosts: wanted to open it, found it open"):
            lab.open()
        assert lab["h1"].ping("10.0.0.2", timeout=5)
        lab.close()
        lab.close()


def test_a_lab_may_be_opened_again(tmp_path: Path) -> None:
    with nothing_left(tmp_path / "temp"):
        lab = Lab(two_hosts())
        with lab:
            first = lab["h1"]
            lab.apply(DelLink("h1", "vxlan0"))
        with lab:
            assert lab["h1"] is not first
            assert lab["h1"].ping("172.16.0.2", timeout=5)


def test_a_lab_of_nothing(tmp_path: Path) -> None:
    with nothing_left(tmp_path / "temp"), Lab(Topology("empty")) as lab:
        assert len(lab) == 0
        with pytest.raises(VxlabError, match="found it open already"):
            lab.open()
        assert lab.state() == {}


@pytest.mark.parametrize("bad", [None, "two-hosts", TopologyBuilder("t"), catalog.bridged])
def test_what_is_no_topology_is_refused(bad: Any) -> None:
    with pytest.raises(
        VxlabError, match=r"wanted a Topology \(call build\(\) on a builder\), found"
    ):
        Lab(bad)


def test_a_lab_is_closed_when_its_block_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with Lab(two_hosts()) as lab:
            lab["h1"].popen("sleep", "1234", stdout=None, stderr=None)
            raise KeyError

    with nothing_left(tmp_path / "temp"), pytest.raises(KeyError):
        fail()


def test_a_lab_is_closed_when_opening_is_interrupted(tmp_path: Path) -> None:
    def interrupt(operations: list[Any]) -> Any:
        yield from operations[: len(operations) // 2]
        raise KeyboardInterrupt

    with nothing_left(tmp_path / "temp"), pytest.raises(KeyboardInterrupt):
        Lab(two_hosts(), backend=EditingBackend(interrupt)).open()  # type: ignore[arg-type]


def test_a_lab_that_nobody_closed_goes_with_its_process() -> None:
    code = (
        "from vxlab import Lab, catalog\n"
        "lab = Lab(catalog.one_switch()).open()\n"
        "p = lab['a'].popen('sleep', '1234', stdout=None, stderr=None)\n"
        "print(p.pid, lab['a'].namespaces._init.pid, flush=True)\n"
        "import os; os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(catalog.__file__).parents[1])},
    )
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 2, done.stderr
    wait_until(lambda: not any(_runs(pid) for pid in pids), "the node's programs to end")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# --- nothing outside is touched --------------------------------------------------------------


def outside() -> dict[str, str]:
    """What the calling process's own namespace looks like."""
    found = {}
    for words in ("-d link", "address", "route show table all", "neigh", "rule", "-6 route"):
        argv = ["ip", *words.split()]
        found[words] = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    for path in (
        "conf/all/forwarding",
        "conf/default/rp_filter",
        "conf/all/rp_filter",
        "ip_forward",
    ):
        found[path] = Path(f"/proc/sys/net/ipv4/{path}").read_text()
    for path in ("forwarding", "disable_ipv6"):
        for where in ("all", "default", "lo"):
            file = Path(f"/proc/sys/net/ipv6/conf/{where}/{path}")
            found[f"{where} {path}"] = file.read_text() if file.exists() else ""
    found["name"] = socket.gethostname()
    found["mounts"] = Path("/proc/self/mountinfo").read_text()
    found["run"] = " ".join(sorted(os.listdir("/run")))
    return found


@pytest.mark.parametrize("make", [two_hosts, catalog.kim_and_lee, lambda: catalog.routed(family=6)])
def test_nothing_of_the_calling_namespace_is_touched(make: Any, tmp_path: Path) -> None:
    before = outside()
    with nothing_left(tmp_path / "temp"), Lab(make()) as lab:
        assert outside() == before
        for node in lab.values():
            node.run("true")
            node.sysctl("net.ipv4.ip_forward", 1)
        lab.apply(AddNamespace("more"), AddLink("more", "br9", "bridge", 9, up=True))
        assert outside() == before
    assert outside() == before


def test_frames_of_a_lab_are_not_seen_outside(lab: Lab) -> None:
    listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
    with listener:
        listener.setblocking(False)
        with lab.capture("h2") as seen:
            lab["h1"].send_marked("10.0.0.2", b"inside")
            seen["h2"].wait_for_payload(b"inside")
        heard = []
        with contextlib.suppress(BlockingIOError):
            while True:
                heard.append(listener.recv(2000))
        assert not [frame for frame in heard if b"inside" in frame]


# --- several labs, several threads -----------------------------------------------------------


def test_two_labs_at_the_same_time_with_equal_names(tmp_path: Path) -> None:
    with nothing_left(tmp_path / "temp"), Lab(two_hosts()) as one, Lab(two_hosts()) as two:
        one.apply(SetLink("h2", "vxlan0", up=False))
        assert not one["h1"].ping("172.16.0.2", timeout=0.2)
        assert two["h1"].ping("172.16.0.2", timeout=5)
        with two.capture("h2") as seen, one.capture("h2") as other:
            two["h1"].send_marked("10.0.0.2", b"two")
            seen["h2"].wait_for_payload(b"two")
        assert other["h2"].was_live
        assert other["h2"].payloads() == []


def test_labs_one_after_the_other_with_equal_names_start_fresh(tmp_path: Path) -> None:
    with nothing_left(tmp_path / "temp"):
        for _ in range(3):
            with Lab(two_hosts()) as lab:
                assert lab["h1"].ip("neigh", "show") == []
                assert lab["h1"].ping("172.16.0.2", timeout=5)
                lab.apply(AddAddress("h1", "eth0", "10.99.0.1/24"))
                lab["h1"].sysctl("net.ipv4.ip_forward", 1)


def test_a_lab_used_from_several_threads(lab: Lab) -> None:
    def work(number: int) -> str:
        node = lab["h1" if number % 2 else "h2"]
        there = "172.16.0.2" if number % 2 else "172.16.0.1"
        mac = f"02:00:00:00:00:{number:02x}"
        lab.apply(AddFdb("h1", "vxlan0", mac, "10.0.0.2"), SetLink("h2", "eth0", up=True))
        assert node.ping(there, timeout=10)
        assert node.sysctl("net.ipv4.ip_forward") == "0"
        assert node.state.name == node.name
        return node.run("echo", str(number)).stdout

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(32))) == [f"{number}\n" for number in range(32)]
        pool.shutdown()
    macs = {row["mac"] for row in lab["h1"].bridge("fdb", "show", "dev", "vxlan0")}
    assert {f"02:00:00:00:00:{number:02x}" for number in range(32)} <= macs


def test_recorders_are_emptied_by_one_thread_at_a_time(tmp_path: Path) -> None:
    """Each has one buffer, which two threads at once would mix their frames in."""
    meeting = threading.Barrier(2)
    met = []

    def drain() -> int:
        with contextlib.suppress(threading.BrokenBarrierError):
            meeting.wait(0.2)
            met.append(threading.current_thread().name)
        return 0

    with nothing_left(tmp_path / "temp"), Lab(two_hosts(), recorder=True) as lab:
        recorder = lab.recorders["h1"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(recorder, "drain", drain)
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda name: lab[name].run("true"), ("h1", "h2")))
        assert met == []


def test_labs_opened_by_several_threads(tmp_path: Path) -> None:
    def work(number: int) -> bool:
        topology = two_hosts().with_vtep("h1", "red", addresses=(f"172.16.0.{100 + number}/24",))
        with Lab(topology) as lab:
            return bool(lab["h2"].ping(f"172.16.0.{100 + number}", timeout=10))

    with nothing_left(tmp_path / "temp"), ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(8)))
        pool.shutdown()


def test_a_lab_opened_in_one_thread_and_closed_in_another(tmp_path: Path) -> None:
    with nothing_left(tmp_path / "temp"):
        lab = Lab(two_hosts()).open()
        lab["h1"].run("true")
        thread = threading.Thread(target=lab.close)
        thread.start()
        thread.join(30)
        assert len(lab) == 0


# --- changes in the middle of a test ---------------------------------------------------------


def test_a_link_goes_and_comes_back(lab: Lab) -> None:
    lab.apply(DelLink("h1", "vxlan0"))
    assert [each["ifname"] for each in lab["h1"].ip("link")] == ["lo", "eth0"]
    lab.apply(
        *(each for each in lab.plan if each.node == "h1" and "vxlan0" in str(each)),
    )
    assert lab["h1"].ping("172.16.0.2", timeout=5)


def test_a_new_node_in_the_middle_of_a_test(tmp_path: Path) -> None:
    with nothing_left(tmp_path / "temp"), Lab(two_hosts(), recorder=True) as lab:
        lab.apply(
            AddNamespace("h3"),
            AddLink("lan", "h3", "veth", 90, master="switch", peer=Peer("h3", "eth0", 2), up=True),
            SetLink("h3", "eth0", up=True),
            AddAddress("h3", "eth0", "10.0.0.3/24"),
        )
        assert list(lab) == ["lan", "h1", "h2", "h3"]
        assert lab["h3"].ping("10.0.0.1", timeout=5)
        assert "h3" in lab.recorders
        assert lab.state()["h3"].name == "h3"


@pytest.mark.parametrize("bad", ["ip link", None, [SetLink("h1", "eth0", up=True)]])
def test_what_is_no_operation_is_refused_before_anything_is_done(lab: Lab, bad: Any) -> None:
    with pytest.raises(VxlabError, match="lab two-hosts: wanted operations, found "):
        lab.apply(SetLink("h1", "eth0", up=False), bad)
    assert lab["h1"].ping("10.0.0.2", timeout=5)


def test_a_lab_that_is_not_open_is_not_changed(tmp_path: Path) -> None:
    with nothing_left(tmp_path / "temp"):
        lab = Lab(two_hosts())
        for _ in range(2):
            for operation in (AddNamespace("new"), SetLink("h1", "eth0", up=True)):
                with pytest.raises(VxlabError, match="wanted to change it, found it not open"):
                    lab.apply(operation)
            lab.open()
            lab.close()


def test_operations_are_intercepted_until_told_otherwise(lab: Lab) -> None:
    def to_another_address(operation: Operation) -> Operation | None:
        if isinstance(operation, AddAddress):
            return dataclasses.replace(operation, address="172.16.9.9/24")
        return None if isinstance(operation, SetLink) else operation

    lab.intercept(to_another_address)
    lab.apply(AddAddress("h1", "lo", "172.16.8.8/24"), SetLink("h1", "eth0", up=False))
    lab.intercept(None)
    lab.apply(AddAddress("h1", "lo", "172.16.7.7/24"))
    found = {row.address for row in lab["h1"].state.addresses if row.interface == "lo"}
    assert {"172.16.9.9", "172.16.7.7"} <= found
    assert "172.16.8.8" not in found
    assert all(link.up for link in lab["h1"].state.links if link.name == "eth0")


@pytest.mark.parametrize("router", ["smcroute", "pimd"])
def test_a_daemon_is_stopped_and_started_again(router: str, tmp_path: Path) -> None:
    with nothing_left(tmp_path / "temp"), Lab(catalog.kim_and_lee(router=router)) as lab:
        assert lab["kim-srv1"].ping("1.1.1.2", timeout=5)
        lab.stop_daemon("router")
        assert lab["router"].state.multicast_routes == ()
        with pytest.raises(VxlabError, match="wanted a daemon that was started, found none"):
            lab.stop_daemon("router")
        lab.start_daemon("router")
        assert lab["lee-srv1"].ping("1.1.1.2", timeout=5)
        with pytest.raises(VxlabError, match="it runs already: stop it first"):
            lab.start_daemon("router")


def test_a_daemon_that_was_not_planned(lab: Lab) -> None:
    for change in (lab.start_daemon, lab.stop_daemon):
        with pytest.raises(VxlabError, match="lab two-hosts: wanted a daemon on 'h1', found none"):
            change("h1")


def test_a_daemon_that_cannot_start_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    def too_early(operations: list[Any]) -> Any:
        late = [each for each in operations if isinstance(each, StartDaemon)]
        rest = [each for each in operations if not isinstance(each, StartDaemon)]
        nodes = sum(isinstance(each, AddNamespace) for each in rest)
        return [*rest[:nodes], *late, *rest[nodes:]]

    missing = pytest.raises(DaemonError, match="in router: wanted the interface eth0, eth1, found")
    with nothing_left(tmp_path / "temp"), missing:
        Lab(catalog.kim_and_lee(), backend=EditingBackend(too_early)).open()


# --- captures --------------------------------------------------------------------------------


def test_captures_at_several_places(lab: Lab) -> None:
    with lab.capture("h1", "h2:vxlan0", "lan") as seen:
        assert isinstance(seen, Captures)
        assert list(seen) == ["h1", "h2:vxlan0", "lan"]
        assert len(seen) == 3
        assert "h2:vxlan0" in seen
        assert "h2" not in seen
        assert lab["h1"].ping("172.16.0.2", timeout=5)
    assert {tunnel.vni for tunnel in seen["h1"].encapsulated()} == {42}
    assert seen["h2:vxlan0"].interface == "vxlan0"
    assert seen["lan"].interface == "switch"
    with pytest.raises(VxlabError, match="wanted a capture at 'h2', found h1, h2:vxlan0, lan"):
        seen["h2"]


def test_captures_of_a_deafened_lab_start_and_hear_nothing(lab: Lab) -> None:
    lab.deafen_captures()
    with lab.capture("h2") as seen:
        assert lab["h1"].ping("172.16.0.2")
        assert seen["h2"].frames == ()
    assert not seen["h2"].was_live


def test_recorders_are_stopped_and_keep_their_frames(tmp_path: Path) -> None:
    with nothing_left(tmp_path / "temp"), Lab(two_hosts(), recorder=True) as lab:
        assert lab["h1"].ping("172.16.0.2")
        lab.stop_recording()
        before = lab.recorders["h2"].frames
        assert lab["h1"].ping("172.16.0.2")
        assert lab.recorders["h2"].frames == before != ()


def test_the_ports_of_the_topology_are_looked_at(tmp_path: Path) -> None:
    topology = describe(segment={"port": 5555}).build()
    with nothing_left(tmp_path / "temp"), Lab(topology) as lab, lab.capture("h1") as seen:
        assert lab["h1"].ping("172.16.0.2", timeout=5)
        assert {tunnel.vni for tunnel in seen["h1"].encapsulated()} == {42}
        assert seen["h1"].ports == (5555,)


@pytest.mark.parametrize(
    ("place", "error", "message"),
    [
        ("h9", VxlabError, "lab two-hosts: wanted the node 'h9', found lan, h1, h2"),
        ("h1:eth7", CaptureError, "h1: wanted the interface 'eth7', found only lo, eth0, vxlan0"),
        ("h1:vxlan1", CaptureError, "h1: wanted the interface 'vxlan1'"),
    ],
)
def test_a_place_that_is_not_there(
    lab: Lab, place: str, error: type[VxlabError], message: str
) -> None:
    before = resources()
    with pytest.raises(error, match=message):
        lab.capture("h2", place).__enter__()
    wait_until(lambda: not captures_closing(), "captures to be closed")
    assert resources() == before


def test_the_interface_a_node_is_known_by(tmp_path: Path) -> None:
    t = with_containers()
    t.host("bare")
    with nothing_left(tmp_path / "temp"), Lab(t.build()) as lab:
        assert lab.first_interface("h1") == "eth0"
        assert lab.first_interface("c1") == "eth0"
        assert lab.first_interface("lan") == "switch"
        assert lab.first_interface("bare") == "switch"


def test_the_state_of_all_nodes(lab: Lab) -> None:
    taken = lab.state()
    assert list(taken) == ["lan", "h1", "h2"]
    assert {name: node.name for name, node in taken.items()} == {name: name for name in lab}


# --- where a lab may be ----------------------------------------------------------------------


def test_without_root_a_lab_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    check_place()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    refused = pytest.raises(SandboxError, match="wanted to build a lab, found no right to make")
    with nothing_left(tmp_path / "temp"), refused:
        Lab(two_hosts()).open()


def test_closing_goes_on_when_a_part_of_it_fails(tmp_path: Path) -> None:
    with nothing_left(tmp_path / "temp"):
        lab = Lab(two_hosts(), recorder=True).open()
        recorder = lab.recorders["h1"]
        close, recorder.close = recorder.close, _fail  # type: ignore[method-assign]
        with pytest.raises(ZeroDivisionError):
            lab.close()
        assert len(lab) == 0
        close()


def _fail() -> None:
    raise ZeroDivisionError


def test_opening_asks_no_clock_for_a_nap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What waits, waits for a condition, in pauses of at most 20 ms."""
    naps = []

    sleep = time.sleep

    def nap(seconds: float) -> None:
        # subprocess has naps of its own, for a program that has closed its pipes and not ended
        if sys._getframe(1).f_globals["__name__"].startswith("vxlab"):
            naps.append(seconds)
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", nap)
    with nothing_left(tmp_path / "temp"), Lab(catalog.kim_and_lee()):
        pass
    assert all(nap <= 0.02 for nap in naps)
