"""What differs between two columns."""

from __future__ import annotations

import pytest
from results_tools import case, column

from vxlab.errors import VxlabError
from vxlab.features import Feature
from vxlab.results import CellState, KnownDifference
from vxlab.results.comparison import Change, Column, Limits, compare, in_order, normalised
from vxlab.results.pairs import compare_all

A = "scenarios/test_a.py::test_a"


def change(before: Column, after: Column, limits: Limits | None = None) -> Change | None:
    """The only change, if there is one."""
    found = compare(before, after, limits or Limits())
    assert len(found) < 2
    return found[0] if found else None


def outcomes(old: str, new: str, **both) -> Change | None:
    """What changes of one scenario; '' means that it is not there."""
    sides = [column(*([case(A, outcome, **both)] if outcome else [])) for outcome in (old, new)]
    return change(*sides)


@pytest.mark.parametrize(
    ("old", "new", "kind", "worse"),
    [
        ("passed", "failed", "pass to fail", True),
        ("passed", "error", "pass to fail", True),
        ("xpassed", "failed", "pass to fail", True),
        ("passed", "xfailed", "pass to fail", True),
        ("xfailed", "failed", "pass to fail", True),
        ("failed", "passed", "fail to pass", False),
        ("error", "xpassed", "fail to pass", False),
        ("xfailed", "passed", "fail to pass", False),
        ("failed", "xfailed", "fail to pass", False),
        ("passed", "skipped", "newly skipped", True),
        ("failed", "skipped", "newly skipped", True),
        ("skipped", "passed", "no longer skipped", False),
        ("skipped", "failed", "no longer skipped", True),
        ("", "passed", "appeared", False),
        ("", "skipped", "appeared", False),
        ("", "error", "appeared", True),
        ("passed", "", "disappeared", True),
        ("skipped", "", "disappeared", True),
        ("passed", "not run", "not run", True),
        ("skipped", "not run", "not run", True),
        ("not run", "failed", "not run", False),
        ("failed", "error", "other reason", False),
    ],
)
def test_each_change_has_a_kind(old: str, new: str, kind: str, worse: bool) -> None:
    found = outcomes(old, new)
    assert found is not None
    assert (found.kind, found.is_worse) == (kind, worse)
    assert found.what == f"{old or 'absent'} → {new or 'absent'}"


@pytest.mark.parametrize(
    ("reason", "worse"),
    [
        (
            Feature(name="vrf", title="VRF", available=False, reason="no", hint="run elsewhere"),
            False,
        ),
        (Feature(name="vxlan.mc_6", title="x", available=False, reason="", hint=""), False),
        ("needs a quiet machine", True),
        ("not on Mondays", True),
        ("", True),
    ],
    ids=str,
)
def test_a_skip_for_what_is_missing_is_no_change_for_the_worse(
    reason: Feature | str, worse: bool
) -> None:
    said = reason.sentence() if isinstance(reason, Feature) else reason
    found = change(column(case(A)), column(case(A, "skipped", reason=said)))
    assert found is not None
    assert (found.kind, found.is_worse) == ("newly skipped", worse)
    gone = change(column(case(A, "skipped", reason=said)), column())
    assert gone is not None
    assert gone.is_worse


@pytest.mark.parametrize(
    ("old", "new"),
    [
        *((each, each) for each in ("passed", "failed", "error", "skipped", "xfailed", "not run")),
        ("passed", "xpassed"),
        ("not run", ""),
        ("", "not run"),
    ],
)
def test_what_is_the_same_is_no_change(old: str, new: str) -> None:
    assert outcomes(old, new, reason="because") is None


# --- reasons ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("wanted ttl 64, found 63", "wanted ttl 64, found  1", True),
        ("no answer after 1.52 s", "no answer after 10 s", True),
        ("from 02:00:00:00:00:1f", "from fa:ce:00:00:00:01", True),
        ("to 10.1.0.1 by 172.18.1.3", "to 192.0.2.9 by 10.0.0.1", True),
        ("to fd00:1::2", "to fe80::1ff:fe00:1", True),
        ("at 0xffff888003", "at 0xFFFF888117", True),
        ("<Lab 9f1b1c1e-0000-4000-8000-00000000000a>", "<Lab 9f1b1c1e-1111-4000-8000-0b>", False),
        ("1b4e28ba-2fa1-11d2-883f-0016d3cca427", "00000000-2fa1-11d2-883f-0016d3cca427", True),
        ("wanted ttl 64", "wanted tos 64", False),
        ("test_a.py::test_b failed", "test_a.py::test_c failed", False),
        ("a :: b", "a b", False),
    ],
)
def test_reasons_are_compared_without_numbers_and_addresses(
    one: str, other: str, same: bool
) -> None:
    assert (normalised(one) == normalised(other)) is same
    found = change(column(case(A, "failed", reason=one)), column(case(A, "failed", reason=other)))
    assert (found.kind if found else None) == (None if same else "other reason")


