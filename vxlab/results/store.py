"""The results file: runs, their cells, and the cases of each, in one SQLite database.

One process writes, from as many threads as it likes, and others read meanwhile: that is what the
write-ahead log is for. Each call is one transaction, which the kernel has when the call returns,
so a writer that is killed loses what it was just recording and nothing else. A writer that
closes the file in peace turns the log off, which leaves a single file that can be copied.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

from vxlab.errors import VxlabError
from vxlab.results import schema
from vxlab.results.model import Case, Cell, CellState, Run
from vxlab.results.rows import case_of, cell_of, run_of

T = TypeVar("T")

#: The largest number that SQLite takes.
_LARGEST = (1 << 63) - 1

#: Seconds to wait for another process's write; SQLite holds its locks for milliseconds.
BUSY_TIMEOUT = 30.0


class Results:
    """A results file, open for reading, or for reading and writing; a context manager.

    Open one with :meth:`open`. Every problem with the file is a VxlabError that names it.
    """

    def __init__(self, path: str, connection: sqlite3.Connection, *, writable: bool) -> None:
        self.path = path
        self._connection = connection
        self._writable = writable
        self._lock = threading.RLock()

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, create: bool = False) -> Results:
        """Open a results file to read it; with ``create`` also to write, made where it is not."""
        place = os.path.abspath(os.fspath(path))
        if not create and not os.path.exists(place):
            raise VxlabError(f"wanted the results file {path}, found none: give another name")
        if os.path.isdir(place):
            raise VxlabError(f"wanted the results file {path}, found a folder: name a file in it")
        if os.path.exists(place) and not os.path.isfile(
            place
        ):  # to open a pipe would wait for ever
            raise VxlabError(
                f"wanted the results file {path}, found a pipe or a device: name a file"
            )
        connection = _connect(place, "rwc" if create else "ro")
        try:
            if create:
                schema.prepare(connection, place)
            schema.check(connection, place)
        except sqlite3.Error as error:
            connection.close()
            raise _unusable(place, error) from error
        except VxlabError:
            connection.close()
            raise
        return cls(place, connection, writable=create)

    def close(self) -> None:
        """Close the file, as one that needs no others beside it unless somebody still reads it."""
        with self._lock:
            if self._writable:
                with contextlib.suppress(sqlite3.Error):  # in use: the next writer will do it
                    self._connection.execute("PRAGMA busy_timeout = 0")
                    self._connection.execute("PRAGMA journal_mode = DELETE")
            self._connection.close()

    def __enter__(self) -> Results:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- writing -----------------------------------------------------------------------------

    def begin_run(
        self, *, selection: Any = None, host: Mapping[str, Any] | None = None, version: str = ""
    ) -> int:
        """Begin a run, and return its id.

        ``selection`` and ``host`` are anything JSON can hold; ``version`` is vxlab's by default.
        """
        if not version:
            from vxlab import __version__ as version
        return self._insert(
            "INSERT INTO run (started, selection, version, host) VALUES (?, ?, ?, ?)",
            (_now(), _json(selection), version, _json(host or {})),
        )

    def end_run(self, run: int) -> None:
        """Write down that a run has ended now."""
        self._change("UPDATE run SET ended = ? WHERE id = ?", (_now(), run), f"run {run}")

    def resume_run(self, run: int) -> None:
        """Write down that a run goes on."""
        self._change("UPDATE run SET ended = '' WHERE id = ?", (run,), f"run {run}")

    def add_cell(self, run: int, *, kernel: str, iproute2: str, backend: str) -> int:
        """Plan a cell of ``run``, and return its id.

        ``kernel``, ``iproute2`` and ``backend`` are named as a person has named them; VxlabError
        where the run has such a cell.
        """
        return self._insert(
            "INSERT INTO cell (run, kernel, iproute2, backend, state) VALUES (?, ?, ?, ?, ?)",
            (run, *map(_text, (kernel, iproute2, backend)), CellState.PLANNED),
        )

    def begin_cell(self, cell: int) -> None:
        """Begin a cell, or begin it again: what an earlier attempt left is forgotten."""
        with self._transaction():
            self._change(
                "UPDATE cell SET state = ?, started = ?, seconds = 0, release = '', tools = '{}', "
                "config = '', reason = '', fingerprint = '', last = '', log = '' WHERE id = ?",
                (CellState.RUNNING, _now(), cell),
                f"cell {cell}",
            )
            self._connection.execute("DELETE FROM case_ WHERE cell = ?", (cell,))

    def begin_case(self, cell: int, nodeid: str) -> None:
        """Write down that a scenario begins: it is the cell's ``last`` until it is recorded."""
        self._change("UPDATE cell SET last = ? WHERE id = ?", (_text(nodeid), cell), f"cell {cell}")

    def record(self, cell: int, *cases: Case) -> None:
        """Record cases of a cell, in one transaction; a scenario recorded twice has the latter."""
        rows = [
            (
                cell,
                _text(case.nodeid),
                case.outcome,
                case.seconds,
                _text(case.reason),
                _text(case.evidence),
                _text(case.behaviour),
                _json([dataclasses.asdict(known) for known in case.known]),
            )
            for case in cases
        ]
        with self._transaction():
            self._connection.executemany(
                "INSERT OR REPLACE INTO case_ (cell, nodeid, outcome, seconds, reason, evidence, "
                "behaviour, known) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            self._connection.executemany(
                "UPDATE cell SET last = '' WHERE id = ? AND last = ?", [row[:2] for row in rows]
            )

    def describe_cell(self, cell: int, **fields: Any) -> None:
        """Write down fields of a cell (``release``, ``tools``, ``config`` …), and keep the rest."""
        wrong = set(fields) - schema.DESCRIBED
        if wrong:
            wanted = ", ".join(sorted(schema.DESCRIBED))
            raise VxlabError(f"cell {cell}: wanted fields of {wanted}, found {', '.join(wrong)}")
        values = [
            _json(dict(value)) if name == "tools" else _text(value) if name != "seconds" else value
            for name, value in fields.items()
        ]
        if fields:
            columns = ", ".join(f"{name} = ?" for name in fields)
            self._change(f"UPDATE cell SET {columns} WHERE id = ?", (*values, cell), f"cell {cell}")

    def end_cell(
        self, cell: int, state: CellState, *, seconds: float | None = None, **fields: Any
    ) -> None:
        """End ``cell`` in ``state``, with fields as :meth:`describe_cell` has them.

        Without ``seconds`` it took the time since it began.  VxlabError where there is none such.
        """
        with self._transaction():
            if seconds is None:
                started = self.cell(cell).started
                took = datetime.now(UTC) - datetime.fromisoformat(started or _now())
                seconds = max(0.0, took.total_seconds())
            self.describe_cell(cell, state=CellState(state), seconds=seconds, **fields)

    # --- reading -----------------------------------------------------------------------------

    def runs(self) -> list[Run]:
        """All runs, the latest last."""
        return self._read(run_of, "SELECT * FROM run ORDER BY id")

    def run(self, run: int) -> Run:
        """One run; VxlabError where there is none of that id."""
        if run <= _LARGEST:
            for found in self._read(run_of, "SELECT * FROM run WHERE id = ?", (run,)):
                return found
        known = ", ".join(str(each.id) for each in self.runs()) or "none"
        raise VxlabError(f"{self.path}: wanted one of the runs {known}, found {run}")

    def latest_run(self) -> Run:
        """The run that was begun last; VxlabError where there is none."""
        for found in self._read(run_of, "SELECT * FROM run ORDER BY id DESC LIMIT 1"):
            return found
        raise VxlabError(f"{self.path}: wanted a run, found none: `vxlab matrix` makes one")

    def cells(self, run: int) -> list[Cell]:
        """The cells of a run, in the order that they were planned in."""
        return self._read(cell_of, "SELECT * FROM cell WHERE run = ? ORDER BY id", (run,))

    def cell(self, cell: int) -> Cell:
        """One cell; VxlabError where there is none of that id."""
        for found in self._read(cell_of, "SELECT * FROM cell WHERE id = ?", (cell,)):
            return found
        raise VxlabError(f"{self.path}: wanted a cell, found none with the id {cell}")

    def unfinished(self, run: int) -> list[Cell]:
        """The cells of a run that are to be run (again): planned, running or interrupted."""
        return [cell for cell in self.cells(run) if cell.state.is_unfinished]

    def cases(self, cell: int) -> list[Case]:
        """The cases of a cell, in the order that they were recorded in."""
        return self._read(case_of, "SELECT * FROM case_ WHERE cell = ? ORDER BY rowid", (cell,))

    # --- how ---------------------------------------------------------------------------------

    def _read(
        self, of: Callable[[Mapping[str, Any]], T], query: str, values: tuple[Any, ...] = ()
    ) -> list[T]:
        try:
            return [of(row) for row in self._rows(query, values)]
        except ValueError as error:
            raise VxlabError(
                f"{self.path}: wanted results as vxlab writes them, found {error}: the file is "
                "damaged, or another program has written to it: give another"
            ) from error

    def _rows(self, query: str, values: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
        with self._lock:
            try:
                cursor = self._connection.execute(query, values)
                names = [column[0] for column in cursor.description]
                return [dict(zip(names, row, strict=True)) for row in cursor]
            except sqlite3.Error as error:
                raise _unusable(self.path, error) from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing; within another one, a part of that."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield
                self._connection.execute("COMMIT")
            except BaseException as error:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise _unusable(self.path, error) from error
                raise

    def _insert(self, query: str, values: tuple[Any, ...]) -> int:
        with self._transaction():
            return int(self._connection.execute(query, values).lastrowid or 0)

    def _change(self, query: str, values: tuple[Any, ...], what: str) -> None:
        with self._transaction():
            if not self._connection.execute(query, values).rowcount:
                raise VxlabError(f"{self.path}: wanted {what}, found none of that id")


def _connect(path: str, mode: str) -> sqlite3.Connection:
    try:
        return sqlite3.connect(
            f"file:{quote(os.fsencode(path))}?mode={mode}",
            uri=True,
            timeout=BUSY_TIMEOUT,
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise _unusable(path, error) from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _json(value: Any) -> str:
    return json.dumps(value, default=str)


def _text(value: str) -> str:
    """Text as a database takes it: a byte that was no UTF-8 becomes an escape."""
    return value.encode("utf-8", "backslashreplace").decode()


def _unusable(path: str, error: sqlite3.Error) -> VxlabError:
    found = str(error)
    if "disk is full" in found:
        hint = ": make room"
    elif "readonly" in found:
        hint = ": open it with create=True to write"
    elif "not a database" in found:
        hint = ": give another file"
    else:
        hint = ": give another file, if that is damaged or of another program"
    return VxlabError(f"wanted to use the results file {Path(path)}, found: {found}{hint}")
