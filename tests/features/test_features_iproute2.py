"""Probes of iproute2 agree with its own help, and know who refused a word."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from feature_tools import run, write_program

from vxlab import features, vxlan
from vxlab.describe.vxlan import Attribute
from vxlab.features import iproute2
from vxlab.features.model import Check
from vxlab.system import programs
from vxlab.system.namespaces import Namespaces
from vxlab.system.programs import find_program


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Puts a shell script in the place of ip and bridge; ``$last`` is the command's last word."""
    before = programs._iproute2

    def put(text: str) -> None:
        for name in ("ip", "bridge"):
            said = f'#!/bin/sh\n[ "$1" = -V ] && echo {name} 9.8.7 && exit\nread line\n{text}\n'
            write_program(tmp_path, name, said)
        programs.use_iproute2(str(tmp_path))

    yield put
    programs.use_iproute2(before)


def check_named(name: str) -> Check:
    (check,) = (check for check in iproute2.CHECKS if check.name == name)
    return check


def test_there_is_a_probe_of_ip_for_every_attribute() -> None:
    names = {check.name for check in iproute2.CHECKS}
    assert {f"ip.{attribute.name}" for attribute in vxlan.ATTRIBUTES} < names
    assert not [check.name for check in iproute2.CHECKS if check.required]


@pytest.mark.parametrize("attribute", vxlan.ATTRIBUTES, ids=lambda item: item.name)
def test_ip_knows_an_attribute_if_its_help_names_it(attribute: Attribute) -> None:
    with Namespaces("direct") as node:
        _, known = run(node, "ip", "link", "help", "vxlan")
    word = "inherit" if attribute.name == "ttl_inherit" else attribute.name
    assert features.probe(f"ip.{attribute.name}").available == (
        re.search(rf"\b(\[no\])?{word}\b", known) is not None
    )


@pytest.mark.parametrize(
    ("name", "words", "shown"),
    [
        ("bridge.vni", "bridge vni help", "^Usage: bridge vni"),
        ("bridge.mdb", "bridge mdb help", "dst_port"),
        ("bridge.fdb_get", "bridge fdb help", "bridge fdb get"),
        ("bridge.mdb_flush", "bridge mdb help", "bridge mdb flush"),
        ("bridge.fdb_flush", "bridge fdb help", "bridge fdb flush"),
        ("bridge.fdb_flush_dst", "bridge fdb help", r"bridge fdb flush.* dst\b"),
        ("bridge.src_vni", "bridge fdb help", "src_vni"),
        ("bridge.nhid", "bridge fdb help", r"\bnhid\b"),
        ("bridge.neigh_vlan_suppress", "bridge link help", "neigh_vlan_suppress"),
        ("ip.nexthop_fdb", "ip nexthop help", r"\bfdb\b"),
        ("ip.neigh_managed", "ip neigh help", r"\bmanaged\b"),
    ],
)
def test_iproute2_knows_a_word_if_its_help_names_it(name: str, words: str, shown: str) -> None:
    with Namespaces("direct") as node:
        _, said = run(node, *words.split())
    there = re.search(shown, " ".join(said.split())) is not None
    assert features.probe(name).available == there, said


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("echo 'vxlan: unknown command \"ttl\"?'; exit 255", 'said: vxlan: unknown command "ttl"?'),
        ("kill -SEGV $$", "said: ip died of SIGSEGV (Segmentation fault)"),
        ("exit 1", "said: ip ended with 1, and printed nothing"),
    ],
)
def test_an_attribute_that_ip_refuses_is_not_sent(fake: Any, text: str, reason: str) -> None:
    fake(text)
    found = check_named("ip.ttl").feature()
    assert (found.available, found.reason) == (False, f"ip 9.8.7 {reason}")
    assert found.hint == "use a newer iproute2: pytest --iproute2=DIR"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("", "took id 42 dstport 4789 ttl 7, and made a device with another value"),
        ("ttl 8", "took id 42 dstport 4789 ttl 7, and made a device with another value"),
        ("ttl 7", ""),
    ],
)
def test_an_attribute_is_sent_if_the_kernel_has_it(fake: Any, words: str, reason: str) -> None:
    fake(f"exec {find_program('ip')} link add probe type vxlan id 42 dstport 4789 {words}")
    found = check_named("ip.ttl").feature()
    assert found.available == (not reason)
    assert found.reason == (reason and f"ip 9.8.7 {reason}")


@pytest.mark.parametrize("name", ["ip.ttl", "ip.nexthop_fdb", "ip.neigh_managed"])
def test_what_the_kernel_refuses_ip_has_sent(fake: Any, name: str) -> None:
    fake("echo 'RTNETLINK answers: Operation not supported'; exit 2")
    assert check_named(name).feature().available


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("exit 0", "bridge 9.8.7 took no notice of the word dst"),
        ("echo 'RTNETLINK answers: File exists'; exit 2", "took no notice of the word dst"),
        ("echo 'Usage: ...'; exit 255", "it does not know these words"),
        ("echo 'Invalid address nonsense'; exit 255", ""),
    ],
)
def test_bridge_knows_a_word_if_it_minds_nonsense(fake: Any, text: str, reason: str) -> None:
    fake(text)
    found = check_named("bridge.mdb").feature()
    assert found.available == (not reason)
    assert reason in found.reason


def test_without_iproute2_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_iproute2", None)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(programs, "SYSTEM_PATH", ())
    for name in ("ip.ttl", "bridge.vni", "ip.nexthop_fdb"):
        found = check_named(name).feature()
        assert (found.available, found.hint) == (False, "install the package iproute2")


def test_an_ip_that_prints_broken_json_is_named(fake: Any) -> None:
    fake("""echo '[{"ifname":"probe","linkinfo":{"info_data":{"id":5fan-map ,"ttl":0}}}]'""")
    found = check_named("ip.json").feature()
    assert not found.available
    assert found.reason.startswith("ip 9.8.7 prints broken JSON: …")
    assert '"id":5fan-map ,' in found.reason
    assert "use another iproute2" in found.hint


def test_an_ip_that_prints_sound_json_is_not(fake: Any) -> None:
    fake(f'exec {find_program("ip")} "$@"')
    assert check_named("ip.json").feature().available
