"""Attributes of vxlan devices: one table, what may be in it, and how others spell it.

    vxlan.check({"id": 42, "remote": "192.0.2.1", "group": "239.1.1.1"})
    # ("remote", "wanted either a group or a remote, found both")

The backends, the checks of topologies, the feature probes and the documentation read the table; no
attribute is spelled out anywhere else.
"""

from __future__ import annotations

from vxlab.describe.vxlan.checks import check, check_one, family, is_multicast
from vxlab.describe.vxlan.spelling import decode, encode, from_json, normal, words
from vxlab.describe.vxlan.table import (
    ATTRIBUTES,
    BY_NAME,
    GPE_PORT,
    IANA_PORT,
    KERNEL_PORT,
    MAX_VNI,
    OVERHEAD,
    RECEIVE_FLAGS,
    Attribute,
    Attributes,
    Value,
)

__all__ = [
    "ATTRIBUTES",
    "BY_NAME",
    "GPE_PORT",
    "IANA_PORT",
    "KERNEL_PORT",
    "MAX_VNI",
    "OVERHEAD",
    "RECEIVE_FLAGS",
    "Attribute",
    "Attributes",
    "Value",
    "check",
    "check_one",
    "decode",
    "encode",
    "family",
    "from_json",
    "is_multicast",
    "normal",
    "words",
]
