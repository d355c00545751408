"""The results file: what is written is read, by anybody, whatever happens to the writer."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from results_tools import K40, add_cell, case, names

from vxlab import __version__
from vxlab.errors import VxlabError
from vxlab.results import Case, CellState, KnownDifference, Outcome, Results, schema

NASTY = "tab\t nul\0 </script>\n🦊 \u2028 é"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.sqlite"


def begun(results: Results) -> int:
    """A cell of a run of its own that has begun."""
    cell = add_cell(results, results.begin_run())
    results.begin_cell(cell)
    return cell


# --- what is written is read -----------------------------------------------------------------


def test_a_run_is_read_as_it_was_written(path: Path) -> None:
    with Results.open(path, create=True) as results:
        first = results.begin_run(selection={"kernels": ["6.1", "7.2"]}, host={"cpus": 2})
        second = results.begin_run(version="9.9")
        results.end_run(first)
    with Results.open(path) as results:
        assert [run.id for run in results.runs()] == [first, second]
        run = results.run(first)
        assert (run.selection, run.host) == ({"kernels": ["6.1", "7.2"]}, {"cpus": 2})
        assert run.version == __version__
        assert run.started <= run.ended
        assert run.started.endswith("+00:00")
        latest = results.latest_run()
        assert (latest.id, latest.version, latest.ended) == (second, "9.9", "")


def test_a_cell_is_read_as_it_was_written(path: Path) -> None:
    with Results.open(path, create=True) as results:
        run = results.begin_run()
        cell = add_cell(results, run, ("6.12", "6.15", "script"))
        (planned,) = results.cells(run)
        assert planned == replace(planned, state=CellState.PLANNED, started="", tools={})
        results.begin_cell(cell)
        results.describe_cell(cell, release="6.12.1+", tools={"ip": "6.15.0"}, config="CONFIG_X=y")
        results.end_cell(
            cell, CellState.CRASHED, seconds=7.5, reason="BUG", fingerprint="f", last="a", log=NASTY
        )
    with Results.open(path) as results:
        (found,) = results.cells(run)
        assert found == results.cell(cell)
        assert (found.kernel, found.iproute2, found.backend) == ("6.12", "6.15", "script")
        assert found.name == "6.12 / 6.15 / script"
        assert found.state is CellState.CRASHED
        assert (found.release, found.tools) == ("6.12.1+", {"ip": "6.15.0"})
        assert (found.config, found.seconds, found.reason) == ("CONFIG_X=y", 7.5, "BUG")
        assert (found.fingerprint, found.last, found.log) == ("f", "a", NASTY)


def test_cases_are_read_as_they_were_written_and_in_order(path: Path) -> None:
    written = [
        Case(
            nodeid=f"test_{outcome}",
            outcome=outcome,
            seconds=1.25,
            reason=NASTY,
            evidence=NASTY * 100,
            behaviour="it is so",
            known=(K40,),
        )
        for outcome in Outcome
    ]
    known = (KnownDifference("I3", since="6.1", until="6.7", of="iproute2"), K40)
    written.append(case("a", known=known))
    with Results.open(path, create=True) as results:
        cell, other = begun(results), begun(results)
        for each in written:
            results.record(cell, each)
    with Results.open(path) as results:
        assert results.cases(cell) == written
        assert results.cases(other) == []


def test_a_byte_that_is_no_text_is_kept_as_an_escape(path: Path) -> None:
    with Results.open(path, create=True) as results:
        cell = begun(results)
        results.record(cell, case(reason=b"\xff!".decode(errors="surrogateescape")))
        folder = add_cell(results, results.latest_run().id, ("/k\udcff", "6.1", "netlink"))
        assert results.cell(folder).kernel == "/k\\udcff"
        results.describe_cell(cell, log="\udc80")
        assert results.cases(cell)[0].reason == "\\udcff!"
        assert results.cell(cell).log == "\\udc80"


def test_a_scenario_recorded_twice_has_the_latter(path: Path) -> None:
    with Results.open(path, create=True) as results:
        cell = begun(results)
        results.record(cell, case("a"), case("b", "failed"))
        results.record(cell, case("a", "error"))
        assert {each.nodeid: each.outcome for each in results.cases(cell)} == {
            "a": "error",
            "b": "failed",
        }


def test_the_scenario_that_runs_is_known_until_it_is_recorded(path: Path) -> None:
    with Results.open(path, create=True) as results:
        cell = begun(results)
        results.begin_case(cell, "a")
        assert results.cell(cell).last == "a"
        results.record(cell, case("b"))
        assert results.cell(cell).last == "a"
        results.record(cell, case("a"))
        assert results.cell(cell).last == ""
        results.begin_case(cell, "c")
        results.end_cell(cell, CellState.DEADLINE)
        assert results.cell(cell).last == "c"


def test_a_cell_takes_the_time_since_it_began(path: Path) -> None:
    with Results.open(path, create=True) as results:
        cell = begun(results)
        with results._transaction():
            query = "UPDATE cell SET started = '2020-01-01T00:00:00.000+00:00'"
            results._connection.execute(query)
        results.end_cell(cell, CellState.DONE)
        assert results.cell(cell).seconds > 3600 * 24 * 365


# --- resuming --------------------------------------------------------------------------------


def test_unfinished_cells_are_those_to_run(path: Path) -> None:
    with Results.open(path, create=True) as results:
        run = results.begin_run()
        cells = {state: add_cell(results, run, (state, "6.1", "netlink")) for state in CellState}
        for state, cell in cells.items():
            results.describe_cell(cell, state=state)
        wanted = {CellState.PLANNED, CellState.RUNNING, CellState.INTERRUPTED}
        assert {cell.state for cell in results.unfinished(run)} == wanted
        assert {cell.id for cell in results.unfinished(run)} == {cells[state] for state in wanted}


def test_a_cell_that_begins_again_forgets_its_first_attempt(path: Path) -> None:
    with Results.open(path, create=True) as results:
        cell, other = begun(results), begun(results)
        for each in (cell, other):
            results.record(each, case("a", "failed"))
        results.describe_cell(cell, release="6.1", config="CONFIG_X=y", tools={"ip": "6.1"})
        results.end_cell(cell, CellState.INTERRUPTED, seconds=3, reason="^C", last="b", log="x")
        results.begin_cell(cell)
        found = results.cell(cell)
        assert found.state is CellState.RUNNING
        left = (found.release, found.config, found.tools, found.reason, found.last, found.log)
        assert left == ("", "", {}, "", "", "")
        assert found.seconds == 0
        assert results.cases(cell) == []
        assert names(results.cases(other)) == ["a"]


def test_a_run_that_goes_on_has_not_ended(path: Path) -> None:
    with Results.open(path, create=True) as results:
        run = results.begin_run()
        results.end_run(run)
        assert results.run(run).ended
        results.resume_run(run)
        assert not results.run(run).ended


# --- refusals --------------------------------------------------------------------------------


def test_a_file_that_is_not_there_is_not_made_to_be_read(path: Path) -> None:
    with pytest.raises(VxlabError, match=r"wanted the results file .*results.sqlite, found none"):
        Results.open(path)
    assert not path.exists()


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize("content", [b"not a database at all\n" * 99, b"\0" * 5000])
def test_a_file_that_is_no_database_is_refused(path: Path, content: bytes, create: bool) -> None:
    path.write_bytes(content)
    with pytest.raises(VxlabError, match=r"results.sqlite, found: file is not a database"):
        Results.open(path, create=create)
    assert path.read_bytes() == content


@pytest.mark.parametrize("create", [False, True])
def test_another_programs_database_is_refused_and_kept(path: Path, create: bool) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE bookmarks (place TEXT)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(VxlabError, match="found a database of another program"):
        Results.open(path, create=create)
    assert path.read_bytes() == before


@pytest.mark.parametrize("create", [False, True])
def test_another_version_is_refused_and_kept(path: Path, create: bool) -> None:
    Results.open(path, create=True).close()
    with sqlite3.connect(path) as later:
        later.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    later.close()
    before = path.read_bytes()
    with pytest.raises(VxlabError, match="wanted results of version 1, found version 2: use"):
        Results.open(path, create=create)
    assert path.read_bytes() == before


def test_an_empty_file_has_no_results_and_can_be_filled(path: Path) -> None:
    path.touch()
    with pytest.raises(VxlabError, match="found an empty one"):
        Results.open(path)
    with Results.open(path, create=True) as results:
        assert results.runs() == []
        with pytest.raises(VxlabError, match="wanted a run, found none"):
            results.latest_run()


@pytest.mark.parametrize("create", [False, True])
def test_a_folder_is_refused(tmp_path: Path, create: bool) -> None:
    with pytest.raises(VxlabError, match="found a folder: name a file in it"):
        Results.open(tmp_path, create=create)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VxlabError, match="found: unable to open database file"):
        Results.open(tmp_path / "no" / "such.sqlite", create=True)


def test_one_who_reads_cannot_write(path: Path) -> None:
    Results.open(path, create=True).close()
    with Results.open(path) as results, pytest.raises(VxlabError, match="open it with create=True"):
        results.begin_run()


def test_what_is_not_there_cannot_be_changed(path: Path) -> None:
    with Results.open(path, create=True) as results:
        run = results.begin_run()
        for call in (results.begin_cell, results.cell):
            with pytest.raises(VxlabError, match=r"wanted (a )?cell.* found none"):
                call(9)
        with pytest.raises(VxlabError, match="wanted run 9, found none"):
            results.end_run(9)
        with pytest.raises(VxlabError, match=f"wanted one of the runs {run}, found 9"):
            results.run(9)
        with pytest.raises(VxlabError, match="FOREIGN KEY"):
            results.record(9, case())
        with pytest.raises(VxlabError, match="FOREIGN KEY"):
            add_cell(results, 9)


def test_a_run_has_each_cell_once(path: Path) -> None:
    with Results.open(path, create=True) as results:
        run = results.begin_run()
        add_cell(results, run)
        with pytest.raises(VxlabError, match="UNIQUE"):
            add_cell(results, run)
        add_cell(results, results.begin_run())


def test_only_known_fields_of_a_cell_are_written(path: Path) -> None:
    with Results.open(path, create=True) as results:
        cell = begun(results)
        with pytest.raises(VxlabError, match=r"wanted fields of config, .* found kernel"):
            results.describe_cell(cell, kernel="6.1")
        with pytest.raises(ValueError, match="asleep"):
            results.end_cell(cell, "asleep")
        assert results.cell(cell).state is CellState.RUNNING


def test_a_record_that_cannot_be_written_leaves_nothing(path: Path) -> None:
    with Results.open(path, create=True) as results:
        cell = begun(results)
        with pytest.raises(VxlabError):
            results.record(cell, case("a"), replace(case("b"), seconds=None))  # type: ignore[arg-type]
        assert results.cases(cell) == []


# --- several at once -------------------------------------------------------------------------

_WRITER = """
import sys
from vxlab.results import Case, Outcome, Results
results = Results.open(sys.argv[1], create=True)
run = results.begin_run()
cell = results.add_cell(run, kernel="6.1", iproute2="6.15", backend="netlink")
results.begin_cell(cell)
for number in range(10**9):
    results.begin_case(cell, f"test_{number}")
    results.record(cell, Case(nodeid=f"test_{number}", outcome=Outcome.PASSED, evidence="x" * 5000))
    print(number, flush=True)
