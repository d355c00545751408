"""A node of a lab answers pings, questions and settings, and sends datagrams."""

from __future__ import annotations

import errno
import os
import socket
import struct
from pathlib import Path

import pytest
from lab_tools import two_hosts
from resource_tools import nothing_left

from vxlab.errors import ApplyError, CommandError, VxlabError
from vxlab.live.lab import Lab
from vxlab.live.node import Node, Ping
from vxlab.observe.frames import MARK_PREFIX
from vxlab.operations import SetLink
from vxlab.system.programs import find_program


def test_a_ping_counts_its_replies(h1: Node) -> None:
    answered = h1.ping("10.0.0.2", count=3, interval=0.01, size=1000)
    assert answered
    assert (answered.sent, answered.received) == (3, 3)
    assert "1008 bytes from 10.0.0.2" in answered.output
    assert h1.ping("172.16.0.2", interface="vxlan0")
    assert h1.ping("172.16.0.2", interface="172.16.0.1")


def test_ping_without_an_answer_is_false(h1: Node) -> None:
    silent = h1.ping("10.0.0.99", timeout=0.2)
    assert not silent
    assert (silent.sent, silent.received) == (1, 0)
    assert isinstance(silent, Ping)


def test_ping_that_cannot_even_be_sent_says_why(h1: Node) -> None:
    with pytest.raises(CommandError, match=r"h1: `ping .* ended with 2: .*[Uu]nreachable"):
        h1.ping("192.0.2.1")
    with pytest.raises(CommandError, match="no-such-host"):
        h1.ping("no-such-host")
    with pytest.raises(CommandError, match="eth7"):
        h1.ping("10.0.0.2", interface="eth7")


