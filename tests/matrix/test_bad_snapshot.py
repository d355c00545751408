"""Cells whose pytest dies in a bad snapshot run again without it; QEMU is a script here."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from tests.matrix_tools import job, states
from tests.vm.fake_machine import install
from vxlab.matrix.cancellation import Cancellation
from vxlab.matrix.events import CaseEnded, CellBegun, Event
from vxlab.matrix.job_runner import run_job
from vxlab.vm import cache, kernels
from vxlab.vm.guest import Guest

#: Runs the cells that are left: the first ends well, the second does not in a snapshot.
BODY = """
    cell() {
        say "{\\"begin\\": $1, \\"tools\\": {}}"
        say '{"case": "t.py::test_a", "outcome": "passed"}'
        say "{\\"end\\": $1, \\"code\\": $2, \\"full\\": [], \\"said\\": \\"\\"}"
    }
    up
    case "$*" in
    *-incoming*) cell 1 0; cell 2 {CODE}; cell 3 0; exec sleep 1000 ;;
    *) cell 2 0; cell 3 0; ends 0 ;;
    esac
"""


def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> Guest:
    """Make machines of a kernel go on from a snapshot, in which the second cell ends so."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    guest = install(tmp_path, monkeypatch, BODY.replace("{CODE}", str(code)))
    snapshot = cache.part("snapshots", "name") / "state"
    snapshot.touch()
    with tarfile.open(guest.root, "w"):
        pass
    kernel = kernels.Kernel(name="6.1", release="6.1", image=guest.kernel, modules=None)
    guest = Guest(
        kernel=guest.kernel, start=guest.start, root=guest.root, modules=None, snapshot=snapshot
    )
    monkeypatch.setattr("vxlab.vm.kernels.find", lambda *_, **__: kernel)
    monkeypatch.setattr("vxlab.matrix.guest_target.parts", lambda *_, **__: guest)
    monkeypatch.setattr("vxlab.matrix.guest_target.bundles_of", lambda *_: {})
    monkeypatch.setattr("vxlab.matrix.guest_target.job_text", lambda *_, **__: "")
    monkeypatch.setattr("vxlab.vm.machine.has_kvm", lambda: False)
    return guest


def test_what_died_in_a_bad_snapshot_runs_again_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = target(tmp_path, monkeypatch, 139)
    events: list[Event] = []
    said: list[str] = []
    run_job(job(3, boot=60.0), events.append, guest.root, Cancellation(), said.append)
    assert states(events) == dict.fromkeys((1, 2, 3), "done")
    assert [e.cell for e in events if isinstance(e, CellBegun)] == [1, 2, 2, 3]
    assert [e.cell for e in events if isinstance(e, CaseEnded)] == [1, 2, 2, 3]
    assert "SIGSEGV in a machine from a snapshot" in said[0]
    assert guest.snapshot is not None
    assert not guest.snapshot.exists()


def test_what_is_killed_says_nothing_of_a_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = target(tmp_path, monkeypatch, 137)
    cells = job(2, boot=60.0, deadline=1.0)
    events: list[Event] = []
    run_job(cells, events.append, guest.root, Cancellation(), lambda _: None)
    assert states(events)[2] == "pytest aborted"
    assert guest.snapshot is not None
    assert guest.snapshot.exists()
