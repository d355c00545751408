"""Notes: short, and each thing once."""

from __future__ import annotations

import pytest
from results_tools import along_kernels, case, column

from vxlab.results.comparison import Limits
from vxlab.results.notes import of_comparison, of_timelines
from vxlab.results.pairs import compare_all
from vxlab.results.timelines import timelines


@pytest.mark.parametrize(
    ("broken", "backends", "where"),
    [
        (["6.1"], ["netlink"], "with iproute2 6.1"),
        (["5.19", "6.1"], ["netlink"], "with iproute2 5.19, 6.1"),
        (["5.19", "6.1", "6.15"], ["netlink"], "everywhere"),
        (["5.19"], ["netlink", "script"], "with iproute2 5.19, netlink; iproute2 5.19, script"),
    ],
)
def test_what_places_have_in_common_is_said_once(
    broken: list[str], backends: list[str], where: str
) -> None:
    columns = [
        column(
            case("a", "failed" if kernel == "7.2" and iproute2 in broken else "passed"),
            kernel=kernel,
            iproute2=iproute2,
            backend=backend,
        )
        for kernel in ("6.12", "7.2")
        for iproute2 in ("5.19", "6.1", "6.15")
        for backend in backends
    ]
    notes = [note for note in of_timelines(timelines(columns)) if note.at == "kernel 7.2"]
    assert [(note.what, note.where) for note in notes] == [
        ("passed up to 6.12, failed from 7.2 on", where)
    ]


def test_many_places_are_counted() -> None:
    columns = [
        column(
            case("a", "failed" if kernel == "7.2" and number else "passed"),
            kernel=kernel,
            iproute2=f"6.{number}",
        )
        for kernel in ("6.12", "7.2")
        for number in range(8)
    ]
    (note, _) = of_timelines(timelines(columns))
    assert note.where == "with iproute2 6.1, 6.2, 6.3, 6.4, and 3 more"


def test_one_change_in_all_columns_is_one_note() -> None:
    before, after = along_kernels(*["passed"] * 4), along_kernels(*["failed"] * 4, reason="why")
    found = compare_all(before, after, lambda each: (each.cell.kernel,), Limits())
    (note,) = of_comparison(found)
    assert (note.at, note.where, note.reason) == ("pass to fail", "all 4 columns", "why")
