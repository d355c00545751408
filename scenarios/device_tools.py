"""What the scenarios on modes, life cycle and tenancy have in common: devices made in the test.

Their labs are hosts on one underlay that have no vxlan device yet (`bare`), at 192.168.57.50 (a),
.54 (b), .55 (c) and so on, or the same numbers in fd00:192:168:57::/64.
"""

from __future__ import annotations

import dataclasses
import socket
import struct

from vxlab import catalog
from vxlab.observe.frames import MARK_PORT, MARK_PREFIX
from vxlab.operations import AddAddress, AddLink, SetLink, SetVxlan

A, B, C, D = (f"192.168.57.{last}" for last in (50, 54, 55, 56))
#: Ports on which captures take VXLAN apart.
PORTS = (4789, 4790, 8472, 14789)
ANY_MAC = "00:00:00:00:00:00"
_SO_MARK = 36


def bare(hosts=2, family=4):
    """Hosts without vxlan devices on one underlay."""
    topology = catalog.point_to_point(hosts=hosts, family=family, bind="both")
    made = tuple(dataclasses.replace(host, vteps=()) for host in topology.hosts)
    return dataclasses.replace(topology, hosts=made)


def device(node, *addresses, name="vxlan0", up=True, mac=None, mtu=None, **attributes):
    """The operations that make a vxlan device, port 4789 unless told otherwise."""
    attributes.setdefault("dstport", 4789)
    pairs = tuple(attributes.items())
    yield AddLink(node, name, "vxlan", 0, pairs, up=up, mac=mac, mtu=mtu)
    for address in addresses:
        yield AddAddress(node, name, address)


def pair(lab, **attributes):
    """a and b with a device each: 172.18.1.2 and .3, VNI 42 unless told otherwise."""
    attributes.setdefault("id", 42)
    a, b = at(lab, "a"), at(lab, "b")
    lab.apply(*device("a", "172.18.1.2/24", remote=b, local=a, dev="eth0", **attributes))
    lab.apply(*device("b", "172.18.1.3/24", remote=a, local=b, dev="eth0", **attributes))


def at(lab, host):
    """The underlay address of a host."""
    return lab.topology.host(host).nics[0].ip


def link_of(lab, node, name="vxlan0"):
    """An interface of a node; None where there is none of that name."""
    return next((link for link in lab[node].state.links if link.name == name), None)


def mac_of(lab, node, name="vxlan0"):
    return link_of(lab, node, name).mac


def encap_route(lab, node, to, vni, dst, *more, via="vxlan0"):
    """A route with a lightweight tunnel: what takes it has VNI and remote as metadata."""
    kind = "ip6" if ":" in dst else "ip"
    family = ["-6"] if ":" in to else []
    words = ["route", "replace", to, "encap", kind, "id", str(vni), "dst", dst, *more]
    lab[node].run("ip", *family, *words, "dev", via)


def send_with_mark(node, address, data, mark):
    """Send a marked datagram with a firewall mark on it."""
    with node.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, _SO_MARK, struct.pack("=I", mark))
        sock.sendto(MARK_PREFIX + data, (address, MARK_PORT))


def tunnels(capture, data):
    """The tunnel packets that carry a marked payload, in order."""
    return [tunnel for tunnel in capture.encapsulated() if tunnel.inner.mark == data]


def holds(data):
    """A predicate: the frame ends with a marked payload, in a tunnel or not."""
    return lambda frame: frame.data.endswith(MARK_PREFIX + data)


def udp_ports(lab, node):
    """The UDP ports that are open in a node, by family; also those of the kernel itself."""
    found = {}
    for version, name in ((4, "udp"), (6, "udp6")):
        lines = lab[node].namespaces.read(f"/proc/thread-self/net/{name}").splitlines()[1:]
        found[version] = sorted(int(line.split()[1].rpartition(":")[2], 16) for line in lines)
    return found


def details(lab, node, name="vxlan0"):
    """What `ip -d link` says of a vxlan device's own attributes."""
    (link,) = lab[node].ip("-d", "link", "show", name)
    return link["linkinfo"]["info_data"]


def assert_refused(refused, by, number, kernel, *own):
    """Assert who refused, and in which words.

    By netlink the kernel, with its error number and its explanation; by iproute2 the same words,
    or one of ip's ``own``, where it does not even ask the kernel.
    """
    error = refused.value
    if by == "netlink":
        assert error.errno == number, str(error)
        assert kernel in error.extack
    else:
        assert any(words in str(error) for words in own or (kernel,)), str(error)


def swap(**attributes):
    """A control: vxlan devices are made with other attributes; None takes one away."""

    def change(operation):
        if not isinstance(operation, AddLink) or operation.kind != "vxlan":
            return operation
        merged = {**dict(operation.attributes), **attributes}
        kept = tuple((name, value) for name, value in merged.items() if value is not None)
        return dataclasses.replace(operation, attributes=kept)

    return change


def swap_at(node, **attributes):
    """The same on one host only."""
    change = swap(**attributes)
    return lambda operation: change(operation) if operation.node == node else operation


def harmless(operation):
    """A control: in place of what must be refused, something that is not."""
    if isinstance(operation, SetVxlan):
        return dataclasses.replace(operation, attributes=(("ttl", 5),))
    if isinstance(operation, AddLink) and operation.name == "bad":
        good = (("id", 1), ("dstport", 9))
        return dataclasses.replace(operation, attributes=good, mtu=None, mac=None)
    if isinstance(operation, SetLink):
        return None
    return operation
