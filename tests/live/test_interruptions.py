"""An exception of a signal handler, at any moment, leaves a thread where it was, and nothing else.

As that of pytest-timeout's method ``signal``, and of Ctrl-C.
"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from interruptions import interrupt_often
from lab_tools import two_hosts
from namespace_tools import HOME, here
from resource_tools import nothing_left

from vxlab.live.lab import Lab


def at_home() -> None:
    assert here() == HOME


@pytest.mark.parametrize(
    ("backend", "moments"), [("netlink", 120), ("iproute2", 40), ("script", 20)]
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_building_and_closing_a_lab_is_interrupted(
    tmp_path: Path, backend: str, moments: int
) -> None:
    def work() -> None:
        with Lab(two_hosts(), backend=backend, recorder=True):
            at_home()

    with nothing_left(tmp_path / "temp"):
        assert interrupt_often(work, moments, at_home) >= moments // 3


# a socket that is on its way to who asked for it is closed by Python, which warns of it
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_a_node_does_is_interrupted(tmp_path: Path) -> None:
    with nothing_left(tmp_path / "temp"), Lab(two_hosts()) as lab:
        node = lab["h1"]

        def work() -> None:
            assert node.run("true")
            assert node.sysctl("net.ipv4.ip_forward") == "0"
            with node.socket(socket.AF_INET, socket.SOCK_DGRAM):
                at_home()
            assert node.state.links
            assert node.ask("true")

        assert interrupt_often(work, 300, at_home) >= 100
        assert node.ping("10.0.0.2")


def test_a_block_in_a_node_is_interrupted(tmp_path: Path) -> None:
    """The end of the lab is the last moment at which the thread goes home."""
    for _ in range(5):
        with nothing_left(tmp_path / "temp"):
            with Lab(two_hosts()) as lab:

                def work(lab: Lab = lab) -> None:
                    for name in ("h1", "h2") * 20:
                        with lab[name].namespaces.entered():
                            assert here() != HOME

                assert interrupt_often(work, 60, lambda: None) >= 20
            at_home()
