"""What is kept of the labs of a test: its frames, and where it failed all that explains it.

The labs of a test are those of its fixtures, of whatever scope: the fixture ``lab``, fixtures of
:func:`vxlab.lab_fixture`, and fixtures of its own whose value is a :class:`vxlab.Lab`.  Of a lab
that tests share a test gets the frames since it began.

``--vxlab-evidence DIR`` has a folder in DIR for each failed test; a test that is run again, and
fails again, has another one.  In JUnit XML (``--junitxml``) the properties ``vxlab evidence`` and
``vxlab diagnosis`` of a test name them; allure-pytest (``--alluredir``) gets all files as
attachments, with or without that option.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vxlab.plugin import controls, evidence_names, places

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
        type=places.named,
        help="write the frames of every test to DIR, one pcapng file a test",
    )
    group.addoption(
        "--vxlab-evidence",
        metavar="DIR",
        type=places.named,
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
    """A test begins, maybe again: what it leaves has a folder of its own."""
    item.stash[_BEGUN] = time.time_ns()
    evidence_names.forget(item)


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
        own = evidence_names.name(item)
        own = own if len(labs) == 1 else f"{own}-{name}"
        failure_report.write_frames(lab, where, own, item.stash[_BEGUN])


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
        add(item, lab, report, "" if len(labs) == 1 else name)
    return report


def add(item: pytest.Item, lab: Lab, report: pytest.TestReport, name: str = "") -> None:
    """Add to the report of a failed test what one of its labs looks like, and keep that.

    ``item`` is the test, ``lab`` is still there, ``report`` is that of the phase that failed;
    ``name`` tells the lab from the test's others ("" where there is no other).
    """
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
    if where is not None:
        told("evidence", lambda: _noted(item, _write(item, lab, text, where, name)))
    if item.config.pluginmanager.hasplugin("allure_listener"):
        told("allure", lambda: _attach(item, lab, text, name))
    item.user_properties += [("vxlab diagnosis", remark) for remark in lab.remarks]


def _write(item: pytest.Item, lab: Lab, text: str, where: Path, name: str) -> Path:
    from vxlab.explain import failure_report

    control = controls.active_control(item)
    own = evidence_names.name(item)
    return failure_report.write_evidence(
        lab,
        where,
        f"{own}-{name}" if name else own,
        text,
        control=control.what if control else "",
        since=item.stash.get(_BEGUN, 0),
    )


def _noted(item: pytest.Item, own: Path) -> Path:
    """A folder, which reports of other kinds name as well: JUnit XML has such properties."""
    item.user_properties.append(("vxlab evidence", str(own)))
    return own


def _attach(item: pytest.Item, lab: Lab, text: str, name: str) -> str:
    """Attach all that is kept of a failed test to the result that allure-pytest writes."""
    import allure

    types = {".txt": allure.attachment_type.TEXT, ".json": allure.attachment_type.JSON}
    with tempfile.TemporaryDirectory() as place:
        own = _write(item, lab, text, Path(place), name)
        files = sorted(path for path in own.rglob("*") if path.is_file())
        for path in files:
            attributes = {"attachment_type": types.get(path.suffix), "extension": path.suffix[1:]}
            allure.attach.file(str(path), name=str(path.relative_to(own)), **attributes)
    return f"{len(files)} files are attached"
