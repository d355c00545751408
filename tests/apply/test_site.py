"""Sites: what they own, the operations that all backends share, and releasing it all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from resource_tools import nothing_left, resources

from vxlab.apply.netlink import NetlinkBackend
from vxlab.apply.site import Site
from vxlab.errors import ApplyError, MissingProgram, VxlabError, WaitTimeout
from vxlab.operations import (
    AddAddress,
    AddLink,
    AddNamespace,
    AddRule,
    DelLink,
    Operation,
    Peer,
    SetLink,
    SetSysctl,
    StartDaemon,
    StopDaemon,
)
from vxlab.system.waiting import wait_until


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with nothing_left(tmp_path / "temp"):
        site = Site()
        try:
            yield site
        finally:
            site.close()


def apply(site: Site, *operations: Operation) -> None:
    NetlinkBackend().apply(site, operations)


def router(site: Site) -> None:
    """r with eth0 and eth1, each wired to a host."""
    for node in ("r", "h0", "h1"):  # without IPv6, whose link-local addresses take a while
        apply(site, AddNamespace(node), SetSysctl(node, "net.ipv6.conf.all.disable_ipv6", "1"))
    for number in (0, 1):
        name, host = f"eth{number}", f"h{number}"
        peer = Peer(host, "eth0", 2)
        apply(
            site,
            AddLink("r", name, "veth", 2 + number, peer=peer, up=True),
            AddAddress("r", name, f"10.0.{number}.1/24"),
            SetLink(host, "eth0", up=True),
            AddAddress(host, "eth0", f"10.0.{number}.2/24"),
        )


def test_an_unknown_node_is_named_with_those_there_are(site: Site) -> None:
    with pytest.raises(VxlabError, match="wanted the node 'x', found none: the lab is not open"):
        site.node("x")
    site.add_node("a")
    site.add_node("b")
    with pytest.raises(VxlabError, match="wanted the node 'x', found a, b"):
        site.socket("x")


def test_a_node_is_made_once(site: Site) -> None:
    node = site.add_node("a")
    assert site.node("a") is node
    with pytest.raises(VxlabError, match="wanted a new node, found 'a' in use"):
        site.add_node("a")
    assert site.node("a") is node


def test_a_node_has_one_socket(site: Site) -> None:
    site.add_node("a")
    assert site.socket("a") is site.socket("a")


def test_interface_indexes_are_learned_asked_for_and_forgotten(site: Site) -> None:
    apply(site, AddNamespace("a"), AddNamespace("b"))
    link = AddLink("a", "v", "veth", 70, peer=Peer("b", "w", 80))
    assert site.index("a", "lo") == 1
    site.learn(link)
    assert (site.index("a", "v"), site.index("b", "w")) == (70, 80)
    site.forget("a", "v")
    with pytest.raises(VxlabError, match="a: wanted the interface 'v', found lo"):
        site.index("a", "v")
    site.forget_all()
    with pytest.raises(VxlabError, match="b: wanted the interface 'w', found lo"):
        site.index("b", "w")
    apply(site, link)
    site.forget_all()
    assert (site.index("a", "v"), site.index("b", "w")) == (70, 80)


def test_an_index_that_the_kernel_picks_is_not_learned(site: Site) -> None:
    apply(site, AddNamespace("a"), AddLink("a", "br0", "bridge", 0), SetLink("a", "br0", up=True))
    assert site.index("a", "br0") > 1


def test_a_setting_is_made(site: Site) -> None:
    apply(site, AddNamespace("a"), SetSysctl("a", "net.ipv4.ip_forward", "1"))
    assert site.node("a").read("/proc/sys/net/ipv4/ip_forward") == "1\n"


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("net.ipv4.no_such_thing", "1", errno.ENOENT),
        ("net.ipv4.ip_forward", "many", errno.EINVAL),
    ],
)
def test_a_refused_setting_is_an_error(site: Site, key: str, value: str, code: int) -> None:
    apply(site, AddNamespace("a"))
    with pytest.raises(ApplyError, match=f"ip netns exec a sysctl -w {key}={value}: ") as caught:
        apply(site, SetSysctl("a", key, value))
    assert caught.value.errno == code


def accept(node: str, port: int) -> AddRule:
    return AddRule(node, ("-A", "INPUT", "-p", "udp", "--dport", str(port), "-j", "ACCEPT"))


def rules(site: Site, node: str) -> list[str]:
    output, _ = site.node(node).popen(["iptables", "-S", "INPUT"]).communicate()
    return [line.split("--dport ")[1].split()[0] for line in output.splitlines()[1:]]


def test_rules_are_set_in_the_order_of_each_node(site: Site) -> None:
    apply(site, AddNamespace("a"), AddNamespace("b"))
    site.add_rules([accept(node, port) for port in (5, 3, 4) for node in ("a", "b")])
    assert rules(site, "a") == rules(site, "b") == ["5", "3", "4"]
    site.add_rules([])


def test_a_refused_rule_leaves_no_process(site: Site) -> None:
    apply(site, AddNamespace("a"), AddNamespace("b"), AddNamespace("c"))
    for node in "abc":
        site.node(node).popen(["true"]).communicate()
    before = resources()
    bad = AddRule("b", ("--no-such-option",))
    with pytest.raises(ApplyError, match=r"ip netns exec b iptables --no-such-option: .*unknown"):
        site.add_rules([accept("a", 1), bad, accept("c", 2)])
    assert resources() == before


def test_a_missing_filter_program_is_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(site, AddNamespace("a"))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("vxlab.system.programs.SYSTEM_PATH", ())
    with pytest.raises(MissingProgram, match=r"'iptables', .* install the package iptables"):
        site.add_rules([accept("a", 1)])


def test_a_filter_program_that_hangs_is_killed(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(site, AddNamespace("a"))
    site.node("a").popen(["true"]).communicate()
    before = resources()
    fake = tmp_path / "iptables"
    fake.write_text("#!/bin/sh\nexec sleep 60\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("vxlab.apply.site._RULE_DEADLINE", 0.05)
    with pytest.raises(ApplyError, match=r"iptables -A .*: waited 0\.05 s for it to end; killed"):
        site.add_rules([accept("a", 1)])
    assert resources() == before


def test_rules_keep_their_place_among_other_operations(site: Site) -> None:
    """What stands behind a rule sees it set, and a refusal behind it does not undo it."""
    apply(site, AddNamespace("a"))
    with pytest.raises(ApplyError, match="no_such_thing"):
        apply(site, accept("a", 7), SetSysctl("a", "net.ipv4.no_such_thing", "1"), accept("a", 8))
    assert rules(site, "a") == ["7"]


def test_a_daemon_is_started_awaited_and_stopped(site: Site) -> None:
    router(site)
    start = StartDaemon("r", "smcroute", ("eth0", "eth1"))
    apply(site, start)
    daemon = site.services["r", "smcroute"]
    assert daemon.alive
    assert list(site.folder.iterdir())
    with pytest.raises(ApplyError, match=r"ip netns exec r smcroute .*: it runs already: stop it"):
        apply(site, start)
    assert daemon.alive
    apply(site, StopDaemon("r", "smcroute"))
    assert not daemon.alive
    with pytest.raises(ApplyError, match="wanted a daemon that was started, found none"):
        apply(site, StopDaemon("r", "smcroute"))
    apply(site, start)
    assert site.services["r", "smcroute"].alive


def test_an_unknown_daemon_is_not_taken_for_another(site: Site) -> None:
    router(site)
    with pytest.raises(ApplyError, match="wanted smcroute or pimd, found 'bird'"):
        apply(site, StartDaemon("r", "bird", ("eth0", "eth1")))
    assert not site.services


def test_a_daemon_that_died_does_not_stand_in_the_way_of_other_changes(site: Site) -> None:
    router(site)
    apply(site, StartDaemon("r", "smcroute", ("eth0", "eth1")))
    daemon = site.services["r", "smcroute"]
    daemon._process.kill()
    daemon._process.wait()
    apply(site, SetLink("h0", "eth0", up=False))
    apply(site, StartDaemon("r", "smcroute", ("eth0", "eth1")))
    assert site.services["r", "smcroute"].alive


def test_a_daemon_starts_beside_a_link_that_is_down_on_purpose(site: Site) -> None:
    router(site)
    apply(site, SetLink("h1", "eth0", up=False))
    apply(site, StartDaemon("r", "smcroute", ("eth0", "eth1")))
    assert site.services["r", "smcroute"].alive


def test_links_that_never_settle_are_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(site, AddNamespace("a"), AddNamespace("b"))
    monkeypatch.setattr(
        "vxlab.apply.site.settle_links", lambda sock: ["eth7"] if sock is site.socket("b") else []
    )
    monkeypatch.setitem(wait_until.__kwdefaults__, "timeout", 0.01)
    with pytest.raises(WaitTimeout, match=r"waited 0\.01 s for .*; found .*b.*eth7"):
        site.wait_for_links()


def test_waiting_for_links_of_no_node_ends_at_once(site: Site) -> None:
    site.wait_for_links()
    site.wait_ready()


def test_closing_releases_all_and_is_safe_twice(site: Site) -> None:
    router(site)
    apply(site, StartDaemon("r", "smcroute", ("eth0", "eth1")))
    folder = site.folder
    daemon = site.services["r", "smcroute"]
    site.close()
    assert not folder.exists()
    assert not daemon.alive
    assert not site.namespaces
    site.close()
    with pytest.raises(VxlabError, match="the lab is not open"):
        apply(site, DelLink("r", "eth0"))
