"""Create vxlan devices within a test and inspect them, for the scenarios of chapters 7 to 9.

Most of their labs are hosts on one underlay without any vxlan device (`bare`), with the addresses
192.168.57.50 (a), .54 (b), .55 (c) and so on, or the same numbers in fd00:192:168:57::/64.
"""

from __future__ import annotations

import dataclasses
import socket
import struct

from vxlab import catalog, frames
from vxlab.operations import AddAddress, AddLink, SetLink, SetVxlan

A, B, C, D = (f"192.168.57.{last}" for last in (50, 54, 55, 56))
#: UDP ports that captures decode as VXLAN.
PORTS = (4789, 4790, 8472, 14789)
#: The MAC of the default FDB entry, which is used for every unknown destination.
ANY_MAC = "00:00:00:00:00:00"
SO_MARK = 36  # include/uapi/asm-generic/socket.h


def bare(hosts=2, family=4):
    """Hosts without vxlan devices on one underlay."""
    topology = catalog.point_to_point(hosts=hosts, family=family, bind="both")
    without_vteps = tuple(dataclasses.replace(host, vteps=()) for host in topology.hosts)
    return dataclasses.replace(topology, hosts=without_vteps)


def device(node, *addresses, name="vxlan0", up=True, mac=None, mtu=None, **attributes):
    """The operations that create a vxlan device; the UDP port is 4789 unless `dstport` is given."""
    attributes.setdefault("dstport", 4789)
    pairs = tuple(attributes.items())
    yield AddLink(node, name, "vxlan", 0, pairs, up=up, mac=mac, mtu=mtu)
    for address in addresses:
        yield AddAddress(node, name, address)


def pair(lab, **attributes):
    """Create a device on a (172.18.1.2) and one on b (.3), with VNI 42 unless `id` is given."""
    attributes.setdefault("id", 42)
    a, b = at(lab, "a"), at(lab, "b")
    lab.apply(*device("a", "172.18.1.2/24", remote=b, local=a, dev="eth0", **attributes))
    lab.apply(*device("b", "172.18.1.3/24", remote=a, local=b, dev="eth0", **attributes))


def at(lab, host):
    """The underlay address of a host."""
    return lab.topology.host(host).nics[0].ip


def find_link(lab, node, name="vxlan0"):
    """An interface of a node as the kernel shows it now, or None if there is none of that name."""
    return next((link for link in lab[node].state.links if link.name == name), None)


def mac_of(lab, node, name="vxlan0"):
    """The MAC address of an interface."""
    return find_link(lab, node, name).mac


def encap_route(lab, node, to, vni, dst, *more, via="vxlan0"):
    """Add a lightweight tunnel route, which attaches VNI and remote to its packets as metadata."""
    kind = "ip6" if ":" in dst else "ip"
    family = ["-6"] if ":" in to else []
    words = ["route", "replace", to, "encap", kind, "id", str(vni), "dst", dst, *more]
    lab[node].run("ip", *family, *words, "dev", via)


def send_with_mark(node, address, data, mark):
    """Send a marked datagram whose socket buffer has a firewall mark (`fwmark`)."""
    with node.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, SO_MARK, struct.pack("=I", mark))
        sock.sendto(frames.MARK_PREFIX + data, (address, frames.MARK_PORT))


def tunnels(capture, data):
    """The captured VXLAN packets whose inner frame carries a marked payload, in order."""
    return [tunnel for tunnel in capture.encapsulated() if tunnel.inner.mark == data]


def holds(data):
    """A predicate for frames that end with a marked payload, encapsulated or not."""

    def ends_with_payload(frame):
        return frame.data.endswith(frames.MARK_PREFIX + data)

    return ends_with_payload


def udp_ports(lab, node):
    """The bound UDP ports of a node by IP family, one per socket, the kernel's own included."""
    found = {}
    for version, name in ((4, "udp"), (6, "udp6")):
        lines = lab[node].namespaces.read(f"/proc/thread-self/net/{name}").splitlines()[1:]
        found[version] = sorted(int(line.split()[1].rpartition(":")[2], 16) for line in lines)
    return found


def details(lab, node, name="vxlan0"):
    """The attributes of a vxlan device as `ip -d link` shows them."""
    (link,) = lab[node].ip("-d", "link", "show", name)
    return link["linkinfo"]["info_data"]


def assert_refused(refused, by, number, kernel, *own):
    """Assert the error number and the message of a refused operation.

    By netlink the kernel answers with its error number and explanation.  By iproute2 the message
    is one of ``own``, ip's own ones, or the kernel's where ip has none of its own.
    """
    error = refused.value
    if by == "netlink":
        assert error.errno == number, str(error)
        assert kernel in error.extack
    else:
        assert any(words in str(error) for words in own or (kernel,)), str(error)


def swap(**attributes):
    """A control: vxlan devices are created with these attributes changed; None removes one."""

    def change(operation):
        if not isinstance(operation, AddLink) or operation.kind != "vxlan":
            return operation
        merged = {**dict(operation.attributes), **attributes}
        kept = tuple((name, value) for name, value in merged.items() if value is not None)
        return dataclasses.replace(operation, attributes=kept)

    return change


def swap_at(node, **attributes):
    """A control: vxlan devices of one host are created with these attributes changed."""
    swapped = swap(**attributes)

    def change(operation):
        return swapped(operation) if operation.node == node else operation

    return change


def harmless(operation):
    """A control: an operation that must be refused is replaced by one that is accepted.

    A change of a vxlan device becomes one of its TTL, the device "bad" is created with a VNI and a
    port alone, and a change of a link is left out.
    """
    if isinstance(operation, SetVxlan):
        return dataclasses.replace(operation, attributes=(("ttl", 5),))
    if isinstance(operation, AddLink) and operation.name == "bad":
        good = (("id", 1), ("dstport", 9))
        return dataclasses.replace(operation, attributes=good, mtu=None, mac=None)
    if isinstance(operation, SetLink):
        return None
    return operation
