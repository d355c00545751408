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
    from vxlab import catalog, features, operations, sandbox
    from vxlab.apply.script import script_of
    from vxlab.describe import devices, vxlan
    from vxlab.describe.builder import TopologyBuilder
    from vxlab.describe.containers import Container
    from vxlab.describe.devices import (
        Bond,
        Bridge,
        Device,
        Dummy,
        LinkKind,
        Loopback,
        Macvlan,
        PortVlan,
        Setting,
        Vlan,
        Vrf,
        Vxlan,
    )
    from vxlab.describe.elements import (
        Host,
        Nic,
        Router,
        Segment,
        Switch,
        Vtep,
    )
    from vxlab.describe.filters import NftRules, Rule, drop_udp, raise_ttl
    from vxlab.describe.impairment import Netem
    from vxlab.describe.routes import RouteHop, StaticRoute
    from vxlab.describe.topology import Topology
    from vxlab.errors import (
        ApplyError,
        CapabilityError,
        CaptureError,
        CommandError,
        DaemonError,
        MissingProgram,
        ProbeError,
        SandboxError,
        TopologyError,
        VxlabError,
        WaitTimeout,
    )
    from vxlab.explain.conversation import Step, steps
    from vxlab.explain.diagnosis import Diagnosis, diagnose
    from vxlab.live.captures import Captures
    from vxlab.live.lab import Lab
    from vxlab.live.node import Node, Ping, Result
    from vxlab.observe import frames, state
    from vxlab.observe.capture import Capture
    from vxlab.observe.frames import Encapsulated, Frame, decapsulate
    from vxlab.observe.state import NodeState, difference
    from vxlab.plan.planner import Plan, make_plan
    from vxlab.plugin.sharing import lab_fixture
    from vxlab.reference import ReferenceVtep
    from vxlab.system.waiting import wait_until

__version__ = "0.1.0"

#: Where each public name lives.
_HOME = {
    "apply.script": ("script_of",),
    "observe.capture": ("Capture",),
    "explain.diagnosis": ("Diagnosis", "diagnose"),
    "describe.containers": ("Container",),
    "describe.elements": (
        "Host",
        "Nic",
        "Router",
        "Segment",
        "Switch",
        "Vtep",
    ),
    "describe.devices": (
        "Bond",
        "Bridge",
        "Device",
        "Dummy",
        "LinkKind",
        "Loopback",
        "Macvlan",
        "PortVlan",
        "Setting",
        "Vlan",
        "Vrf",
        "Vxlan",
    ),
    "describe.filters": ("NftRules", "Rule", "drop_udp", "raise_ttl"),
    "describe.impairment": ("Netem",),
    "describe.routes": ("RouteHop", "StaticRoute"),
    "errors": (
        "ApplyError",
        "CapabilityError",
        "CaptureError",
        "CommandError",
        "DaemonError",
        "MissingProgram",
        "ProbeError",
        "SandboxError",
        "TopologyError",
        "VxlabError",
        "WaitTimeout",
    ),
    "observe.frames": ("Encapsulated", "Frame", "decapsulate"),
    "live.captures": ("Captures",),
    "live.lab": ("Lab",),
    "explain.conversation": ("Step", "steps"),
    "live.node": ("Node", "Ping", "Result"),
    "plan.planner": ("Plan", "make_plan"),
    "plugin.sharing": ("lab_fixture",),
    "reference": ("ReferenceVtep",),
    "observe.state": ("NodeState", "difference"),
    "describe.builder": ("TopologyBuilder",),
    "describe.topology": ("Topology",),
    "system.waiting": ("wait_until",),
}
#: The public modules; some live in a folder of their kind.
_MODULES = {
    "catalog": "vxlab.catalog",
    "devices": "vxlab.describe.devices",
    "features": "vxlab.features",
    "frames": "vxlab.observe.frames",
    "operations": "vxlab.operations",
    "sandbox": "vxlab.sandbox",
    "state": "vxlab.observe.state",
    "vxlan": "vxlab.describe.vxlan",
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "ApplyError",
    "Bond",
    "Bridge",
    "CapabilityError",
    "Capture",
    "CaptureError",
    "Captures",
    "CommandError",
    "Container",
    "DaemonError",
    "Device",
    "Diagnosis",
    "Dummy",
    "Encapsulated",
    "Frame",
    "Host",
    "Lab",
    "LinkKind",
    "Loopback",
    "Macvlan",
    "MissingProgram",
    "Netem",
    "NftRules",
    "Nic",
    "Node",
    "NodeState",
    "Ping",
    "Plan",
    "PortVlan",
    "ProbeError",
    "ReferenceVtep",
    "Result",
    "RouteHop",
    "Router",
    "Rule",
    "SandboxError",
    "Segment",
    "Setting",
    "StaticRoute",
    "Step",
    "Switch",
    "Topology",
    "TopologyBuilder",
    "TopologyError",
    "Vlan",
    "Vrf",
    "Vtep",
    "VxlabError",
    "Vxlan",
    "WaitTimeout",
    "catalog",
    "decapsulate",
    "devices",
    "diagnose",
    "difference",
    "drop_udp",
    "features",
    "frames",
    "lab_fixture",
    "make_plan",
    "operations",
    "raise_ttl",
    "sandbox",
    "script_of",
    "state",
    "steps",
    "vxlan",
    "wait_until",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"vxlab.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'vxlab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
