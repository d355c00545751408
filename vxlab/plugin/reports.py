"""The part of the pytest plugin that tells another program what each test did, as it happens.

``--vxlab-reports FILE`` appends objects of JSON to FILE, one a line, each written at once, so that
the last line names the test that was running when a machine died::

    {"collected": 143}
    {"start": "scenarios/test_a.py::test_b[ipv4]", "behaviour": "…", "known": [{"id": "K40", …}]}
    {"case": "scenarios/test_a.py::test_b[ipv4]", "outcome": "failed", "seconds": 0.31,
     "reason": "…", "evidence": "…", "behaviour": "…", "known": [{"id": "K40", …}]}

A start has the markers, too, as a machine that dies of a test never ends it; but not with
pytest-xdist.  ``outcome`` is passed, failed, error (of a fixture), skipped, xfailed or xpassed; a
test that is stopped half-way has no ``case``, unless a worker of pytest-xdist died of it: then it
failed.  A module that cannot be collected is a case of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vxlab.errors import VxlabError
from vxlab.plugin import places
from vxlab.system import files

if TYPE_CHECKING:
    from vxlab.results.model import KnownDifference

MARKER = (
    "known_difference(id, *, since, until, of, deadly): a finding that makes this scenario fail or "
    "differ with kernels (of='kernel') or iproute2 (of='iproute2') from `since` on and before "
    "`until`; a deadly one ends such a kernel, so that it is skipped there unless the environment "
    "has VXLAB_EXPENDABLE=yes"
)

#: Characters of evidence that are kept of one test; what is longer is cut in the middle.
LONGEST = 48_000

_NAME = "vxlab-reports"

_KNOWN = pytest.StashKey["list[KnownDifference]"]()


def add_options(parser: pytest.Parser) -> None:
    """Define ``--vxlab-reports``."""
    parser.getgroup("vxlab").addoption(
        "--vxlab-reports",
        metavar="FILE",
        type=places.named,
        help="append to FILE what each test did as soon as it has ended, a line of JSON each",
    )
    parser.getgroup("vxlab").addoption(
        "--vxlab-seen",
        metavar="FILE",
        type=places.named,
        help="leave out the tests whose node ids FILE lists, as JSON: an earlier run has seen them",
    )


def configure(config: pytest.Config) -> None:
    """Begin to report where that was asked for; for the hook ``pytest_configure``."""
    config.pluginmanager.register(_Markers(), f"{_NAME}-markers")
    seen: Path | None = config.getoption("vxlab_seen")
    if seen is not None:
        place = places.place(config, seen)
        config.pluginmanager.register(SeenRecorder(place), f"{_NAME}-seen")
    path: Path | None = config.getoption("vxlab_reports")
    if path is None:
        return
    if hasattr(config, "workerinput"):  # of pytest-xdist: its controller reports
        config.pluginmanager.register(_Facts(), f"{_NAME}-facts")
        return
    try:
        reporter = _Reporter(places.place(config, path))
    except OSError as error:
        raise _unwritable(path, error) from error
    config.pluginmanager.register(_Facts(), f"{_NAME}-facts")
    config.pluginmanager.register(reporter, _NAME)
    config.add_cleanup(reporter.close)


class _Markers:
    """Reads the markers of each test before all else: a wrong one is an error of that test.

    A test that would end this kernel is skipped.
    """

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        item.stash[_KNOWN] = known_differences(item)
        if not item.stash[_KNOWN]:
            return
        from vxlab.results.model import EXPENDABLE

        release = os.uname().release
        for known in item.stash[_KNOWN]:
            if known.deadly and known.covers(release) and os.environ.get(EXPENDABLE) != "yes":
                pytest.skip(
                    f"{known.id} ends kernels such as this one, {release}: run it in a virtual "
                    f"machine (`vxlab vm run`), or where nothing is lost, with {EXPENDABLE}=yes"
                )


class SeenRecorder:
    """Leaves out what an earlier run has seen, after all others have chosen what to run."""

    def __init__(self, path: Path) -> None:
        wanted = "a file with a list of node ids as JSON"
        try:
            found = json.loads(files.read_text(path))
        except (OSError, ValueError, RecursionError) as error:
            raise places.refusal("--vxlab-seen", wanted, path, error) from error
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            other = ValueError(f"{str(found)[:60]} is no list of texts")
            raise places.refusal("--vxlab-seen", wanted, path, other)
        self._seen = set(found)

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> Generator[None, None, None]:
        """Leave out the tests that were seen."""
        yield
        left_out = [item for item in items if item.nodeid in self._seen]
        if left_out:
            items[:] = [item for item in items if item.nodeid not in self._seen]
            config.hook.pytest_deselected(items=left_out)


class _Facts:
    """Puts what a test says about itself into its reports, which travel between processes."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.when == "setup":
            report.vxlab = _facts(item, item.stash.get(_KNOWN, []))  # type: ignore[attr-defined]
        return report


