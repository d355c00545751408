"""A lab touches nothing outside, and nothing of a lab is seen there."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from lab_tools import two_hosts
from resource_tools import nothing_left

from vxlab import catalog
from vxlab.live.lab import Lab
from vxlab.operations import AddAddress, AddLink, AddNamespace, SetLink


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


def test_two_labs_with_equal_names_do_not_meet(tmp_path: Path) -> None:
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
