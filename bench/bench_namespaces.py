"""A hundred namespaces: vxlab against a C program that sends the same requests.

Run ``python -m bench.bench_namespaces``; README.md says what is measured.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench import common
from vxlab.apply.netlink import NetlinkBackend
from vxlab.apply.site import Site
from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.topology import Topology
from vxlab.live.lab import Lab
from vxlab.operations import AddAddress, AddLink, AddNamespace, Operation, Peer, SetLink
from vxlab.plan.planner import Plan

#: vxlab may take this much longer than the C program, as a ratio.
BAR = 1.5


@dataclass(frozen=True)
class Times:
    """One round of one contender, in milliseconds; ``clean`` counts from the start of down."""

    up: float
    down: float
    clean: float


def address(number: int) -> str:
    """The address of a namespace; the same numbers as in namespaces.c."""
    return f"10.0.{number // 250}.{1 + number % 250}/16"


def bare_plan(count: int) -> Plan:
    """The operations that the C program does, and no others."""
    spaces = [f"n{number}" for number in range(count)]
    plan: list[Operation] = [AddNamespace(name) for name in ("centre", *spaces)]
    plan.append(AddLink("centre", "switch", "bridge", 2, up=True))
    for number, name in enumerate(spaces):
        peer = Peer(name, "eth0", 2)
        plan.append(
            AddLink("centre", name, "veth", 3 + number, master="switch", peer=peer, up=True)
        )
    for number, name in enumerate(spaces):
        plan += [SetLink(name, "eth0", up=True), AddAddress(name, "eth0", address(number))]
    return tuple(plan)


def full_topology(count: int) -> Topology:
    """A switch and as many hosts, as a user would write it."""
    builder = TopologyBuilder("many")
    builder.switch("centre", "10.0.0.0/16")
    for number in range(count):
        builder.host(f"n{number}", "centre", address(number))
    return builder.build()


class Contenders:
    """The three ways to build it, each started from a clean and, if possible, calm kernel."""

    def __init__(self, count: int) -> None:
        self.program, self.count = common.compiled("namespaces"), count
        self.plan, self.topology = bare_plan(count), full_topology(count)
        self.kernel = common.Kernel()

    def run(self, name: str) -> Times:
        """One round of one of them: ``c``, ``bare`` or ``full``."""
        self.kernel.wait_calm()
        run: Callable[[], Times] = getattr(self, name)
        return run()

    def c(self) -> Times:
        """The C program, which times itself."""
        argv = [str(self.program), str(self.count)]
        output = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout
        up, down, at = (int(number) / 1e6 for number in output.split())
        # time.perf_counter() reads the same clock, CLOCK_MONOTONIC
        return Times(up, down, self.kernel.wait_clean() * 1e3 - at)

    def bare(self) -> Times:
        """vxlab, the same operations."""
        site = Site()
        return self._time(lambda: NetlinkBackend().apply(site, self.plan), site.close)

    def full(self) -> Times:
        """vxlab, from a topology: planned, with all settings, open when every link is ready."""
        lab = Lab(self.topology)
        return self._time(lab.open, lab.close)

    def _time(self, up: Callable[[], object], down: Callable[[], object]) -> Times:
        start = time.perf_counter()
        up()
        built = time.perf_counter()
        down()
        closed = time.perf_counter()
        clean = self.kernel.wait_clean()
        return Times((built - start) * 1e3, (closed - built) * 1e3, (clean - built) * 1e3)


TITLES = {"c": "C program", "bare": "vxlab, same operations", "full": "vxlab, from a topology"}


def measure(count: int, rounds: int) -> dict[str, list[Times]]:
    """All rounds; every other one in the opposite order."""
    contenders = Contenders(count)
    times: dict[str, list[Times]] = {name: [] for name in TITLES}
    for name in TITLES:
        contenders.run(name)  # not counted: first calls import and cache things
    for number in range(rounds):
        for name in TITLES if number % 2 == 0 else reversed(TITLES):
            times[name].append(contenders.run(name))
    contenders.kernel.close()
    print(f"rounds begun without calm: {contenders.kernel.hurried} of {rounds * len(TITLES)}")
    return times


def report(times: dict[str, list[Times]]) -> None:
    """Print the tables."""
    for phase in ("up", "down", "clean"):
        print(common.head(phase))
        for name, title in TITLES.items():
            print(common.row(title, [getattr(each, phase) for each in times[name]]))
    for name in ("bare", "full"):
        ours, theirs = [each.up for each in times[name]], [each.up for each in times["c"]]
        each_round = [mine / its for mine, its in zip(ours, theirs, strict=True)]
        print(common.head(f"up, {TITLES[name]} : C"))
        print(common.row("ratio in each round", each_round, ""))
        medians = statistics.median(ours) / statistics.median(theirs)
        print(f"  {'ratio of medians':<34}{medians:9.2f}")
        print(common.verdict("ratio of medians", medians, BAR, "times"))


def run(count: int, rounds: int) -> None:
    """Measure and print."""
    common.enter_sandbox()
    print(f"{count} namespaces, {rounds} rounds; {common.machine()}")
    report(measure(count, rounds))
    print(f"afterwards: {common.machine()}", flush=True)


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(prog="bench_namespaces", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--count", type=int, default=100, help="namespaces (default 100)")
    options = parser.parse_args()
    run(options.count, options.rounds)


if __name__ == "__main__":
    main()
