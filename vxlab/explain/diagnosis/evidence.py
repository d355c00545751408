"""Evidence of what a node did with a probe: links, counters, and packet filter rules that count."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import shlex
import socket
import struct
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import pairwise
from typing import TYPE_CHECKING

from vxlab.errors import MissingProgram
from vxlab.observe import state
from vxlab.observe.frames import ICMP, ICMPV6, UDP, Frame, address, ip_header, udp_ports
from vxlab.system.namespaces import Namespaces

if TYPE_CHECKING:
    from vxlab.live.lab import Lab
    from vxlab.live.node import Node

#: What iptables-save says of rules that it cannot show, those of nft or of the other iptables.
_HIDDEN = re.compile("incompatible|Warning")

#: Seconds that listing the packet filter rules may take; it takes milliseconds.
_RULES_DEADLINE = 30.0
#: A question for all tables of nf_tables, and its answers (linux/netlink.h, linux/netfilter/).
_DUMP = struct.Struct("=IHHII")
_NETFILTER, _REQUEST_DUMP = 12, 0x301
_NEWTABLE, _GETTABLE = 0xA00, 0xA01
_BUILT_IN = {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}
_DROPPING = (("-j", "DROP"), ("-j", "REJECT"))
_PROTOCOLS = {"udp": UDP, "icmp": ICMP, "ipv6-icmp": ICMPV6, "icmpv6": ICMPV6}


@dataclass(frozen=True, slots=True)
class Look:
    """What a node has counted so far.

    ``counters`` are those of :func:`vxlab.observe.state.read_snmp`, and of each interface ``eth0
    rx_errors``, ``rx_dropped``, ``tx_errors`` and ``tx_dropped``.  ``rules`` are the packets of
    each packet filter rule that drops (``iptables -t raw -A PREROUTING …``), ``complaint`` says
    why some could not be read.
    """

    counters: Mapping[str, int]
    rules: Mapping[str, int]
    complaint: str = ""


def look(lab: Lab, nodes: Collection[str], families: Collection[int]) -> dict[str, Look]:
    """Look at several nodes, at the packet filters of these IP families."""
    programs = [{4: "iptables", 6: "ip6tables"}[family] for family in sorted(families)]
    rules = _dropping_rules({name: lab[name] for name in nodes}, programs)
    spaces = {name: lab[name].namespaces for name in nodes}
    return {
        name: Look(state.read_snmp(space) | _lost(space), *rules[name])
        for name, space in spaces.items()
    }


def _lost(namespaces: Namespaces) -> dict[str, int]:
    """The errors and drops of each interface (net/core/net-procfs.c)."""
    found: dict[str, int] = {}
    for line in namespaces.read("/proc/thread-self/net/dev").splitlines()[2:]:
        name, _, rest = line.partition(":")
        numbers = [int(word) for word in rest.split()]
        for at, what in {
            2: "rx_errors",
            3: "rx_dropped",
            10: "tx_errors",
            11: "tx_dropped",
        }.items():
            found[f"{name.strip()} {what}"] = numbers[at]
    return found


def _has_rules(namespaces: Namespaces) -> bool:
    """Whether there is any table of packet filter rules, without a program that would list them.

    nf_tables is asked by netlink (linux/netfilter/nf_tables.h); the older kind is told in /proc.
    """
    for name in ("ip_tables_names", "ip6_tables_names"):
        with contextlib.suppress(OSError):  # a kernel without that kind
            if namespaces.read(f"/proc/thread-self/net/{name}").strip():
                return True
    asked = struct.pack("=IHHII4x", _DUMP.size + 4, _GETTABLE, _REQUEST_DUMP, 1, 0)
    with namespaces.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as sock:
        sock.send(asked)
        _, kind, *_ = _DUMP.unpack_from(sock.recv(1 << 16))
    return bool(kind == _NEWTABLE)


def _dropping_rules(
    nodes: Mapping[str, Node], programs: Iterable[str]
) -> dict[str, tuple[Counter[str], str]]:
    """The rules of each node that drop, with their packets, and a complaint."""
    found: dict[str, tuple[Counter[str], str]] = {name: (Counter(), "") for name in nodes}
    nodes = {name: node for name, node in nodes.items() if _has_rules(node.namespaces)}
    for program in programs:
        try:
            started = {
                name: node.namespaces.quick([f"{program}-save", "-c"])
                for name, node in nodes.items()
            }
        except MissingProgram as error:
            found |= {name: (found[name][0], str(error)) for name in nodes}
            continue
        for name, process in started.items():
            with process:
                output, errors = process.communicate(timeout=_RULES_DEADLINE)
            rules, complaint = found[name]
            rules.update(_parse_rules(program, output))
            said = [line for line in (output + errors).splitlines() if _HIDDEN.search(line)]
            if process.returncode or said:
                complaint = f"{program}-save: {' '.join(said) or errors.strip()}"
            found[name] = rules, complaint
    return found


def _parse_rules(program: str, output: str) -> Counter[str]:
    """What drops in the output of ``iptables-save -c``: rules, and policies of chains."""
    found: Counter[str] = Counter()
    table = ""
    for line in output.splitlines():
        words = line.split()
        if line.startswith("*"):
            table = "" if line == "*filter" else f" -t {line[1:]}"
        elif line.startswith(":") and words[1] == "DROP":
            found[f"{program}{table} -P {words[0][1:]} DROP"] += _packets(words[2])
        elif line.startswith("[") and _drops(line):
            found[f"{program}{table} {line.partition(' ')[2]}"] += _packets(words[0])
    return found


def _drops(line: str) -> bool:
    words = shlex.split(line)
    return any(pair in _DROPPING for pair in pairwise(words))


def _packets(counters: str) -> int:
    """The packets of ``[12:3456]``."""
    return int(counters[1:].partition(":")[0])


@dataclass(frozen=True, slots=True)
class Packet:
    """What a packet filter sees of a probe; None for what is not known.

    ``enters`` is the interface that it comes in by.
    """

    version: int
    protocol: int
    source: str | None = None
    destination: str | None = None
    port: int | None = None
    enters: str | None = None


def packet_of(frame: Frame) -> Packet | None:
    """The IP packet in a frame, the outer one of a tunnel; None for ARP."""
    data = frame.data
    ip = ip_header(data)
    if ip is None:
        return None
    ports = udp_ports(data, ip)
    version = 4 if len(ip.source) == 4 else 6
    source, target = address(ip.source), address(ip.destination)
    enters = None if frame.outgoing else frame.interface
    return Packet(version, ip.protocol, source, target, ports[1] if ports else None, enters)


def could_drop(rule: str, packet: Packet, chains: Collection[str]) -> bool:
    """False where a rule cannot have dropped a packet in one of the ``chains``.

    Chains of a person's own may be called from anywhere; what a rule says in other words than
    addresses, interface, protocol and port is left to its counter.
    """
    words = shlex.split(rule)
    at = words.index("-A") if "-A" in words else words.index("-P")
    chain = words[at + 1]
    if (words[0] == "iptables") != (packet.version == 4):
        return False
    if chain in _BUILT_IN and chain not in chains:
        return False
    checks: Mapping[str, Callable[[str], bool]] = {
        "-p": lambda value: _PROTOCOLS.get(value, value) in (packet.protocol, str(packet.protocol)),
        "-s": lambda value: _within(packet.source, value),
        "-d": lambda value: _within(packet.destination, value),
        "-i": lambda value: not packet.enters or fnmatch(packet.enters, value.replace("+", "*")),
        "--dport": lambda value: _in_range(packet.port, value),
    }
    for before, word, value in zip(words[at:], words[at + 1 :], words[at + 2 :], strict=False):
        if word in checks and checks[word](value) == (before == "!"):
            return False
    return True


def _within(one: str | None, network: str) -> bool:
    return one is None or ipaddress.ip_address(one) in ipaddress.ip_network(network, strict=False)


def _in_range(port: int | None, value: str) -> bool:
    low, _, high = value.partition(":")
    return port is None or int(low) <= port <= int(high or low)
