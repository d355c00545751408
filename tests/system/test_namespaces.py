"""Namespaces of a node: made, entered, used by threads, and closed."""

from __future__ import annotations

import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from namespace_tools import HOME, here, run
from resource_tools import nothing_left

from vxlab.errors import VxlabError
from vxlab.system import launcher
from vxlab.system.namespaces import Namespaces


def test_the_caller_stays_where_it_is(node: Namespaces) -> None:
    assert here() == HOME
    with node.entered():
        assert here()["net"] != HOME["net"]
        assert {**here(), "net": ""} == {**HOME, "net": ""}
    assert here() == HOME
    node.popen(["true"]).communicate()
    assert here() == HOME


def test_the_caller_is_home_after_an_error_too(node: Namespaces) -> None:
    with pytest.raises(KeyError), node.entered():
        raise KeyError
    assert here() == HOME


def test_a_node_is_entered_from_within_another(node: Namespaces) -> None:
    with Namespaces("n2") as other, node.entered():
        outer = here()
        with other.entered():
            assert here()["net"] not in (outer["net"], HOME["net"])
        assert here() == outer


def test_a_new_node_has_lo_alone_and_it_is_down(node: Namespaces) -> None:
    with node.entered():
        assert [name for _, name in socket.if_nameindex()] == ["lo"]
    assert node.read("/proc/thread-self/net/dev").count(":") == 1


def test_its_name_is_its_host_name(node: Namespaces) -> None:
    assert run(node, "uname", "-n") == "n1\n"
    assert socket.gethostname() != "n1"


def test_sockets_belong_to_the_node_wherever_they_are_used(node: Namespaces) -> None:
    with node.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", 5))
    with node.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("0.0.0.0", 4789))
        with Namespaces("n2") as other, other.socket(socket.AF_INET, socket.SOCK_DGRAM) as two:
            two.bind(("0.0.0.0", 4789))
        assert " 00000000:12B5 " in node.read("/proc/thread-self/net/udp")


def test_settings_are_the_node_s_own(node: Namespaces) -> None:
    path = "/proc/sys/net/ipv4/ip_forward"
    before = Path(path).read_text()
    node.write(path, "1")
    assert node.read(path) == "1\n"
    node.write(path, "0")
    assert node.read(path) == "0\n"
    assert Path(path).read_text() == before
    with pytest.raises(OSError, match="Invalid argument"):
        node.write(path, "many")
    with pytest.raises(FileNotFoundError):
        node.read("/proc/sys/net/no_such")


def test_a_closed_node_refuses_everything(tmp_path: Path) -> None:
    node = Namespaces("n1")
    assert not node.closed
    node.close()
    node.close()
    assert node.closed
    for use in (
        lambda: node.entered().__enter__(),
        lambda: node.socket(socket.AF_INET, socket.SOCK_DGRAM),
        lambda: node.read("/proc/self/stat"),
        lambda: node.write("/proc/sys/net/ipv4/ip_forward", "1"),
        lambda: node.popen(["true"]),
        lambda: node.in_mounts(os.getpid),
    ):
        with pytest.raises(VxlabError, match="n1: wanted to use the node, found its lab already"):
            use()
    assert here() == HOME


def test_its_path_leads_other_programs_into_it(node: Namespaces) -> None:
    found = subprocess.run(
        ["readlink", f"/proc/{os.getpid()}/fd/{node.net}"], capture_output=True, text=True
    )
    with node.entered():
        inside = os.readlink("/proc/thread-self/ns/net")
    assert found.stdout.strip() == inside
    assert os.readlink(node.path()) == inside


def test_many_threads_use_a_node_at_once(node: Namespaces) -> None:
    def work(number: int) -> tuple[str, str]:
        with node.entered():
            inside = os.readlink("/proc/thread-self/ns/net")
        return inside, run(node, "echo", str(number))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, range(24)))
    assert len({inside for inside, _ in found}) == 1
    assert [said for _, said in found] == [f"{number}\n" for number in range(24)]


def test_nodes_are_made_by_several_threads(tmp_path: Path) -> None:
    def work(number: int) -> str:
        with Namespaces(f"n{number}") as node:
            return run(node, "uname", "-n")

    with nothing_left(tmp_path / "temp"), ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(12))) == [f"n{n}\n" for n in range(12)]
        pool.shutdown()


def test_the_launcher_goes_home_with_the_last_node_it_was_in(tmp_path: Path) -> None:
    with Namespaces("n1") as one, Namespaces("n2") as two:
        run(one, "true")
        run(two, "true")
        assert launcher.get_launcher().visited is two
        one.close()
        assert launcher.get_launcher().visited is two
    assert launcher.get_launcher().visited is None
    assert launcher.get_launcher().call(here) == HOME
