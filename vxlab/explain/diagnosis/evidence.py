"""Evidence of what a node did with a packet: its counters, and its rules that drop packets."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from vxlab.errors import MissingProgram
from vxlab.netlink.dumps import dump, open_socket
from vxlab.netlink.messages import NETLINK_NETFILTER
from vxlab.observe import state
from vxlab.system.namespaces import Namespaces

if TYPE_CHECKING:
    from vxlab.live.lab import Lab
    from vxlab.live.node import Node

#: What iptables-save says of rules that it cannot show, those of nft or of the other iptables.
_HIDDEN = re.compile("incompatible|Warning")

#: Seconds that listing the packet filter rules may take; it takes milliseconds.
_RULES_DEADLINE = 30.0
#: Asks for all tables of nf_tables (NFNL_SUBSYS_NFTABLES, linux/netfilter/nf_tables.h).
_NFT_MSG_GETTABLE = 0xA01
_DROPPING = (("-j", "DROP"), ("-j", "REJECT"))


#: The numbers of a line of /proc/net/dev that count errors and drops (net/core/net-procfs.c).
_LOST = {2: "rx_errors", 3: "rx_dropped", 10: "tx_errors", 11: "tx_dropped"}


@dataclass(frozen=True, slots=True)
class NodeEvidence:
    """What a node has counted so far.

    ``counters`` are those of :func:`vxlab.observe.state.read_snmp`, and of each interface ``eth0
    rx_errors``, ``rx_dropped``, ``tx_errors`` and ``tx_dropped``.  ``rules`` are the packets of
    each packet filter rule that drops (``iptables -t raw -A PREROUTING …``), ``error`` says why
    some could not be read.
    """

    counters: Mapping[str, int]
    rules: Mapping[str, int]
    error: str = ""


def read_evidence(
    lab: Lab, nodes: Collection[str], families: Collection[int]
) -> dict[str, NodeEvidence]:
    """Read the counters of several nodes, and their packet filters of these IP families."""
    programs = [{4: "iptables", 6: "ip6tables"}[family] for family in sorted(families)]
    rules = _dropping_rules({name: lab[name] for name in nodes}, programs)
    spaces = {name: lab[name].namespaces for name in nodes}
    return {
        name: NodeEvidence(state.read_snmp(space) | _interface_counters(space), *rules[name])
        for name, space in spaces.items()
    }


def _interface_counters(namespaces: Namespaces) -> dict[str, int]:
    """The errors and drops of each interface."""
    found: dict[str, int] = {}
    for line in namespaces.read("/proc/thread-self/net/dev").splitlines()[2:]:
        name, _, rest = line.partition(":")
        numbers = [int(word) for word in rest.split()]
        found |= {f"{name.strip()} {what}": numbers[at] for at, what in _LOST.items()}
    return found


def _has_rules(namespaces: Namespaces) -> bool:
    """Whether there is any table of packet filter rules, without a program that would list them.

    nf_tables is asked by netlink (linux/netfilter/nf_tables.h); older tables are listed in /proc.
    """
    for name in ("ip_tables_names", "ip6_tables_names"):
        with contextlib.suppress(OSError):  # a kernel without that kind
            if namespaces.read(f"/proc/thread-self/net/{name}").strip():
                return True
    with open_socket(namespaces, NETLINK_NETFILTER) as sock:
        try:
            return bool(dump(sock, _NFT_MSG_GETTABLE, bytes(4)))  # struct nfgenmsg: all families
        except OSError:  # a kernel without nf_tables
            return False


def _dropping_rules(
    nodes: Mapping[str, Node], programs: Iterable[str]
) -> dict[str, tuple[Counter[str], str]]:
    """The rules of each node that drop, with their packets, and why some could not be read."""
    found: dict[str, tuple[Counter[str], str]] = {name: (Counter(), "") for name in nodes}
    nodes = {name: node for name, node in nodes.items() if _has_rules(node.namespaces)}
    for program in programs:
        command = [f"{program}-save", "-c"]
        try:
            started = {name: node.namespaces.quick(command) for name, node in nodes.items()}
        except MissingProgram as missing:
            found |= {name: (found[name][0], str(missing)) for name in nodes}
            continue
        for name, process in started.items():
            with process:
                output, errors = process.communicate(timeout=_RULES_DEADLINE)
            rules, error = found[name]
            rules.update(_parse_rules(program, output))
            hidden = [line for line in (output + errors).splitlines() if _HIDDEN.search(line)]
            if process.returncode or hidden:
                error = f"{program}-save: {' '.join(hidden) or errors.strip()}"
            found[name] = rules, error
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
