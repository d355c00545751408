"""Proof that a packet does not arrive: by what is sent later, takes the same way and does arrive.

A packet filter counts what it drops, which is proof as well.  No time limit decides: a slow machine
takes longer to come to the same verdict.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct

from flood_tools import BROADCAST, carries, datagram_frame, underlay_address

from vxlab import wait_until

#: What the tools send first and what must not arrive, and what they send after it and arrives.
LOST, LATER = b"lost", b"later"


@contextlib.contextmanager
def on_one_processor():
    """Within the block, one processor handles all that this thread sends, and so keeps its order.

    Each processor has a queue of its own for what a veth or vxlan device receives
    (net/core/dev.c: enqueue_to_backlog(); include/net/gro_cells.h).
    """
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def assert_not_decapsulated(lab, node, broadcast):
    """Assert that b's vxlan device does not receive what ``node`` sends to a broadcast address.

    It has entered a's tunnel when a packet follows from a that has all that b's device asks for:
    the device's VNI and UDP port, and its group where it has one.  That one is received.
    """
    with on_one_processor(), lab.capture("a:eth0", "b:vxlan0") as seen:
        lab[node].send_marked(broadcast, LOST)
        seen["a:eth0"].wait_for(carries(LOST, lab.topology.ports), f"what {node} floods")
        _send_as_b_asks(lab, datagram_frame(BROADCAST, LATER))
        seen["b:vxlan0"].wait_for_payload(LATER)
    seen["b:vxlan0"].assert_silent(_is_marked(LOST), f"frame of {node}")


def _send_as_b_asks(lab, frame):
    """Send a frame from a's card, in a packet for b's vxlan device whatever a's device is like."""
    host = lab.topology.host("b")
    vtep = host.vteps[0]
    attributes, port = lab.topology.attributes(host, vtep), lab.topology.port(host, vtep)
    to = attributes.get("group", underlay_address(lab, "b"))
    header = struct.pack("!II", 0x08 << 24, attributes["id"] << 8)  # RFC 7348, section 5
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    with lab["a"].socket(family, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        sock.sendto(header + frame, (to, port))


def assert_filtered(lab, node, broadcast):
    """Assert that b's packet filter drops what ``node`` floods: its rule has counted the packet.

    The labs' hosts have no IPv6 in the overlay, and so send nothing else.
    """
    before = _packets_dropped(lab)
    with lab.capture("b:eth0", "b:vxlan0") as seen:
        heard = seen["b:vxlan0"].payloads
        lab[node].send_marked(broadcast, LOST)
        seen["b:eth0"].wait_for(carries(LOST, lab.topology.ports), f"what {node} floods")
        wait_until(
            lambda: heard() or _packets_dropped(lab) > before,
            "b's packet filter to count a packet that it drops",
        )
    seen["b:vxlan0"].assert_silent(_is_marked(LOST), f"frame of {node}")


def _packets_dropped(lab):
    """How many packets the rules of b's packet filter have dropped so far."""
    program = "ip6tables-save" if ":" in underlay_address(lab, "b") else "iptables-save"
    rules = lab["b"].ask(program, "-c").stdout
    return sum(map(int, re.findall(r"^\[(\d+):\d+\] .*-j DROP$", rules, re.MULTILINE)))


def assert_not_routed(lab, node, broadcast, *, between=("a", "b")):
    """Assert that the router forwards nothing that ``node`` floods; the packet that came to it.

    ``between`` are the hosts before and behind the router.  The kernel asks the daemon about the
    first packet of a flow, if there is one, and goes by its answer with the second; a unicast
    packet between the two hosts follows, and is forwarded.
    """
    here, there = between
    flooded = {text: carries(text, lab.topology.ports) for text in (LOST, b"lost too")}
    with on_one_processor(), lab.capture("router:eth0", "router:eth1") as seen:
        for text, is_flooded in flooded.items():
            lab[node].send_marked(broadcast, text)
            arrived = seen["router:eth0"].wait_for(is_flooded, f"what {node} floods")
            wait_until(lambda: not _unresolved_routes(lab), "the daemon to answer the kernel")
        lab[here].send_marked(underlay_address(lab, there), LATER)
        seen["router:eth1"].wait_for(_is_marked(LATER), "a unicast packet")
    seen["router:eth1"].assert_silent(
        lambda frame: any(look(frame) for look in flooded.values()),
        f"packet that {node} flooded",
    )
    return arrived


def _unresolved_routes(lab):
    return [route for route in lab["router"].state.multicast_routes if route.unresolved]


def _is_marked(data):
    return lambda frame: frame.mark == data
