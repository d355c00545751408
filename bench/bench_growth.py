"""How the cost of describing, planning and building grows with the size of a topology.

Run ``python -m bench.bench_growth``; README.md says what is measured.
"""

from __future__ import annotations

import argparse
import ipaddress
import math
import resource
import statistics
import struct
import subprocess
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from bench import common
from vxlab.apply.netlink import NetlinkBackend
from vxlab.apply.site import Site
from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.topology import Topology
from vxlab.netlink.messages import NLM_F_ACK, Request, message
from vxlab.netlink.requests import BATCH
from vxlab.operations import SetSysctl
from vxlab.plan.operations import sysctl_path
from vxlab.plan.planner import Plan, make_plan

#: The exponent that ours may have, and how many times the C program's processor time we may take.
EXPONENT_BAR, BUILD_BAR = 1.15, 1.25

#: The descriptor of the first namespace in what is replayed; the same number as in replay.c.
FIRST = 100
NAMESPACE, MESSAGES, SETTING = 0, 1, 2

#: What is measured of each topology, with the title of its column.
COLUMNS = {"describe": "describe", "plan": "plan", "build": "build", "kernel": "C program"}


def segments(size: int) -> TopologyBuilder:
    """Two hosts with ``size`` segments, each with a subnet of its own."""
    t = TopologyBuilder("segments").switch("lan", "192.168.0.0/24")
    t.host("a", "lan").host("b", "lan")
    for number in range(size):
        t.segment(f"s{number}", number + 1)
        for host, first in (("a", "10.0.0.1"), ("b", "10.0.0.2")):
            address = ipaddress.ip_address(first) + 4 * number
            t.vtep(host, f"s{number}", addresses=f"{address}/30")
    return t


