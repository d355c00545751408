"""Operations: everything that changes a lab, as plain data.

A plan is an ordered tuple of them.  Each names its node, is printable as the line a person
would have typed, comparable, and free of I/O; a backend applies it.  Interfaces are named, not
numbered: ``index`` is the number a new interface is given, so that later operations can be
encoded without asking the kernel.
"""

from __future__ import annotations

from vxlab.describe.routes import RouteHop
from vxlab.plan.operations.addresses import (
    AddAddress,
    AddNeighbour,
    AddNexthop,
    DelAddress,
    DelNeighbour,
    DelNexthop,
)
from vxlab.plan.operations.base import Command, NodeName, Operation
from vxlab.plan.operations.entries import (
    AddFdb,
    AddMdb,
    AddVni,
    DelFdb,
    DelMdb,
    DelVni,
    FlushFdb,
    FlushMdb,
)
from vxlab.plan.operations.links import (
    AddLink,
    DelLink,
    MoveLink,
    Peer,
    SetBridge,
    SetLink,
    SetPort,
    SetVxlan,
)
from vxlab.plan.operations.routes import AddRoute, DelRoute
from vxlab.plan.operations.services import (
    AddNamespace,
    AddRule,
    HostOnLink,
    Members,
    RunProgram,
    SetSysctl,
    StartDaemon,
    StopDaemon,
    impair,
    sysctl_path,
)
from vxlab.plan.operations.vlans import AddVlan, AddVlanTunnel, DelVlan, DelVlanTunnel

__all__ = [
    "AddAddress",
    "AddFdb",
    "AddLink",
    "AddMdb",
    "AddNamespace",
    "AddNeighbour",
    "AddNexthop",
    "AddRoute",
    "AddRule",
    "AddVlan",
    "AddVlanTunnel",
    "AddVni",
    "Command",
    "DelAddress",
    "DelFdb",
    "DelLink",
    "DelMdb",
    "DelNeighbour",
    "DelNexthop",
    "DelRoute",
    "DelVlan",
    "DelVlanTunnel",
    "DelVni",
    "FlushFdb",
    "FlushMdb",
    "HostOnLink",
    "Members",
    "MoveLink",
    "NodeName",
    "Operation",
    "Peer",
    "RouteHop",
    "RunProgram",
    "SetBridge",
    "SetLink",
    "SetPort",
    "SetSysctl",
    "SetVxlan",
    "StartDaemon",
    "StopDaemon",
    "impair",
    "sysctl_path",
]
