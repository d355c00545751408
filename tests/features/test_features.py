"""Probes agree with what a direct attempt says, whatever kernel they run on."""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from vxlab import features, vxlan
from vxlab.describe.vxlan import Attribute, spelling
from vxlab.errors import (
    ApplyError,
    CapabilityError,
    MissingProgram,
    SandboxError,
    VxlabError,
)
from vxlab.features import Feature, attributes, iproute2, kernel, tools
from vxlab.features.model import NOT_TRIED, SEE_USERNS, Check, kernel_said
from vxlab.netlink import devices
from vxlab.observe import packetsocket
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

#: `ip` shows a ttl of `inherit` by leaving it out; the kernel (6.18) never tells of mcroute.
NEVER_SHOWN = ("ttl_inherit", "mcroute")


def run(node: Namespaces, *argv: str) -> tuple[int, str]:
    """Exit code and output of a program in a node."""
    with node.popen(argv, stderr=subprocess.STDOUT) as process:
        output, _ = process.communicate(timeout=60)
    return process.returncode, output


def ended_with(error: Exception | str) -> Feature:
    """What is found of a feature whose attempt ended so: by an error, or with a version."""

    def attempt() -> str:
        if isinstance(error, Exception):
            raise error
        return error

    return Check(
        name="thing", title="a thing", attempt=attempt, hint="get one", required=True
    ).feature()


def script(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


# --- the kernel ------------------------------------------------------------------------------


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


def test_refused_user_namespaces_are_reported_in_the_systems_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vxlab.sandbox.why_not", lambda: "found that a setting forbids them")
    found = Check(name="x", title="x", attempt=kernel._user_namespaces, hint="none").feature()
    assert (found.available, found.reason) == (False, "found that a setting forbids them")


def test_an_unshare_that_fails_is_reported_in_its_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script(tmp_path, "unshare", "#!/bin/sh\necho 'unshare: not today' >&2\nexit 1\n")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    found = Check(name="x", title="x", attempt=kernel._user_namespaces, hint="none").feature()
    assert found.reason == 'the system answered "unshare: not today"'


def test_namespaces_that_cannot_be_made_are_no_verdict_on_the_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(name: str) -> Namespaces:
        raise OSError(errno.ENOSPC, "no more")

    monkeypatch.setattr(kernel, "Namespaces", refuse)
    found = Check(
        name="veth", title="x", attempt=kernel._device("veth"), hint="run another kernel"
    ).feature()
    assert (found.available, found.reason) == (False, NOT_TRIED)
    assert found.hint == SEE_USERNS


def test_probing_leaves_no_trace() -> None:
    def trace() -> tuple[str, set[str], list[str]]:
        links = {name for _, name in socket.if_nameindex()}
        return os.readlink("/proc/thread-self/ns/net"), links, sorted(os.listdir("/proc/self/fd"))

    packetsocket.settle()  # captures of the test before may still be closing
    kernel.CHECKS[-1].feature()  # starts the thread that starts programs, which stays
    before = trace()
    assert len([check.feature() for check in (*kernel.CHECKS, *attributes.CHECKS)]) > 40
    assert trace() == before


# --- vxlan attributes ------------------------------------------------------------------------


@pytest.mark.parametrize("attribute", vxlan.ATTRIBUTES, ids=lambda item: item.name)
def test_probe_values_are_valid_and_not_the_default(attribute: Attribute) -> None:
    wanted = attributes.probe_attributes(attribute)
    assert vxlan.check(wanted) is None
    assert wanted[attribute.name] != attribute.default
    encoded = vxlan.encode(attribute.name, wanted[attribute.name], lambda _: 7)
    assert encoded is not None
    assert encoded[0] == attribute.number


@pytest.mark.parametrize(
    "attribute",
    [item for item in vxlan.ATTRIBUTES if item.name not in NEVER_SHOWN],
    ids=lambda item: item.name,
)
def test_an_attribute_is_there_if_ip_can_set_it_and_show_it(attribute: Attribute) -> None:
    wanted = attributes.probe_attributes(attribute)
    words = [word for name, value in wanted.items() for word in vxlan.words(name, value)]
    with Namespaces("direct") as node:
        run(node, "ip", "link", "add", "lower", "type", "veth")
        code, said = run(node, "ip", "link", "add", "vx0", "type", "vxlan", *words)
        if code:
            pytest.skip(f"`ip` or the kernel refuses {' '.join(words)}: {said.splitlines()[0]}")
        _, shown = run(node, "ip", "-j", "-d", "link", "show", "vx0")
    data = json.loads(shown)[0]["linkinfo"]["info_data"]
    set_and_shown = vxlan.from_json(data).get(attribute.name) == wanted[attribute.name]
    assert features.probe(f"vxlan.{attribute.name}").available == set_and_shown, data


def test_an_attribute_from_the_future_is_not_there() -> None:
    future = Attribute("imaginary", 900, "u8", "imaginary", default=0, low=0, high=9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spelling, "BY_NAME", {**vxlan.BY_NAME, "imaginary": future})
        found = attributes.check_of(future).feature()
    assert found.name == "vxlan.imaginary"
    assert found.reason == "the kernel does not know attribute 900 of vxlan devices"


def test_an_attribute_that_is_not_sent_back_is_told_by_what_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "kind_attributes", lambda namespaces, index: {})
    assert attributes.check_of(vxlan.BY_NAME["ttl"]).feature().available


