"""A comparison as one HTML page that needs no network: a heat map of scenarios by columns.

The page itself is ``page.html``; here its style, its script and its data, as JSON, are put in.
"""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from vxlab.results.comparison import ChangeKind, Column, known_of
from vxlab.results.model import Case, KnownDifference, Outcome, Run
from vxlab.results.notes import DEAD, Note

#: Characters of one scenario's evidence that the page shows; the results file has all of them.
LONGEST = 20_000
#: Where all texts together have this many characters, each further one has no more than SHORT: a
#: run where everything fails still makes a page that a browser opens.
MUCH, SHORT = 8_000_000, 1_000

#: One letter for each outcome, which ``page.js`` knows; a space where there is none.
LETTERS = {
    Outcome.PASSED: "p",
    Outcome.FAILED: "f",
    Outcome.ERROR: "e",
    Outcome.SKIPPED: "s",
    Outcome.XFAILED: "x",
    Outcome.XPASSED: "y",
    Outcome.NOT_RUN: "n",
}


@dataclass
class _Texts:
    """Long texts, each kept once; a number stands for it, 0 for the empty one."""

    all: dict[str, int] = field(default_factory=lambda: {"": 0})
    characters: int = 0

    def number(self, text: str) -> int:
        """The number of a text, which is cut in the middle where it is too long."""
        most = LONGEST if self.characters < MUCH else SHORT
        if len(text) > most:
            half = most // 2
            cut = f"\n\n[… {len(text) - most} characters are left out here …]\n\n"
            text = text[:half] + cut + text[-half:]
        if text not in self.all:
            self.characters += len(text)
            self.all[text] = len(self.all)
        return self.all[text]


def page(
    title: str,
    runs: Iterable[tuple[str, Run]],
    columns: Sequence[Column],
    notes: Sequence[Note] = (),
    facts: Sequence[str] = (),
) -> str:
    """The page with this ``title`` of ``columns``, which stand in this order.

    ``runs`` come with what they are called.  Rows that one of ``notes`` is about are those that the
    button "only changes" leaves; ``facts`` are lines that stand below the names of the runs.
    """
    parts = {
        "STYLE": _file("page.css"),
        "SCRIPT": _file("page.js"),
        "TITLE": html.escape(title),
        "DATA": embedded({**data(runs, columns, notes), "facts": list(facts)}),
    }
    text = _file("page.html")
    for name, part in parts.items():  # none of which can hold a place for another
        text = text.replace(f"<!--{name}-->", part)
    return text


def _file(name: str) -> str:
    return resources.files("vxlab.results").joinpath(name).read_text(encoding="utf-8")


