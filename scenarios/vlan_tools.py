"""VLANs of bridges, and what a tunnel carries of them: tools of chapter 11."""

from __future__ import annotations

from device_tools import tunnels

from vxlab import PortVlan

#: Underlay subnets by IP family, and the addresses of hosts on them.
NETWORK = {4: "192.0.2.0/24", 6: "fd00:192:0:2::/64"}
UNDERLAY = {
    4: ("192.0.2.1", "192.0.2.2", "192.0.2.3"),
    6: ("fd00:192:0:2::1", "fd00:192:0:2::2", "fd00:192:0:2::3"),
}

#: What the kernel's source says of VLANs on ports of bridges.
INGRESS = "net/bridge/br_vlan.c: __allowed_ingress()"
EGRESS = "net/bridge/br_vlan.c: br_handle_vlan()"


def access(vlan, **more):
    """The VLAN of a port that sends and receives it without a tag."""
    return (PortVlan(vlan, pvid=True, untagged=True, **more),)


def subnet(family, number):
    """A function from the last number to an overlay address, with prefix length, of a subnet."""
    form = {4: "10.0.{}.{}/24", 6: "fd00:10:{}::{}/64"}[family]
    return lambda last: form.format(number, last)


def address(family, number, last):
    """An overlay address without its prefix length."""
    return subnet(family, number)(last).partition("/")[0]


def carried(capture, *data):
    """The VNI, outer destination and inner VLANs of all packets with marked payloads, sorted."""
    found = [packet for one in data for packet in tunnels(capture, one)]
    return sorted((packet.vni, packet.outer_dst, packet.inner.vlans) for packet in found)


def vlan_tags(capture, data):
    """The inner VLAN tags of all packets with a marked payload, in order."""
    return [packet.inner.vlans for packet in tunnels(capture, data)]
