"""The part of the pytest plugin that moves a test run into a sandbox.

Before pytest has loaded a single test file its process enters a sandbox, as it stands
(:func:`vxlab.sandbox.enter`), also where another program has called ``pytest.main()``: an IDE, say,
which then goes on in there.  Only a process with one thread can do that; in any other a test that
needs a lab learns why not from :func:`require`.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import _pytest.config
import pytest

from vxlab import sandbox
from vxlab.errors import SandboxError
from vxlab.plugin.worker_network import WorkerNetwork

#: How many files the scan of ``vxlab_sandbox = auto`` reads, and how much of each.
MAX_FILES, MAX_BYTES = 2000, 1 << 16

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


def add_options(parser: pytest.Parser) -> None:
    """Define ``--no-sandbox`` and the ini setting ``vxlab_sandbox``."""
    parser.getgroup("vxlab").addoption(
        "--no-sandbox",
        action="store_true",
        help="stay out of the sandbox: labs then need root (for debugging them from outside)",
    )
    parser.addini(
        "vxlab_sandbox",
        "run pytest in private namespaces: auto (where a test file or conftest.py mentions "
        "vxlab), always, or never",
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
    reason = _reason_to_stay(early_config)
    if reason is not None:
        early_config.stash[_REASON] = reason
        return
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


def _reason_to_stay(config: pytest.Config) -> str | None:
    """Why this run is not to enter a sandbox; None where it is."""
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
    if mode == "auto" and not _mentions_vxlab(config):
        return (
            "no test file and no conftest.py of this run mentions vxlab: import it there, or "
            "set `vxlab_sandbox = always` in the ini file"
        )
    return _obstacle()


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


# --- what a run is about ---------------------------------------------------------------------


def _starts(config: pytest.Config) -> list[Path]:
    """The files and folders that pytest is going to look for tests in."""
    invoked = config.invocation_params.dir
    words = [word.partition("::")[0] for word in config.known_args_namespace.file_or_dir]
    if not words and invoked == config.rootpath:
        for pattern in config.getini("testpaths"):
            words += sorted(glob.glob(str(config.rootpath / pattern), recursive=True))
    return [invoked / word for word in words] or [invoked]


def _mentions_vxlab(config: pytest.Config) -> bool:
    """Whether a test file or conftest.py of this run has the word vxlab in it; a quick look."""
    seen: set[Path] = set()
    for path in _candidates(config):
        if path in seen:
            continue
        seen.add(path)
        if len(seen) > MAX_FILES:
            return False
        try:
            with open(path, "rb") as file:
                if b"vxlab" in file.read(MAX_BYTES):
                    return True
        except OSError:
            continue
    return False


def _candidates(config: pytest.Config) -> Iterator[Path]:
    for start in _starts(config):
        for folder in (start, *start.parents):
            if (folder / "conftest.py").is_file():
                yield folder / "conftest.py"
            if folder == config.rootpath:
                break
        if start.is_file():
            yield start
        else:
            yield from _test_files(start, config)


def _test_files(start: Path, config: pytest.Config) -> Iterator[Path]:
    wanted = ["conftest.py", *config.getini("python_files")]
    left_out = config.getini("norecursedirs")
    for folder, folders, files in os.walk(start):
        folders[:] = sorted(
            name
            for name in folders
            if not any(fnmatch.fnmatch(name, pattern) for pattern in left_out)
            and not os.path.exists(os.path.join(folder, name, "pyvenv.cfg"))
        )
        for name in sorted(files):
            if any(fnmatch.fnmatch(name, pattern) for pattern in wanted):
                yield Path(folder, name)