def _facts(item: pytest.Item, known: list[KnownDifference]) -> dict[str, Any]:
    from vxlab.plugin.markers import behaviour_of

    found = behaviour_of(item)
    return {
        "behaviour": found.sentence if found else "",
        "known": [{"id": x.id, "since": x.since, "until": x.until, "of": x.of} for x in known],
    }


def known_differences(item: pytest.Item) -> list[KnownDifference]:
    """What the markers ``known_difference`` of a test say; VxlabError where one is wrong."""
    marks = list(item.iter_markers("known_difference"))
    if not marks:
        return []  # as nearly always: then the results need not be imported
    from vxlab.results.model import KnownDifference

    found = []
    for mark in marks:
        try:
            found.append(KnownDifference(*mark.args, **mark.kwargs))
        except (TypeError, VxlabError) as error:
            raise VxlabError(f"{item.nodeid}: the marker known_difference: {error}") from error
    return found


class _Reporter:
    """Writes the lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = files.open_to_write(path, append=True)
        self._open: dict[str, dict[str, Any]] = {}
        self._collected = False
        self._starts: dict[str, Any] = {}

    def close(self) -> None:
        with contextlib.suppress(OSError):  # of a disk that is full, which was said before
            self._file.close()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._say(collected=len(session.items))

    @pytest.hookimpl(optionalhook=True)  # of pytest-xdist, whose workers all collect the same
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        if not self._collected:
            self._collected = True
            self._say(collected=len(ids))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            case = {"outcome": "error", "reason": _reason(report)}
            case["evidence"] = _cut(report.longreprtext)
            self._case(report.nodeid or "collection", case)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        self._starts = {}
        with contextlib.suppress(VxlabError):  # which is an error of that test
            self._starts = _facts(item, known_differences(item))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._say(start=nodeid, **{name: value for name, value in self._starts.items() if value})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        case = self._open.setdefault(report.nodeid, {"outcome": "", "seconds": 0.0})
        case["seconds"] += report.duration
        case.update(getattr(report, "vxlab", {}))
        told = outcome_of(report)
        is_bad = told in ("failed", "error")
        # a failure at the end of a test outdoes its pass; to one before it is only added
        if is_bad and case["outcome"] in ("failed", "error"):
            case["evidence"] = _cut("\n\n".join((case["evidence"], _evidence(report))))
        elif is_bad or (told and not case["outcome"]):
            case["outcome"], case["reason"] = told, _reason(report)
            case["evidence"] = _cut(_evidence(report)) if is_bad else ""
        if report.when not in ("setup", "call"):  # pytest-xdist: '???' where a worker has died
            del self._open[report.nodeid]
            self._case(report.nodeid, case)

    def _case(self, nodeid: str, case: dict[str, Any]) -> None:
        case["seconds"] = round(case.get("seconds", 0.0), 3)
        self._say(case=nodeid, **{name: value for name, value in case.items() if value})

    def _say(self, **fields: object) -> None:
        try:
            self._file.write(json.dumps(fields, separators=(",", ":")) + "\n")
            self._file.flush()
        except OSError as error:  # without its reports this run is worth nothing to who asked
            raise _unwritable(self._path, error) from error


def _unwritable(path: Path, error: OSError) -> pytest.UsageError:
    return places.refusal("--vxlab-reports", "a file to write to", path, error)


def outcome_of(report: pytest.TestReport) -> str:
    """What one phase of a test means for the whole; '' where it decides nothing."""
    expected = hasattr(report, "wasxfail")
    if report.failed:
        return "error" if report.when in ("setup", "teardown") else "failed"
    if report.skipped:
        return "xfailed" if expected else "skipped"
    if report.when != "call":
        return ""
    return "xpassed" if expected else "passed"


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why it did not pass, in a line or a few."""
    expected: str | None = getattr(report, "wasxfail", None)
    if expected is not None:
        return expected.removeprefix("reason: ")
    if report.passed:
        return ""
    if isinstance(report.longrepr, tuple):  # of a skip: file, line, reason
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    text: str = crash.message if crash is not None else report.longreprtext
    if isinstance(report.longrepr, str):  # which longreprtext puts the name of a worker before
        text = report.longrepr
    return "\n".join(text.strip().splitlines()[:12])


def _evidence(report: pytest.TestReport) -> str:
    """All that a failed test says: where it failed, what it printed, what vxlab saw."""
    parts = [report.longreprtext]
    parts += [f"--- {title}\n{content}" for title, content in report.sections]
    return "\n\n".join(parts)


def _cut(text: str) -> str:
    """A text's beginning and end, saying how much is left out between; all of a short one."""
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    left_out = len(text) - 2 * half
    return f"{text[:half]}\n\n[… {left_out} characters are left out here …]\n\n{text[-half:]}"
