"""The combinations of a matrix, and its jobs."""

from __future__ import annotations

import pytest
from matrix_tools import job

from vxlab.errors import VxlabError
from vxlab.matrix.job import Combination, combinations, jobs_of


def test_each_combination_is_there_once_kernel_by_kernel() -> None:
    found = combinations(["6.1", "here"], ["system", "6.15"], ["script"])
    assert [each.name for each in found] == [
        "6.1 / system / script",
        "6.1 / 6.15 / script",
        "here / system / script",
        "here / 6.15 / script",
    ]


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        (([], ["a"], ["netlink"]), "kernel: wanted names with commas between, found an empty one"),
        ((["6.1", ""], ["a"], ["netlink"]), "kernel: wanted names with commas between"),
        ((["6.1"], [""], ["netlink"]), "iproute2: wanted names with commas between"),
        ((["6.1"], ["a"], [""]), "backend: wanted names with commas between"),
        ((["6.1", "6.2", "6.1"], ["a"], ["netlink"]), "kernel: wanted each once, found 6.1 twice"),
        ((["6.1"], ["a", "a"], ["netlink"]), "iproute2: wanted each once, found a twice"),
        ((["6.1"], ["a"], ["script"] * 2), "backend: wanted each once, found script twice"),
        ((["6.1"], ["a"], ["magic"]), "wanted one of netlink, iproute2, script, found 'magic'"),
    ],
)
def test_what_is_wrong_with_the_names_is_refused(lists: tuple[list[str], ...], said: str) -> None:
    with pytest.raises(VxlabError, match=said):
        combinations(*lists)


CELLS = list(enumerate(combinations(["a", "b"], ["x", "y", "z"], ["script"])))


def test_a_kernel_is_a_job_with_all_that_the_template_says() -> None:
    template = job(0, kernel="", deadline=7.0, scenario=6.0, boot=8.0, memory=512, modules="lib")
    first, second = jobs_of(CELLS, template)
    assert (first.kernel, [n for n, _ in first.cells]) == ("a", [0, 1, 2])
    assert (second.kernel, [n for n, _ in second.cells]) == ("b", [3, 4, 5])
    assert second.cells[0][1] == Combination("b", "x", "script")
    for each in (first, second):
        assert (each.arguments, each.project) == (template.arguments, template.project)
        assert (each.deadline, each.scenario, each.boot) == (7.0, 6.0, 8.0)
        assert (each.memory, each.modules) == (512, "lib")


@pytest.mark.parametrize(
    ("at_most", "sizes"), [(1, [1] * 6), (2, [2, 1, 2, 1]), (3, [3, 3]), (99, [3, 3])]
)
def test_a_kernel_can_be_several_jobs(at_most: int, sizes: list[int]) -> None:
    jobs = jobs_of(CELLS, job(0), at_most=at_most)
    assert [len(each.cells) for each in jobs] == sizes
    assert [cell for each in jobs for cell in each.cells] == CELLS


def test_no_cells_are_no_jobs() -> None:
    assert jobs_of([], job(0)) == []
