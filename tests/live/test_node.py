"""A node of a live lab: programs in it, questions to it, changes of it."""

from __future__ import annotations

import errno
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_tools import two_hosts
from traces import nothing_left

from vxlab.errors import ApplyError, CommandError, MissingProgram, VxlabError, WaitTimeout
from vxlab.live.lab import Lab
from vxlab.live.node import Node, Ping, Result
from vxlab.observe.frames import MARK_PREFIX
from vxlab.operations import SetLink
from vxlab.system.waiting import wait_until


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with nothing_left(tmp_path / "temp"), Lab(two_hosts()) as lab:
        yield lab


@pytest.fixture
def h1(lab: Lab) -> Node:
    return lab["h1"]


def programs(node: Node) -> list[str]:
    """Command lines of all that runs in a node, but for its first process and ps itself."""
    lines = node.run("ps", "-eo", "pid=,args=").stdout.splitlines()
    words = [line.split(maxsplit=1) for line in lines]
    return [args for pid, args in words if pid != "1" and not args.startswith("ps ")]


def test_run_gives_code_and_output(h1: Node) -> None:
    result = h1.run("sh", "-c", "echo out; echo err >&2")
    assert result == Result(("sh", "-c", "echo out; echo err >&2"), 0, "out\n", "err\n")
    assert result
    assert repr(h1) == "<Node h1>"


def test_run_raises_unless_told_not_to(h1: Node) -> None:
    with pytest.raises(CommandError, match="h1: `sh -c echo no >&2; exit 3` ended with 3: no"):
        h1.run("sh", "-c", "echo no >&2; exit 3")
    with pytest.raises(CommandError, match="ended with 1: on stdout"):
        h1.run("sh", "-c", "echo on stdout; exit 1")
    result = h1.run("false", check=False)
    assert not result
    assert result.code == 1


def test_run_feeds_stdin_and_environment(h1: Node) -> None:
    assert h1.run("cat", stdin="text").stdout == "text"
    assert h1.run("cat").stdout == ""
    assert h1.run("sh", "-c", "echo $WHO", env={"WHO": "me"}).stdout == "me\n"


def test_much_output_on_both_streams(h1: Node) -> None:
    result = h1.run(
        "sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x; head -c 300000 /dev/zero >&2"
    )
    assert (len(result.stdout), len(result.stderr)) == (300000, 300000)


def test_output_that_is_no_text(h1: Node) -> None:
    assert h1.run("printf", r"a\377b").stdout == "a\ufffdb"


def test_a_missing_program_is_named(h1: Node) -> None:
    with pytest.raises(MissingProgram, match="wanted the program 'no-such-program'"):
        h1.run("no-such-program")


def test_a_time_out_kills_the_program(h1: Node) -> None:
    with pytest.raises(WaitTimeout, match=r"h1: waited 0.05 s for `sleep 1234` to end; killed it"):
        h1.run("sleep", "1234", timeout=0.05)
    assert programs(h1) == []


def test_a_time_out_while_the_program_talks(h1: Node) -> None:
    with pytest.raises(WaitTimeout, match=r"waited 0\.05 s for `yes` to end"):
        h1.run("yes", timeout=0.05)
    assert programs(h1) == []


def test_a_time_out_of_a_shell_s_child_ends_with_the_lab(tmp_path: Path) -> None:
    """Only the program itself is killed; what it started lives on in the node, and no longer."""
    with nothing_left(tmp_path / "temp"), Lab(two_hosts()) as lab, pytest.raises(WaitTimeout):
        lab["h1"].run("sh", "-c", "sleep 1234 & wait", timeout=0.3)


def test_popen_runs_beside_the_test(h1: Node) -> None:
    with h1.popen("cat", stdin=subprocess.PIPE) as process:
        assert programs(h1) == ["cat"]
        assert process.communicate("x") == ("x", "")
    assert programs(h1) == []


def test_a_program_that_was_left_running_ends_with_the_lab(tmp_path: Path) -> None:
    with nothing_left(tmp_path / "temp"):
        with Lab(two_hosts()) as lab:
            process = lab["h1"].popen("sleep", "1234", stdout=None, stderr=None)
            assert process.poll() is None
        assert process.returncode == -9


