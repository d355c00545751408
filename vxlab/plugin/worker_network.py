"""The network of a worker of pytest-xdist: its tests are in one of their own, its plugins are not.

Workers share the sandbox's network with their controller, as plugins talk to it over localhost
(pytest-rerunfailures does).  While tests are loaded and run, the worker's thread is in a network
namespace that it has for itself, with all that the tests do there.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable

import pytest

from vxlab import sandbox
from vxlab.system.launcher import open_namespace
from vxlab.system.syscalls import CLONE_NEWNET, setns


class WorkerNetwork:
    """A plugin that has the tests of the calling worker run in a network namespace of their own.

    Mounts, UTS and IPC namespaces are the worker's own from now on, whatever runs.  ``keep`` is
    that of :func:`vxlab.sandbox.isolate_worker`, which may raise a SandboxError.
    """

    def __init__(self, keep: Iterable[str] = ()) -> None:
        self._shared = open_namespace("net")
        try:
            sandbox.isolate_worker(keep)
            self._own = open_namespace("net")
            setns(self._shared, CLONE_NEWNET)
        except BaseException:
            os.close(self._shared)
            raise

    def close(self) -> None:
        """Forget the namespace, which ends when nothing is in it any more."""
        os.close(self._own)
        os.close(self._shared)

    def _among_tests(self) -> Generator[None, object, object]:
        """Be in the namespace of the tests for the time of a hook and all its other parts."""
        setns(self._own, CLONE_NEWNET)
        try:
            return (yield)
        finally:
            setns(self._shared, CLONE_NEWNET)

    pytest_collection = pytest.hookimpl(wrapper=True, tryfirst=True)(_among_tests)
    pytest_runtest_setup = pytest_runtest_call = pytest_runtest_teardown = pytest_collection
    pytest_sessionfinish = pytest_collection  # it ends the fixtures of a run that was cut short
