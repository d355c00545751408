"""Wherever a plan is refused, the error names the operation, and nothing is left."""

from __future__ import annotations

import errno
import itertools
from typing import Any

import pytest
from bad_description_cases import BAD, open_lab
from lab_tools import EditingBackend, FailingBackend, describe, two_hosts
from resource_tools import resources

from vxlab import catalog
from vxlab.describe.filters import Rule
from vxlab.errors import ApplyError, TopologyError, VxlabError
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

pytestmark = pytest.mark.usefixtures("nothing_is_left")

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


def test_bad_input_again_and_again_adds_up_to_nothing() -> None:
    for make, *_ in itertools.islice(BAD.values(), 0, None, 3):
        with pytest.raises(TopologyError):
            open_lab(make)
    for _ in range(5):
        with pytest.raises(ApplyError):
            Lab(describe().build(), backend=FailingBackend(len(SMALL) - 1)).open()
