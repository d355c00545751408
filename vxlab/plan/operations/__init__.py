"""Operations: everything that changes a lab, as plain data.

A plan is an ordered tuple of them.  Each names its node, is printable as the line a person
would have typed, comparable, and free of I/O; a backend applies it.  Interfaces are named, not
numbered: ``index`` is the number a new interface is given, so that later operations can be
encoded without asking the kernel.
"""

from __future__ import annotations

from vxlab.plan.operations.addresses import (
    AddAddress,
    AddNeighbour,
    AddNexthop,
    AddRoute,
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
)
from vxlab.plan.operations.links import (
    AddLink,
    DelLink,
    MoveLink,
    Peer,
    SetLink,
    SetPort,
    SetVxlan,
)
from vxlab.plan.operations.services import (
    AddNamespace,
    AddRule,
    HostOnLink,
    Members,
    SetSysctl,
    StartDaemon,
    StopDaemon,
    sysctl_path,
)

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
    "AddVni",
    "Command",
    "DelAddress",
    "DelFdb",
    "DelLink",
    "DelMdb",
    "DelNeighbour",
    "DelNexthop",
    "DelVni",
    "FlushFdb",
    "HostOnLink",
    "Members",
    "MoveLink",
    "NodeName",
    "Operation",
    "Peer",
    "SetLink",
    "SetPort",
    "SetSysctl",
    "SetVxlan",
    "StartDaemon",
    "StopDaemon",
    "sysctl_path",
]