def test_an_attribute_whose_value_is_ignored_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "kind_attributes", lambda namespaces, index: {5: b"\0"})
    found = attributes.check_of(vxlan.BY_NAME["ttl"]).feature()
    assert found.reason == "the kernel ignored the value: wanted 07, found 00"


# --- programs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("ip utility, iproute2-6.1.0, libbpf 1.1.2", "6.1.0"),
        ("ping from iputils 20221126", "20221126"),
        ("iptables v1.8.9 (nf_tables)", "1.8.9"),
        ("ethtool version 6.1", "6.1"),
        ("unknown option -- V\nOpenSSH_9.2p1 Debian-2+deb12u3, OpenSSL 3.0.15", "9.2p1"),
        ("TShark (Wireshark) 4.0.17 (Git v4.0.17 packaged as 4.0.17-0+deb12u1).", "4.0.17"),
        ("tool, version 2.5.", "2.5"),
        ("usage: tool", ""),
    ],
)
def test_the_version_is_found_in_what_a_program_says(said: str, version: str) -> None:
    assert tools.version_in(said) == version


def test_every_program_found_tells_its_version() -> None:
    found = [features.probe(check.name) for check in tools.CHECKS]
    here = [feature for feature in found if feature.available]
    assert {"ip", "unshare"} <= {feature.name for feature in here}
    assert not [feature for feature in here if feature.version == "found"]


@pytest.mark.parametrize(
    ("text", "available", "told"),
    [
        ("#!/bin/sh\necho tool 1.2.3\n", True, "1.2.3"),
        ("#!/bin/sh\necho tool >&2\nexit 3\n", True, "found"),
        ("#!/nonexistent/interpreter\n", False, "cannot be run"),
        ("#!/bin/sh\necho error while loading shared libraries: x\n", False, "cannot be run"),
        ("#!/bin/sh\nexec sleep 1000\n", False, "timed out"),
    ],
)
def test_a_program_is_there_if_it_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, available: bool, told: str
) -> None:
    script(tmp_path, "tool", text)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(tools, "DEADLINE", 0.5 if "sleep" in text else 60)
    found = tools.optional("tool", "a tool", "-V", "install it").feature()
    assert found.available == available
    assert told in (found.version or found.reason)


def test_a_program_that_is_not_there_says_what_to_install() -> None:
    found = tools.optional("vxlab-no-such-program", "a tool", "-V", "install it").feature()
    assert (found.reason, found.hint, found.required) == ("not found in PATH", "install it", False)


