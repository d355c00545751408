"""Bonds: several cards as one (ip-link(8), BOND Type Support; IFLA_BOND_*)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vxlab.describe.devices.base import Device, LinkKind
from vxlab.describe.devices.setting import Setting

Mode = Literal[
    "balance-rr",
    "active-backup",
    "balance-xor",
    "broadcast",
    "802.3ad",
    "balance-tlb",
    "balance-alb",
]

_MODES = {
    "balance-rr": 0,
    "active-backup": 1,
    "balance-xor": 2,
    "broadcast": 3,
    "802.3ad": 4,
    "balance-tlb": 5,
    "balance-alb": 6,
}
_HASHES = {
    "layer2": 0,
    "layer3+4": 1,
    "layer2+3": 2,
    "encap2+3": 3,
    "encap3+4": 4,
    "vlan+srcmac": 5,
}

_BOND = LinkKind(
    "bond",
    (
        Setting("mode", 1, "u8", words=_MODES, high=6),
        Setting("miimon", 3, "u32"),
        Setting("updelay", 4, "u32"),
        Setting("downdelay", 5, "u32"),
        Setting("primary", 11, "device"),
        Setting("primary_reselect", 12, "u8", words={"always": 0, "better": 1, "failure": 2}),
        Setting("fail_over_mac", 13, "u8", words={"none": 0, "active": 1, "follow": 2}),
        Setting("xmit_hash_policy", 14, "u8", words=_HASHES),
        Setting("resend_igmp", 15, "u32"),
        Setting("all_slaves_active", 17, "u8", high=1),
        Setting("min_links", 18, "u32"),
        Setting("lp_interval", 19, "u32"),
        Setting("packets_per_slave", 20, "u32"),
        Setting("lacp_rate", 21, "u8", words={"slow": 0, "fast": 1}),
        Setting("ad_select", 22, "u8", words={"stable": 0, "bandwidth": 1, "count": 2}),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bond(Device):
    """Several cards as one: those whose ``master`` it is.

    ``mode`` is as ip(8) has it, "active-backup" or "802.3ad" for instance; ``miimon`` the
    milliseconds between two looks at the carriers; ``lacp_rate`` ("slow", "fast") and
    ``xmit_hash_policy`` ("layer2", "layer3+4" …) as in ip(8).
    """

    kind = _BOND
    mode: Mode = "active-backup"
    miimon: int = 100
    xmit_hash_policy: str | None = None
    lacp_rate: str | None = None
