"""A closed lab refuses all use, and an open one questions that make no sense."""

from __future__ import annotations

from typing import Any

import pytest
from lab_tools import two_hosts
from resource_tools import resources, threads_settled

from vxlab import catalog
from vxlab.errors import CaptureError, CommandError, MissingProgram, VxlabError, WaitTimeout
from vxlab.live.lab import Lab
from vxlab.operations import SetLink
from vxlab.system.waiting import wait_until

pytestmark = pytest.mark.usefixtures("nothing_is_left")


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


def test_a_capture_of_a_closed_lab_is_refused() -> None:
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
def test_a_question_that_makes_no_sense_is_refused(
    ask: Any, error: type[VxlabError], message: str
) -> None:
    with Lab(two_hosts()) as lab:
        lab["h1"].run("true")
        before = resources()
        with pytest.raises(error, match=message):
            ask(lab)
        wait_until(threads_settled, "captures to be closed")
        assert resources() == before
