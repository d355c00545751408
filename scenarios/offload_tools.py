"""What the scenarios on offload have in common: bulk data through a tunnel, and a look at it.

A packet that the kernel has put off cutting (GSO), or has put together again (GRO), is one frame
to a capture, longer than the MTU allows.

Looking changes it: what a packet socket has in its queue is passed on as a clone, and that
gro_cells_receive() leaves alone.  So does the lab's own flight recorder, which `unrecorded` stops;
a capture queues only what is above 2 KB.  Where GRO of such frames is to be seen, nothing but the
vxlan device that they come out of is captured.
"""

from __future__ import annotations

import hashlib
import random
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from vxlab.describe.builder import TopologyBuilder
from vxlab.observe.frames import decapsulate

#: Bytes of a transfer: some 190 frames of 1500 bytes, where only few are needed.
SIZE = 256 << 10
#: Packets that such a transfer takes at least, where none is larger than the MTU.
UNMERGED = 180
#: Ethernet header, which an MTU does not count.
ETHERNET = 14
#: The largest frame that an MTU of 1500 allows.
FULL = 1500 + ETHERNET
DEADLINE = 20.0
PORT = 5001
#: A card that lacks this cannot cut what is in a tunnel with a UDP checksum.
CUTS = "tx-udp_tnl-csum-segmentation"
UDP_SEGMENT, UDP_GRO = 103, 104


def two_hosts(inner=4, outer=4, mtu=1500):
    """Two hosts and a cable, overlay addresses 172.18.1.2 and .3, or fd00:172::2 and ::3."""
    t = TopologyBuilder("two hosts")
    t.cable("lan", "192.168.57.0/24" if outer == 4 else "fd00:192:168:57::/64", mtu=mtu)
    t.segment("overlay", 42, port=4789)
    for number, name in enumerate("ab", 2):
        t.host(name, "lan")
        address = f"172.18.1.{number}/24" if inner == 4 else f"fd00:172::{number}/64"
        t.vtep(name, "overlay", addresses=address)
    return t.build()


def on_a_switch(**which):
    """The two hosts, with a switch between them."""
    return two_hosts(**which).with_switch("lan", cable=False)


def address_of(lab, host):
    """The overlay address of a host."""
    return lab.topology.host(host).vteps[0].addresses[0].split("/")[0]


def offload(lab, *settings):
    """Switch features: ``a:eth0 tso off``, in the words of ethtool -K."""
    for setting in settings:
        place, *words = setting.split()
        node, device = place.split(":")
        lab[node].run("ethtool", "-K", device, *words)


def features(lab, place):
    """The features of a device by name: "on", "off", with " [fixed]" behind it where it is."""
    node, device = place.split(":")
    lines = lab[node].run("ethtool", "-k", device).stdout.splitlines()[1:]
    return {name.strip(): state.strip() for name, _, state in (x.partition(":") for x in lines)}


def unrecorded(lab):
    """Stop the flight recorder, and wait until its packet sockets are gone."""
    lab.stop_recording()


def limit(lab, place, name, value):
    """Set gso_max_size, gso_max_segs or gro_max_size of a device."""
    node, device = place.split(":")
    lab[node].run("ip", "link", "set", device, name, str(value))


def by_tcp(lab, to=None, *, size=SIZE, client="a", server="b"):
    """Send bytes by TCP: what was sent, and what arrived, as length and hash.

    TCP makes packets for a millisecond each, which are small on a slow machine: so it is told to
    make them of as many segments as it may.
    """
    to = to or address_of(lab, server)
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
    return summary(data), summary(arrived)


def _transfer(listener, sender, to, data):
    sender.settimeout(DEADLINE)
    listener.settimeout(DEADLINE)
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
        connection.settimeout(DEADLINE)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def summary(data):
    """Bytes as something to compare, that is not shown in full where it differs."""
    return len(data), hashlib.sha256(data).hexdigest()


def by_udp(lab, to=None, *, client="a", server="b", count=20, size=1000, gro=False):
    """Send datagrams by one call, with UDP_SEGMENT: those sent, and what each read gave.

    With ``gro`` the socket that reads has UDP_GRO.  The first byte of each says which it is.
    """
    to = to or address_of(lab, server)
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    sent = [bytes([number]) * size for number in range(count)]
    assert lab[client].ping(to)  # so that no datagram waits for an address
    with (
        lab[server].socket(family, socket.SOCK_DGRAM) as reader,
        lab[client].socket(family, socket.SOCK_DGRAM) as sender,
    ):
        reader.settimeout(DEADLINE)
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


def largest(seen, place):
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


def counters(lab, node):
    """The counters of a host's vxlan device."""
    (link,) = lab[node].ip("-s", "link", "show", "vxlan0")
    return link["stats64"]


def grown(lab, node, before, what, way):
    """How much a counter has grown: ``what`` is packets or bytes, ``way`` rx or tx."""
    return counters(lab, node)[way][what] - before[way][what]
