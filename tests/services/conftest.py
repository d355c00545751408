"""Labs for multicast routers, and the routers started in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from multicast_router_tools import RouterLab, Start, router_lab, skip_without

from vxlab.services import Pimd, RunningService, Smcroute


@pytest.fixture
def labs() -> Iterator[Callable[[int], RouterLab]]:
    """Build labs with so many hosts; all are taken down at the end."""
    with ExitStack() as stack:
        yield lambda hosts: stack.enter_context(router_lab(hosts))


@pytest.fixture
def lab(labs: Callable[[int], RouterLab]) -> RouterLab:
    """A router and two hosts."""
    return labs(2)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a daemon on a lab's router; all are stopped at the end."""
    with ExitStack() as stack:

        def launch(lab: RouterLab, daemon: Smcroute | Pimd, name: str = "r1") -> RunningService:
            skip_without(daemon.program)
            running = daemon.start(lab.router, name, lab.folder, lab.helpers)
            stack.callback(running.stop)
            return running

        yield launch