# --- time ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "limits", "slower"),
    [
        (1.0, 2.5, Limits(), True),
        (1.0, 1.9, Limits(), False),  # not twice
        (0.1, 0.9, Limits(), False),  # not a second
        (10.0, 19.0, Limits(), False),
        (10.0, 19.0, Limits(factor=1.5), True),
        (0.1, 0.9, Limits(seconds=0.5), True),
        (1.0, 99.0, Limits(factor=0), False),
        (0.0, 1.5, Limits(), True),
        (2.5, 1.0, Limits(), False),
    ],
)
def test_slower_is_by_a_factor_and_by_seconds(
    old: float, new: float, limits: Limits, slower: bool
) -> None:
    found = change(column(case(A, seconds=old)), column(case(A, seconds=new)), limits)
    assert (found is not None) is slower
    if found:
        assert (found.kind, found.is_worse) == ("slower", True)
        assert found.what == f"{old:.1f} s → {new:.1f} s"


def test_what_fails_is_never_slower() -> None:
    sides = [column(case(A, "failed", seconds=seconds)) for seconds in (1, 99)]
    assert change(*sides) is None


# --- dead cells ------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [each for each in CellState if each is not CellState.DONE])
def test_what_an_unfinished_cell_did_not_get_to_is_not_run(state: CellState) -> None:
    before = column(case("a"), case("b", "failed"), case("c"))
    after = column(case("a"), state=state, last="b", reason="BUG")
    found = compare(before, after)
    assert [(each.nodeid, each.kind, each.is_worse) for each in found] == [
        ("b", "not run", True),
        ("c", "not run", True),
    ]
    reasons = [each.after.reason for each in found if each.after]
    assert reasons == [f"{state} while this scenario ran: BUG", f"{state}: BUG"]
    back = compare(after, before)
    assert [(each.nodeid, each.kind, each.is_worse) for each in back] == [
        ("b", "not run", False),
        ("c", "not run", False),
    ]


# --- known differences -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "old", "new", "wanted"),
    [
        (KnownDifference("K1", since="6.4"), "passed", "failed", "K1"),
        (KnownDifference("K1", since="6.12"), "passed", "failed", "K1"),
        (KnownDifference("K1", since="6.13"), "passed", "failed", ""),
        (
            KnownDifference("K1", until="6.4"),
            "passed",
            "failed",
            "",
        ),  # it fails where it should not
        (KnownDifference("K1", since="6.1", until="6.13"), "passed", "failed", ""),  # in both
        (KnownDifference("K1"), "passed", "failed", ""),
        (KnownDifference("K1", until="6.4"), "failed", "passed", "K1"),
        (KnownDifference("K1", since="6.4"), "failed", "passed", ""),
        (KnownDifference("K1", since="6.4"), "passed", "skipped", "K1"),
        (KnownDifference("K1", until="6.12"), "skipped", "passed", "K1"),
        (KnownDifference("K1", until="6.12"), "failed", "error", "K1"),
        (KnownDifference("K1", since="6.12"), "failed", "error", "K1"),
        (KnownDifference("K1", since="6.4"), "passed", "not run", ""),
        (KnownDifference("I1", since="6.4", of="iproute2"), "passed", "failed", ""),
    ],
)
def test_a_known_difference_explains_a_change_on_its_own_side(
    known: KnownDifference, old: str, new: str, wanted: str
) -> None:
    sides = [
        column(case(A, outcome, known=(known,)), kernel=kernel)
        for outcome, kernel in ((old, "6.1"), (new, "6.12"))
    ]
    found = change(*sides)
    assert found is not None
    assert (found.known, found.is_unexpected) == (wanted, not wanted)


