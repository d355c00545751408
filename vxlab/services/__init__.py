"""Services: programs that run in nodes, one module for each, ready by evidence of their own."""

from vxlab.services.base import (
    Helper,
    MulticastRouter,
    RunningService,
    Service,
    service_program,
    wait_all_ready,
)
from vxlab.services.pimd import Pimd
from vxlab.services.smcroute import Smcroute

__all__ = [
    "Helper",
    "MulticastRouter",
    "Pimd",
    "RunningService",
    "Service",
    "Smcroute",
    "service_program",
    "wait_all_ready",
]
