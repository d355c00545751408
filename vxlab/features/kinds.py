"""Probes of kinds of device, and of queues, that are no part of VXLAN but stand round it."""

from __future__ import annotations

import errno
import functools
import struct

from vxlab.features.kernel import request_qdisc, scratch
from vxlab.features.model import ANOTHER_KERNEL, Check
from vxlab.features.tools import optional
from vxlab.netlink import devices
from vxlab.netlink.messages import attribute

#: The probes of kinds that have a name of their own.
_NAMED = {"vlan": "8021q", "vrf": "vrf", "dummy": "dummy", "macvlan": "macvlan"}

#: How the name of a probe of any other kind begins; that of the kind follows.
PREFIX = "kind."

# struct tc_tbf_qopt (linux/pkt_sched.h): two tc_ratespec of 12 bytes, limit, buffer, mtu
_TBF = struct.pack("=BBHhHI", 0, 1, 0, 0, 0, 125_000) + bytes(12)
_TBF += struct.pack("=III", 25_000, 2_000_000, 0)
_TCA_TBF_PARMS = 1


def feature_of(kind: str) -> str:
    """The name of the feature that devices of ``kind``, as ip(8) calls it, need."""
    return _NAMED.get(kind, PREFIX + kind)


def _attempt(kind: str) -> str:
    """Make a device of a kind, alone, or upon another one where it cannot be alone."""
    with scratch() as namespaces:
        try:
            devices.add_link(namespaces, kind, ())
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            lower = devices.add_link(namespaces, "veth", name="lower")
            devices.add_link(namespaces, kind, (), lower=lower)
    return ""


def kind_check(kind: str) -> Check:
    """The probe of one kind of device, as ip(8) calls it."""
    option = f"CONFIG_{kind.upper().replace('-', '_')}"
    return Check(
        name=PREFIX + kind,
        title=f"{kind} devices",
        attempt=functools.partial(_attempt, kind),
        hint=ANOTHER_KERNEL.format({"bond": "CONFIG_BONDING"}.get(kind, option)),
    )


def _tbf() -> str:
    """``tc qdisc add dev lo root tbf``."""
    with scratch() as namespaces:
        request_qdisc(namespaces, "tbf", attribute(_TCA_TBF_PARMS, _TBF))
    return ""


CHECKS: tuple[Check, ...] = (
    kind_check("bond"),
    kind_check("wireguard"),
    Check(
        name="tbf",
        title="a rate for a link",
        attempt=_tbf,
        hint=ANOTHER_KERNEL.format("CONFIG_NET_SCH_TBF"),
    ),
    optional("nft", "rules of nftables", "--version", "install the package nftables"),
)
