"""testinfra looks at one node of one lab, and at nothing else."""

from __future__ import annotations

from pathlib import Path
from subprocess import PIPE

import pytest
from lab_tools import two_hosts
from resource_tools import nothing_left

from vxlab.errors import VxlabError
from vxlab.live.lab import Lab
from vxlab.operations import AddAddress, DelLink

LISTEN = (
    "import socket; s = socket.socket(); s.bind(('10.0.0.1', 4321)); s.listen(); "
    "print('ready', flush=True); import time; time.sleep(1000)"
)


def test_commands_run_in_the_node(lab: Lab) -> None:
    host = lab["h1"].testinfra
    assert host.run("uname -n").stdout == "h1\n"
    assert host.run("echo bad >&2; exit 3").rc == 3
    assert host.run("echo %s", "two words; $HOME").stdout == "two words; $HOME\n"
    assert host.check_output("cat /proc/1/comm") in ("cat", "sh")  # a shell becomes the cat
    assert host.run("no-such-program").rc == 127
    assert host.backend.NAME == "vxlab"
    assert host.backend.get_hostname() == "h1"


def test_interfaces_are_those_of_the_node(lab: Lab) -> None:
    host = lab["h1"].testinfra
    assert host.interface("vxlan0").exists
    assert host.interface("eth0").addresses == ["10.0.0.1"]
    assert not host.interface("switch").exists
    assert set(host.interface.names()) >= {"lo", "eth0", "vxlan0"}
    lab.apply(AddAddress("h1", "eth0", "10.7.0.1/24"))
    assert host.interface("eth0").addresses == ["10.0.0.1", "10.7.0.1"]
    lab.apply(DelLink("h1", "vxlan0"))
    assert not host.interface("vxlan0").exists
    assert lab["h2"].testinfra.interface("vxlan0").exists


def test_a_listening_socket_is_seen(lab: Lab) -> None:
    one, two = lab["h1"].testinfra, lab["h2"].testinfra
    assert not one.socket("tcp://10.0.0.1:4321").is_listening
    with lab["h1"].popen("python3", "-c", LISTEN, stdout=PIPE) as process:
        assert process.stdout.readline() == "ready\n"
        assert one.socket("tcp://10.0.0.1:4321").is_listening
        assert "tcp://10.0.0.1:4321" in one.socket.get_listening_sockets()
        assert not two.socket("tcp://10.0.0.1:4321").is_listening
        process.kill()
    assert not one.socket("tcp://10.0.0.1:4321").is_listening


def test_the_port_of_a_vxlan_device_is_listened_on(lab: Lab) -> None:
    assert lab["h1"].testinfra.socket("udp://0.0.0.0:8472").is_listening
    assert not lab["lan"].testinfra.socket("udp://0.0.0.0:8472").is_listening


def test_only_the_node_s_own_processes_are_seen(lab: Lab) -> None:
    one, two = lab["h1"].testinfra, lab["h2"].testinfra
    with lab["h1"].popen("sleep", "1234") as mine, lab["h2"].popen("sleep", "4321") as theirs:
        assert one.process.get(comm="sleep").args == "sleep 1234"
        assert two.process.get(comm="sleep").args == "sleep 4321"
        assert len(one.process.filter()) == 4  # process 1, sleep, and sh and ps that look
        mine.kill()
        theirs.kill()
    assert one.process.filter(comm="sleep") == []


def test_settings_are_those_of_the_node(lab: Lab) -> None:
    host = lab["h1"].testinfra
    assert host.sysctl("net.ipv4.ip_forward") == 0
    lab["h1"].sysctl("net.ipv4.ip_forward", 1)
    assert host.sysctl("net.ipv4.ip_forward") == 1
    assert lab["h2"].testinfra.sysctl("net.ipv4.ip_forward") == 0


def test_a_node_has_one_testinfra_host(lab: Lab) -> None:
    assert lab["h1"].testinfra is lab["h1"].testinfra
    assert lab["h1"].testinfra is not lab["h2"].testinfra


def test_a_later_lab_of_equal_names_is_never_asked_for_an_earlier_one(tmp_path: Path) -> None:
    with nothing_left(tmp_path / "temp"):
        hosts = []
        for address in ("172.16.0.1/24", "172.17.0.1/24"):
            with Lab(two_hosts().with_vtep("h1", "red", addresses=(address,))) as lab:
                hosts.append(lab["h1"].testinfra)
                assert hosts[-1].interface("vxlan0").addresses == [address.split("/")[0]]
        assert hosts[0] is not hosts[1]
        for host in hosts:
            with pytest.raises(VxlabError, match="h1: wanted to use the node, found its lab"):
                host.interface("vxlan0").exists  # noqa: B018 - it asks the node


def test_two_labs_at_once_are_kept_apart(tmp_path: Path) -> None:
    other = two_hosts().with_vtep("h1", "red", addresses=("172.17.0.1/24",))
    with nothing_left(tmp_path / "temp"), Lab(two_hosts()) as one, Lab(other) as two:
        hosts = one["h1"].testinfra, two["h1"].testinfra
        for _ in range(2):
            found = [host.interface("vxlan0").addresses for host in hosts]
            assert found == [["172.16.0.1"], ["172.17.0.1"]]
