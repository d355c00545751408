"""Bad input of every kind: an error of the family that names node and field, and nothing left."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_tools import EditingBackend, FailingBackend, describe, two_hosts, with_containers
from resource_tools import captures_closing, nothing_left, resources

from vxlab import catalog
from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.elements import Rule
from vxlab.errors import (
    ApplyError,
    CaptureError,
    CommandError,
    DaemonError,
    MissingProgram,
    TopologyError,
    VxlabError,
    WaitTimeout,
)
from vxlab.live.lab import Lab
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
from vxlab.plan.planner import make_plan
from vxlab.services import base
from vxlab.system.waiting import wait_until


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Iterator[None]:
    """After every test in this file descriptors, namespaces, processes and files are as before."""
    with nothing_left(tmp_path / "temp"):
        yield


def fresh() -> TopologyBuilder:
    return TopologyBuilder("t")


def lan(network: str = "10.0.0.0/24", **switch: Any) -> TopologyBuilder:
    return fresh().switch("lan", network, **switch)


def two() -> TopologyBuilder:
    return lan().host("h1", "lan").host("h2", "lan")


def red(**segment: Any) -> TopologyBuilder:
    return lan().host("h1", "lan").segment("red", **{"vni": 42, **segment})


def vtep(**fields: Any) -> TopologyBuilder:
    return red().vtep("h1", "red", **fields)


def routed(daemon: str | None, *switches: str) -> TopologyBuilder:
    t = fresh().switch("a", "10.0.1.0/24").switch("b", "10.0.2.0/24").host("h1", "a")
    return t.router("r", *switches, daemon=daemon)


# A description that is wrong: what makes it, then the node, the field, and what the rest says.
BAD: dict[str, tuple[Any, str, str, str]] = {
    # types
    "VNI as text": (lambda: red(vni="42"), "segment red", "vni", "whole number, found '42'"),
    "VNI as True": (lambda: red(vni=True), "segment red", "vni", "whole number, found True"),
    "VNI as a float": (lambda: red(vni=42.0), "segment red", "vni", "found 42.0"),
    "VNI None": (lambda: red(vni=None), "segment red", "vni", "whole number, found None"),
    "port as text": (lambda: red(port="8472"), "segment red", "port", "found '8472'"),
    "MTU as text": (lambda: lan(mtu="1500"), "switch lan", "mtu", "whole number, found '1500'"),
    "cable as a number": (
        lambda: lan().build().with_switch("lan", cable=1),
        "cable lan",
        "cable",
        "True or False",
    ),
    "cable that snoops": (
        lambda: two().build().with_switch("lan", cable=True, snooping=True),
        "cable lan",
        "snooping",
        "wanted False",
    ),
    "cable without ends": (
        lambda: fresh().cable("lan", "10.0.0.0/24"),
        "cable lan",
        "cable",
        "found none",
    ),
    "cable with one end": (
        lambda: fresh().cable("lan", "10.0.0.0/24").host("h1", "lan"),
        "cable lan",
        "cable",
        "found host h1",
    ),
    "cable with three ends": (
        lambda: two().host("h3", "lan").build().with_switch("lan", cable=True),
        "cable lan",
        "cable",
        "found host h1, host h2, host h3",
    ),
    "cable of a switch's name": (
        lambda: lan().cable("lan", "10.0.1.0/24"),
        "topology t",
        "switches",
        "'lan' twice",
    ),
    "snooping as a number": (lambda: lan(snooping=1), "switch lan", "snooping", "True or False"),
    "network as a number": (lambda: lan(10), "switch lan", "network", "string, found 10"),
    "host's name as a number": (lambda: lan().host(5), "node", "name", "string, found 5"),
    "addresses as a number": (lambda: vtep(addresses=5), "vtep vxlan0", "addresses", "found 5"),
    "addresses in bytes": (lambda: vtep(addresses=[b"x"]), "vtep vxlan0", "addresses", "b'x'"),
    "dev as a name": (lambda: vtep(dev="eth0"), "vtep vxlan0", "dev", "found 'eth0'"),
    "attributes as a list": (
        lambda: vtep(attributes=["ttl"]),
        "host h1 vtep vxlan0",
        "attributes",
        "wanted a mapping, found ['ttl']",
    ),
    "a rule as text": (
        lambda: lan().host("h1", rules=["-A INPUT"]),
        "host h1",
        "rules",
        "wanted a tuple of Rule, found '-A INPUT'",
    ),
    # ranges
    "VNI 0": (lambda: red(vni=0), "segment red", "vni", "1 to 16777215, found 0"),
    "VNI -1": (lambda: red(vni=-1), "segment red", "vni", "1 to 16777215, found -1"),
    "VNI 2^24": (lambda: red(vni=1 << 24), "segment red", "vni", "found 16777216"),
    "VNI 2^24 in an attribute": (lambda: vtep(attributes={"id": 1 << 24}), "vtep vxlan0", "id", ""),
    "port 65536": (lambda: red(port=65536), "segment red", "port", "0 to 65535, found 65536"),
    "port -1": (lambda: red(port=-1), "segment red", "port", "0 to 65535, found -1"),
    "dstport 65536": (
        lambda: vtep(attributes={"dstport": 65536}),
        "vtep vxlan0",
        "dstport",
        "wanted 0 to 65535, found 65536",
    ),
    "MTU 67": (lambda: lan(mtu=67), "switch lan", "mtu", "68 to 65535, found 67"),
    "MTU 65536": (lambda: lan(mtu=65536), "switch lan", "mtu", "68 to 65535, found 65536"),
    "MTU 1279 and IPv6": (lambda: lan("fd00::/64", mtu=1279), "switch lan", "mtu", "found 1279"),
    "TTL 256": (lambda: vtep(attributes={"ttl": 256}), "vtep vxlan0", "ttl", "found 256"),
    "source ports upside down": (
        lambda: vtep(attributes={"srcport": (9, 1)}),
        "vtep vxlan0",
        "srcport",
        "wanted low <= high, found (9, 1)",
    ),
    # names
    "empty name": (lambda: lan().host(""), "node", "name", "non-empty string"),
    "name with a blank": (lambda: lan().host("a b"), "node", "name", "found 'a b'"),
    "name with a slash": (lambda: lan().host("a/b"), "node", "name", "found 'a/b'"),
    "name with a dash in front": (lambda: lan().host("-h"), "node", "name", "found '-h'"),
    "name of 16 bytes": (lambda: lan().host("h" * 16), "node", "name", "15 bytes, found 16"),
    "name of a topology": (lambda: TopologyBuilder(""), "topology", "name", "non-empty string"),
    "card named lo": (lambda: lan().host("h1", "lan", device="lo"), "nic", "device", "reserved"),
    "device named all": (lambda: vtep(device="all"), "vtep all", "device", "reserved"),
    "bridge of 16 bytes": (lambda: vtep(bridge="b" * 16), "vtep vxlan0", "bridge", "found 16"),
    "unknown attribute": (lambda: vtep(attributes={"tll": 1}), "vtep vxlan0", "tll", "'tll'"),
    # twice
    "host twice": (lambda: red().host("h1"), "node h1", "name", "new name, found it in use"),
    "host as a switch": (lambda: lan().host("lan"), "topology t", "nodes", "'lan' twice"),
    "switch twice": (lambda: lan().switch("lan", "10.0.1.0/24"), "topology t", "nodes", "twice"),
    "container as a host": (
        lambda: vtep(bridge="br0").container("h1", "h1", "br0"),
        "topology t",
        "nodes",
        "found 'h1' twice",
    ),
    "segment twice": (lambda: red().segment("red", 43), "topology t", "segments", "'red' twice"),
    "VNI twice": (
        lambda: vtep().segment("blue", 42).vtep("h1", "blue"),
        "host h1 vtep vxlan1",
        "id",
        "wanted one device a VNI and port, vtep vxlan0 has (42, 8472)",
    ),
    "segment twice on a host": (
        lambda: vtep().vtep("h1", "red"),
        "host h1 vtep vxlan1",
        "segment",
        "vtep vxlan0 is in red already",
    ),
    "device twice": (
        lambda: vtep().segment("blue", 43).vtep("h1", "blue", device="vxlan0"),
        "host h1 vtep vxlan0",
        "device",
        "wanted a free name, found a vxlan device",
    ),
    "device as a card": (lambda: vtep(device="eth0"), "host h1 vtep eth0", "device", "a network"),
    "bridge as a card": (lambda: vtep(bridge="eth0"), "host h1", "bridge", "eth0 is a network"),
    "card twice": (
        lambda: red().switch("wan", "10.0.1.0/24").nic("h1", "wan"),
        "host h1",
        "nics",
        "found 'eth0' twice",
    ),
    "container's link as a bridge": (
        lambda: vtep(bridge="br0").container("c1", "h1", "br0", host_device="br0"),
        "container c1",
        "host_device",
        "wanted a free name on host h1, found a bridge",
    ),
    "underlay address twice": (
        lambda: red().host("h2", "lan", "10.0.0.1/24"),
        "host h2",
        "eth0",
        "10.0.0.1 is host h1's",
    ),
    "overlay address twice": (
        lambda: with_containers().container("c3", "h2", "br0", "172.16.0.1/24"),
        "container c3",
        "addresses",
        "172.16.0.1/24 once in segment red, container c1 has it",
    ),
    # addresses
    "no prefix length": (
        lambda: lan().host("h1", "lan", "10.0.0.1"),
        "nic eth0",
        "address",
        "such as 10.0.0.1/24, found '10.0.0.1'",
    ),
    "no address": (lambda: lan().host("h1", "lan", "x/24"), "nic eth0", "address", "found 'x/24'"),
    "multicast address": (lambda: vtep(addresses="224.0.0.1/24"), "vtep vxlan0", "addresses", ""),
    "network's own address": (lambda: vtep(addresses="1.1.1.0/24"), "vtep vxlan0", "addresses", ""),
    "network with host bits": (lambda: lan("10.0.0.1/24"), "switch lan", "network", "host bits"),
    "network without room": (lambda: lan("10.0.0.0/31"), "switch lan", "network", "room for hosts"),
    "address of another network": (
        lambda: lan().host("h1", "lan", "10.9.0.1/24"),
        "host h1",
        "eth0",
        "wanted an address in 10.0.0.0/24 as on switch lan, found 10.9.0.1/24",
    ),
    "address of another family": (
        lambda: lan().host("h1", "lan", "fd00::1/64"),
        "host h1",
        "eth0",
        "wanted an address in 10.0.0.0/24",
    ),
    "overlapping networks": (
        lambda: red().switch("wan", "10.0.0.0/16").nic("h1", "wan", device="eth1"),
        "host h1",
        "nics",
        "networks apart, found 10.0.0.1/24 (eth0) over",
    ),
    "overlay over underlay": (
        lambda: vtep(addresses="10.0.0.9/8"),
        "host h1",
        "addresses",
        "wanted networks apart, found 10.0.0.1/24 (eth0) over 10.0.0.9/8 (vxlan0)",
    ),
    "MAC": (lambda: vtep(mac="02:00:00:00:00"), "vtep vxlan0", "mac", "wanted a MAC like"),
    "multicast MAC": (lambda: vtep(mac="01:00:5e:00:00:01"), "vtep vxlan0", "mac", "unicast MAC"),
    "MAC in capitals": (lambda: vtep(mac="02:00:00:00:00:AA"), "vtep vxlan0", "mac", "like"),
    # what is not there
    "unknown switch": (lambda: lan().host("h1", "wan"), "host h1", "switch", "'wan': lan"),
    "router on an unknown switch": (
        lambda: lan().router("r", "wan"),
        "router r",
        "switch",
        "wanted a known switch, found 'wan': lan",
    ),
    "unknown host": (lambda: red().vtep("h9", "red"), "topology t", "hosts", "'h9', found h1"),
    "unknown segment": (lambda: red().vtep("h1", "x"), "host h1 vtep vxlan0", "segment", "'x'"),
    "unknown card": (lambda: vtep(nic="eth1"), "host h1 vtep vxlan0", "nic", "eth1, found eth0"),
    "no card": (
        lambda: fresh().segment("red", 5).host("h1").vtep("h1", "red"),
        "host h1 vtep vxlan0",
        "nic",
        "wanted the card (any), found none",
    ),
    "container of an unknown host": (
        lambda: with_containers().container("c3", "h9", "br0"),
        "container c3",
        "host",
        "wanted a known host, found 'h9': h1, h2",
    ),
    "container on an unknown bridge": (
        lambda: with_containers().container("c3", "h1", "br9"),
        "container c3",
        "bridge",
        "wanted a bridge of host h1, found 'br9': br0",
    ),
    # groups, remotes, families
    "group that is none": (lambda: red(group="10.1.1.1"), "segment red", "group", "a multicast"),
    "group without a group": (lambda: red(flood="group"), "segment red", "group", "found None"),
    "flood mode": (lambda: red(flood="all"), "segment red", "flood", "found 'all'"),
    "group beside remotes": (
        lambda: red(flood="remote", group="239.1.1.1"),
        "segment red",
        "group",
        "wanted none with flood 'remote', found 239.1.1.1",
    ),
    "IPv6 group on IPv4": (
        lambda: red(group="ff08::1").vtep("h1", "red"),
        "host h1 vtep vxlan0",
        "group",
        "wanted IPv4 as the card eth0 has, found ff08::1",
    ),
    "IPv6 remote on IPv4": (
        lambda: vtep(remotes=("fd00::2",)),
        "host h1 vtep vxlan0",
        "remotes",
        "wanted IPv4 as the card eth0 has, found fd00::2",
    ),
    "group as a remote": (
        lambda: vtep(remotes=("239.1.1.1",)),
        "vtep vxlan0",
        "remotes",
        "unicast",
    ),
    "own address as a remote": (
        lambda: vtep(remotes=("10.0.0.1",)),
        "host h1 vtep vxlan0",
        "remotes",
        "wanted another host's address, found its own 10.0.0.1",
    ),
    "remote out of reach": (
        lambda: vtep(remotes=("192.0.2.1",)),
        "host h1 vtep vxlan0",
        "remotes",
        "wanted a way to 192.0.2.1, found no router on switch lan",
    ),
    "group without its device": (
        lambda: red(group="239.1.1.1").vtep("h1", "red", dev=False),
        "host h1 vtep vxlan0",
        "dev",
        "wanted True",
    ),
    "bridge and addresses": (
        lambda: vtep(bridge="br0", addresses="1.1.1.1/24"),
        "vtep vxlan0",
        "addresses",
        "wanted none on a device that sits in a bridge",
    ),
    "gpe alone": (
        lambda: vtep(attributes={"gpe": True}),
        "host h1 vtep vxlan0",
        "gpe",
        "wanted external beside gpe",
    ),
    "flow label on IPv4": (
        lambda: vtep(attributes={"flowlabel": 5}),
        "host h1 vtep vxlan0",
        "flowlabel",
        "found an IPv4 device",
    ),
    # daemons
    "unknown daemon": (lambda: routed("bird", "a", "b"), "router r", "daemon", "found 'bird'"),
    "daemon with one card": (lambda: routed("pimd", "a"), "router r", "nics", "2 to 31 for pimd"),
    "router without cards": (lambda: routed(None), "router r", "nics", "at least one, found none"),
    "pimd on IPv6": (
        lambda: (
            fresh()
            .switch("a", "fd00:1::/64")
            .switch("b", "fd00:2::/64")
            .router("r", "a", "b", daemon="pimd")
        ),
        "router r",
        "daemon",
        "pimd routes IPv4 only, found an IPv6 underlay",
    ),
    "pimd and a source-specific group": (
        lambda: routed("pimd", "a", "b").segment("red", 5, group="232.1.1.1").vtep("h1", "red"),
        "router r",
        "daemon",
        "outside 232.0.0.0/8 (source-specific), found 232.1.1.1",
    ),
    # rules
    "an empty rule": (lambda: Rule(()), "rule", "words", "wanted the words of a rule, found none"),
    "a rule of family 5": (lambda: Rule(("-A",), 5), "rule", "family", "wanted 4 or 6, found 5"),  # type: ignore[arg-type]
}


def open_lab(make: Any) -> None:
    """Open a lab of what ``make`` describes, wherever on the way it is refused."""
    made = make()
    Lab(made.build() if isinstance(made, TopologyBuilder) else made).open()


def test_there_are_many_cases() -> None:
    assert len(BAD) >= 60


@pytest.mark.parametrize(("make", "node", "field", "said"), BAD.values(), ids=BAD)
def test_a_bad_description_is_refused(make: Any, node: str, field: str, said: str) -> None:
    with pytest.raises(TopologyError) as caught:
        open_lab(make)
    error = caught.value
    assert isinstance(error, VxlabError)
    assert (error.node, error.field) == (node, field)
    assert str(error).startswith(f"{node}: {field}: ")
    assert said in error.problem
    assert any(word in error.problem for word in ("found", "has", "is", "sits"))


# --- refused in mid-plan ---------------------------------------------------------------------

PLAN = make_plan(catalog.kim_and_lee())


@pytest.mark.parametrize("after", range(len(PLAN)))
def test_a_plan_that_fails_anywhere_leaves_nothing(after: int) -> None:
    lab = Lab(catalog.kim_and_lee(), backend=FailingBackend(after))
    with pytest.raises(ApplyError, match="refused by the test") as caught:
        lab.open()
    assert caught.value.operation == str(PLAN[after])
    assert len(lab) == 0


SMALL = make_plan(two_hosts())


@pytest.mark.parametrize("place", range(SMALL.index(AddNamespace("h2")) + 1, len(SMALL) + 1))
def test_a_kernel_that_refuses_anywhere_leaves_nothing(place: int) -> None:
    bad = DelLink("h1", "lo")

    def edit(operations: list[Operation]) -> list[Operation]:
        return [*operations[:place], bad, *operations[place:]]

    lab = Lab(two_hosts(), backend=EditingBackend(edit), recorder=True)
    with pytest.raises(ApplyError, match="ip -n h1 link del dev lo: ") as caught:
        lab.open()
    assert caught.value.errno == errno.EOPNOTSUPP
    assert len(lab) == 0


def _with_rule(*words: str) -> Any:
    return two_hosts().with_host("h2", rules=(Rule(words),))


REFUSED_LATE: dict[str, tuple[Any, list[Operation], str]] = {
    "a rule": (
        lambda: _with_rule("--no-such-option"),
        [],
        "ip netns exec h2 iptables --no-such-option: .*unknown option",
    ),
    "a rule of a chain that is not there": (
        lambda: _with_rule("-A", "NOWHERE", "-j", "DROP"),
        [],
        "ip netns exec h2 iptables -A NOWHERE -j DROP: ",
    ),
    "a setting": (two_hosts, [SetSysctl("h2", "net.ipv4.no_such", "1")], "h2 sysctl -w .*No such"),
    "a setting of the machine": (
        two_hosts,
        [SetSysctl("h2", "kernel.hostname", "x")],
        "wanted a setting below net., .* found 'kernel.hostname'",
    ),
    "a namespace": (two_hosts, [AddNamespace("h2")], "wanted a new node, found 'h2' in use"),
    "a link": (two_hosts, [AddLink("h2", "eth0", "bridge", 99)], "h2 link add dev eth0 .*EEXIST"),
    "a link's peer": (
        two_hosts,
        [AddLink("h1", "v", "veth", 99, peer=Peer("h2", "eth0", 98))],
        "ip -n h1 link add dev v .*EEXIST",
    ),
    "an unknown interface": (
        two_hosts,
        [AddAddress("h2", "eth7", "10.0.0.9/24")],
        "h2: wanted the interface 'eth7', found lo, eth0, vxlan0",
    ),
    "an unknown node": (
        two_hosts,
        [SetLink("h9", "eth0", up=True)],
        "wanted the node 'h9', found lan, h1, h2",
    ),
    "an unknown daemon": (
        two_hosts,
        [StartDaemon("h2", "bird", ("eth0",))],
        "ip netns exec h2 bird .*wanted smcroute or pimd, found 'bird'",
    ),
    "a daemon without its interfaces": (
        two_hosts,
        [StartDaemon("h2", "smcroute", ("eth0", "eth7"))],
        "start smcrouted in h2: wanted the interface eth7, found only lo, eth0, vxlan0",
    ),
    "a daemon with one interface": (
        two_hosts,
        [StartDaemon("h2", "smcroute", ("eth0",))],
        "smcrouted: interfaces: wanted 2 to 31 to route between, found 1",
    ),
    "a daemon that never ran": (
        two_hosts,
        [StopDaemon("h2", "smcroute")],
        "kill .*smcroute.*: wanted a daemon that was started, found none",
    ),
    "what fits into no message": (
        two_hosts,
        [AddAddress("h2", "eth0", "nonsense")],
        "AddAddress.*h2.*wanted values that fit into a netlink message, found",
    ),
}


@pytest.mark.parametrize(("make", "more", "message"), REFUSED_LATE.values(), ids=REFUSED_LATE)
def test_what_only_the_kernel_or_a_program_can_refuse(
    make: Any, more: list[Operation], message: str
) -> None:
    backend = EditingBackend(lambda operations: [*operations, *more])
    with pytest.raises(VxlabError, match=message):
        Lab(make(), backend=backend, recorder=True).open()


@pytest.mark.parametrize(("make", "more", "message"), REFUSED_LATE.values(), ids=REFUSED_LATE)
def test_what_is_refused_in_a_live_lab_leaves_it_alive(
    make: Any, more: list[Operation], message: str
) -> None:
    operations = more or [AddRule("h2", rule.words) for rule in make().host("h2").rules]
    with Lab(two_hosts()) as lab:
        for node in lab.values():
            node.run("true")
        before = resources()
        with pytest.raises(VxlabError, match=message):
            lab.apply(*operations)
        assert _without_temp(resources()) == _without_temp(before)
        assert lab["h1"].ping("172.16.0.2", timeout=5)


def _without_temp(taken: Any) -> Any:
    """The lab's own folder is made when a daemon first needs it, and lives as long as the lab."""
    return (taken.descriptors, taken.namespaces, taken.processes, taken.threads)


