"""The lab of two tenants and a multicast router: how long until it works, and until it is gone.

Run ``python -m bench.bench_lab``; README.md says what is measured.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass

from bench import common
from vxlab import catalog
from vxlab.live.lab import Lab

#: Milliseconds that a lab may take, up and down together.
BAR = 150.0

#: How multicast gets past the router: a packet filter rule on each host, or the device's ttl.
WAYS: tuple[catalog.Ttl, ...] = ("rule", "device")


@dataclass(frozen=True)
class Times:
    """One lab, in milliseconds; ``clean`` counts from the start of ``down``."""

    up: float
    ping: float
    down: float
    both: float
    clean: float
    answered: bool


TITLES = {
    "up": "up: open() returned, all works",
    "ping": "first ping, with its program's start",
    "down": "down: close() returned",
    "both": "up + down",
    "clean": "kernel has cleaned up, from down",
}


def one(ttl: catalog.Ttl, kernel: common.Kernel | None) -> Times:
    """Build, use and close one lab; with ``kernel``, on its own: in calm, and to its very end."""
    if kernel:
        kernel.wait_calm()
    lab = Lab(catalog.kim_and_lee(router="smcroute", ttl=ttl))
    start = time.perf_counter()
    lab.open()
    built = time.perf_counter()
    answered = lab["kim-srv1"].ping("1.1.1.2")
    used = time.perf_counter()
    lab.close()
    closed = time.perf_counter()
    clean = kernel.wait_clean() if kernel else used
    up, down = (built - start) * 1e3, (closed - used) * 1e3
    ping, clean = (used - built) * 1e3, (clean - used) * 1e3
    return Times(up, ping, down, up + down, clean, bool(answered))


def measure(rounds: int, kernel: common.Kernel | None) -> dict[catalog.Ttl, list[Times]]:
    """All rounds; every other one in the opposite order."""
    times: dict[catalog.Ttl, list[Times]] = {ttl: [] for ttl in WAYS}
    for ttl in WAYS:
        one(ttl, kernel)  # not counted: first calls import and cache things
    for number in range(rounds):
        for ttl in WAYS if number % 2 == 0 else reversed(WAYS):
            times[ttl].append(one(ttl, kernel))
    return times


def report(times: dict[catalog.Ttl, list[Times]], *, cleaned: bool) -> None:
    """Print one table for each way."""
    for ttl, values in times.items():
        print(common.head(f"kim_and_lee(ttl={ttl!r})"))
        for name, title in TITLES.items():
            if name != "clean" or cleaned:
                print(common.row(title, [getattr(value, name) for value in values]))
        lost = sum(not value.answered for value in values)
        print(f"  first pings without an answer: {lost} of {len(values)}")
        median = statistics.median(value.both for value in values)
        print(common.verdict("up + down", median, BAR, "ms"))


def run(rounds: int) -> None:
    """Measure and print."""
    common.enter_sandbox()
    kernel = common.Kernel()
    print(f"each lab on its own, {rounds} rounds; {common.machine()}")
    report(measure(rounds, kernel), cleaned=True)
    print(f"  rounds begun without calm: {kernel.hurried} of {rounds * len(WAYS)}")
    kernel.close()
    print(f"one lab right after the other, {rounds} rounds; {common.machine()}")
    report(measure(rounds, None), cleaned=False)
    print(f"afterwards: {common.machine()}", flush=True)


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(prog="bench_lab", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    run(parser.parse_args().rounds)


if __name__ == "__main__":
    main()
