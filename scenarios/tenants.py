"""Tenants for the scenarios of chapter 9: on each host a namespace each, all numbered alike.

Tenant `kim` of host `a` is the node `kim-a`.  It has nothing but its vxlan device, made on `a` and
moved to it, so that the device works by a's underlay.  On `a` all tenants have one address and
one MAC, on `b` another.
"""

from __future__ import annotations

import dataclasses

from device_tools import at, device

from vxlab.describe.builder import TopologyBuilder
from vxlab.operations import AddAddress, AddLink, MoveLink, SetLink

ADDRESS = {"a": "172.18.1.1", "b": "172.18.1.2"}
MAC = {"a": "02:00:00:00:00:01", "b": "02:00:00:00:00:02"}
VNIS = {"kim": 10, "lee": 20}
EVERYBODY = "172.18.1.255"


def houses(tenants=("kim", "lee"), family=4):
    """Hosts a, b and c on one underlay; on a and b a namespace for each tenant."""
    t = TopologyBuilder("tenants")
    t.switch("lan", "192.168.57.0/24" if family == 4 else "fd00:192:168:57::/64")
    for name, last in (("a", 50), ("b", 54), ("c", 55)):
        address = f"192.168.57.{last}/24" if family == 4 else f"fd00:192:168:57::{last}/64"
        t.host(name, "lan", address)
    for tenant in tenants:
        for host in ADDRESS:
            t.host(f"{tenant}-{host}")
    return t.build()


def move_in(lab, tenant, **attributes):
    """A device for a tenant on a and on b, remotes of each other unless told otherwise."""
    for host, other in (("a", "b"), ("b", "a")):
        home = f"{tenant}-{host}"
        more = {} if "group" in attributes else {"remote": at(lab, other)}
        made = device(host, name=home, up=False, mac=MAC[host], **{**more, **attributes})
        lab.apply(*made, MoveLink(host, home, home), SetLink(home, home, up=True))
        lab.apply(AddAddress(home, home, f"{ADDRESS[host]}/24"))


def both_move_in(lab, **attributes):
    """kim in VNI 10, lee in VNI 20."""
    for tenant, vni in VNIS.items():
        move_in(lab, tenant, id=vni, **attributes)


def _swapped_at_b(operation, name, values):
    if not isinstance(operation, AddLink) or operation.node != "b":
        return operation
    found = dict(operation.attributes)
    found[name] = values.get(found.get(name), found.get(name))
    return dataclasses.replace(operation, attributes=tuple(found.items()))


def vnis_mixed_up(operation):
    """A control: on b kim has lee's VNI, and lee has kim's."""
    return _swapped_at_b(operation, "id", {10: 20, 20: 10})


def ports_mixed_up(operation):
    """A control: on b kim has lee's port, and lee has kim's."""
    return _swapped_at_b(operation, "dstport", {4789: 14789, 14789: 4789})


def vnis_of_nobody(operation):
    """A control: on b both have a VNI that nobody has on a."""
    return _swapped_at_b(operation, "id", {10: 11, 20: 21})