def test_a_daemon_that_dies_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "smcrouted"
    fake.write_text("#!/bin/sh\necho cannot go on >&2\nexit 7\n")
    fake.chmod(0o755)
    monkeypatch.setenv("VXLAB_TOOLS", str(tmp_path))
    with pytest.raises(
        DaemonError, match=r"start smcrouted in router: .*7.*cannot go on"
    ) as caught:
        Lab(catalog.kim_and_lee()).open()
    assert "wanted" in str(caught.value)


def test_a_daemon_that_is_never_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "smcrouted"
    fake.write_text("#!/bin/sh\nexec sleep 1234\n")
    fake.chmod(0o755)
    monkeypatch.setenv("VXLAB_TOOLS", str(tmp_path))
    monkeypatch.setattr(base.wait_all_ready, "__defaults__", (0.2,))
    with pytest.raises(DaemonError, match=r"start smcrouted in router: waited 0\.2 s for"):
        Lab(catalog.kim_and_lee()).open()


# --- missing programs ------------------------------------------------------------------------


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a single program."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("VXLAB_TOOLS", raising=False)
    monkeypatch.setattr("vxlab.system.programs.SYSTEM_PATH", ())
    monkeypatch.setattr(base, "SYSTEM_TOOLS", tmp_path)


@pytest.mark.parametrize(
    ("make", "program", "package"),
    [
        (lambda: catalog.kim_and_lee(router=None), "iptables", "iptables"),
        (lambda: catalog.kim_and_lee(router=None, family=6), "ip6tables", "iptables"),
        (lambda: catalog.kim_and_lee(router="smcroute"), "smcrouted", "smcroute"),
        (lambda: catalog.kim_and_lee(router="pimd"), "pimd", "pimd"),
    ],
)
@pytest.mark.usefixtures("bare")
def test_a_missing_program_in_mid_plan(make: Any, program: str, package: str) -> None:
    with pytest.raises(MissingProgram, match=f"'{program}'.*install the package {package}"):
        Lab(make()).open()


