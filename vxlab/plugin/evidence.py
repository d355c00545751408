"""What is kept of the labs of a test: its frames, and where it failed all that explains it.

The labs of a test are those of its fixtures, of whatever scope: the fixture ``lab``, fixtures of
:func:`vxlab.lab_fixture`, and fixtures of its own whose value is a :class:`vxlab.Lab`.  Of a lab
that tests share a test gets the frames since it began.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from vxlab.live.lab import Lab

_BEGUN = pytest.StashKey[int]()
#: The open labs of a scope, by the name of their fixture.
_LABS = pytest.StashKey[dict[str, "Lab"]]()


def add_options(parser: pytest.Parser) -> None:
    """Define ``--vxlab-pcap`` and ``--vxlab-evidence``."""
    group = parser.getgroup("vxlab")
    group.addoption(
        "--vxlab-pcap",
        metavar="DIR",
        type=Path,
        help="write the frames of every test to DIR, one pcapng file a test",
    )
    group.addoption(
        "--vxlab-evidence",
        metavar="DIR",
        type=Path,
        help="keep the evidence of every failed test in DIR: report, plan, state, frames",
    )


def folder(config: pytest.Config, option: str) -> Path | None:
    """The folder that an option names, wherever a test has gone to meanwhile.

    ``option`` is ``vxlab_pcap`` or ``vxlab_evidence``.
    """
    given: Path | None = config.getoption(option)
    return None if given is None else config.invocation_params.dir / given


def keep(request: pytest.FixtureRequest, lab: Lab) -> None:
    """Let the tests of a fixture's scope have the evidence of ``lab``, the fixture's value."""
    request.node.stash.setdefault(_LABS, {})[str(request.fixturename)] = lab


def labs_of(item: pytest.Item) -> dict[str, Lab]:
    """The labs of a test, by the name of their fixture; empty where the test has closed them."""
    live = sys.modules.get("vxlab.live.lab")
    if live is None:
        return {}
    own = item.stash.get(_LABS, {})
    found = {
        name: lab
        for node in item.listchain()
        for name, lab in node.stash.get(_LABS, {}).items()
        if name in own or name in getattr(item, "fixturenames", ())
    }
    given = getattr(item, "funcargs", {}).items()
    return found | {name: value for name, value in given if isinstance(value, live.Lab)}


def begin(item: pytest.Item) -> None:
    """Remember when a test began."""
    item.stash[_BEGUN] = time.time_ns()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Write the frames of the test, while its labs are there."""
    where, problem = folder(item.config, "vxlab_pcap"), None
    if where is not None:
        try:
            _write_frames(item, where)
        except OSError as error:  # the test's fixtures end all the same
            problem = error
    yield
    if problem is not None:
        raise problem


def _write_frames(item: pytest.Item, where: Path) -> None:
    from vxlab.explain import failure_report

    labs = labs_of(item)
    for name, lab in labs.items():
        test = item.nodeid if len(labs) == 1 else f"{item.nodeid}-{name}"
        failure_report.write_frames(lab, where, test, item.stash[_BEGUN])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the state of every node and the last frames to the report of a failed test.

    Also where a fixture that uses the lab failed; not where one fails at its end, for the lab
    is gone by then, as it is where the test has closed it.
    """
    report = yield
    found = labs_of(item) if report.failed else {}
    labs = {name: lab for name, lab in found.items() if len(lab)}
    for name, lab in labs.items():
        _add_evidence(item, lab, report, "" if len(labs) == 1 else name)
    return report


def _add_evidence(item: pytest.Item, lab: Lab, report: pytest.TestReport, name: str) -> None:
    from vxlab.explain import failure_report

    def told(title: str, tell: Callable[[], object]) -> None:
        try:
            content = str(tell())
        except Exception as error:  # whatever it is, the test's own failure must not be lost
            content = f"none: {type(error).__name__}: {error}"
        report.sections.append((f"vxlab: {title}{name and f' of {name}'}", content))

    begun = item.stash.get(_BEGUN, 0)
    told("state of every node", lambda: failure_report.states_text(lab))
    told("last frames", lambda: failure_report.last_frames_text(lab, begun))
    if any(path.stat().st_size for path in lab.logs.values()):
        told("output of programs", lambda: failure_report.logs_text(lab))
    where, text = folder(item.config, "vxlab_evidence"), report.longreprtext
    test = f"{item.nodeid}-{name}" if name else item.nodeid
    if where is not None:
        told(
            "evidence",
            lambda: failure_report.write_evidence(lab, where, test, text, since=begun),
        )