def test_a_known_difference_of_iproute2_goes_by_its_version() -> None:
    known = KnownDifference("I3", until="6.7", of="iproute2")
    old = column(case(A, "failed", known=(known,)), iproute2="6.1", kernel="6.12")
    new = column(case(A, "passed"), iproute2="6.15", kernel="6.12")
    found = change(old, new)
    assert found is not None
    assert found.known == "I3"


def test_a_kernel_from_a_folder_has_the_version_that_it_tells() -> None:
    known = (KnownDifference("K1", until="6.4"),)
    new = column(case(A, "passed", known=known), kernel="7.2")
    for release, wanted in (("6.3.0-rc4+", "K1"), ("6.5.1", "")):
        old = column(case(A, "failed", known=known), kernel="my-build", release=release)
        found = change(old, new)
        assert found is not None
        assert found.known == wanted


def test_a_known_difference_may_begin_within_a_stable_series() -> None:
    known = (KnownDifference("K1", since="6.12.46", until="6.13"),)
    new = column(case(A, "passed", known=known), kernel="6.1", release="6.1.0-50-amd64")
    for release, wanted in (("6.12.45+deb13", ""), ("6.12.107+deb13", "K1")):
        old = column(case(A, "failed", known=known), kernel="6.12", release=release)
        found = change(new, old)
        assert found is not None
        assert found.known == wanted


def test_a_failure_that_is_marked_as_expected_is_explained_by_its_mark() -> None:
    found = outcomes("passed", "xfailed")
    assert found is not None
    assert found.known == "xfail"
    again = outcomes("xfailed", "failed")
    assert again is not None
    assert again.is_unexpected


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": ""}, "id: wanted one such as K40"),
        ({"id": "K1", "since": "new"}, "since: wanted a version such as 6.12, found 'new'"),
        ({"id": "K1", "until": "x"}, "until: wanted"),
        ({"id": "K1", "of": "bash"}, "of: wanted kernel or iproute2, found 'bash'"),
    ],
)
def test_a_known_difference_is_checked(fields: dict[str, str], message: str) -> None:
    with pytest.raises(VxlabError, match=message):
        KnownDifference(**fields)


# --- many columns ----------------------------------------------------------------------------


def test_columns_are_ordered_by_version() -> None:
    places = [
        ("5.10", "6.1", "netlink"),
        ("5.10", "6.15", "iproute2"),
        ("5.10", "6.15", "netlink"),
        ("6.1", "6.1", "netlink"),
        ("6.12", "6.1", "netlink"),
        ("7.2", "6.1", "netlink"),
        ("my-build", "6.1", "netlink"),
    ]
    columns = [
        column(kernel=kernel, iproute2=iproute2, backend=backend)
        for kernel, iproute2, backend in reversed(places)
    ]
    found = [
        (each.cell.kernel, each.cell.iproute2, each.cell.backend) for each in in_order(columns)
    ]
    assert found == places


def test_equal_columns_are_compared_and_the_others_named() -> None:
    before = [column(case(A), kernel=kernel) for kernel in ("7.2", "6.1", "5.10")]
    after = [column(case(A, "failed"), kernel=kernel) for kernel in ("6.12", "6.1", "7.2")]
    found = compare_all(before, after, lambda each: (each.cell.kernel,), Limits())
    assert [pair.before.cell.kernel for pair in found.pairs] == ["6.1", "7.2"]
    assert all(pair.before.cell.kernel == pair.after.cell.kernel for pair in found.pairs)
    assert [each.cell.kernel for each in found.only_before] == ["5.10"]
    assert [each.cell.kernel for each in found.only_after] == ["6.12"]
    assert found.is_unexpectedly_worse


@pytest.mark.parametrize(
    ("old", "new", "died"),
    [
        (CellState.DONE, CellState.CRASHED, True),
        (CellState.DEADLINE, CellState.CRASHED, True),
        (CellState.CRASHED, CellState.CRASHED, False),
        (CellState.CRASHED, CellState.DONE, False),
        (CellState.DONE, CellState.INTERRUPTED, False),
    ],
)
def test_a_machine_that_dies_is_worse_whatever_its_scenarios_did(
    old: CellState, new: CellState, died: bool
) -> None:
    sides = [[column(case(A), state=state)] for state in (old, new)]
    found = compare_all(*sides, by=lambda each: (), limits=Limits())
    assert found.pairs[0].changes == ()
    assert found.is_unexpectedly_worse is died
