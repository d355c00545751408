"""The same labs by each backend: netlink, iproute2, script.

Run ``python -m bench.bench_backends``; README.md says what is measured.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench import common
from vxlab import apply, catalog
from vxlab.describe.topology import Topology
from vxlab.live.lab import Lab

#: iproute2 must take at least so many times as long as netlink to build a lab.
BAR = 3.0

#: The labs: without daemons, which cost each backend the same.
LABS: dict[str, Callable[[], Topology]] = {
    "point_to_point": catalog.point_to_point,
    "point_to_point, 10 hosts": lambda: catalog.point_to_point(hosts=10),
    "bridged": catalog.bridged,
    "one_switch": catalog.one_switch,
    "routed": lambda: catalog.routed(router=None),
}


@dataclass(frozen=True)
class Times:
    """One lab by one backend, in milliseconds."""

    up: float
    down: float


def one(topology: Topology, backend: str, kernel: common.Kernel) -> Times:
    """Build and close one lab, in calm, and wait until the kernel has cleaned up."""
    kernel.wait_calm()
    lab = Lab(topology, backend=backend)
    start = time.perf_counter()
    lab.open()
    built = time.perf_counter()
    lab.close()
    closed = time.perf_counter()
    kernel.wait_clean()
    return Times((built - start) * 1e3, (closed - built) * 1e3)


def measure(topology: Topology, rounds: int, kernel: common.Kernel) -> dict[str, list[Times]]:
    """All rounds of one lab; every other one in the opposite order."""
    times: dict[str, list[Times]] = {name: [] for name in apply.BACKENDS}
    for name in times:
        one(topology, name, kernel)  # not counted: first calls import and cache things
    for number in range(rounds):
        for name in times if number % 2 == 0 else reversed(times):
            times[name].append(one(topology, name, kernel))
    return times


def report(title: str, times: dict[str, list[Times]]) -> float:
    """Print the tables of one lab; how many times as long as netlink iproute2 takes to build it."""
    for phase in ("up", "down"):
        print(common.head(f"{title}: {phase}"))
        for name, values in times.items():
            print(common.row(name, [getattr(value, phase) for value in values]))
    fastest = statistics.median(each.up for each in times["netlink"])
    ratios = {name: statistics.median(e.up for e in times[name]) / fastest for name in times}
    for name in [name for name in times if name != "netlink"]:
        print(f"  {f'{name} : netlink, medians of up':<34}{ratios[name]:9.2f}")
    return ratios["iproute2"]


def run(rounds: int) -> None:
    """Measure and print."""
    common.enter_sandbox()
    kernel = common.Kernel()
    print(f"labs by each backend, {rounds} rounds; {common.machine()}")
    ratios = {
        title: report(title, measure(build(), rounds, kernel)) for title, build in LABS.items()
    }
    lowest = min(ratios, key=ratios.__getitem__)
    word = "met" if ratios[lowest] >= BAR else "MISSED"
    print(f"  bar: iproute2 takes at least {BAR:g} times as long as netlink: ", end="")
    print(f"{ratios[lowest]:.2f} ({lowest}), {word}")
    made = (len(LABS) * len(apply.BACKENDS)) * rounds
    print(f"  rounds begun without calm: {kernel.hurried} of {made}")
    kernel.close()
    print(f"afterwards: {common.machine()}", flush=True)


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(prog="bench_backends", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    run(parser.parse_args().rounds)


if __name__ == "__main__":
    main()
