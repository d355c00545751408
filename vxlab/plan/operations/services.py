"""Operations that iproute2 does not do: namespaces, settings, packet filters, services."""

from __future__ import annotations

import functools
import shlex
from dataclasses import dataclass, field
from typing import Literal

from vxlab.describe.impairment import Netem, impair_words
from vxlab.errors import VxlabError
from vxlab.plan.operations.base import Document, Operation


@dataclass(frozen=True, slots=True)
class AddNamespace(Operation):
    """A new node, called ``node``: its namespaces, with the loopback device up."""

    def __str__(self) -> str:
        return f"ip netns add {self.node}"


def sysctl_path(key: str) -> str:
    """The file of a setting in dotted form; VxlabError unless it is one of the network's.

    The others are the machine's, not the node's.  As with sysctl(8), a dot in the name of an
    interface is written as a slash: ``net.ipv6.conf.eth0/10.mtu``.
    """
    if not isinstance(key, str) or not key.isprintable():
        raise VxlabError(f"wanted a setting below net., such as net.ipv4.ip_forward, found {key!r}")
    return _sysctl_path(key)


@functools.lru_cache(maxsize=1 << 12)  # each node has the same settings
def _sysctl_path(key: str) -> str:
    path = "/proc/sys/" + key.translate(str.maketrans("./", "/."))
    if not path.startswith("/proc/sys/net/") or ".." in path.split("/"):
        raise VxlabError(f"wanted a setting below net., such as net.ipv4.ip_forward, found {key!r}")
    return path


@dataclass(frozen=True, slots=True)
class SetSysctl(Operation):
    """Set a kernel setting of a node.

    ``node`` is the node's name, ``key`` the setting below ``net`` in dotted form, such as
    ``net.ipv4.ip_forward`` (see :func:`sysctl_path`), ``value`` what is written to it: text, or a
    whole number.
    """

    key: str
    value: str | int

    def __str__(self) -> str:
        return f"ip netns exec {self.node} sysctl -w {self.key}={self.value}"


@dataclass(frozen=True, slots=True)
class AddRule(Operation):
    """Add a packet filter rule to a node.

    ``node`` is the node's name; ``words`` follow the program's name: ``iptables`` for ``family`` 4,
    ``ip6tables`` for 6.
    """

    words: tuple[str, ...]
    family: Literal[4, 6] = 4

    @property
    def program(self) -> str:
        """The program that sets the rule."""
        return "iptables" if self.family == 4 else "ip6tables"

    def __str__(self) -> str:
        return f"ip netns exec {self.node} {self.program} {' '.join(self.words)}"


@dataclass(frozen=True, slots=True)
class RunProgram(Operation):
    """Run a program in a node, and wait until it has ended with 0.

    ``node`` is the node's name, ``words`` are the program and its arguments, ``stdin`` is what it
    reads; it has 30 s.  All backends do it in the same way.
    """

    words: tuple[str, ...]
    stdin: Document = ""

    def __str__(self) -> str:
        line = f"ip netns exec {self.node} {shlex.join(self.words)}"
        return f"{line} <<<{shlex.quote(self.stdin)}" if self.stdin else line


def impair(node: str, interface: str, impairment: Netem | None) -> RunProgram:
    """The operation that makes what leaves by an interface late, or loses it, from now on.

    ``node`` and ``interface`` are names, ``impairment`` replaces what was there; None takes it
    away.
    """
    return RunProgram(node, impair_words(interface, impairment))


@dataclass(frozen=True, slots=True)
class Members:
    """Where a multicast group has members.

    ``group`` is its address, ``interfaces`` are the names of the router's interfaces towards them.
    """

    group: str
    interfaces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HostOnLink:
    """A host on one of a router's links, from which a routing daemon may need a message to start.

    ``node`` is the host's name, ``address`` its own IP address on that link, ``router_address`` the
    router's.
    """

    node: str
    address: str
    router_address: str


@dataclass(frozen=True, slots=True)
class StartDaemon(Operation):
    """Start a routing daemon, and wait until it is ready.

    ``node`` is the router's name, ``program`` the daemon's (``smcroute``, ``pimd``);
    ``interfaces`` are the names of the router's interfaces, ``members`` the groups to be forwarded
    (:class:`Members`), ``hosts`` one host on each link (:class:`HostOnLink`).
    """

    program: str
    interfaces: tuple[str, ...]
    members: tuple[Members, ...] = ()
    hosts: tuple[HostOnLink, ...] = field(default=())

    def __str__(self) -> str:
        groups = ",".join(member.group for member in self.members) or "no groups"
        return (
            f"ip netns exec {self.node} {self.program}"
            f"  # on {' '.join(self.interfaces)} for {groups}"
        )


@dataclass(frozen=True, slots=True)
class StopDaemon(Operation):
    """Stop the daemon ``program`` of ``node``, started before, and wait until it has ended."""

    program: str

    def __str__(self) -> str:
        return f"ip netns exec {self.node} kill $({self.program})"
