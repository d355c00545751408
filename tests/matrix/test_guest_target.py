"""Virtual machines that end badly under a matrix: each is told as what it is, the rest goes on.

These boots take minutes of an emulated processor: they run where KVM works, and where VXLAB_BOOTS
is set (tests/vm/test_boots.py).
"""

from __future__ import annotations

import os
import signal
import tempfile
import textwrap
from pathlib import Path

import pytest

from tests.matrix_tools import Watcher
from vxlab.errors import VxlabError
from vxlab.matrix.events import CaseStarted, Event
from vxlab.matrix.executors import LocalThreads
from vxlab.matrix.run import run_matrix
from vxlab.matrix.selection import Selection, begin_run
from vxlab.results import CellState, Results
from vxlab.vm import bundles, machine, packages
from vxlab.vm.run import prepare_kernel

KERNEL, IPROUTE2 = "6.1", "6.1"

#: What becomes of the machine depends on the cell; two of the six end well.
PROJECT = """
    import pathlib, time

    def test_first():
        pass

    def test_second(request):
        backend = request.config.getoption("vxlab_backend")
        if request.config.getoption("iproute2") is None:
            if backend == "netlink":
                pathlib.Path("/proc/sysrq-trigger").write_text("c")
            if backend == "iproute2":
                time.sleep(10000)
            with open("/tmp/large", "wb") as file:
                while True:
                    file.write(bytes(1 << 20))
        elif backend == "netlink":
            time.sleep(10000)

    def test_third():
        pass
"""


class _Killer(Watcher):
    """Kills QEMU where it is to be lost."""

    def event(self, event: Event) -> None:
        super().event(event)
        if isinstance(event, CaseStarted) and event.nodeid.endswith("test_second"):
            combination = self.planned[event.cell]
            if combination.iproute2 == IPROUTE2 and combination.backend == "netlink":
                (pid,) = machines()
                os.kill(pid, signal.SIGKILL)


def machines() -> list[int]:
    """The processes of QEMU that this process has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(")")
        except OSError:
            continue
        if "qemu-system" in name and int(rest.split()[1]) == os.getpid():
            found.append(int(stat.parent.name))
    return found


@pytest.mark.slow
def test_each_machine_is_told_as_it_ended_and_the_rest_goes_on(tmp_path, monkeypatch):
    if not os.environ.get("VXLAB_BOOTS") and not machine.has_kvm():
        pytest.skip("boots in emulation take long: VXLAB_BOOTS=1 runs all of them")
    try:
        packages.program("qemu-system-x86_64", "qemu-system-x86")
        prepare_kernel(kernel=KERNEL)
        bundles.find(IPROUTE2)
    except VxlabError as error:
        pytest.skip(f"no virtual machine here: {error}")
    project, temporary = tmp_path / "project", tmp_path / "tmp"
    project.mkdir()
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    (project / "pytest.ini").write_text("[pytest]\n")
    (project / "test_ends.py").write_text(textwrap.dedent(PROJECT))
    selection = Selection(
        kernels=[KERNEL],
        iproute2=["system", IPROUTE2],
        backends=["netlink", "iproute2", "script"],
        arguments=["test_ends.py"],
        deadline=90.0,
    )
    with Results.open(tmp_path / "results.sqlite", create=True) as results:
        number = begin_run(results, selection)
        run_matrix(
            results,
            number,
            selection,
            project=project,
            watcher=_Killer(),
            execute=LocalThreads(1),
            junit=tmp_path / "junit",
        )
        cells = {(cell.iproute2, cell.backend): cell for cell in results.cells(number)}
        ran = {key: len(results.cases(cell.id)) for key, cell in cells.items()}
    assert {key: cell.state for key, cell in cells.items()} == {
        ("system", "netlink"): CellState.CRASHED,
        ("system", "iproute2"): CellState.DEADLINE,
        ("system", "script"): CellState.DISK_FULL,
        (IPROUTE2, "netlink"): CellState.MACHINE_LOST,
        (IPROUTE2, "iproute2"): CellState.DONE,
        (IPROUTE2, "script"): CellState.DONE,
    }
    crashed = cells["system", "netlink"]
    assert crashed.last == "test_ends.py::test_second"
    assert "sysrq triggered crash" in crashed.reason
    assert "Kernel panic - not syncing: sysrq triggered crash" in crashed.fingerprint
    assert "sysrq triggered crash" in crashed.log
    assert "SIGKILL" in cells[IPROUTE2, "netlink"].reason
    assert ran[IPROUTE2, "script"] == ran[IPROUTE2, "iproute2"] == 3
    assert ran["system", "netlink"] == 3  # it goes on after the crash, in another machine
    assert len(list((tmp_path / "junit").glob("*.xml"))) == len(cells)
    assert list(temporary.iterdir()) == []
    assert machines() == []
