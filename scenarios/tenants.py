"""Tenants for the scenarios of chapter 9: each has a network namespace on host a and one on b.

Tenant `kim` of host `a` is the node `kim-a`.  Its only interface besides lo is its vxlan device,
which is created on `a` and moved to `kim-a`, so that the device uses the underlay of `a`.  All
tenants of `a` have the same IP and MAC address, and all tenants of `b` have another pair.
"""

from __future__ import annotations

import dataclasses

from device_tools import at, device

from vxlab import TopologyBuilder
from vxlab.operations import AddAddress, AddLink, MoveLink, SetLink

ADDRESS = {"a": "172.18.1.1", "b": "172.18.1.2"}
MAC = {"a": "02:00:00:00:00:01", "b": "02:00:00:00:00:02"}
VNIS = {"kim": 10, "lee": 20}
BROADCAST_ADDRESS = "172.18.1.255"


def tenant_hosts(tenants=("kim", "lee"), family=4, tenants_on_lan=False):
    """Hosts a, b and c on one underlay, and a namespace of each tenant for a and for b.

    The namespaces have no interface yet, or with ``tenants_on_lan`` one on the underlay.
    """
    t = TopologyBuilder("tenants")
    t.switch("lan", "192.168.57.0/24" if family == 4 else "fd00:192:168:57::/64")
    for name, last in (("a", 50), ("b", 54), ("c", 55)):
        address = f"192.168.57.{last}/24" if family == 4 else f"fd00:192:168:57::{last}/64"
        t.host(name, "lan", address)
    for tenant in tenants:
        for host in ADDRESS:
            t.host(f"{tenant}-{host}", *(("lan",) if tenants_on_lan else ()))
    return t.build()


def add_tenant(lab, tenant, **attributes):
    """Give a tenant a device on a and one on b, each other's remotes where there is no group."""
    for host, other in (("a", "b"), ("b", "a")):
        node = f"{tenant}-{host}"
        remote = {} if "group" in attributes else {"remote": at(lab, other)}
        created = device(host, name=node, up=False, mac=MAC[host], **remote, **attributes)
        lab.apply(*created, MoveLink(host, node, node), SetLink(node, node, up=True))
        lab.apply(AddAddress(node, node, f"{ADDRESS[host]}/24"))


def add_kim_and_lee(lab, **attributes):
    """Give kim devices with VNI 10, and lee devices with VNI 20."""
    for tenant, vni in VNIS.items():
        add_tenant(lab, tenant, id=vni, **attributes)


def with_values(operation, host, name, new_values):
    """An operation, with an attribute mapped to a new value if it creates a device on the host."""
    if not isinstance(operation, AddLink) or operation.node != host or operation.kind != "vxlan":
        return operation
    attributes = dict(operation.attributes)
    value = attributes.get(name)
    attributes[name] = new_values.get(value, value)
    return dataclasses.replace(operation, attributes=tuple(attributes.items()))


def vnis_swapped_at_a(operation):
    """A control: on a kim has lee's VNI, and lee has kim's."""
    return with_values(operation, "a", "id", {10: 20, 20: 10})


def vnis_swapped_at_b(operation):
    """A control: on b kim has lee's VNI, and lee has kim's."""
    return with_values(operation, "b", "id", {10: 20, 20: 10})


def ports_swapped_at_b(operation):
    """A control: on b kim has lee's UDP port, and lee has kim's."""
    return with_values(operation, "b", "dstport", {4789: 14789, 14789: 4789})


def unused_vnis_at_b(operation):
    """A control: on b kim and lee have VNIs that no device of a has."""
    return with_values(operation, "b", "id", {10: 11, 20: 21})
