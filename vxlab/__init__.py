"""vxlab: throw-away VXLAN topologies of network namespaces, on real kernel vxlan devices.

    from vxlab import Lab, catalog

    with Lab(catalog.kim_and_lee()) as lab:
        assert lab["kim-srv1"].ping("1.1.1.2")

The public names are those of ``__all__``; they are loaded when they are first used, because the
sandbox starts before anything else, and quickly.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vxlab import catalog, features, frames, operations, sandbox, state, vxlan
    from vxlab.capture import Capture
    from vxlab.diagnosis import Diagnosis, diagnose
    from vxlab.elements import (
        Container,
        Host,
        Nic,
        Router,
        Rule,
        Segment,
        Switch,
        Vtep,
        drop_udp,
        raise_ttl,
    )
    from vxlab.errors import (
        ApplyError,
        CapabilityError,
        CaptureError,
        CommandError,
        DaemonError,
        MissingProgram,
        SandboxError,
        TopologyError,
        VxlabError,
        WaitTimeout,
    )
    from vxlab.frames import Encapsulated, Frame, decapsulate
    from vxlab.lab import Captures, Lab
    from vxlab.learning import Step, steps
    from vxlab.node import Node, Ping, Result
    from vxlab.plan import Plan, make_plan
    from vxlab.reference import ReferenceVtep
    from vxlab.state import NodeState, difference
    from vxlab.topology import Topology, TopologyBuilder
    from vxlab.waiting import wait_until

__version__ = "0.1.0"

#: Where each public name lives.
_HOME = {
    "capture": ("Capture",),
    "diagnosis": ("Diagnosis", "diagnose"),
    "elements": (
        "Container",
        "Host",
        "Nic",
        "Router",
        "Rule",
        "Segment",
        "Switch",
        "Vtep",
        "drop_udp",
        "raise_ttl",
    ),
    "errors": (
        "ApplyError",
        "CapabilityError",
        "CaptureError",
        "CommandError",
        "DaemonError",
        "MissingProgram",
        "SandboxError",
        "TopologyError",
        "VxlabError",
        "WaitTimeout",
    ),
    "frames": ("Encapsulated", "Frame", "decapsulate"),
    "lab": ("Captures", "Lab"),
    "learning": ("Step", "steps"),
    "node": ("Node", "Ping", "Result"),
    "plan": ("Plan", "make_plan"),
    "reference": ("ReferenceVtep",),
    "state": ("NodeState", "difference"),
    "topology": ("Topology", "TopologyBuilder"),
    "waiting": ("wait_until",),
}
_MODULES = ("catalog", "features", "frames", "operations", "sandbox", "state", "vxlan")
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "ApplyError",
    "CapabilityError",
    "Capture",
    "CaptureError",
    "Captures",
    "CommandError",
    "Container",
    "DaemonError",
    "Diagnosis",
    "Encapsulated",
    "Frame",
    "Host",
    "Lab",
    "MissingProgram",
    "Nic",
    "Node",
    "NodeState",
    "Ping",
    "Plan",
    "ReferenceVtep",
    "Result",
    "Router",
    "Rule",
    "SandboxError",
    "Segment",
    "Step",
    "Switch",
    "Topology",
    "TopologyBuilder",
    "TopologyError",
    "Vtep",
    "VxlabError",
    "WaitTimeout",
    "catalog",
    "decapsulate",
    "diagnose",
    "difference",
    "drop_udp",
    "features",
    "frames",
    "make_plan",
    "operations",
    "raise_ttl",
    "sandbox",
    "state",
    "steps",
    "vxlan",
    "wait_until",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"vxlab.{name}")
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"vxlab.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'vxlab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
