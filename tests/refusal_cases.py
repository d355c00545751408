"""Operations that the kernel refuses: what comes before, the error number, and its words."""

from __future__ import annotations

import errno

from vxlab.operations import (
    AddAddress,
    AddFdb,
    AddLink,
    AddNeighbour,
    AddRoute,
    DelFdb,
    DelLink,
    Operation,
    SetLink,
    SetVxlan,
)

MAC = "02:00:00:00:00:77"

VX = AddLink("h1", "vx", "vxlan", 90, (("id", 77), ("dev", "eth0"), ("dstport", 4790)))
ENTRY = AddFdb("h1", "vx", MAC, "10.0.0.7")

REFUSED: list[tuple[str, list[Operation], Operation, int, str]] = [
    ("MTU over the card's", [VX], SetLink("h1", "vx", mtu=1451), errno.EINVAL, ""),
    ("MTU too large", [], SetLink("h1", "eth0", mtu=70000), errno.EINVAL, "maximum"),
    ("MTU too small", [], SetLink("h1", "eth0", mtu=20), errno.EINVAL, "minimum"),
    (
        "VNI and port twice",
        [VX],
        AddLink("h1", "vy", "vxlan", 91, VX.attributes),
        errno.EEXIST,
        "VNI already exists",
    ),
    ("name twice", [VX], AddLink("h1", "vx", "bridge", 91), errno.EEXIST, ""),
    ("index twice", [VX], AddLink("h1", "vy", "bridge", 90), errno.EEXIST, ""),
    ("name too long", [], AddLink("h1", "sixteen-letters-", "bridge", 91), errno.ERANGE, ""),
    ("VNI changed", [VX], SetVxlan("h1", "vx", (("id", 78),)), errno.EOPNOTSUPP, "VNI"),
    ("multicast MAC", [], SetLink("h1", "eth0", mac="01:00:00:00:00:01"), errno.EADDRNOTAVAIL, ""),
    ("own master", [], SetLink("h1", "eth0", master="eth0"), errno.EOPNOTSUPP, ""),
    ("lo removed", [], DelLink("h1", "lo"), errno.EOPNOTSUPP, ""),
    ("address twice", [], AddAddress("h1", "eth0", "10.0.0.1/24"), errno.EEXIST, ""),
    ("gateway away", [], AddRoute("h1", "default", via="10.9.0.1"), errno.ENETUNREACH, ""),
    (
        "route twice",
        [AddRoute("h1", "10.8.0.0/16", via="10.0.0.2")],
        AddRoute("h1", "10.8.0.0/16", via="10.0.0.2"),
        errno.EEXIST,
        "",
    ),
    ("entry twice", [VX, ENTRY], ENTRY, errno.EEXIST, ""),
    ("entry of other family", [VX], AddFdb("h1", "vx", MAC, "fd00::1"), errno.EAFNOSUPPORT, ""),
    ("entry gone", [VX], DelFdb("h1", "vx", MAC, "10.0.0.7"), errno.ENOENT, ""),
    (
        "neighbour twice",
        [AddNeighbour("h1", "eth0", "10.0.0.9", MAC)],
        AddNeighbour("h1", "eth0", "10.0.0.9", MAC),
        errno.EEXIST,
        "",
    ),
]
