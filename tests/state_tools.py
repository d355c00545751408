"""Two small labs made with `ip` alone, and what `ip` and `bridge` show of them."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from vxlab import state
from vxlab.live.json_output import read_json
from vxlab.system.namespaces import Namespaces
from vxlab.system.syscalls import lo_up
from vxlab.system.waiting import wait_until


def run(node: Namespaces, *argv: str, given: str = "") -> str:
    """Run a program in a node, which must succeed; its output."""
    process = node.popen(argv, stdin=subprocess.PIPE, stderr=subprocess.STDOUT)
    output, _ = process.communicate(given, timeout=60)
    assert process.returncode == 0, f"{argv}: {output}"
    return str(output)


def ip(node: Namespaces, *lines: str) -> None:
    """Run `ip` command lines, given without the word `ip`, as one batch."""
    run(node, "ip", "-batch", "-", given="\n".join(lines) + "\n")


def bridge(node: Namespaces, *lines: str) -> None:
    """Run `bridge` command lines as one batch."""
    run(node, "bridge", "-batch", "-", given="\n".join(lines) + "\n")


def ip_between(node: Namespaces, words: str) -> None:
    """One `ip` command in a node that names another node's path, which nodes do not see."""
    with node.entered():
        subprocess.run(["ip", *words.split()], check=True, timeout=60)


def shown(node: Namespaces, words: str) -> list[Any]:
    """What `ip -j ...` or `bridge -j ...` prints; some versions put empty objects into it."""
    program, *rest = words.split()
    return [row for row in read_json(run(node, program, "-j", *rest) or "[]") if row]


def agree(read: Callable[[], Iterable[Any]], wanted: Callable[[], Iterable[Any]]) -> None:
    """Wait until what is read is what is shown, in any order.

    The kernel is still at work when `ip` is done: it notices carriers and makes IPv6 addresses,
    routes and groups of them by and by.  Rows that are read wrongly never agree.
    """
    seen: list[list[str]] = [[], []]

    def same() -> bool:
        seen[:] = sorted(map(str, read())), sorted(map(str, wanted()))
        return seen[0] == seen[1]

    def found() -> str:
        only = [set(mine).difference(other) for mine, other in (seen, reversed(seen))]
        return "\n".join(["", "read only:", *sorted(only[0]), "shown only:", *sorted(only[1])])

    wait_until(same, "the rows read to be the rows shown", found=found)


def settled(node: Namespaces, *interfaces: str) -> None:
    """Wait until interfaces have their IPv6 link-local address, and none is tentative."""

    def ready() -> bool:
        rows = state.addresses(node)
        local = {row.interface for row in rows if row.scope == "link"}
        return local >= set(interfaces) and not any("tentative" in row.flags for row in rows)

    wait_until(
        ready,
        f"link-local addresses of {interfaces}",
        found=lambda: str([str(row) for row in state.addresses(node)]),
    )


@contextlib.contextmanager
def new_node(name: str = "n") -> Iterator[Namespaces]:
    """A node whose new IPv6 addresses count at once, without a check for duplicates."""
    with Namespaces(name) as node:
        node.write("/proc/sys/net/ipv6/conf/default/accept_dad", "0")
        node.write("/proc/sys/net/ipv6/conf/all/accept_dad", "0")
        with node.entered():
            lo_up()
        yield node


@contextlib.contextmanager
def one_node() -> Iterator[Namespaces]:
    """A node with a veth pair v0, v1, both up, and 10.0.0.1/24 and fd00::1/64 on v0."""
    with new_node() as node:
        ip(
            node,
            "link add v0 type veth peer name v1",
            "link set v0 up",
            "link set v1 up",
            "addr add 10.0.0.1/24 dev v0",
            "addr add fd00::1/64 dev v0",
        )
        settled(node, "v0", "v1")
        yield node


@contextlib.contextmanager
def two_nodes() -> Iterator[tuple[Namespaces, Namespaces]]:
    """Two nodes joined by eth0 - eth0, with a vxlan device vx (VNI 7) on each.

    a 10.0.0.1, fd00::1 ---- b 10.0.0.2, fd00::2
    within vx 172.16.0.1 and 172.16.0.2, fd16::1 and fd16::2
    """
    with new_node("a") as a, new_node("b") as b:
        ip_between(a, f"link add eth0 type veth peer name eth0 netns {b.path()}")
        for node, own, far in ((a, 1, 2), (b, 2, 1)):
            ip(
                node,
                f"addr add 10.0.0.{own}/24 dev eth0",
                f"addr add fd00::{own}/64 dev eth0",
                "link set eth0 up",
                f"link add vx type vxlan id 7 remote 10.0.0.{far} dev eth0 dstport 4789",
                f"addr add 172.16.0.{own}/24 dev vx",
                f"addr add fd16::{own}/64 dev vx",
                f"link set vx address 02:00:00:00:00:0{own} up",
            )
        for node in (a, b):
            settled(node, "eth0", "vx")
        yield a, b
