"""The part of the pytest plugin that runs controls, and that writes behaviours down.

See :mod:`vxlab.plugin.markers` for what the markers ``behaviour`` and ``control`` mean.
"""

from __future__ import annotations

import functools
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vxlab.errors import VxlabError
from vxlab.plugin import markers, places
from vxlab.plugin.judge import judge
from vxlab.plugin.unittest_controls import NO_ENDING, is_method_of_unittest, replace_method
from vxlab.system import files

if TYPE_CHECKING:
    from vxlab.describe.topology import Topology
    from vxlab.live.lab import Lab
    from vxlab.plugin.markers import Control

MARKERS = (
    "behaviour(sentence, source): what a scenario shows, and the source that it follows from",
    "control(what, *, vteps, topology, lab, change, without, arguments, because): how the lab is "
    "broken so that this scenario turns red (see `--vxlab-controls`)",
)

_BROKEN = pytest.StashKey[bool]()


def add_options(parser: pytest.Parser) -> None:
    """Define ``--vxlab-controls`` and ``--vxlab-behaviours``."""
    group = parser.getgroup("vxlab")
    group.addoption(
        "--vxlab-controls",
        action="store_true",
        help="run only tests with the marker `control`, each on its broken lab, where it must fail",
    )
    group.addoption(
        "--vxlab-behaviours",
        metavar="FILE",
        type=places.named,
        help="write what the collected tests show to FILE, in Markdown; run none of them",
    )


def check(definition: pytest.Item) -> None:
    """CollectError, naming the test, where its markers are used wrongly."""
    try:
        markers.check(definition)
    except VxlabError as error:
        raise pytest.Collector.CollectError(f"{definition.nodeid}: {error}") from error


def active_control(item: pytest.Item) -> Control | None:
    """The control that a test runs under, if this is a run of controls."""
    return markers.control_of(item) if item.config.getoption("vxlab_controls") else None


def break_topology(item: pytest.Item, topology: Topology) -> Topology:
    """The topology of a test: broken by its control, once, in a run of controls."""
    control = active_control(item)
    if control is None or item.stash.get(_BROKEN, False):
        return topology
    item.stash[_BROKEN] = True
    return control.break_topology(topology)


def break_building(item: pytest.Item, lab: Lab) -> None:
    """Let a control change the operations that build a lab."""
    control = active_control(item)
    if control is not None:
        lab.intercept(control.alter)


def break_lab(item: pytest.Item, lab: Lab) -> None:
    """Let a control break a lab that is built, and change the operations that come."""
    control = active_control(item)
    if control is None:
        return
    if control.lab is not None:
        control.lab(lab)
    lab.intercept(control.alter_later)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Only collect where behaviours are to be written down."""
    if config.getoption("vxlab_behaviours"):
        config.option.collectonly = True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests without a control in a run of controls."""
    if not config.getoption("vxlab_controls"):
        return
    without = [item for item in items if item.get_closest_marker("control") is None]
    if without:
        items[:] = [item for item in items if item.get_closest_marker("control") is not None]
        config.hook.pytest_deselected(items=without)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """In a run of controls: a test passes by failing, and for the right reason."""
    control = active_control(pyfuncitem)
    if control is None:
        return (yield)
    _replace_arguments(pyfuncitem, control)
    ended: BaseException | None = None
    try:
        yield
    except NO_ENDING:
        raise
    except (Exception, pytest.fail.Exception) as error:
        ended = error
    _conclude(pyfuncitem, control, ended)
    return True


def _conclude(item: pytest.Function, control: Control, ended: BaseException | None) -> None:
    """Judge how a scenario ended, and fail where it did not turn red as it should."""
    wrong = judge(control, ended)
    if ended is not None:
        told = item.repr_failure(pytest.ExceptionInfo.from_exception(ended))
        item.add_report_section("call", "vxlab control", f"{control.what}\n\n{told}")
    if wrong is not None:
        pytest.fail(wrong, pytrace=False)


def prepare(item: pytest.Item) -> None:
    """In a run of controls: see to it that the end of a test will be judged, whoever runs it.

    Fails with a sentence where that cannot be; for the hook ``pytest_runtest_setup``.
    """
    control = active_control(item)
    if control is None:
        return
    if not isinstance(item, pytest.Function):
        pytest.fail(
            f"{item.nodeid}: the marker control: wanted a function or a method, found one "
            f"of the type {type(item).__name__}, whose end vxlab cannot judge: leave it out",
            pytrace=False,
        )
    if is_method_of_unittest(item):
        replace_method(item, control, functools.partial(_conclude, item, control))


def _replace_arguments(item: pytest.Function, control: Control) -> None:
    for name, value in (control.arguments or {}).items():
        if name not in item.funcargs:
            known = ", ".join(item.funcargs) or "none at all"
            pytest.fail(
                f"{item.name}: the marker control: arguments: wanted an argument of the test, "
                f"found {name!r}, not one of {known}",
                pytrace=False,
            )
        item.funcargs[name] = value


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write down the behaviours of all that was collected."""
    path: Path | None = session.config.getoption("vxlab_behaviours")
    if path is None or session.testsfailed or hasattr(session.config, "workerinput"):
        return
    from vxlab.plugin import document

    try:
        text = document.write(session.items)
        with files.open_to_write(places.place(session.config, path)) as file:
            file.write(text)
    except (OSError, VxlabError) as error:
        raise pytest.UsageError(f"--vxlab-behaviours {path}: {error}") from error
