"""Probes of the kernel agree with what a direct attempt says."""

from __future__ import annotations

import errno
import os
import re
import socket
from pathlib import Path

import pytest
from feature_tools import run

from vxlab import features
from vxlab.errors import ProbeError
from vxlab.features import attributes, kernel
from vxlab.features.model import Check
from vxlab.observe import packetsocket
from vxlab.system import namespaces
from vxlab.system.namespaces import Namespaces

#: The command that a person would try; those beginning with ``lower`` need a veth of that name.
DIRECT = {
    "veth": ["ip link add lower type veth"],
    "bridge": ["ip link add br0 type bridge"],
    "vxlan": ["ip link add vx0 type vxlan id 42 dstport 4789"],
    "vrf": ["ip link add vrf0 type vrf table 10"],
    "dummy": ["ip link add dummy0 type dummy"],
    "macvlan": ["ip link add lower type veth", "ip link add m0 link lower type macvlan"],
    "8021q": ["ip link add lower type veth", "ip link add v0 link lower type vlan id 100"],
    "netem": ["tc qdisc add dev lo root netem delay 1ms"],
    "iptables-ttl": ["iptables -t mangle -A POSTROUTING -j TTL --ttl-set 9"],
    "ip6tables-hl": ["ip6tables -t mangle -A POSTROUTING -j HL --hl-set 9"],
}

#: A file below ``/proc/net`` that exists where the kernel was built with the feature.
PROC = {"mroute": "ip_mr_vif", "mroute6": "ip6_mr_vif", "ipv6": "if_inet6"}


@pytest.mark.parametrize("name", DIRECT)
def test_a_kernel_probe_says_what_a_direct_attempt_says(name: str) -> None:
    with Namespaces("direct") as node:
        codes = [run(node, *line.split())[0] for line in DIRECT[name]]
    assert features.probe(name).available == (codes == [0] * len(codes))


@pytest.mark.parametrize("name", PROC)
def test_a_kernel_probe_agrees_with_proc(name: str) -> None:
    with Namespaces("direct") as node:
        try:
            node.read(f"/proc/thread-self/net/{PROC[name]}")
            there = True
        except FileNotFoundError:
            there = False
    assert features.probe(name).available == there


@pytest.mark.parametrize(("tunnels", "routing"), [("pim", "mroute"), ("pim6", "mroute6")])
def test_pim_is_never_there_without_multicast_routing(tunnels: str, routing: str) -> None:
    assert features.probe(routing).available or not features.probe(tunnels).available


def test_a_device_that_no_kernel_has_is_not_there() -> None:
    found = Check(
        name="x", title="x", attempt=kernel._device("vxlab-imaginary"), hint="none"
    ).feature()
    assert not found.available
    assert 'the kernel answered "Operation not supported"' in found.reason


def test_a_rule_that_no_firewall_has_is_not_there() -> None:
    attempt = kernel._firewall_rule("iptables", "-A", "OUTPUT", "-j", "IMAGINARY")
    found = Check(name="x", title="x", attempt=attempt, hint="none").feature()
    assert not found.available
    assert found.reason.startswith("iptables answered")
    assert "\n" not in found.reason


def test_user_namespaces_are_there_within_the_sandbox() -> None:
    assert features.probe("userns").available


def test_refused_namespaces_are_reported_in_the_sandbox_s_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vxlab.sandbox.why_not", lambda: "found that a setting forbids them")
    found = Check(name="x", title="x", attempt=kernel._private_namespaces, hint="none").feature()
    assert (found.available, found.reason) == (False, "found that a setting forbids them")


def test_no_namespaces_for_a_node_are_reported_in_its_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(name: str) -> Namespaces:
        raise OSError(errno.ENOSPC, "no more")

    monkeypatch.setattr(kernel, "Namespaces", refuse)
    found = Check(name="x", title="x", attempt=kernel._private_namespaces, hint="none").feature()
    assert not found.available
    assert "no more" in found.reason


def test_refused_user_namespaces_are_reported_in_the_kernel_s_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernel, "_UNSHARE", f"import sys; sys.exit({errno.ENOSPC})")
    found = Check(name="x", title="x", attempt=kernel._user_namespaces, hint="none").feature()
    assert found.reason == 'the kernel answered "No space left on device"'


def test_user_namespaces_are_looked_for_without_any_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for attempt in (kernel._user_namespaces, kernel._private_namespaces):
        assert Check(name="x", title="x", attempt=attempt, hint="none").feature().available


def test_namespaces_that_cannot_be_made_are_no_verdict_on_the_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, "no more")

    monkeypatch.setattr(namespaces, "unshare", refuse)
    with pytest.raises(ProbeError, match=r"whether veth is here, found none: .*no more: raise"):
        Check(
            name="veth", title="x", attempt=kernel._device("veth"), hint="run another kernel"
        ).feature()


@pytest.mark.parametrize("check", [*kernel.CHECKS, *attributes.CHECKS], ids=lambda it: it.name)
def test_what_a_kernel_lacks_another_one_has(check: Check) -> None:
    """What a setting of this machine may forbid aside."""
    if check.name in ("namespaces", "userns", "ipv6"):
        assert "--kernel" not in check.hint
    else:
        assert re.search(r"run on .*: `vxlab vm run --kernel [67]\.\d+ -- COMMAND`", check.hint)


def test_probing_leaves_no_trace() -> None:
    def trace() -> tuple[str, set[str], list[str]]:
        links = {name for _, name in socket.if_nameindex()}
        return os.readlink("/proc/thread-self/ns/net"), links, sorted(os.listdir("/proc/self/fd"))

    packetsocket.settle()  # captures of the test before may still be closing
    kernel.CHECKS[-1].feature()  # starts the thread that starts programs, which stays
    before = trace()
    assert len([check.feature() for check in (*kernel.CHECKS, *attributes.CHECKS)]) > 40
    assert trace() == before