def hosts(size: int) -> TopologyBuilder:
    """One segment of ``size`` hosts that flood to a group, at most 500 on a switch.

    A bridge has at most 1024 ports; where there are several switches a router joins them.
    """
    t = TopologyBuilder("hosts").segment("red", 42, group="239.1.1.1")
    switches = [f"lan{number}" for number in range(-(-size // 500))]
    for number, switch in enumerate(switches):
        t.switch(switch, f"172.{16 + number}.0.0/16")
    t.router("router", *switches, daemon=None)
    for number in range(size):
        t.host(f"h{number}", f"lan{number // 500}")
        t.vtep(f"h{number}", "red", addresses=f"{ipaddress.ip_address('10.0.0.1') + number}/16")
    return t


SHAPES = {"segments": segments, "hosts": hosts}


class Recorder(Site):
    """A site that does nothing, and writes down what replay.c needs to do it."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[bytes] = []
        self._numbers: dict[str, int] = {}
        self._sequence = 0

    def add_node(self, name: str) -> Any:
        """Write a new namespace down."""
        self._numbers[name] = len(self._numbers)
        self._record(NAMESPACE, name, b"")
        return self.node(name)

    def node(self, name: str) -> Any:
        """What messages need of a node, the descriptor of its namespace."""
        return SimpleNamespace(net=FIRST + self._numbers[name])

    def socket(self, node: str) -> Any:
        """What a batch is given to; it is written down."""
        return SimpleNamespace(request=lambda requests: self._request(node, requests))

    def _request(self, node: str, requests: Sequence[Request]) -> dict[int, Any]:
        for start in range(0, len(requests), BATCH):
            batch, parts = requests[start : start + BATCH], []
            for number, (kind, flags, body) in enumerate(batch, start=1):
                self._sequence += 1
                ack = NLM_F_ACK if number == len(batch) else 0
                parts.append(message(kind, flags | ack, self._sequence, body))
            self._record(MESSAGES, node, b"".join(parts))
        return {}

    def set_sysctl(self, *operations: SetSysctl) -> None:
        """Write settings down."""
        for operation in operations:
            line = f"{sysctl_path(operation.key)}\0{operation.value}\0"
            self._record(SETTING, operation.node, line.encode())

    def wait_ready(self) -> None:
        """Nothing was started."""

    def _record(self, kind: int, node: str, data: bytes) -> None:
        head = struct.pack("=III", kind, self._numbers[node], len(data))
        self.records.append(head + data + bytes(-len(data) % 4))


def recorded(plan: Plan) -> bytes:
    """What replay.c reads."""
    recorder = Recorder()
    NetlinkBackend().apply(recorder, plan)
    return b"".join(recorder.records)


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """The processor time of this process that ``work`` takes, in it and in the kernel."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    made = work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, made


def build(plan: Plan) -> float:
    """Processor time until all messages of a plan are acknowledged."""
    site = Site()
    try:
        return seconds(lambda: NetlinkBackend().apply(site, plan))[0]
    finally:
        site.close()


def replay(topology: Topology, records: bytes) -> float:
    """Processor time of the C program for the same messages."""
    argv = [str(common.compiled("replay")), str(len(topology.nodes))]
    done = subprocess.run(argv, input=records, check=True, stdout=subprocess.PIPE)
    return int(done.stdout) / 1e6


def one_round(shape: str, size: int, builds: bool, reverse: bool) -> dict[str, float]:
    """Each column once; with ``reverse`` the C program before vxlab."""
    described, topology = seconds(lambda: SHAPES[shape](size).build())
    planned, plan = seconds(lambda: make_plan(topology))
    times = {"describe": described, "plan": planned}
    if builds:
        records = recorded(plan)
        turns = {"build": lambda: build(plan), "kernel": lambda: replay(topology, records)}
        for column in reversed(turns) if reverse else turns:
            times[column] = turns[column]()
    return times


def measure(shape: str, size: int, rounds: int, builds: bool) -> dict[str, float]:
    """The medians of all rounds of one size; every other round is in the opposite order."""
    found = [one_round(shape, size, builds, number % 2 == 1) for number in range(rounds)]
    return {column: statistics.median(row[column] for row in found) for column in found[0]}


def exponent(points: Sequence[tuple[int, float]]) -> float:
    """The slope of the line that fits ``points`` best where both axes are logarithmic."""
    logs = [(math.log(size), math.log(time)) for size, time in points]
    return statistics.linear_regression(*zip(*logs, strict=True)).slope


def print_row(size: int, row: dict[str, float]) -> None:
    """One line of a table."""
    cells = (f"{row[column] * 1e3:>12.1f}" if column in row else " " * 12 for column in COLUMNS)
    ratio = f"{row['build'] / row['kernel']:11.2f}" if "build" in row else ""
    print(f"{size:<12}" + "".join(cells) + ratio, flush=True)


def report(shape: str, rows: dict[int, dict[str, float]]) -> None:
    """Print what the table of a shape says: exponents, and what was asked for."""
    found = {
        column: exponent([(size, row[column]) for size, row in rows.items() if column in row])
        for column in COLUMNS
        if sum(column in row for row in rows.values()) > 1
    }
    print(f"{'exponent':<12}" + "".join(f"{each:>12.2f}" for each in found.values()))
    for step in ("describe", "plan"):
        print(common.verdict(f"exponent of {step}", found[step], EXPONENT_BAR, ""))
    largest = max(size for size, row in rows.items() if "build" in row)
    times = rows[largest]["build"] / rows[largest]["kernel"]
    print(common.verdict(f"{largest} {shape}, build : C program", times, BUILD_BAR, "times"))


def run(largest: int, most_hosts: int, rounds: int) -> None:
    """Measure and print; more than ``most_hosts`` hosts are described but not built."""
    common.enter_sandbox()
    print(f"milliseconds of processor time, medians of {rounds} rounds; {common.machine()}")
    sizes = [64 << step for step in range(20) if 64 << step <= largest]
    for shape in SHAPES:
        measure(shape, sizes[0], 1, True)  # not counted: first calls import and cache things
        titles = "".join(f"{title:>12}" for title in COLUMNS.values())
        print(f"{shape:<12}{titles}  build : C", flush=True)
        rows = {}
        for size in sizes:
            rows[size] = measure(shape, size, rounds, shape != "hosts" or size <= most_hosts)
            print_row(size, rows[size])
        report(shape, rows)
    print(f"afterwards: {common.machine()}", flush=True)


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(prog="bench_growth", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--largest", type=int, default=4096, help="segments and hosts")
    parser.add_argument("--most-hosts", type=int, default=512, help="the most that are built")
    options = parser.parse_args()
    run(options.largest, options.most_hosts, options.rounds)


if __name__ == "__main__":
    main()