def test_a_ping_without_a_summary_is_an_error(
    h1: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "ping"
    fake.write_text("#!/bin/sh\necho alive\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(CommandError, match=r"h1: `ping .* ended with 0: no summary: alive"):
        h1.ping("10.0.0.2")


def test_ip_and_bridge_answer_in_lists_and_dicts(h1: Node) -> None:
    (link,) = h1.ip("-d", "link", "show", "vxlan0")
    assert link["linkinfo"]["info_data"]["id"] == 42
    assert [each["ifname"] for each in h1.ip("link")] == ["lo", "eth0", "vxlan0"]
    assert h1.ip("neigh", "show", "dev", "vxlan0") == []
    (entry,) = [row for row in h1.bridge("fdb", "show", "dev", "vxlan0") if "dst" in row]
    assert entry["dst"] == "10.0.0.2"
    assert h1.ip("link", "set", "eth0", "down") == []


def test_a_refusal_by_ip_is_an_error(h1: Node) -> None:
    with pytest.raises(CommandError, match=r"h1: `ip -j link show eth7` ended with 1: .*eth7"):
        h1.ip("link", "show", "eth7")


def test_output_of_ip_that_is_not_json_is_an_error(h1: Node) -> None:
    with pytest.raises(VxlabError, match=r"h1: wanted JSON from `ip -j -V`, found 'ip utility"):
        h1.ip("-V")


def test_ip_that_prints_text_into_its_json_is_understood(
    h1: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of Ubuntu does for every vxlan device."""
    sound = h1.ip("-d", "link")
    real = find_program("ip")
    fake = tmp_path / "ip"
    fake.write_text(f"""#!/bin/sh\n{real} "$@" | sed 's/"id":[0-9]*/&fan-map /g'\n""")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert '"id":42fan-map ,' in h1.run("ip", "-j", "-d", "link").stdout
    assert h1.ip("-d", "link") == sound


def test_sysctl_reads_and_sets(h1: Node) -> None:
    assert h1.sysctl("net.ipv4.ip_forward") == "0"
    assert h1.sysctl("net.ipv4.ip_forward", 1) == "1"
    assert h1.sysctl("net.ipv4.conf.eth0.rp_filter", "2") == "2"
    assert h1.run("sysctl", "-n", "net.ipv4.ip_forward").stdout == "1\n"


def test_sysctl_takes_an_interface_with_a_dot(lab: Lab) -> None:
    lab["h1"].run("ip", "link", "add", "br.5", "type", "bridge")
    assert lab["h1"].sysctl("net.ipv4.conf.br/5.rp_filter", 1) == "1"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("net.ipv4.no_such", None, "h1: wanted the setting net.ipv4.no_such, found: No such file"),
        ("net.ipv4.ip_forward", "x", "h1: wanted the setting net.ipv4.ip_forward, found: Invalid"),
        ("kernel.hostname", "x", "wanted a setting below net., .* found 'kernel.hostname'"),
        ("net.ipv4", None, "h1: wanted the setting net.ipv4, found: Is a directory"),
    ],
)
def test_a_refused_sysctl_is_an_error(h1: Node, key: str, value: str | None, message: str) -> None:
    with pytest.raises(VxlabError, match=message):
        h1.sysctl(key, value)


def test_sockets_are_those_of_the_node(lab: Lab) -> None:
    with lab["h1"].socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind(("10.0.0.1", 7))
        server.listen()
        server.settimeout(10)
        with lab["h2"].socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            client.settimeout(10)
            client.connect(("10.0.0.1", 7))
            accepted, address = server.accept()
            with accepted:
                assert address[0] == "10.0.0.2"


@pytest.mark.parametrize(("family", "address"), [(4, "10.0.0.2"), (6, "fd00::2")])
def test_a_marked_datagram_arrives(family: int, address: str) -> None:
    with Lab(two_hosts(family)) as lab:
        kind = socket.AF_INET if family == 4 else socket.AF_INET6
        with lab["h2"].socket(kind, socket.SOCK_DGRAM) as receiver:
            receiver.bind((address, 40404))
            receiver.settimeout(10)
            with lab.capture("h2") as seen:
                lab["h1"].send_marked(address, b"hello")
                assert receiver.recv(100) == MARK_PREFIX + b"hello"
                seen["h2"].wait_for_payload(b"hello")
        assert seen["h2"].payloads() == [b"hello"]


@pytest.mark.parametrize("port", [1, 4789, 5000, 65535])
def test_a_marked_datagram_may_go_to_another_port_and_to_all(lab: Lab, port: int) -> None:
    with lab["h2"].socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("", port))
        receiver.settimeout(10)
        with lab.capture("h2") as seen:
            lab["h1"].send_marked("10.0.0.255", b"x", port=port)
            assert receiver.recv(100) == MARK_PREFIX + b"x"
            seen["h2"].wait_for_payload(b"x")
        assert seen["h2"].payloads() == [b"x"]


@pytest.mark.parametrize(
    ("address", "port", "message"),
    [
        ("192.0.2.1", 5, "h1: wanted to send to 192.0.2.1, found: Network is unreachable"),
        ("h2", 5, "h1: wanted an IP address, found 'h2'"),
        ("10.0.0.2", 0, "h1: wanted a port from 1 to 65535, found 0"),
        ("10.0.0.2", 65536, "h1: wanted a port from 1 to 65535, found 65536"),
    ],
)
def test_a_datagram_that_cannot_be_sent_is_an_error(
    h1: Node, address: str, port: int, message: str
) -> None:
    with pytest.raises(VxlabError, match=message):
        h1.send_marked(address, b"x", port=port)


def test_the_state_of_a_node_is_read(lab: Lab) -> None:
    taken = lab["h1"].state
    assert taken.name == "h1"
    assert [link.name for link in taken.links] == ["lo", "eth0", "vxlan0"]
    lab.apply(SetLink("h1", "vxlan0", up=False))
    changed = lab["h1"].state
    assert changed != taken


def test_the_host_name_is_that_of_the_node(lab: Lab) -> None:
    for name in lab:
        assert lab[name].run("uname", "-n").stdout == f"{name}\n"


def test_a_node_of_a_closed_lab_refuses(tmp_path: Path) -> None:
    with nothing_left(tmp_path / "temp"):
        with Lab(two_hosts()) as lab:
            node = lab["h1"]
            assert node.testinfra.run("true").rc == 0
        for use in (
            lambda: node.run("true"),
            lambda: node.popen("true"),
            lambda: node.ping("10.0.0.2"),
            lambda: node.ip("link"),
            lambda: node.sysctl("net.ipv4.ip_forward"),
            lambda: node.socket(socket.AF_INET, socket.SOCK_DGRAM),
            lambda: node.send_marked("10.0.0.2", b"x"),
            lambda: node.state,
            lambda: node.testinfra.run("true"),
        ):
            with pytest.raises(VxlabError, match="h1"):
                use()


def test_a_raw_link_is_made_and_read_as_bytes(h1: Node) -> None:
    vni, port = (1, struct.pack("=I", 42)), (15, struct.pack(">H", 4789))  # IFLA_VXLAN_*
    index = h1.add_raw_link("vx7", "vxlan", [vni, port])
    assert [link.index for link in h1.state.links if link.name == "vx7"] == [index]
    assert dict([vni, port]).items() <= h1.raw_link("vx7").items()


def test_a_raw_link_that_the_kernel_refuses_is_an_error(h1: Node) -> None:
    with pytest.raises(ApplyError, match="failed policy validation") as refused:
        h1.add_raw_link("vx7", "vxlan", [(1, b"\1")])
    assert refused.value.errno == errno.ERANGE


def test_a_raw_link_that_is_not_there_is_an_error(h1: Node) -> None:
    with pytest.raises(VxlabError, match="h1: wanted the device 'vx7', found none"):
        h1.raw_link("vx7")