# --- features --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "reason", "hint"),
    [
        (OSError(errno.ENODEV, "x"), 'the kernel answered "No such device"', "get one"),
        (OSError(errno.EPERM, "x"), 'the kernel answered "Operation not permitted"', SEE_USERNS),
        (OSError("no number"), "no number", "get one"),
        (
            ApplyError("add", "no", errno=errno.EOPNOTSUPP, extack="Unknown device type"),
            'the kernel answered "Operation not supported" (Unknown device type)',
            "get one",
        ),
        (ApplyError("add", "no"), "add: no", "get one"),
        (MissingProgram("tool", "toolbox"), "found no program tool", "install the package toolbox"),
        (MissingProgram("tool"), "found no program tool", "get one"),
        (SandboxError("no"), NOT_TRIED, SEE_USERNS),
        (CapabilityError("said no"), "said no", "get one"),
    ],
)
def test_every_way_to_fail_has_its_reason_and_hint(
    error: Exception, reason: str, hint: str
) -> None:
    expected = Feature(
        name="thing", title="a thing", available=False, reason=reason, hint=hint, required=True
    )
    assert ended_with(error) == expected


def test_an_error_that_is_no_verdict_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        ended_with(ZeroDivisionError())


def test_a_feature_that_is_there_has_no_reason() -> None:
    assert ended_with("2.0") == Feature(
        name="thing", title="a thing", available=True, version="2.0", required=True
    )


def test_the_sentence_says_what_is_needed_why_and_what_to_do() -> None:
    missing = Feature(
        name="vrf",
        title="",
        available=False,
        reason=kernel_said(errno.EOPNOTSUPP),
        hint="go elsewhere",
    )
    assert missing.sentence() == (
        'needs vrf: the kernel answered "Operation not supported"; go elsewhere'
    )
    assert Feature(name="ip", title="", available=True, version="6.1").sentence() == "has ip 6.1"
    assert Feature(name="vrf", title="", available=True).sentence() == "has vrf"


def test_names_are_unique() -> None:
    checks = [*kernel.CHECKS, *attributes.CHECKS, *tools.CHECKS, *iproute2.CHECKS]
    assert len(features.names()) == len(checks)


def test_all_features_come_in_the_order_of_their_names() -> None:
    assert tuple(feature.name for feature in features.all_features()) == features.names()


def test_what_is_missing_says_why_and_what_to_do() -> None:
    for feature in features.all_features():
        assert feature.title
        assert feature.available != bool(feature.reason and feature.hint)


def test_missing_names_those_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def attempt() -> str:
        raise CapabilityError("no")

    fakes = {
        f"test-missing-{name}": Check(name=f"test-missing-{name}", title="", attempt=how, hint="")
        for name, how in {"a": attempt, "b": str, "c": attempt}.items()
    }
    monkeypatch.setattr(features, "_CHECKS", fakes)
    found = features.missing(["test-missing-c", "test-missing-b", "test-missing-a"])
    assert [feature.name for feature in found] == ["test-missing-c", "test-missing-a"]


def test_a_feature_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def attempt() -> str:
        tries.append(1)
        return ""

    monkeypatch.setattr(
        features,
        "_CHECKS",
        {"test-once": Check(name="test-once", title="", attempt=attempt, hint="")},
    )
    assert tries == []
    assert features.probe("test-once") is features.probe("test-once")
    assert len(tries) == 1


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("vfr", "did you mean vrf"),
        ("vxlan.localbypas", "did you mean vxlan.localbypass"),
        ("quantum-teleport", "`vxlab doctor` lists them"),
    ],
)
def test_an_unknown_name_is_an_error_that_names_what_comes_near(name: str, advice: str) -> None:
    with pytest.raises(VxlabError, match=f"found '{name}': {advice}"):
        features.missing([name])
