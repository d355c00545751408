"""What the scenarios on offload have in common: bulk transfers through a tunnel.

A packet that the kernel has not segmented yet (GSO), or has merged (GRO), is one frame to a
capture, longer than the MTU allows.

Capturing changes what GRO does: a packet that waits in the queue of a packet socket is passed on
as a clone, and gro_cells_receive() does not merge clones.  The lab's own flight recorder has such
sockets, and `Lab.stop_recording` closes them; a capture queues only frames above 2 KB.  A scenario
that wants to see GRO of such frames captures at no place but the vxlan device that decapsulates.
"""

from __future__ import annotations

import hashlib
import random
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from vxlab import TopologyBuilder, decapsulate

#: Bytes of a transfer, which fill some 190 frames of 1500 bytes.
SIZE = 256 << 10
#: The least number of packets of such a transfer where none is larger than the MTU.
UNMERGED_PACKETS = 180
#: Bytes of the Ethernet header, which an MTU does not count.
ETHERNET = 14
#: The largest frame that an MTU of 1500 allows.
FULL_FRAME = 1500 + ETHERNET
#: Seconds in which a transfer must end; only reached where something is broken.
TRANSFER_DEADLINE = 20.0
PORT = 5001
#: The feature by which a device segments packets in a UDP tunnel with a UDP checksum.
TUNNEL_GSO = "tx-udp_tnl-csum-segmentation"
UDP_SEGMENT, UDP_GRO = 103, 104  # linux/udp.h


def two_hosts(inner=4, outer=4, mtu=1500):
    """Two hosts on a cable, with overlay addresses 172.18.1.2 and .3, or fd00:172::2 and ::3."""
    t = TopologyBuilder("two hosts")
    t.cable("lan", "192.168.57.0/24" if outer == 4 else "fd00:192:168:57::/64", mtu=mtu)
    t.segment("overlay", 42, port=4789)
    for number, name in enumerate("ab", 2):
        t.host(name, "lan")
        address = f"172.18.1.{number}/24" if inner == 4 else f"fd00:172::{number}/64"
        t.vtep(name, "overlay", addresses=address)
    return t.build()


def two_hosts_on_a_switch(**which):
    """The same two hosts, with a switch between them."""
    return two_hosts(**which).with_switch("lan", cable=False)


def overlay_address(lab, host):
    """The overlay address of a host."""
    return lab.topology.host(host).vteps[0].addresses[0].split("/")[0]


def set_offload(lab, *settings):
    """Set features of devices: ``a:eth0 tso off``, in the words of ethtool -K."""
    for setting in settings:
        place, *words = setting.split()
        node, device = place.split(":")
        lab[node].run("ethtool", "-K", device, *words)


def features(lab, place):
    """The features of a device by name: "on" or "off", with " [fixed]" if it cannot change."""
    node, device = place.split(":")
    lines = lab[node].run("ethtool", "-k", device).stdout.splitlines()[1:]
    return {name.strip(): state.strip() for name, _, state in (x.partition(":") for x in lines)}


def set_limit(lab, place, name, value):
    """Set gso_max_size, gso_max_segs or gro_max_size of a device."""
    node, device = place.split(":")
    lab[node].run("ip", "link", "set", device, name, str(value))


def tcp_transfer(lab, to=None, *, size=SIZE, client="a", server="b"):
    """Send bytes by TCP: digests of what was sent and of what arrived.

    TCP sizes its packets to what it sends in a millisecond, which is little on a slow machine; so
    tcp_min_tso_segs makes it put as many segments into each packet as it may.
    """
    to = to or overlay_address(lab, server)
    lab[client].sysctl("net.ipv4.tcp_min_tso_segs", 200)
    data = random.Random(size).randbytes(size)
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    try:
        with (
            lab[server].socket(family, socket.SOCK_STREAM) as listener,
            lab[client].socket(family, socket.SOCK_STREAM) as sender,
        ):
            arrived = _transfer(listener, sender, to, data)
    except OSError as error:
        pytest.fail(f"{client} to {to}: wanted {size} bytes by TCP, found: {error}")
    return digest(data), digest(arrived)


def _transfer(listener, sender, to, data):
    sender.settimeout(TRANSFER_DEADLINE)
    listener.settimeout(TRANSFER_DEADLINE)
    listener.bind((to, PORT))
    listener.listen()
    sender.connect((to, PORT))
    with ThreadPoolExecutor(1) as pool:
        arriving = pool.submit(_receive, listener)
        sender.sendall(data)
        sender.shutdown(socket.SHUT_WR)
        return arriving.result()


def _receive(listener):
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(TRANSFER_DEADLINE)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def digest(data):
    """Length and hash of bytes, which a failed comparison shows in one line."""
    return len(data), hashlib.sha256(data).hexdigest()


def udp_transfer(lab, to=None, *, client="a", server="b", count=20, size=1000, gro=False):
    """Send datagrams by one call with UDP_SEGMENT: the datagrams sent, and what each read gave.

    With ``gro`` the receiving socket has UDP_GRO.  The bytes of a datagram are its number.
    """
    to = to or overlay_address(lab, server)
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    sent = [bytes([number]) * size for number in range(count)]
    assert lab[client].ping(to)  # so that no datagram waits for ARP or ND
    with (
        lab[server].socket(family, socket.SOCK_DGRAM) as reader,
        lab[client].socket(family, socket.SOCK_DGRAM) as sender,
    ):
        reader.settimeout(TRANSFER_DEADLINE)
        reader.bind((to, PORT))
        reader.setsockopt(socket.IPPROTO_UDP, UDP_GRO, int(gro))
        sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
        sender.sendto(b"".join(sent), (to, PORT))
        return sent, _read(reader, count * size)


def _read(reader, total):
    found = []
    while sum(map(len, found)) < total:
        try:
            found.append(reader.recv(1 << 16))
        except TimeoutError:
            pytest.fail(f"wanted {total} bytes of datagrams, found {[len(x) for x in found]}")
    return found


def largest_frame(seen, place):
    """The length of the longest frame of an ended capture, Ethernet header included."""
    capture = seen[place]
    assert capture.was_live
    assert capture.frames
    return max(frame.length for frame in capture.frames)


def vnis(frame):
    """The VNIs of a frame, from the outermost tunnel to the innermost."""
    found = []
    while tunnel := decapsulate(frame):
        found.append(tunnel.vni)
        frame = tunnel.inner
    return found


def device_statistics(lab, node):
    """The counters of a host's vxlan device."""
    (link,) = lab[node].ip("-s", "link", "show", "vxlan0")
    return link["stats64"]


def growth(lab, node, before, what, way):
    """By how much a counter has grown: ``what`` is packets or bytes, ``way`` rx or tx."""
    return device_statistics(lab, node)[way][what] - before[way][what]
