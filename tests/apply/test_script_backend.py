"""The backend that runs scripts: the same labs as the others build, and the same errors."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from feature_tools import skip_without_all
from script_tools import differences, state_of_lab

from vxlab import Lab, catalog
from vxlab.apply.script import backend
from vxlab.catalog import CATALOG
from vxlab.errors import ApplyError, MissingProgram, VxlabError
from vxlab.operations import (
    AddAddress,
    AddFdb,
    AddLink,
    AddNamespace,
    AddRule,
    DelLink,
    MoveLink,
    Operation,
    SetLink,
    SetSysctl,
    SetVxlan,
)
from vxlab.system.programs import find_program


def links_up(lab: Lab, node: str) -> list[str]:
    # in place of the others ip prints {}
    return [link["ifname"] for link in lab[node].ip("link", "show", "up") if link]


@pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("name", CATALOG)
def test_it_builds_what_netlink_builds(name: str, family: int) -> None:
    topology = CATALOG[name](family=family)
    skip_without_all(topology, by_ip=True)
    with Lab(topology) as one, Lab(topology, backend="script") as other:
        assert not differences(state_of_lab(one), state_of_lab(other))


def test_its_labs_work() -> None:
    with Lab(catalog.kim_and_lee(), backend="script") as lab:
        assert lab["kim-srv1"].ping("1.1.1.2")
        lab.stop_daemon("router")
        lab.apply(AddLink("lxc1", "new", "vxlan", 0, (("id", 7), ("dev", "ens33"))), by="netlink")
        lab.apply(SetLink("lxc1", "new", up=True), SetSysctl("lxc1", "net.ipv4.ip_forward", "1"))
        lab.start_daemon("router")
        assert lab["lee-srv1"].ping("1.1.1.2")
        assert lab["lxc1"].namespaces.read("/proc/sys/net/ipv4/ip_forward") == "1\n"


def test_a_script_adds_a_node_and_moves_a_link_there() -> None:
    with Lab(catalog.point_to_point()) as lab:
        lab.apply(AddNamespace("new"), MoveLink("a", "vxlan0", "new"), by="script")
        lab.apply(SetLink("new", "vxlan0", up=True), by="netlink")  # which must know its index
        assert links_up(lab, "new") == ["lo", "vxlan0"]


REFUSED: list[tuple[Operation, int | None, str]] = [
    (SetSysctl("a", "net.ipv4.nosuch", "1"), errno.ENOENT, ""),
    (SetSysctl("a", "net.ipv4.conf.nosuch.forwarding", "1"), errno.ENOENT, ""),
    (SetSysctl("a", "net.ipv4.ip_forward", "x"), errno.EINVAL, ""),
    (AddLink("a", "vxlan0", "vxlan", 0, (("id", 7),)), errno.EEXIST, ""),
    (DelLink("a", "nosuch"), None, ""),
    (SetVxlan("a", "vxlan0", (("id", 7),)), None, "Cannot change VNI"),
    (AddRule("a", ("-A", "NOSUCH")), None, ""),
    (AddAddress("a", "eth0", "1.2.3.4/99"), None, ""),
    (AddFdb("a", "vxlan0", "00:00:00:00:00:01", "1.2.3.4", port=70000), None, ""),
]


@pytest.mark.parametrize(("operation", "number", "extack"), REFUSED, ids=lambda it: str(it)[:40])
def test_a_refusal_is_that_of_iproute2(
    operation: Operation, number: int | None, extack: str
) -> None:
    with Lab(catalog.point_to_point()) as lab:
        with pytest.raises(ApplyError) as by_script:
            lab.apply(operation, by="script")
        with pytest.raises(ApplyError) as by_iproute2:
            lab.apply(operation, by="iproute2")
    assert (by_script.value.errno, by_script.value.extack) == (number, extack)
    assert str(by_script.value) == str(by_iproute2.value)


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (MoveLink("a", "vxlan0", "nosuch"), "wanted the node 'nosuch', found a, b"),
        (AddAddress("nosuch", "eth0", "1.2.3.4/24"), "wanted the node 'nosuch', found a, b"),
        (AddAddress("a", "eth\0", "1.2.3.4/24"), r"interface: wanted text .*, found 'eth\\x00'"),
        (AddAddress("a", "eth0", None), "address: wanted text of printable .*, found None"),
        (SetVxlan("a", "vxlan0", (("nosuch", 1),)), "wanted values that fit into a command, found"),
        (Operation("a"), "wanted an operation that a script can do, found Operation"),
    ],
    ids=["other-node", "node", "nul", "none", "attribute", "unknown"],
)
def test_what_is_no_command_is_refused_after_what_came_before(operation: Any, message: str) -> None:
    with Lab(catalog.point_to_point()) as lab:
        with pytest.raises(VxlabError, match=message):
            lab.apply(
                SetLink("b", "vxlan0", up=False), operation, DelLink("b", "eth0"), by="script"
            )
        assert links_up(lab, "b") == ["lo", "eth0"]


def test_what_came_before_a_refusal_is_done_and_the_rest_is_not() -> None:
    down, wrong, rest = SetLink("b", "vxlan0", up=False), DelLink("a", "x"), DelLink("b", "eth0")
    with Lab(catalog.point_to_point()) as lab:
        with pytest.raises(ApplyError, match="ip -n a link del dev x"):
            lab.apply(down, wrong, rest, by="script")
        assert links_up(lab, "b") == ["lo", "eth0"]


def test_one_that_takes_too_long_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    with Lab(catalog.point_to_point()) as lab:
        monkeypatch.setattr(backend, "_DEADLINE", 0.0)
        monkeypatch.setattr(backend, "_EACH", 0.0)
        with pytest.raises(ApplyError, match="the script was killed, as it took too long"):
            lab.apply(SetLink("b", "vxlan0", up=False), by="script")


def test_iproute2_may_come_from_a_folder_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("ip", "bridge"):
        wrapper = tmp_path / name
        wrapper.write_text(
            f'#!/bin/sh\necho "$*" >>{tmp_path}/log\nexec {find_program(name)} "$@"\n'
        )
        wrapper.chmod(0o755)
    monkeypatch.setattr("vxlab.system.programs._iproute2", str(tmp_path))
    with Lab(catalog.point_to_point()) as lab:
        lab.apply(SetLink("b", "vxlan0", up=False), by="script")
    assert (tmp_path / "log").read_text() == "-n b link set dev vxlan0 down\n"


def test_a_place_without_iproute2_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Lab(catalog.point_to_point()) as lab:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr("vxlab.system.programs.SYSTEM_PATH", ())
        with pytest.raises(MissingProgram, match="wanted the program 'ip'"):
            lab.apply(SetLink("b", "vxlan0", up=False), by="script")
