"""Real programs run inside a node: one module for each, ready when they *are* ready."""

from vxlab.services.base import (
    Daemon,
    Helper,
    MulticastRouter,
    RunningDaemon,
    daemon_program,
    wait_all_ready,
)
from vxlab.services.pimd import Pimd
from vxlab.services.smcroute import Smcroute

__all__ = [
    "Daemon",
    "Helper",
    "MulticastRouter",
    "Pimd",
    "RunningDaemon",
    "Smcroute",
    "daemon_program",
    "wait_all_ready",
]