@pytest.mark.usefixtures("bare")
def test_a_lab_without_rules_and_daemons_needs_no_program() -> None:
    with Lab(two_hosts()) as lab:
        for name in ("ip", "ping", "bridge"):
            with pytest.raises(MissingProgram, match=f"wanted the program '{name}', found none in"):
                lab["h1"].run(name)
        with pytest.raises(MissingProgram, match=r"'unshare'.*util-linux"):
            lab["h1"].run(sys.executable)
        assert lab["h1"].state.links


# --- no permission ---------------------------------------------------------------------------

ATTEMPT = """
import os, sys
from vxlab import Lab, catalog
from vxlab.errors import SandboxError
def look():
    return sorted(os.listdir("/proc/self/fd")), sorted(os.listdir("/proc/self/task"))
before = look()
lab = Lab(catalog.one_switch())
try:
    lab.open()
except SandboxError as error:
    print(error)
assert look() == before and len(lab) == 0
"""


def attempt(*wrapper: str, code: str = ATTEMPT) -> str:
    root = str(Path(catalog.__file__).parents[1])
    done = subprocess.run(
        [*wrapper, sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_root_without_capabilities() -> None:
    said = attempt("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    assert (
        "wanted a network namespace for 'vbr', found no permission to make one: run inside" in said
    )


def test_another_user() -> None:
    said = attempt("unshare", "--user")  # with no id mapped, one is nobody
    assert "wanted to build a lab, found no right to make namespaces: " in said


def test_in_the_namespaces_of_somebody_else() -> None:
    """There one could leave, and never come back; so one does not leave."""
    where = "os.readlink('/proc/self/ns/net')"
    code = f"import os\nhome = {where}\n{ATTEMPT}\nassert {where} == home\n"
    said = attempt("unshare", "--user", "--map-root-user", code=code)
    assert "wanted a network namespace for 'vbr', found no permission to make one" in said


def test_no_more_namespaces() -> None:
    limit = "with open('/proc/sys/user/max_net_namespaces', 'w') as file:\n    file.write('3')\n"
    said = attempt("unshare", "--user", "--map-root-user", "--net", "--uts", code=limit + ATTEMPT)
    assert "wanted a network namespace for 'b', found" in said
    assert "user.max_net_namespaces" in said


@pytest.mark.parametrize("spare", range(3, 10))
def test_no_more_open_files(spare: int) -> None:
    limit = (
        "import os, resource\n"
        "from vxlab import Lab, catalog\n"
        "import vxlab.live.lab\n"
        "from vxlab.errors import VxlabError as SandboxError\n"
        f"limit = max(map(int, os.listdir('/proc/self/fd'))) + {spare}\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))\n"
    )
    code = limit + ATTEMPT.replace("from vxlab.errors import SandboxError\n", "")
    said = attempt(code=code)
    assert "ulimit -n" in said


# --- use after the end, and questions that make no sense -------------------------------------


def test_a_closed_lab_refuses_everything() -> None:
    with Lab(catalog.kim_and_lee()) as lab:
        pass
    uses = [
        lambda: lab["lxc1"],
        lambda: lab.apply(SetLink("lxc1", "ens33", up=True)),
        lambda: lab.capture("lxc1"),
        lambda: lab.start_daemon("router"),
        lambda: lab.stop_daemon("router"),
    ]
    for use in uses:
        with pytest.raises(VxlabError, match=r"lab kim-and-lee: .*not open"):
            use()
    assert lab.state() == {}


def test_a_capture_that_was_made_before_the_end() -> None:
    with Lab(two_hosts()) as lab:
        captures = lab.capture("h1")
    with pytest.raises(
        VxlabError, match="h1: wanted to use the node, found its lab already closed"
    ):
        captures.__enter__()


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda lab: lab["h9"], VxlabError, "wanted the node 'h9', found lan, h1, h2"),
        (lambda lab: lab[None], VxlabError, "wanted the node None, found lan, h1, h2"),
        (
            lambda lab: lab.capture("h1:eth9").__enter__(),
            CaptureError,
            "h1: wanted the interface 'eth9', found only lo, eth0, vxlan0",
        ),
        (lambda lab: lab["h1"].sysctl("net.no.such"), VxlabError, "h1: wanted the setting net.no"),
        (lambda lab: lab["h1"].sysctl("kernel.panic", 1), VxlabError, "wanted a setting below net"),
        (lambda lab: lab["h1"].run("false"), CommandError, "h1: `false` ended with 1: no output"),
        (lambda lab: lab["h1"].run("no-such"), MissingProgram, "wanted the program 'no-such'"),
        (
            lambda lab: lab["h1"].run("sleep", "99", timeout=0.01),
            WaitTimeout,
            "h1: waited 0.01 s for `sleep 99` to end",
        ),
        (lambda lab: lab["h1"].ping("nobody"), CommandError, "h1: `ping .* nobody` ended with 2"),
        (lambda lab: lab["h1"].ip("link", "show", "x"), CommandError, "h1: `ip -j link show x`"),
        (
            lambda lab: lab["h1"].send_marked("10.0.0.2", b"", port=-1),
            VxlabError,
            "h1: wanted a port from 1 to 65535, found -1",
        ),
        (
            lambda lab: lab["h1"].send_marked("h2", b""),
            VxlabError,
            "h1: wanted an IP address, found 'h2'",
        ),
        (lambda lab: lab.start_daemon("h1"), VxlabError, "wanted a daemon on 'h1', found none"),
        (lambda lab: lab.apply("ip link"), VxlabError, "wanted operations, found 'ip link'"),
    ],
)
def test_a_question_that_makes_no_sense(ask: Any, error: type[VxlabError], message: str) -> None:
    with Lab(two_hosts()) as lab:
        lab["h1"].run("true")
        before = resources()
        with pytest.raises(error, match=message):
            ask(lab)
        wait_until(lambda: not captures_closing(), "captures to be closed")
        assert resources() == before


def test_bad_input_again_and_again_adds_up_to_nothing() -> None:
    for make, *_ in itertools.islice(BAD.values(), 0, None, 3):
        with pytest.raises(TopologyError):
            open_lab(make)
    for _ in range(5):
        with pytest.raises(ApplyError):
            Lab(describe().build(), backend=FailingBackend(len(SMALL) - 1)).open()
