"""What a new network namespace brings from outside, and what is made of it: a lab is the same
anywhere.

A namespace copies the IPv4 settings of the machine's first one (inet_init_net() in
net/ipv4/devinet.c), which distributions and administrators change; a module that the machine has
loaded brings settings of its own.  IPv6 starts afresh.  Here is what a machine has that was just
booted, and has loaded nothing: whatever is otherwise in a new node is set to that.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from vxlab.system.namespaces import Namespaces, write_file

#: Settings of IPv4 below ``net/ipv4/conf/all`` and ``…/default`` (ipv4_devconf in
#: net/ipv4/devinet.c); those that a plan sets itself are left out.
_CONF: Mapping[str, str] = {
    "accept_local": "0",
    "accept_redirects": "1",
    "arp_accept": "0",
    "arp_evict_nocarrier": "1",
    "arp_filter": "0",
    "arp_notify": "0",
    "bc_forwarding": "0",
    "bootp_relay": "0",
    "disable_policy": "0",
    "disable_xfrm": "0",
    "drop_gratuitous_arp": "0",
    "drop_unicast_in_l2_multicast": "0",
    "force_igmp_version": "0",
    "igmpv2_unsolicited_report_interval": "10000",
    "igmpv3_unsolicited_report_interval": "1000",
    "ignore_routes_with_linkdown": "0",
    "log_martians": "0",
    "medium_id": "0",
    "promote_secondaries": "0",
    "proxy_arp": "0",
    "proxy_arp_pvlan": "0",
    "route_localnet": "0",
    "secure_redirects": "1",
    "send_redirects": "1",
    "shared_media": "1",
    "src_valid_mark": "0",
    "tag": "0",
}

#: All of them by their files below ``/proc/sys``.  ``accept_source_route`` differs between the two
#: (ipv4_devconf, ipv4_devconf_dflt); those of bridges come with br_netfilter, which has bridged
#: packets pass the rules of iptables: a switch is none then (net/bridge/br_netfilter_hooks.c).
FRESH: Mapping[str, str] = {
    **{f"net/ipv4/conf/all/{name}": value for name, value in _CONF.items()},
    **{f"net/ipv4/conf/default/{name}": value for name, value in _CONF.items()},
    "net/ipv4/conf/all/accept_source_route": "0",
    "net/ipv4/conf/default/accept_source_route": "1",
    "net/ipv4/conf/default/arp_announce": "0",
    "net/ipv4/conf/default/arp_ignore": "0",
    "net/bridge/bridge-nf-call-arptables": "0",
    "net/bridge/bridge-nf-call-ip6tables": "0",
    "net/bridge/bridge-nf-call-iptables": "0",
}


class _Inherited:
    """What is otherwise in a new namespace of this machine, once one was looked at."""

    odd: tuple[tuple[str, str], ...] | None = None


def freshen(namespaces: Namespaces) -> None:
    """Set what a new node has otherwise than a machine that was just booted.

    OSError where that is refused.
    """
    if _Inherited.odd is None:
        _Inherited.odd = namespaces.visit(_found)
    if _Inherited.odd:
        namespaces.visit(_set)


def _found() -> tuple[tuple[str, str], ...]:
    """What is otherwise where the thread is, with what it should be."""
    return tuple(each for each in FRESH.items() if _is_odd(*each))


def _is_odd(file: str, value: str) -> bool:
    try:
        there = os.open(f"/proc/sys/{file}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # this kernel does not have it, or no module brought it
        return False
    try:
        return os.read(there, 64).strip() != value.encode()
    finally:
        os.close(there)


def _set() -> None:
    for file, value in _Inherited.odd or ():
        write_file(f"/proc/sys/{file}", value)
