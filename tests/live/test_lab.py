"""A lab is opened, asked and closed, and gives back all it took."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from lab_tools import EditingBackend, two_hosts, with_containers
from resource_tools import nothing_left

from vxlab import catalog
from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.topology import Topology
from vxlab.errors import VxlabError
from vxlab.live.lab import Lab
from vxlab.live.node import Node
from vxlab.operations import DelLink
from vxlab.plan.planner import make_plan
from vxlab.system.waiting import wait_until


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


def test_a_lab_of_nothing_opens(tmp_path: Path) -> None:
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


def test_a_node_is_known_by_its_first_interface(tmp_path: Path) -> None:
    t = with_containers()
    t.host("bare")
    with nothing_left(tmp_path / "temp"), Lab(t.build()) as lab:
        assert lab.first_interface("h1") == "eth0"
        assert lab.first_interface("c1") == "eth0"
        assert lab.first_interface("lan") == "switch"
        assert lab.first_interface("bare") == "switch"


def test_the_state_of_all_nodes_is_read(lab: Lab) -> None:
    taken = lab.state()
    assert list(taken) == ["lan", "h1", "h2"]
    assert {name: node.name for name, node in taken.items()} == {name: name for name in lab}


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


def test_opening_a_lab_sleeps_for_20_ms_at_most(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
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
