"""What changes at which version."""

from __future__ import annotations

import pytest
from results_tools import along_kernels, case, column

from vxlab.results import CellState, KnownDifference
from vxlab.results.timelines import timeline, timelines


@pytest.mark.parametrize(
    ("outcomes", "at", "what", "worse"),
    [
        (("passed",) * 4, "", None, False),
        (
            ("passed", "passed", "failed", "failed"),
            "6.12",
            "passed up to 6.1, failed from 6.12 on",
            True,
        ),
        (("failed", "passed"), "6.1", "failed up to 5.10, passed from 6.1 on", False),
        (("", "passed"), "6.1", "absent up to 5.10, passed from 6.1 on", False),
        (
            ("passed", "failed", "passed"),
            "differs",
            "differs: 5.10 passed, 6.1 failed, 6.12 passed",
            True,
        ),
        (
            ("skipped", "not run", "passed"),
            "6.12",
            "skipped up to 5.10, passed from 6.12 on (not known: 6.1)",
            False,
        ),
        (("passed", "not run", "passed"), "", None, False),
        (("not run", "passed", "passed"), "", None, False),
        (
            ("failed", "error", "error"),
            "6.1",
            "failed up to 5.10, error from 6.1 on",
            False,
        ),
    ],
)
def test_an_outcome_changes_at_a_version(
    outcomes: tuple[str, ...], at: str, what: str | None, worse: bool
) -> None:
    found = timeline("a", "kernel", along_kernels(*outcomes))
    assert found.changes_at == at
    assert found.is_worse is worse
    assert found.outcomes == tuple(each or "absent" for each in outcomes)
    if what:
        assert found.what == what


NEEDS_VRF = "needs vrf: the kernel answered EOPNOTSUPP; run on a kernel with CONFIG_NET_VRF"


@pytest.mark.parametrize(
    ("kernels", "what"),
    [
        (("6.1", "here"), "passed with 6.1, skipped with here"),
        (("5.10", "6.1", "./bzImage"), "passed with 5.10, 6.1, skipped with ./bzImage"),
    ],
)
def test_what_is_no_version_is_not_the_first_of_many(kernels: tuple[str, ...], what: str) -> None:
    columns = [column(case("a"), kernel=each) for each in kernels]
    columns[-1] = column(case("a", "skipped", reason=NEEDS_VRF), kernel=kernels[-1])
    (found,) = timelines(columns)
    assert found.what == what
    assert not found.is_worse


def test_the_running_kernel_has_its_place_among_the_versions() -> None:
    columns = [column(case("a", "failed"), kernel=each) for each in ("7.2", "6.12")]
    columns += [column(case("a"), kernel="here", release="6.6.3"), column(case("a"), kernel="6.1")]
    (found,) = timelines(columns)
    assert found.versions == ("6.1", "here", "6.12", "7.2")
    assert found.what == "passed with 6.1, here, failed with 6.12, 7.2"


@pytest.mark.parametrize(
    ("reason", "worse"), [(NEEDS_VRF.replace("vrf", "ip.vni"), False), ("not today", True)]
)
def test_a_backend_whose_program_lacks_something_is_no_worse(reason: str, worse: bool) -> None:
    columns = [
        column(case("a"), backend="netlink"),
        column(case("a", "skipped", reason=reason), backend="script"),
    ]
    (found,) = timelines(columns)
    assert found.is_worse is worse


def test_a_reason_or_a_time_that_changes_is_not_told() -> None:
    kernels = ("5.10", "6.1")
    reasons = [column(case("a", "failed", reason=each), kernel=each) for each in kernels]
    assert not timelines(reasons)
    times = [column(case("a", seconds=9.0**n), kernel=each) for n, each in enumerate(kernels)]
    assert not timelines(times)


def test_what_is_the_same_in_each_line_is_told_once() -> None:
    columns = [
        column(
            case("a", "failed" if kernel == "6.12" else "passed"),
            case("b", "failed" if (kernel, iproute2) == ("6.12", "6.1") else "passed"),
            kernel=kernel,
            iproute2=iproute2,
        )
        for kernel in ("6.12", "5.10")
        for iproute2 in ("6.15", "6.1", "5.19")
    ]
    found = {(each.nodeid, each.axis): each for each in timelines(columns)}
    assert set(found) == {("a", "kernel"), ("b", "kernel"), ("b", "iproute2")}
    everywhere = found["a", "kernel"]
    assert everywhere.where == ("iproute2 5.19", "iproute2 6.1", "iproute2 6.15")
    assert everywhere.lines == 3
    assert found["b", "kernel"].where == ("iproute2 6.1",)
    assert found["b", "iproute2"].where == ("kernel 6.12",)
    assert found["b", "iproute2"].changes_at == "differs"


def test_a_dead_cell_is_no_reason_to_tell_the_same_twice() -> None:
    columns = along_kernels("failed", "passed", "passed", "passed")
    columns += [
        column(case("a", "failed"), kernel="5.10", iproute2="5.19"),
        column(kernel="6.1", iproute2="5.19", state=CellState.CRASHED),
        column(case("a"), kernel="6.12", iproute2="5.19"),
        column(case("a"), kernel="7.2", iproute2="5.19"),
    ]
    (found,) = timelines(columns)
    assert found.what == "failed up to 5.10, passed from 6.1 on"
    assert found.where == ("iproute2 5.19", "iproute2 6.15")
    assert found.lines == 2


def test_dead_cells_are_passed_over() -> None:
    columns = along_kernels("passed", "passed", "passed")
    columns.insert(2, column(kernel="6.9", state=CellState.CRASHED, last="a"))
    found = timeline("a", "kernel", columns)
    assert found.outcomes == ("passed", "passed", "not run", "passed")
    assert not found.transitions


@pytest.mark.parametrize(
    ("known", "wanted", "worse"),
    [
        (KnownDifference("K9", since="6.12"), "K9", False),
        (KnownDifference("K9", since="7.2"), "", True),
    ],
)
def test_a_known_difference_explains_a_version(
    known: KnownDifference, wanted: str, worse: bool
) -> None:
    columns = along_kernels("passed", "passed", "failed", "failed", known=(known,))
    found = timeline("a", "kernel", columns)
    assert (found.known, found.is_worse) == (wanted, worse)


def test_all_transitions_must_be_known() -> None:
    known = (KnownDifference("K9", since="6.1", until="6.12"),)
    columns = along_kernels("passed", "failed", "passed", "failed", known=known)
    found = timeline("a", "kernel", columns)
    assert (found.changes_at, found.known, found.is_worse) == ("differs", "", True)
    assert timeline("a", "kernel", columns[:3]).known == "K9"


def test_backends_that_differ_have_no_direction() -> None:
    columns = [
        column(case("a", "passed"), backend="netlink"),
        column(case("a", "failed"), backend="iproute2"),
    ]
    (found,) = timelines(columns)
    assert found.what == "differs: iproute2 failed, netlink passed"
    assert found.is_worse


def test_a_defect_of_iproute2_explains_that_only_its_backend_shows_it() -> None:
    known = (KnownDifference("I3", until="6.7", of="iproute2"),)
    for iproute2, wanted in (("6.1", "I3"), ("6.15", "")):
        columns = [
            column(case("a", outcome, known=known), iproute2=iproute2, backend=backend)
            for outcome, backend in (("passed", "netlink"), ("failed", "iproute2"))
        ]
        (found,) = timelines(columns)
        assert found.known == wanted
