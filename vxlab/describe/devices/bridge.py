"""Bridges (ip-link(8), BRIDGE Type Support; IFLA_BR_*)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from vxlab.describe.devices.base import Device, LinkKind
from vxlab.describe.devices.setting import Setting
from vxlab.describe.devices.vlan import PROTOCOLS
from vxlab.describe.vxlan.table import Attributes

_BRIDGE = LinkKind(
    "bridge",
    (
        Setting("forward_delay", 1, "u32"),
        Setting("hello_time", 2, "u32"),
        Setting("max_age", 3, "u32"),
        Setting("ageing_time", 4, "u32"),
        Setting("stp_state", 5, "u32", high=1),
        Setting("priority", 6, "u16"),
        Setting("vlan_filtering", 7, "u8", high=1),
        Setting("vlan_protocol", 8, "u16be", words=PROTOCOLS),
        Setting("group_fwd_mask", 9, "u16"),
        Setting("mcast_router", 22, "u8", high=2),
        Setting("mcast_snooping", 23, "u8", high=1),
        Setting("mcast_query_use_ifaddr", 24, "u8", high=1),
        Setting("mcast_querier", 25, "u8", high=1),
        Setting("mcast_hash_max", 27, "u32"),
        Setting("mcast_last_member_count", 28, "u32"),
        Setting("mcast_startup_query_count", 29, "u32"),
        Setting("mcast_last_member_interval", 30, "u64"),
        Setting("mcast_membership_interval", 31, "u64"),
        Setting("mcast_querier_interval", 32, "u64"),
        Setting("mcast_query_interval", 33, "u64"),
        Setting("mcast_query_response_interval", 34, "u64"),
        Setting("mcast_startup_query_interval", 35, "u64"),
        Setting("nf_call_iptables", 36, "u8", high=1),
        Setting("nf_call_ip6tables", 37, "u8", high=1),
        Setting("nf_call_arptables", 38, "u8", high=1),
        Setting("vlan_default_pvid", 39, "u16", high=4094),
        Setting("vlan_stats_enabled", 41, "u8", high=1),
        Setting("mcast_stats_enabled", 42, "u8", high=1),
        Setting("mcast_igmp_version", 43, "u8", low=2, high=3),
        Setting("mcast_mld_version", 44, "u8", low=1, high=2),
        Setting("vlan_stats_per_port", 45, "u8", high=1),
        Setting("fdb_max_learned", 49, "u32"),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge(Device):
    """A bridge.

    Unless told otherwise it runs no spanning tree, has no delay before a port forwards, and does
    not look into IGMP and MLD (``stp_state``, ``forward_delay``, ``mcast_snooping``), so that no
    frame is on the wire that a test did not cause.  With ``vlan_filtering`` it knows VLANs, of
    ``vlan_protocol`` "802.1Q" or "802.1ad"; a port belongs to ``vlan_default_pvid`` (the kernel's
    is 1; 0: to none).  ``group_fwd_mask`` are the bits of the link-local groups that it forwards.
    An address makes it an interface of its machine in the segment; its own ``vlans`` say in which
    of them.  All else of ip(8), such as ``mcast_querier``, goes into ``attributes``.
    """

    kind = _BRIDGE
    holds_vlans: ClassVar[bool] = True
    stp_state: bool = False
    forward_delay: int = 0
    mcast_snooping: bool = False
    vlan_filtering: bool | None = None
    vlan_protocol: Literal["802.1Q", "802.1ad"] | None = None
    vlan_default_pvid: int | None = None
    group_fwd_mask: int | None = None

    def settings(self) -> Attributes:
        """The settings that the bridge is made with."""
        names = ("stp_state", "forward_delay", "mcast_snooping")
        values = (getattr(self, name) for name in names)
        numbers = (int(each) if isinstance(each, bool) else each for each in values)
        first = tuple(zip(names, numbers, strict=True))
        rest = (pair for pair in Device.settings(self) if pair[0] not in names)
        own = dict(self.attributes)
        return (*((name, own.get(name, value)) for name, value in first), *rest)
