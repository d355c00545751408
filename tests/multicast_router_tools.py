"""A small lab for the tests of multicast routers: one router, hosts on subnets of their own.

  h1            h2            h3
vxlan10       vxlan10       vxlan10        172.16.0.N/24, fd16::N/64
  eth0          eth0          eth0         10.0.N.1/24, fd00:N::1/64
   |             |             |
  eth1          eth2          eth3         10.0.N.254/24, fd00:N::fe/64
   +------------ r ------------+
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from vxlab.errors import MissingProgram
from vxlab.services import Pimd, RunningService, Smcroute, service_program
from vxlab.services.base import Helper
from vxlab.system.namespaces import Namespaces
from vxlab.system.syscalls import lo_up

GROUP = "239.1.1.1"
GROUP6 = "ff05::1:1"


def command(node: Namespaces, *argv: str, given: str = "") -> tuple[int, str]:
    """Run a program in a node; its exit code and all its output."""
    process = node.popen(argv, stdin=subprocess.PIPE, stderr=subprocess.STDOUT)
    output, _ = process.communicate(given, timeout=30)
    return process.returncode, output


def ip(node: Namespaces, *lines: str) -> None:
    """Run `ip` command lines, given without the word `ip`, as one batch."""
    code, output = command(node, "ip", "-batch", "-", given="\n".join(lines) + "\n")
    assert code == 0, output


def add_veth(one: Namespaces, name: str, other: Namespaces, peer: str) -> None:
    """A veth pair between two nodes; made from outside, where the nodes' descriptors are seen."""
    argv = f"ip link add {name} type veth peer name {peer} netns {other.path()}"
    with one.entered():
        subprocess.run(argv.split(), check=True)


def set_up(node: Namespaces, *, forwarding: bool) -> None:
    """All that a fresh namespace needs before its devices: lo, no DAD, no reverse-path filter."""
    with node.entered():
        lo_up()
    for path, value in (
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        ("ipv4/ip_forward", str(int(forwarding))),
        ("ipv6/conf/all/disable_ipv6", "0"),
        ("ipv6/conf/default/disable_ipv6", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
        ("ipv6/conf/all/forwarding", str(int(forwarding))),
    ):
        node.write(f"/proc/sys/net/{path}", value)


@dataclass
class RouterLab:
    """A router `r` and its hosts; `folder` is for the daemon's files."""

    router: Namespaces
    hosts: list[Namespaces]
    folder: Path

    @property
    def interfaces(self) -> list[str]:
        """The router's devices, one for each host."""
        return [f"eth{n}" for n, _ in enumerate(self.hosts, 1)]

    @property
    def helpers(self) -> list[Helper]:
        """Every host as a helper."""
        return [
            Helper(host, f"10.0.{n}.1", f"10.0.{n}.254") for n, host in enumerate(self.hosts, 1)
        ]

    def add_vxlan(self, group: str = GROUP, *, vni: int = 10, hosts: Sequence[int] = ()) -> None:
        """Give all hosts, or those with these numbers, a vxlan device that joins `group`."""
        for n, host in enumerate(self.hosts, 1):
            if hosts and n not in hosts:
                continue
            name = f"vxlan{vni}"
            ip(
                host,
                f"link add {name} type vxlan id {vni} group {group} dev eth0 ttl 8 dstport 4789",
                f"address add 172.16.{vni}.{n}/24 dev {name}",
                f"link set {name} up",
            )

    def ping(self, source: int, target: int, *, vni: int = 10, wait: float = 5) -> tuple[int, str]:
        """One packet through the tunnel, from host number `source` to number `target`."""
        return command(
            self.hosts[source - 1],
            *("ping", "-n", "-c", "1", "-W", str(wait), f"172.16.{vni}.{target}"),
        )

    @contextlib.contextmanager
    def multicast_sender(self, source: int) -> Iterator[socket.socket]:
        """A UDP socket on a host whose multicast passes a router."""
        with self.hosts[source - 1].socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 8)
            yield sock


@contextlib.contextmanager
def router_lab(hosts: int = 2) -> Iterator[RouterLab]:
    """Build the lab above with so many hosts, without daemons and without vxlan devices."""
    with contextlib.ExitStack() as stack:
        router = stack.enter_context(Namespaces("r"))
        set_up(router, forwarding=True)
        nodes = []
        for n in range(1, hosts + 1):
            node = stack.enter_context(Namespaces(f"h{n}"))
            set_up(node, forwarding=False)
            add_veth(router, f"eth{n}", node, "eth0")
            ip(
                router,
                f"address add 10.0.{n}.254/24 dev eth{n}",
                f"address add fd00:{n}::fe/64 dev eth{n} nodad",
                f"link set eth{n} up",
            )
            ip(
                node,
                f"address add 10.0.{n}.1/24 dev eth0",
                f"address add fd00:{n}::1/64 dev eth0 nodad",
                "link set eth0 up",
                f"route add default via 10.0.{n}.254",
                f"route add default via fd00:{n}::fe",
            )
            nodes.append(node)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="daemons-"))
        yield RouterLab(router, nodes, Path(folder))


Start = Callable[..., RunningService]
Kind = type[Smcroute] | type[Pimd]

KINDS_AND_GROUPS = [
    pytest.param(Smcroute, GROUP, id="smcroute"),
    pytest.param(Smcroute, GROUP6, id="smcroute-v6"),
    pytest.param(Pimd, GROUP, id="pimd"),
]
EACH_KIND = pytest.mark.parametrize("kind", [Smcroute, Pimd])


def skip_without(program: str) -> None:
    """Skip where a daemon is not installed."""
    try:
        service_program(program)
    except MissingProgram as missing:
        pytest.skip(str(missing))


def forget(lab: RouterLab) -> None:
    """Let all hosts forget their tunnels, so that the next packet is flooded to the group."""
    for host in lab.hosts:
        ip(host, "link set vxlan10 down", "link set vxlan10 up")


def write_script(folder: Path, name: str, text: str) -> None:
    """A program of our own in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