"""


def test_a_killed_writer_loses_nothing_that_it_recorded(path: Path) -> None:
    command = [sys.executable, "-c", _WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        said = [int(writer.stdout.readline()) for _ in range(40)]
        with Results.open(path) as meanwhile:
            assert len(meanwhile.cases(meanwhile.cells(1)[0].id)) >= 40
        writer.kill()
        said += [int(line) for line in writer.stdout]
    with Results.open(path) as results:
        (cell,) = results.unfinished(results.latest_run().id)
        assert cell.state is CellState.RUNNING
        found = results.cases(cell.id)
        assert names(found) == [f"test_{number}" for number in range(len(found))]
        assert len(said) <= len(found) <= len(said) + 1
        assert all(each.evidence == "x" * 5000 for each in found)
    with Results.open(path, create=True) as results:  # and it goes on
        assert results._rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
        results.begin_cell(cell.id)
        results.end_cell(cell.id, CellState.DONE)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_one_reads_while_another_writes(path: Path) -> None:
    with Results.open(path, create=True) as writer:
        cell = begun(writer)
        with Results.open(path) as reader:
            for number in range(3):
                writer.record(cell, case(f"test_{number}"))
                assert len(reader.cases(cell)) == number + 1
            with writer._transaction():
                writer.record(cell, case("late"))
                assert len(reader.cases(cell)) == 3  # at once, and not half of what is written
            assert len(reader.cases(cell)) == 4


def test_a_reader_does_not_keep_a_writer_from_closing(path: Path) -> None:
    writer = Results.open(path, create=True)
    cell = begun(writer)
    with Results.open(path) as reader:
        assert reader.cell(cell)
        writer.close()
        assert reader.cell(cell).state is CellState.RUNNING


def test_threads_share_one_writer(path: Path) -> None:
    with Results.open(path, create=True) as results:
        run = results.begin_run()
        cells = [add_cell(results, run, (str(number), "6.1", "netlink")) for number in range(4)]
        problems: list[BaseException] = []

        def fill(cell: int) -> None:
            try:
                results.begin_cell(cell)
                for number in range(25):
                    results.record(cell, case(f"test_{number}"))
                results.end_cell(cell, CellState.DONE)
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=fill, args=(cell,)) for cell in cells]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
        assert [len(results.cases(cell)) for cell in cells] == [25] * 4
        assert {cell.state for cell in results.cells(run)} == {CellState.DONE}


def test_a_file_that_was_closed_is_a_single_one_that_can_be_copied(path: Path) -> None:
    with Results.open(path, create=True) as results:
        cell = begun(results)
        results.record(cell, case("a"))
    copied = path.with_name("a copy? #1%.sqlite")
    copied.write_bytes(path.read_bytes())
    with Results.open(copied) as results:
        assert names(results.cases(cell)) == ["a"]
    assert {file.name for file in path.parent.iterdir()} == {path.name, copied.name}


#: What another program may have written: a statement, and what is said of it.
DAMAGE = {
    "state": ("UPDATE cell SET state = 'asleep'", "a cell that is none: 'asleep'"),
    "tools": ("UPDATE cell SET tools = '[1'", "a cell that is none"),
    "tools, a list": ("UPDATE cell SET tools = '[]'", "wanted an object, found []"),
    "kernel": ("UPDATE cell SET kernel = x'00'", "a cell that is none: kernel: wanted str"),
    "seconds": ("UPDATE cell SET seconds = 'long'", "a cell that is none: seconds: wanted float"),
    "seconds, no end": ("UPDATE cell SET seconds = 9e999", "seconds: wanted a number, found inf"),
    "deep": (f"UPDATE cell SET tools = '{'[' * 100_000}'", "a cell that is none"),
    "host": ("UPDATE run SET host = '7'", "a run that is none: wanted an object, found 7"),
    "selection": ("UPDATE run SET selection = ''", "a run that is none"),
    "started": ("UPDATE run SET started = x'00'", "a run that is none: started: wanted str"),
    "outcome": ("UPDATE case_ SET outcome = 'lovely'", "a case that is none: 'lovely'"),
    "known": ("UPDATE case_ SET known = '[{}]'", "a case that is none"),
    "known, a number": ("UPDATE case_ SET known = '7'", "a case that is none"),
    "reason": ("UPDATE case_ SET reason = x'ff'", "a case that is none: reason: wanted str"),
    "text": ("UPDATE case_ SET reason = CAST(x'ff' AS TEXT)", "Could not decode to UTF-8"),
    "table": ("DROP TABLE case_", "no such table: case_"),
    "column": ("ALTER TABLE cell ADD COLUMN more", "a cell that is none"),
}


def _read_all(results: Results) -> None:
    for each in results.cells(results.latest_run().id):
        results.cases(each.id)


@pytest.mark.parametrize("name", DAMAGE)
def test_a_file_that_was_damaged_is_refused_in_a_sentence(name: str, path: Path) -> None:
    statement, said = DAMAGE[name]
    with Results.open(path, create=True) as results:
        run = results.begin_run()
        cell = results.add_cell(run, kernel="6.1", iproute2="6.1", backend="netlink")
        results.record(cell, Case(nodeid="a", outcome=Outcome.PASSED))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)
    with Results.open(path) as results, pytest.raises(VxlabError) as refused:
        _read_all(results)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for create in (False, True):
        with pytest.raises(VxlabError, match="found a pipe or a device: name a file"):
            Results.open(tmp_path / "pipe", create=create)
