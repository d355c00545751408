"""What is compared: a run of a results file, and those of its columns that a person has picked."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vxlab.errors import VxlabError

if TYPE_CHECKING:
    from vxlab.results.comparison import Column, Limits
    from vxlab.results.model import Run
    from vxlab.results.pairs import Comparison

_SIDE = re.compile(
    r"(?P<file>.+?)(?:#(?P<run>\d+))?(?::(?P<picks>(?:kernel|iproute2|backend)=.*))?", re.DOTALL
)
#: So many digits of a number are read: more than any run's has, fewer than Python refuses.
_DIGITS = 30
#: What a side is called on the command line.
HELP = "FILE (its latest run), FILE#RUN, or either with :kernel=6.1,iproute2=6.15,backend=netlink"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the things to compare: a run, and those of its columns that were picked.

    ``path`` is its file as a person has named it, ``picks`` what was picked by: an axis and a
    value.
    """

    path: str
    run: Run
    columns: tuple[Column, ...]
    picks: Mapping[str, str]

    @property
    def title(self) -> str:
        """Which it is, in words."""
        from vxlab.results.text import counted, printable

        picked = "".join(f", {name} {value}" for name, value in self.picks.items())
        when = self.run.started[:16].replace("T", " ")
        count = counted(len(self.columns), "column")
        return printable(f"{self.path}, run {self.run.id} of {when} UTC{picked}: {count}")


def read_side(text: str) -> Side:
    """The run, or the columns of it, that a word of the command line means.

    VxlabError where there is no such file, run or column.
    """
    from vxlab.results.comparison import Column, in_order
    from vxlab.results.store import Results
    from vxlab.results.timelines import AXES, value_of

    path, number, picks = parts_of(text)
    with Results.open(path) as results:
        run = results.latest_run() if number is None else results.run(number)
        columns = in_order(
            Column(cell, {case.nodeid: case for case in results.cases(cell.id)})
            for cell in results.cells(run.id)
        )
    chosen = tuple(
        column
        for column in columns
        if all(value_of(column, axis) == picks.get(axis, value_of(column, axis)) for axis in AXES)
    )
    if not chosen:
        wanted = " and ".join(f"{name} {value}" for name, value in picks.items())
        found = ", ".join(column.name for column in columns) or "none"
        raise VxlabError(f"{path}: wanted a column with {wanted or 'results'}, found {found}")
    return Side(path=path, run=run, columns=chosen, picks=picks)


def parts_of(text: str) -> tuple[str, int | None, dict[str, str]]:
    """File, number of the run if there is one, and what was picked, of a word.

    VxlabError where it means nothing.  No file is opened.
    """
    from vxlab.results.timelines import AXES

    if os.path.exists(text):
        return text, None, {}
    found = _SIDE.fullmatch(text)
    if found is None:
        raise VxlabError(f"wanted {HELP}, found {text!r}")
    picks: dict[str, str] = {}
    for pick in (found["picks"] or "").split(",") if found["picks"] else ():
        name, separator, value = pick.partition("=")
        if name not in AXES or not separator or not value:
            wanted = "wanted kernel=…, iproute2=… or backend=… with commas between"
            raise VxlabError(f"{text}: {wanted}, found {pick!r}")
        if name in picks:
            raise VxlabError(f"{text}: wanted one {name}, found two")
        picks[name] = value
    return found["file"], _number(found["run"]) if found["run"] else None, picks


def _number(digits: str) -> int:
    """A number of any length: no run has one of more digits than are read."""
    return int(digits.lstrip("0")[:_DIGITS] or "0")


def paired(before: Side, after: Side, limits: Limits) -> Comparison:
    """Compare columns of ``before`` and ``after`` that agree in all that was not picked.

    Two single ones are compared whatever they are.  ``limits`` say from when on a scenario counts
    as slower.  VxlabError where several columns would belong to one, or none has a partner.
    """
    from vxlab.results.pairs import compare_all
    from vxlab.results.timelines import AXES, key_by

    axes = [axis for axis in AXES if axis not in before.picks and axis not in after.picks]
    if len(before.columns) == len(after.columns) == 1:
        axes = []
    key = key_by(axes)
    for side in (before, after):
        if len({key(column) for column in side.columns}) < len(side.columns):
            missing = ", ".join(axis for axis in AXES if axis not in side.picks)
            raise VxlabError(
                f"wanted one column of {side.path} for each of the other, found several: "
                f"pick also one of {missing}, as in {side.path}:kernel=6.1"
            )
    comparison = compare_all(before.columns, after.columns, key, limits)
    if not comparison.pairs:
        names = [", ".join(column.name for column in side.columns) for side in (before, after)]
        raise VxlabError(
            f"wanted a column that both have, found {names[0]} in {before.path} and {names[1]} in "
            f"{after.path}: pick what to compare, as in {before.path}:kernel=6.1"
        )
    return comparison