def embedded(value: Any) -> str:
    """JSON that can stand in a script element: only ASCII, and nothing that could end it."""
    text = json.dumps(value, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def data(
    runs: Iterable[tuple[str, Run]], columns: Sequence[Column], notes: Sequence[Note]
) -> dict[str, Any]:
    """All that the page shows of ``runs``, ``columns`` and ``notes``, as :func:`page` has them."""
    texts = _Texts()
    nodeids = sorted({nodeid for column in columns for nodeid in column.cases}, key=_natural)
    changed: dict[str, int] = {}  # 2 where it is unexpected and worse, else 1
    for note in notes:
        if note.at == ChangeKind.NOT_RUN and note.worse:
            continue  # all that a dead cell lost: the map shows it, and it would hide the rest
        for nodeid in note.nodeids:
            changed[nodeid] = max(changed.get(nodeid, 1), 1 + note.is_unexpectedly_worse)
    groups: dict[str, list[dict[str, Any]]] = {}
    for nodeid in nodeids:
        cases = [column.case(nodeid) for column in columns]
        row = _row(nodeid, cases, texts) | {"c": changed.get(nodeid, 0)}
        groups.setdefault(nodeid.partition("::")[0], []).append(row)
    return {
        "tiles": _tiles(columns, nodeids, notes),
        "runs": [_run(name, run) for name, run in runs],
        "columns": [_column(column, nodeids, texts) for column in columns],
        "groups": [{"file": file, "rows": rows} for file, rows in groups.items()],
        "notes": [_note(note) for note in notes],
        "texts": list(texts.all),
    }


def _natural(nodeid: str) -> tuple[list[str | int], str]:
    """What to sort by, so that ``test_s10`` comes after ``test_s9``."""
    parts = re.split("([0-9]{1,15})", nodeid)
    return [int(part) if number % 2 else part for number, part in enumerate(parts)], nodeid


def _tiles(
    columns: Sequence[Column], nodeids: Sequence[str], notes: Sequence[Note]
) -> list[tuple[int, str, bool]]:
    """The figures at the head: how many, of what, and whether that is bad where it is not 0."""
    figures = [
        (sum(note.is_unexpectedly_worse for note in notes), "unexpected, worse", True),
        (sum(note.at == DEAD for note in notes), "dead cells", True),
    ]
    if any(column.label for column in columns):
        for kind in ChangeKind:
            scenarios = {nodeid for note in notes if note.at == kind for nodeid in note.nodeids}
            figures += [(len(scenarios), str(kind), kind is ChangeKind.FAILS)] if scenarios else []
    else:
        cases = [column.case(nodeid) for column in columns for nodeid in nodeids]
        counts = Counter(case.outcome for case in cases if case)
        bad = sum(count for outcome, count in counts.items() if outcome.is_bad)
        figures += [(bad, "failed or error", True)]
        for outcome in (Outcome.NOT_RUN, Outcome.SKIPPED, Outcome.PASSED):
            figures += [(counts[outcome], str(outcome), False)]
    known = sum(bool(note.known) for note in notes)
    return [
        *figures,
        (known, "known differences", False),
        (len(nodeids), "scenarios", False),
        (len(columns), "columns", False),
    ]


def _row(nodeid: str, cases: Sequence[Case | None], texts: _Texts) -> dict[str, Any]:
    """Name, letters, seconds; then texts by column where there are any."""
    row: dict[str, Any] = {
        "i": nodeid,
        "n": nodeid.partition("::")[2] or nodeid,
        "o": "".join(LETTERS[case.outcome] if case else " " for case in cases),
        "s": [round(case.seconds, 3) if case else 0 for case in cases],
    }
    details = {
        number: [texts.number(case.reason), texts.number(case.evidence)]
        for number, case in enumerate(cases)
        if case and (case.reason or case.evidence)
    }
    behaviour = next((case.behaviour for case in cases if case and case.behaviour), "")
    known = [[each.id, _in_words(each)] for each in known_of(*cases)]
    found = {"d": details, "b": texts.number(behaviour), "k": known}
    return row | {name: value for name, value in found.items() if value}


def _in_words(known: KnownDifference) -> str:
    bounds = [f"from {known.since} on" * bool(known.since), f"before {known.until}"]
    validity = (
        " and ".join(filter(None, bounds if known.until else bounds[:1])) or "with all versions"
    )
    return f"{known.id}: {known.of} {validity}"


def _column(column: Column, nodeids: Sequence[str], texts: _Texts) -> dict[str, Any]:
    cell = column.cell
    cases = (column.case(nodeid) for nodeid in nodeids)
    counts: Mapping[str, int] = Counter(LETTERS[case.outcome] for case in cases if case)
    return {
        "kernel": cell.kernel,
        "iproute2": cell.iproute2,
        "backend": cell.backend,
        "side": column.label,
        "state": str(cell.state),
        "dead": cell.state.is_dead,
        "unfinished": cell.state.is_unfinished,
        "reason": cell.reason,
        "last": cell.last,
        "log": texts.number(cell.log),
        "release": cell.release,
        "tools": dict(cell.tools),
        "seconds": round(cell.seconds, 1),
        "counts": counts,
    }


def _run(name: str, run: Run) -> dict[str, Any]:
    host = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in run.host.items()
    }
    return {
        "name": name,
        "ended": run.ended,
        "version": run.version,
        "host": host,
    }


def _note(note: Note) -> dict[str, Any]:
    return {
        "at": note.at,
        "title": note.title,
        "ids": note.nodeids[:1],
        "what": note.what,
        "where": note.where,
        "known": note.known,
        "worse": note.is_unexpectedly_worse,
        "reason": note.reason[:1000],
    }
