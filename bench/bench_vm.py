"""A virtual machine's first scenario: from a snapshot, and after a boot.

Run ``python -m bench.bench_vm``; README.md says what is measured.  A kernel is fetched at its first
use.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from bench import common
from vxlab.errors import VxlabError
from vxlab.vm import kernels, kvm, machine, run

#: Seconds that the first scenario may take to begin, from a snapshot, in emulation.
BAR = 10.0

#: The command of a guest: one file of scenarios, whose reports tell when the first one begins.
COMMAND = "pytest -q -k ping --vxlab-reports=$VXLAB_REPORTS scenarios/test_e1_point_to_point.py"


@dataclass(frozen=True)
class Times:
    """Seconds from QEMU's start until the command begins, and the first scenario."""

    command: float
    scenario: float


def one(kernel: str, *, snapshot: bool) -> Times:
    """Start a machine, and end it when its first scenario begins."""
    chosen = kernels.find(kernel)
    began = 0.0

    def report(each: machine.JsonObject) -> None:
        nonlocal began
        if "start" in each and not began:
            began = time.monotonic() - start
            running.deadline = 0.0

    with run.guest(
        [COMMAND], kernel=chosen, folder=Path(__file__).parents[1], snapshot=snapshot
    ) as guest:
        running = machine.Machine(guest, deadline=120.0, report=report)
        with running:
            start = time.monotonic()
            ended = running.run()
    if not began or ended.booted is None:
        raise VxlabError(f"wanted a scenario on {kernel}, found: {ended.kind}: {ended.reason}")
    return Times(ended.booted, began)


def measure(kernel: str, rounds: int) -> float:
    """Measure, print a kernel's table, and return its median from a snapshot."""
    times: dict[bool, list[Times]] = {True: [], False: []}
    one(kernel, snapshot=True)  # not counted: the first one makes what the others start from
    for number in range(rounds):
        for snapshot in (True, False) if number % 2 == 0 else (False, True):
            times[snapshot].append(one(kernel, snapshot=snapshot))
    print(common.head(kernel))
    for snapshot, title in {True: "snapshot", False: "boot"}.items():
        for phase in ("command", "scenario"):
            values = [getattr(each, phase) for each in times[snapshot]]
            print(common.row(f"{title}: first {phase}", values, "s"))
    warm, cold = (statistics.median(x.scenario for x in times[key]) for key in (True, False))
    print(f"  {'boot : snapshot, medians of scenario':<34}{cold / warm:9.2f}", flush=True)
    return warm


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(prog="bench_vm", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kernels", default="5.10,6.1,6.12,7.2")
    options = parser.parse_args()
    how = "KVM" if kvm.has_kvm() else "emulation"
    print(f"virtual machines, {how}, {options.rounds} rounds; {common.machine()}", flush=True)
    slowest = max(measure(kernel, options.rounds) for kernel in options.kernels.split(","))
    print(common.verdict("first scenario from a snapshot", slowest, BAR, "s"))
    print(f"afterwards: {common.machine()}")


if __name__ == "__main__":
    main()
