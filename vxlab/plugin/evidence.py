"""The part of the pytest plugin that keeps what explains a failed test, and says where.

``--vxlab-evidence DIR`` has a folder in DIR for each failed test; a test that is run again, and
fails again, has another one.  In JUnit XML (``--junitxml``) the properties ``vxlab evidence`` and
``vxlab diagnosis`` of a test name them; allure-pytest (``--alluredir``) gets all files as
attachments, with or without that option.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vxlab.plugin import controls

if TYPE_CHECKING:
    from vxlab.live.lab import Lab

_TAKEN = pytest.StashKey[Counter[str]]()
_NAME = pytest.StashKey[str]()

#: The key in a worker's input (of pytest-xdist) that is true where all workers run all tests.
_ALL = "vxlab_all"


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist how tests are spread; ``node`` is the controller's view of it.

    A worker itself is not told.
    """
    node.workerinput[_ALL] = node.config.getoption("dist") == "each"


def folder(config: pytest.Config, option: str) -> Path | None:
    """The folder that an option names, wherever a test has gone to meanwhile."""
    given: Path | None = config.getoption(option)
    return None if given is None else config.invocation_params.dir / given


def begin(item: pytest.Item) -> None:
    """A test begins, maybe again: what it leaves has a folder of its own."""
    if _NAME in item.stash:
        del item.stash[_NAME]


def add(item: pytest.Item, lab: Lab, report: pytest.TestReport) -> None:
    """Add to the report of a failed test what its lab looks like, and keep that.

    ``item`` is the test, ``lab`` its lab, still there, ``report`` that of the phase that failed.
    """
    from vxlab.explain import failure_report

    def told(title: str, tell: Callable[[], object]) -> None:
        try:
            content = str(tell())
        except Exception as error:  # whatever it is, the test's own failure must not be lost
            content = f"none: {type(error).__name__}: {error}"
        report.sections.append((f"vxlab: {title}", content))

    told("state of every node", lambda: failure_report.states_text(lab))
    told("last frames", lambda: failure_report.last_frames_text(lab))
    place = folder(item.config, "vxlab_evidence")
    if place is not None:
        told("evidence", lambda: _noted(item, _write(item, lab, report, place)))
    if item.config.pluginmanager.hasplugin("allure_listener"):
        told("allure", lambda: _attach(item, lab, report))
    item.user_properties += [("vxlab diagnosis", remark) for remark in lab.remarks]


def _write(item: pytest.Item, lab: Lab, report: pytest.TestReport, place: Path) -> Path:
    from vxlab.explain import failure_report

    control = controls.active_control(item)
    what = control.what if control else ""
    return failure_report.write_evidence(lab, place, name(item), report.longreprtext, control=what)


def _noted(item: pytest.Item, own: Path) -> Path:
    """A folder, which reports of other kinds name as well: JUnit XML has such properties."""
    item.user_properties.append(("vxlab evidence", str(own)))
    return own


def _attach(item: pytest.Item, lab: Lab, report: pytest.TestReport) -> str:
    """Attach all that is kept of a failed test to the result that allure-pytest writes."""
    import allure

    types = {".txt": allure.attachment_type.TEXT, ".json": allure.attachment_type.JSON}
    with tempfile.TemporaryDirectory() as place:
        own = _write(item, lab, report, Path(place))
        files = sorted(path for path in own.rglob("*") if path.is_file())
        for path in files:
            attributes = {"attachment_type": types.get(path.suffix), "extension": path.suffix[1:]}
            allure.attach.file(str(path), name=str(path.relative_to(own)), **attributes)
    return f"{len(files)} files are attached"


def name(item: pytest.Item) -> str:
    """The name for what is kept of this run of a test, which no other run of a test has."""
    if _NAME not in item.stash:
        from vxlab.explain.failure_report import file_name

        found = file_name(_identity(item))
        worker: dict[str, object] = getattr(item.config, "workerinput", {})
        if worker.get(_ALL):
            found += f"-{worker['workerid']}"
        taken = item.config.stash.setdefault(_TAKEN, Counter())
        taken[found] += 1
        item.stash[_NAME] = found if taken[found] == 1 else f"{found}.{taken[found]}"
    return item.stash[_NAME]


def _identity(item: pytest.Item) -> str:
    """The id of a test; with the path of its file where that is outside of the root folder.

    There pytest's ids do not tell two folders apart.
    """
    if item.path.is_relative_to(item.config.rootpath):
        return item.nodeid
    return f"{item.path}::{item.nodeid.partition('::')[2]}"
