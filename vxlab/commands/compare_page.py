"""The page that ``vxlab compare --html`` writes, and ``vxlab matrix`` of its own run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vxlab.commands.compared_side import Side, read_side
from vxlab.errors import VxlabError
from vxlab.system import files

if TYPE_CHECKING:
    from vxlab.results.comparison import Column
    from vxlab.results.notes import Note
    from vxlab.results.timelines import Timeline


def along_versions(side: Side) -> tuple[tuple[Timeline, ...], list[Note]]:
    """What changes at which version, and the notes on it and on dead cells."""
    from vxlab.results import notes
    from vxlab.results.timelines import timelines

    found = timelines(side.columns)
    return found, [*notes.of_dead_cells(side.columns), *notes.of_timelines(found)]


def write_page_of_run(word: str, path: str | os.PathLike[str]) -> None:
    """Write the page of a run, named as :func:`read_side` has it, to the file ``path``.

    VxlabError where that cannot be.
    """
    side = read_side(word)
    write_page(path, "Scenarios by version", [side], side.columns, along_versions(side)[1])


def write_page(
    path: str | os.PathLike[str],
    title: str,
    sides: Sequence[Side],
    columns: Sequence[Column],
    noted: Sequence[Note],
    facts: Sequence[str] = (),
) -> None:
    """Write a page called ``title`` to the file ``path``.

    It shows the ``columns`` of ``sides`` with the notes ``noted``; ``facts`` are lines below the
    names of the runs.  VxlabError where it cannot be written.
    """
    from vxlab.results.page import page

    text = page(title, [(side.title, side.run) for side in sides], columns, noted, facts)
    try:
        with files.open_to_write(path) as file:
            file.write(text)
    except OSError as error:
        raise VxlabError(f"wanted to write {path}, found: {error.strerror}") from error
