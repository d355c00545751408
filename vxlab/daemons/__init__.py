"""Real programs run inside a node: one module for each, ready when they *are* ready."""

from vxlab.daemons.base import (
    Daemon,
    Helper,
    MulticastRouter,
    RunningDaemon,
    daemon_program,
    wait_all_ready,
)
from vxlab.daemons.pimd import Pimd
from vxlab.daemons.smcroute import Smcroute

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
