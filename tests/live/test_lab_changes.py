"""A lab is changed by operations in the middle of a test."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from lab_tools import two_hosts
from resource_tools import nothing_left

from vxlab.errors import VxlabError
from vxlab.live.lab import Lab
from vxlab.operations import AddAddress, AddLink, AddNamespace, DelLink, Operation, Peer, SetLink


def test_a_link_goes_and_comes_back(lab: Lab) -> None:
    lab.apply(DelLink("h1", "vxlan0"))
    assert [each["ifname"] for each in lab["h1"].ip("link")] == ["lo", "eth0"]
    lab.apply(
        *(each for each in lab.plan if each.node == "h1" and "vxlan0" in str(each)),
    )
    assert lab["h1"].ping("172.16.0.2", timeout=5)


def test_a_node_is_added_in_the_middle_of_a_test(tmp_path: Path) -> None:
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