def test_programs_of_other_nodes_are_not_seen(lab: Lab) -> None:
    with lab["h2"].popen("sleep", "1234") as process:
        assert programs(lab["h1"]) == []
        assert programs(lab["h2"]) == ["sleep 1234"]
        process.kill()


def test_ping(h1: Node) -> None:
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


def test_ping_of_another_kind_that_gives_no_summary(
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


def test_ip_that_refuses(h1: Node) -> None:
    with pytest.raises(CommandError, match=r"h1: `ip -j link show eth7` ended with 1: .*eth7"):
        h1.ip("link", "show", "eth7")


def test_ip_that_does_not_speak_json(h1: Node) -> None:
    with pytest.raises(VxlabError, match=r"h1: wanted JSON from `ip -j -V`, found 'ip utility"):
        h1.ip("-V")


def test_sysctl_reads_and_sets(h1: Node) -> None:
    assert h1.sysctl("net.ipv4.ip_forward") == "0"
    assert h1.sysctl("net.ipv4.ip_forward", 1) == "1"
    assert h1.sysctl("net.ipv4.conf.eth0.rp_filter", "2") == "2"
    assert h1.run("sysctl", "-n", "net.ipv4.ip_forward").stdout == "1\n"


def test_sysctl_of_an_interface_with_a_dot(lab: Lab) -> None:
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
def test_sysctl_that_is_refused(h1: Node, key: str, value: str | None, message: str) -> None:
    with pytest.raises(VxlabError, match=message):
        h1.sysctl(key, value)


def test_sockets_of_a_node(lab: Lab) -> None:
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
def test_a_marked_datagram(family: int, address: str) -> None:
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
def test_a_marked_datagram_to_another_port_and_to_all(lab: Lab, port: int) -> None:
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
def test_a_datagram_that_cannot_be_sent(h1: Node, address: str, port: int, message: str) -> None:
    with pytest.raises(VxlabError, match=message):
        h1.send_marked(address, b"x", port=port)


def test_the_state_of_a_node(lab: Lab) -> None:
    taken = lab["h1"].state
    assert taken.name == "h1"
    assert [link.name for link in taken.links] == ["lo", "eth0", "vxlan0"]
    lab.apply(SetLink("h1", "vxlan0", up=False))
    changed = lab["h1"].state
    assert changed != taken


def test_the_node_s_host_name(lab: Lab) -> None:
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


def test_a_recorder_s_queue_is_emptied_after_each_command() -> None:
    with Lab(two_hosts(), recorder=True) as lab:
        assert lab["h1"].ping("172.16.0.2", timeout=5)
        recorder = lab.recorders["h1"]
        assert any(frame.outgoing for frame in recorder.frames)
        assert set(lab.recorders) == set(lab)


def test_a_signal_from_another_thread_does_not_end_a_command(h1: Node) -> None:
    """The command is a process of its own, waited for by nobody else."""
    with h1.popen("sh", "-c", "kill -TERM $$") as process:
        wait_until(lambda: process.poll() is not None, "the shell to end")
    assert process.returncode == -15
    assert h1.run("echo", str(os.getpid())).stdout == f"{os.getpid()}\n"


def test_a_raw_link_is_made_and_read_as_bytes(h1: Node) -> None:
    vni, port = (1, struct.pack("=I", 42)), (15, struct.pack(">H", 4789))  # IFLA_VXLAN_*
    index = h1.add_raw_link("vx7", "vxlan", [vni, port])
    assert [link.index for link in h1.state.links if link.name == "vx7"] == [index]
    assert dict([vni, port]).items() <= h1.raw_link("vx7").items()


def test_a_raw_link_that_the_kernel_refuses(h1: Node) -> None:
    with pytest.raises(ApplyError, match="failed policy validation") as refused:
        h1.add_raw_link("vx7", "vxlan", [(1, b"\1")])
    assert refused.value.errno == errno.ERANGE


def test_a_raw_link_that_is_not_there(h1: Node) -> None:
    with pytest.raises(VxlabError, match="h1: wanted the device 'vx7', found none"):
        h1.raw_link("vx7")
