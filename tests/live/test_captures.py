"""Captures and recorders of a lab, at one or several nodes and interfaces."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab_tools import describe, two_hosts
from resource_tools import nothing_left, resources, threads_settled

from vxlab.errors import CaptureError, VxlabError
from vxlab.live.captures import Captures
from vxlab.live.lab import Lab
from vxlab.system.waiting import wait_until


def test_captures_are_started_at_several_places(lab: Lab) -> None:
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
def test_a_place_that_is_not_there_is_named(
    lab: Lab, place: str, error: type[VxlabError], message: str
) -> None:
    before = resources()
    with pytest.raises(error, match=message):
        lab.capture("h2", place).__enter__()
    wait_until(threads_settled, "captures to be closed")
    assert resources() == before
