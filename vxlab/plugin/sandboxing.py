"""The part of the pytest plugin that moves a test run into a sandbox.

Before pytest has loaded a single test file its process enters a sandbox, as it stands
(:func:`vxlab.sandbox.enter`), also where another program has called ``pytest.main()``: an IDE, say,
which then goes on in there.  Only a process with one thread can do that; in any other a test that
needs a lab learns why not from :func:`require`.
"""

from __future__ import annotations

import os
import sys
import types

import _pytest.config
import pytest

from vxlab import sandbox
from vxlab.errors import SandboxError
from vxlab.plugin import sandbox_need
from vxlab.plugin.worker_network import WorkerNetwork

#: Options that only list something; they need no lab, so they work where no sandbox can be made.
LISTING = (
    "help",
    "version",
    "markers",
    "collectonly",
    "vxlab_behaviours",
    "showfixtures",
    "show_fixtures_per_test",
    "cacheshow",
)

_REASON = pytest.StashKey[str]()
_CAUSE = pytest.StashKey[str]()


def add_options(parser: pytest.Parser) -> None:
    """Define ``--no-sandbox`` and the ini setting ``vxlab_sandbox``."""
    parser.getgroup("vxlab").addoption(
        "--no-sandbox",
        action="store_true",
        help="stay out of the sandbox: labs then need root (for debugging them from outside)",
    )
    parser.addini(
        "vxlab_sandbox",
        "run pytest in private namespaces: auto (where a test file, a conftest.py or what these "
        "import needs vxlab), always, or never",
        default="auto",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> None:
    """Move this process into a sandbox, where that is wanted.

    ``early_config``, ``parser`` and ``args`` are what pytest calls this hook with.
    """
    if sandbox.inside():
        return
    cause, reason = _decide(early_config)
    if reason is not None:
        early_config.stash[_REASON] = reason
        return
    early_config.stash[_CAUSE] = cause
    capture = early_config.pluginmanager.getplugin("capturemanager")
    if capture is not None:  # a refusal must be seen
        capture.suspend_global_capture(in_=True)
    sandbox.enter(args, keep=[str(early_config.rootpath)])
    if capture is not None:
        capture.resume_global_capture()


def configure(config: pytest.Config) -> None:
    """Give a worker of pytest-xdist namespaces of its own; for the hook ``pytest_configure``."""
    if hasattr(config, "workerinput") and sandbox.inside():
        network = WorkerNetwork(keep=[str(config.rootpath)])
        config.pluginmanager.register(network, "vxlab-worker-network")
        config.add_cleanup(network.close)


def require(config: pytest.Config) -> None:
    """Return where labs can be made in this run; SandboxError says why not, and what to do."""
    if sandbox.inside():
        return
    reason = config.stash.get(
        _REASON, "the plugin was loaded too late: load it by `-p vxlab.plugin.hooks`"
    )
    if config.getoption("no_sandbox", default=False):
        if os.geteuid() == 0:
            return
        reason = "--no-sandbox was given, and only root can do without: leave it out"
    raise SandboxError(f"wanted a sandbox round this test run, found none: {reason}")


def header(config: pytest.Config) -> str:
    """What the report's head says of the sandbox: whether there is one, why, and what it means."""
    if not sandbox.inside():
        return "without a sandbox"
    cause = config.stash.get(_CAUSE, None)
    because = f", as {cause}" if cause else ""
    return f"in a sandbox (uid 0, its own localhost, empty /run){because}"


def _decide(config: pytest.Config) -> tuple[str, str | None]:
    """Why this run is to enter a sandbox, and, None where it is, why not."""
    reason = _reason_to_stay(config)
    if reason is not None:
        return "", reason
    if _mode(config) == "always":
        return "the setting vxlab_sandbox is `always`", _obstacle()
    cause = sandbox_need.need(config)
    if cause is None:
        return "", (
            "no test file of this run, no conftest.py and no module of the project that these "
            "import needs vxlab: import it there, or set `vxlab_sandbox = always` in the ini file"
        )
    return cause, _obstacle()


def _reason_to_stay(config: pytest.Config) -> str | None:
    """What forbids a sandbox, or makes it useless, whatever the tests are; None where nothing."""
    options = config.known_args_namespace
    mode = _mode(config)
    if options.no_sandbox:
        return "--no-sandbox was given"
    if mode == "never":
        return "the setting vxlab_sandbox is `never`: use `auto` or `always`"
    if not sys.platform.startswith("linux"):
        return f"labs are made of Linux namespaces, and this is {sys.platform}"
    if any(getattr(options, name, False) for name in LISTING):
        return "this run only lists things"
    return None


def _obstacle() -> str | None:
    """What keeps this process from entering a sandbox, with what to do; None where nothing does."""
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        return (
            f"pytest was called in a program with {threads} threads, and only one with a single "
            "thread can be moved into namespaces: call `vxlab.sandbox.enter()` before the others "
            "start, or start pytest as a program of its own"
        )
    if _pytests_that_run() > 1:
        return (
            "pytest was called by a test of another pytest, which must stay where it is: start it "
            "as a program of its own"
        )
    return None


def _mode(config: pytest.Config) -> str:
    mode = str(config.getini("vxlab_sandbox"))
    if mode not in ("auto", "always", "never"):
        raise pytest.UsageError(
            f"vxlab_sandbox: wanted auto, always or never, found {mode!r}: mend the ini file"
        )
    return mode


def _pytests_that_run() -> int:
    """How many calls of pytest's entry point are on the stack: this one, and what called it."""
    entry = "_main" if hasattr(_pytest.config, "_main") else "main"  # since 9, and before
    count = 0
    frame: types.FrameType | None = sys._getframe()
    while frame is not None:
        module, name = frame.f_globals.get("__name__"), frame.f_code.co_name
        count += (module, name) == ("_pytest.config", entry)
        frame = frame.f_back
    return count
