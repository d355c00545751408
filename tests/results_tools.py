"""Results of runs that never were: what tests of vxlab.results and `vxlab compare` look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vxlab.results import Case, Cell, CellState, KnownDifference, Outcome, Results
from vxlab.results.comparison import Column

KERNELS = ("5.10", "6.1", "6.12", "7.2")
IPROUTE2 = ("5.19", "6.1", "6.15", "7.3")

#: A kernel, an iproute2 and a backend.
Names = tuple[str, str, str]
Table = dict[Names, dict[str, Case]]

_SUBJECTS = (
    "address",
    "checksum",
    "device",
    "fdb",
    "flush",
    "group",
    "header",
    "mtu",
    "nexthop",
    "router",
)

#: 250 scenarios in ten files.
SCENARIOS = tuple(
    f"scenarios/test_s{number // 25}_{_SUBJECTS[number // 25]}.py::"
    f"test_the_{_SUBJECTS[number // 25]}_is_kept_{number % 25}[{family}]"
    for number in range(250)
    for family in ("ipv6" if number % 2 else "ipv4",)
)

K40 = KnownDifference("K40", until="6.12")


def case(nodeid: str = "scenarios/test_a.py::test_a", outcome: str = "passed", **fields) -> Case:
    """A case with that outcome; the rest as it is by default."""
    return Case(nodeid=nodeid, outcome=Outcome(outcome), **fields)


def column(
    *cases: Case,
    kernel: str = "6.1",
    iproute2: str = "6.15",
    backend: str = "netlink",
    state: CellState = CellState.DONE,
    label: str = "",
    **fields,
) -> Column:
    """A column with these cases."""
    named = {"kernel": kernel, "iproute2": iproute2, "backend": backend, "state": state}
    cell = Cell(id=1, run=1, **named, **fields)
    return Column(cell, {each.nodeid: each for each in cases}, label)


def along_kernels(*outcomes: str, nodeid: str = "a", **fields) -> list[Column]:
    """Columns of kernels 5.10, 6.1, 6.12, 7.2 with these outcomes; '' where the case is absent."""
    return [
        column(*([case(nodeid, outcome, **fields)] if outcome else []), kernel=kernel)
        for kernel, outcome in zip(KERNELS, outcomes, strict=False)
    ]


def usual(kernel: str, noise: int = 0) -> dict[str, Case]:
    """What 250 scenarios do with a kernel: some need a newer one, one fails, one is known to.

    ``noise`` is what differs from run to run and means nothing.
    """
    cases = {}
    old = KERNELS.index(kernel) < 2
    for number, nodeid in enumerate(SCENARIOS):
        found = case(nodeid, seconds=0.1 + number % 7 * 0.2 + noise * 0.05)
        if number % 40 == 3 and old:
            found = replace(found, outcome=Outcome.SKIPPED, reason="needs vxlan.localbypass")
        elif number == 77:
            reason = f"wanted ttl 64, found {noise + 9} from 02:00:00:00:00:{noise + 10}"
            found = replace(found, outcome=Outcome.FAILED, reason=reason, evidence="frames\n")
        elif number == 111:
            outcome = Outcome.FAILED if old else Outcome.PASSED
            found = replace(found, outcome=outcome, reason="flushed" * old, known=(K40,))
        elif number == 140:
            found = replace(found, outcome=Outcome.XFAILED, reason="not implemented")
        cases[nodeid] = found
    return cases


def usual_run(noise: int = 0) -> Table:
    """The cases of a whole run, by kernel, iproute2 and backend."""
    return {
        (kernel, iproute2, "netlink"): usual(kernel, noise)
        for kernel in KERNELS
        for iproute2 in IPROUTE2
    }


def write_run(
    path: Path, table: Mapping[Names, Mapping[str, Case]], dead: Mapping[Names, Cell] | None = None
) -> int:
    """Add a run to a results file; cells in ``dead`` end as these do. Returns its id."""
    with Results.open(path, create=True) as results:
        run = results.begin_run(selection={"kernels": KERNELS}, host={"machine": "test"})
        for place, cases in table.items():
            cell = add_cell(results, run, place)
            results.begin_cell(cell)
            results.record(cell, *cases.values())
            end = (dead or {}).get(place)
            if end is None:
                tools = {"ip": place[1]}
                results.end_cell(
                    cell, CellState.DONE, seconds=60, release=f"{place[0]}.0", tools=tools
                )
            else:
                results.end_cell(cell, end.state, reason=end.reason, last=end.last, log=end.log)
        results.end_run(run)
    return run


def add_cell(results: Results, run: int, place: Sequence[str] = ("6.1", "6.15", "netlink")) -> int:
    """Plan a cell."""
    kernel, iproute2, backend = place
    return results.add_cell(run, kernel=kernel, iproute2=iproute2, backend=backend)


def crashed(last: str) -> Cell:
    """How a cell ends whose kernel crashed while ``last`` ran."""
    return Cell(
        id=0,
        run=0,
        kernel="",
        iproute2="",
        backend="",
        state=CellState.CRASHED,
        reason="BUG: kernel NULL pointer dereference in vxlan_xmit_one",
        last=last,
        log="[   12.345678] BUG: kernel NULL pointer dereference\n[   12.345680] RIP: vxlan_xmit",
    )


def names(cases: Iterable[Case]) -> list[str]:
    """The node ids of cases."""
    return [each.nodeid for each in cases]
