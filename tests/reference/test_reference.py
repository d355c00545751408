"""The reference VTEP at one end of a tunnel, the kernel or another one of its kind at the other.

a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2                172.18.1.3 the reference
"""

from __future__ import annotations

import dataclasses
import socket
import threading

import pytest
from resource_tools import nothing_left
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether

from vxlab import catalog
from vxlab.errors import VxlabError, WaitTimeout
from vxlab.live.lab import Lab
from vxlab.live.node import Node
from vxlab.reference import Header, Received, ReferenceVtep, header, udp
from vxlab.reference.host import OverlayHost
from vxlab.system.waiting import wait_until

BOTH = {"family": [4, 6]}
A, B = "172.18.1.2", "172.18.1.3"
MAC = "02:00:00:00:00:99"
FRAME = bytes(Ether(src=MAC, dst="ff:ff:ff:ff:ff:ff", type=0x88B6) / b"only a test")


@pytest.fixture(autouse=True)
def _asks_once(monkeypatch):
    """A reference asks once, however busy the machine: what it received can be counted."""
    monkeypatch.setattr("vxlab.reference.vtep._ASK_AGAIN", 60.0)


def kernel_asks_once(lab):
    """So does a's kernel, for a minute."""
    lab["a"].sysctl("net.ipv4.neigh.vxlan0.retrans_time_ms", 60_000)


def lonely(family=4, hosts=2, v6=False, **fields):
    """The picture above; ``fields`` are those of a's VTEP, ``v6`` adds overlay addresses."""
    full = catalog.point_to_point(family=family, hosts=hosts)
    far = tuple(host.nics[0].ip for host in full.hosts if host.name != "a")
    own = {"addresses": (f"{A}/24", "fd42::2/64")} if v6 else {}
    return full.with_host("b", vteps=()).with_vtep("a", "overlay", remotes=far, **own, **fields)


def empty(family=4, hosts=2):
    """The same without any vxlan device."""
    full = catalog.point_to_point(family=family, hosts=hosts)
    bare = tuple(dataclasses.replace(host, vteps=()) for host in full.hosts)
    return dataclasses.replace(full, hosts=bare)


def ip_of(lab, host):
    return lab.topology.host(host).nics[0].ip


def reference(lab, host="b", **options):
    """A reference VTEP on a host, which floods to all other hosts."""
    others = [other.nics[0].ip for other in lab.topology.hosts if other.name != host]
    own = {"local": ip_of(lab, host), "remotes": others}
    if host != "b":
        own["address"] = f"{A}/24"
    return ReferenceVtep(lab[host], **{**own, **options})


def device(lab, host="a"):
    (link,) = [link for link in lab[host].state.links if link.name == "vxlan0"]
    return link


def mac_of(lab, host):
    return device(lab, host).mac


def learned(lab, host):
    rows = [row for row in lab[host].state.fdb if row.interface == "vxlan0"]
    return {row.mac: row.dst for row in rows if row.state != "permanent"}


def carries(kind):
    """A predicate: the packet is fine and has a layer of that kind inside."""
    return lambda row: not row.problem and kind in row.packet()


# --- the kernel at the other end -----------------------------------------------------------------


@pytest.mark.topology(lonely, **BOTH)
def test_pings_both_ways(lab):
    kernel_asks_once(lab)
    with reference(lab) as far:
        assert lab["a"].ping(B)
        assert far.ping(A)
        assert far.fdb == {mac_of(lab, "a"): ip_of(lab, "a")}
        assert learned(lab, "a") == {far.mac: ip_of(lab, "b")}
        lines = [str(row).partition(" | ")[2] for row in far.received]
    assert lines == [
        f"ARP who-has {B} tell {A}",
        f"ICMP echo request {A} > {B}",
        f"ARP reply {A} is-at {mac_of(lab, 'a')}",
        f"ICMP echo reply {A} > {B}",
    ]
    assert not far.dropped
    for row in far.received:
        assert (row.outer_src, row.outer_dst) == (ip_of(lab, "a"), ip_of(lab, "b"))
        assert (row.flags, row.reserved1, row.vni, row.reserved2) == (0x08, 0, 42, 0)
        assert (row.problem, row.policy, row.next_protocol) == ("", None, None)
        assert row.source_port >= 1024
        assert row.payload[8:] == row.inner == bytes(row.packet())


@pytest.mark.topology(lonely, **BOTH, v6=True)
def test_pings_both_ways_in_an_ipv6_overlay(lab):
    with reference(lab, address=(f"{B}/24", "fd42::3/64")) as far:
        assert lab["a"].ping("fd42::3", timeout=10)
        assert far.ping("fd42::2")
        assert any(carries(ICMPv6EchoRequest)(row) for row in far.received)
        assert far.received[0].inner_src == mac_of(lab, "a")
        assert not any(row.problem for row in far.received)


@pytest.mark.topology(lonely, **BOTH)
def test_a_ping_of_nobody_is_false(lab):
    with reference(lab) as far:
        assert not far.ping("172.18.1.77", timeout=0.2)
        assert far.ping(A)


@pytest.mark.topology(lonely, id=43)
def test_a_wrong_vni_is_recorded_and_not_answered(lab):
    with reference(lab) as far:
        assert not lab["a"].ping(B, timeout=0.3)
        row = far.wait_for(lambda row: row.vni == 43, "a packet of VNI 43")
        assert row.problem == "wanted the VNI 42, found 43"
        assert not far.fdb
        assert not learned(lab, "a")


@pytest.mark.topology(lonely, **BOTH, ttl=9, tos=0x48)
def test_outer_ttl_and_tos_are_seen(lab):
    with reference(lab) as far:
        assert lab["a"].ping(B)
        assert {(row.ttl, row.tos) for row in far.received} == {(9, 0x48)}


@pytest.mark.topology(lonely, **BOTH)
def test_who_only_listens_does_not_answer(lab):
    with reference(lab, answer=False) as far:
        assert not lab["a"].ping(B, timeout=0.3)
        assert far.wait_for(carries(ARP), "a question").packet()[ARP].pdst == B
        assert far.fdb == {mac_of(lab, "a"): ip_of(lab, "a")}


@pytest.mark.topology(lonely, **BOTH)
def test_a_frame_as_large_as_the_overlay_takes(lab):
    with reference(lab):
        size = device(lab).mtu - 28
        assert lab["a"].ping(B, size=size)


# --- what it sends -------------------------------------------------------------------------------


@pytest.mark.topology(lonely, **BOTH)
def test_the_outer_packet_under_full_control(lab):
    spoofed = ip_of(lab, "a")[:-1] + "9"
    with lab.capture("a") as seen, reference(lab) as far:
        payload = far.encapsulate(FRAME, vni=7, flags=0x18, reserved1=5, reserved2=6)
        far.send_outer(payload, source=spoofed, source_port=999, ttl=3, tos=0xB9)
        frame = seen["a"].wait_for(lambda frame: frame.ttl == 3, "the packet")
    udp = frame.packet((4789,))[UDP]
    assert (udp.sport, udp.dport) == (999, 4789)
    assert bytes(udp.payload) == payload == bytes.fromhex("18000005 00000706") + FRAME
    assert (frame.outer_src, frame.outer_dst) == (spoofed, ip_of(lab, "a"))
    outer = udp.underlayer
    assert (outer.tos if outer.version == 4 else outer.tc) == 0xB9
    assert right_sum(udp) == udp.chksum


def right_sum(udp):
    """The checksum that a captured UDP header should have."""
    again = udp.underlayer.copy()
    del again[UDP].chksum
    return again.__class__(bytes(again))[UDP].chksum


@pytest.mark.topology(lonely, **BOTH)
@pytest.mark.parametrize("fragment", [None, 1400])
def test_a_zero_and_a_wrong_checksum(lab, fragment):
    with lab.capture("a") as seen, reference(lab) as far:
        for ttl, checksum in ((3, "zero"), (4, "wrong"), (5, "right")):
            payload = far.encapsulate(FRAME)
            far.send_outer(payload, ttl=ttl, checksum=checksum, fragment=fragment)
        seen["a"].wait_for(lambda frame: frame.ttl == 5, "the last packet")
    packets = {frame.ttl: frame.packet(())[UDP] for frame in seen["a"].frames if frame.udp_ports}
    assert packets[3].chksum == 0
    assert packets[4].chksum not in (0, right_sum(packets[4]))
    assert packets[5].chksum == right_sum(packets[5])


@pytest.mark.topology(lonely())
def test_the_dont_fragment_bit(lab):
    with lab.capture("a") as seen, reference(lab) as far:
        for ttl, df in ((3, True), (4, False)):
            far.send_outer(far.encapsulate(FRAME), ttl=ttl, df=df)
        seen["a"].wait_for(lambda frame: frame.ttl == 4, "the last packet")
    found = {frame.ttl: frame.packet()[IP].flags.DF for frame in seen["a"].frames if frame.ttl}
    assert (found[3], found[4]) == (True, False)


@pytest.mark.topology(lonely, **BOTH)
def test_fragments_are_put_together_at_the_other_end(lab):
    with lab.capture("a") as seen, reference(lab) as far:
        assert far.ping(A)
        ask = Ether(src=far.mac, dst=mac_of(lab, "a")) / IP(src=B, dst=A)
        data = bytes(range(200))
        far.send_outer(far.encapsulate(ask / ICMP(type=8, id=1, seq=2) / data), fragment=80)
        reply = far.wait_for(lambda row: row.inner.endswith(data), "the reply")
        assert reply.packet()[ICMP].type == 0
    pieces = [frame.data[14:] for frame in seen["a"].frames if frame.ttl and not frame.outgoing]
    header_size = 20 if lab.topology.host("a").nics[0].interface.version == 4 else 48
    fragments = [data for data in pieces if len(data) == header_size + 80]
    assert len(fragments) == 3  # of 8 + 8 + 14 + 20 + 8 + 200 bytes: three of 80, and 18 more


@pytest.mark.parametrize("gbp", [True, False])
def test_a_policy_is_taken_by_a_kernel_that_speaks_gbp(gbp):
    with Lab(lonely(gbp=gbp)) as lab, reference(lab, gbp=True) as far:
        assert far.ping(A)
        ask = Ether(src=far.mac, dst=mac_of(lab, "a")) / IP(src=B, dst=A) / ICMP(type=8)
        far.send(ask / b"policy", flags=0x88, reserved1=100)
        far.send(ask / b"none")
        far.wait_for(lambda row: row.inner.endswith(b"none"), "the reply to the last request")
        replies = [row for row in far.received if row.inner.endswith(b"policy")]
        assert len(replies) == gbp
        assert device(lab).counters.rx_errors == (not gbp)


@pytest.mark.topology(lonely())
def test_bytes_go_as_they_are(lab):
    with lab.capture("a") as seen, reference(lab) as far:
        far.send_bytes(b"\x08\0\0")
        frame = seen["a"].wait_for(lambda frame: frame.udp_ports == (4789, 4789), "the packet")
    assert bytes(frame.packet(())[UDP].payload)[:3] == b"\x08\0\0"
    assert frame.packet(())[UDP].len == 11
    assert not frame.packet(())[IP].flags.DF


@pytest.mark.topology(empty, **BOTH, hosts=3)
def test_an_unknown_mac_is_flooded_and_a_known_one_is_not(lab):
    with (
        reference(lab, "a") as a,
        reference(lab, "b") as b,
        reference(lab, "c", address="172.18.1.4/24") as c,
    ):
        assert a.ping(B)  # the question reaches all, the rest b alone
        frame = Ether(src=b.mac, dst=a.mac, type=0x88B6)
        b.send(frame / b"to a alone")
        b.send(frame / b"to c alone", to=c.local)
        b.send(Ether(src=b.mac, dst=MAC, type=0x88B6) / b"to all")
        for vtep in (a, c):
            vtep.wait_for(lambda row: row.inner.endswith(b"to all"), "the last frame")
        assert [row.inner[14:] for row in c.received] == [
            c.received[0].inner[14:],
            b"to c alone",
            b"to all",
        ]
        assert ARP in c.received[0].packet()
        assert [row.inner[14:] for row in a.received][-2:] == [b"to a alone", b"to all"]
        assert b.fdb == {a.mac: a.local}
        assert c.fdb == {a.mac: a.local, b.mac: b.local}


@pytest.mark.topology(empty())
def test_the_same_mac_elsewhere_moves(lab):
    with reference(lab, "a") as a, reference(lab, "b") as b:
        for source in (a.local, "192.168.57.99"):
            a.send_outer(a.encapsulate(FRAME), source=source)
            b.wait_for(lambda row, source=source: row.outer_src == source, f"one from {source}")
            assert b.fdb == {MAC: source}


# --- two of its kind, and the extensions ---------------------------------------------------------


@pytest.mark.topology(empty, **BOTH)
@pytest.mark.parametrize("options", [{}, {"gbp": True}, {"gpe": True}, {"port": 8472, "vni": 0}])
def test_two_references_talk(lab, options):
    options = {"vni": 42, **options}
    with reference(lab, "a", ttl=7, **options) as a, reference(lab, "b", **options) as b:
        assert a.ping(B)
        assert b.ping(A)
        assert not any(row.problem for row in (*a.received, *b.received))
        assert {row.ttl for row in b.received} == {7}
        assert {row.ttl for row in a.received} == {64}


@pytest.mark.topology(empty, **BOTH)
def test_gpe_carries_ip_without_ethernet(lab):
    own = {"gpe": True, "port": 4790}
    with (
        reference(lab, "a", address="fd42::2/64", **own) as a,
        reference(lab, "b", address="fd42::3/64", **own) as b,
    ):
        assert a.ping("fd42::3")
        (row,) = b.received
        assert (row.flags, row.next_protocol, row.inner_src) == (0x0C, 2, None)
        assert isinstance(row.packet(), IPv6)
        assert "ICMPv6 echo request fd42::2 > fd42::3" in str(row)
        assert not b.fdb
        b.send(FRAME)
        assert a.wait_for(lambda row: row.next_protocol == 3, "a frame").inner == FRAME


@pytest.mark.topology(empty())
def test_a_group_policy_is_seen_where_it_is_spoken(lab):
    with reference(lab, "a", gbp=True) as a, reference(lab, "b", gbp=True) as b:
        a.send(FRAME, flags=0x88, reserved1=0x480000 | 100)  # do not learn, applied
        row = b.wait_for(lambda row: True, "a packet")
        assert (row.policy, row.problem) == (100, "")
        assert not b.fdb
        a.send(FRAME, flags=0x88, reserved1=100)
        b.wait_for(lambda row: row.reserved1 == 100, "the next one")
        assert b.fdb == {MAC: a.local}


@pytest.mark.topology(empty, **BOTH)
def test_a_wrong_checksum_is_not_received_and_none_is(lab):
    with reference(lab, "a") as a, reference(lab, "b") as b:
        a.send_outer(a.encapsulate(FRAME), checksum="wrong")
        a.send_outer(a.encapsulate(FRAME), checksum="zero")
        a.send_bytes(b"")
        b.wait_for(lambda row: not row.payload, "no bytes")
        assert [row.inner for row in b.received] == [FRAME, b""]
        counters = lab["b"].state.counters
        assert counters["Udp.InCsumErrors"] + counters["Udp6InCsumErrors"] == 1


@pytest.mark.topology(empty, **BOTH)
def test_what_there_is_no_room_for_is_counted(lab, monkeypatch):
    monkeypatch.setattr(udp, "_QUEUE", 4096)
    with reference(lab, "a") as a:
        sock = udp.open_udp(lab["b"], ip_of(lab, "b"), 4789)
        with sock:
            for _ in range(20):
                a.send_bytes(bytes(1000))
            heard = 0
            while udp.receive(sock) is not None:
                heard += 1
            assert 0 < heard < 20
            assert udp.dropped(sock) == 20 - heard


@pytest.mark.topology(empty, family=6)
def test_link_local_addresses_need_the_interface(lab):
    a, b = (
        next(
            row.address
            for row in lab[host].state.addresses
            if row.interface == "eth0" and row.scope == "link"
        )
        for host in "ab"
    )
    with (
        ReferenceVtep(lab["a"], local=a, remotes=b, dev="eth0", address=f"{A}/24") as near,
        ReferenceVtep(lab["b"], local=b, remotes=a, dev="eth0") as far,
    ):
        assert near.ping(B)
        assert near.fdb == {far.mac: b}
        near.send_outer(near.encapsulate(FRAME), ttl=3)
        assert far.wait_for(lambda row: row.ttl == 3, "the last one").outer_src == a


# --- groups --------------------------------------------------------------------------------------


def grouped(family=4):
    return catalog.one_switch(family=family, port=4789).with_host("b", vteps=())


@pytest.mark.topology(grouped, **BOTH)
def test_it_is_a_member_of_a_flooded_segment(lab):
    group = lab.topology.segment("overlay").group
    options = {"remotes": (), "group": group, "dev": "eth0", "address": "192.168.42.3/24"}
    with lab.capture("a") as seen, reference(lab, ttl=5, **options) as far:
        assert group in groups(lab)
        assert lab["a"].ping("192.168.42.3")
        assert far.received[0].outer_dst == group
        assert far.received[0].ttl == 1
        assert far.ping("192.168.42.2")
        assert {row.outer_dst for row in far.received[1:]} == {far.local}
        assert far.received[-1].ttl == 64
    asked = [frame for frame in seen["a"].encapsulated() if frame.outer_src == far.local]
    assert [x.ttl for x in asked if x.outer_dst == group] == [5]
    assert group not in groups(lab)


def groups(lab):
    return [row.group for row in lab["b"].state.memberships if row.interface == "eth0"]


# --- its life ------------------------------------------------------------------------------------


def test_nothing_is_left_behind(tmp_path):
    with nothing_left(tmp_path), Lab(empty()) as lab:
        with reference(lab, "a") as a, reference(lab, "b") as b:
            names = {thread.name for thread in threading.enumerate()}
            assert {"vxlab-reference-a", "vxlab-reference-b"} <= names
            assert a.ping(B)
            a.send_outer(b"x")
        assert udp_sockets(lab["b"]) == 0
        b.close()
        with reference(lab) as again:  # the port is free
            assert udp_sockets(lab["b"]) == 1
            again.close()


def udp_sockets(node):
    return len(node.namespaces.read("/proc/thread-self/net/udp").splitlines()) - 1


def test_where_opening_fails_nothing_is_left(tmp_path):
    with nothing_left(tmp_path), Lab(empty()) as lab:
        far = reference(lab, group="239.1.1.1", dev="eth7")
        with pytest.raises(VxlabError, match="wanted the interface 'eth7', found only lo, eth0"):
            far.open()
        with reference(lab), pytest.raises(VxlabError, match="the port is in use"):
            reference(lab).open()


@pytest.mark.topology(catalog.point_to_point, **BOTH)
def test_a_port_in_use_is_named(lab):
    wanted = f"b: wanted the UDP port 4789 of {ip_of(lab, 'b')}, found: the port is in use"
    with pytest.raises(VxlabError, match=wanted):
        reference(lab).open()


@pytest.mark.topology(empty, **BOTH)
def test_an_address_of_somebody_else_is_refused(lab):
    with pytest.raises(VxlabError, match="no interface of the node has that address"):
        reference(lab, local=ip_of(lab, "a")).open()


@pytest.mark.topology(empty())
def test_it_is_used_while_it_is_open(lab):
    far = reference(lab)
    for use in (lambda: far.ping(A), lambda: far.send(FRAME), lambda: far.send_outer(b"")):
        with pytest.raises(VxlabError, match=r"reference VTEP on b: .*found it not open"):
            use()
    with far:
        assert repr(far) == "<ReferenceVtep b vni 42 192.168.57.54:4789>"
    with pytest.raises(VxlabError, match="found it not open"):
        far.send_bytes(b"")
    with pytest.raises(VxlabError, match="has run already"):
        far.open()


@pytest.mark.topology(lonely())
@pytest.mark.parametrize("use", ["close", "send", "ping", "wait_for"])
def test_an_error_in_the_thread_is_raised_once(lab, use, monkeypatch):
    def broken(self, packet):
        raise RuntimeError("out of order")

    monkeypatch.setattr(OverlayHost, "answer", broken)
    far = reference(lab).open()
    calls = {
        "close": far.close,
        "send": lambda: far.send(FRAME),
        "ping": lambda: far.ping(A),
        "wait_for": lambda: far.wait_for(lambda row: False, "nothing at all"),
    }
    assert not lab["a"].ping(B, timeout=0.3)
    wait_until(lambda: not far._journal.running, "its thread to fail")
    with pytest.raises(VxlabError, match="it found RuntimeError: out of order"):
        calls[use]()
    with pytest.raises(VxlabError, match="found it not open"):
        far.ping(A)
    assert not [x for x in threading.enumerate() if x.name == "vxlab-reference-b" and x.is_alive()]
    far.close()


@pytest.mark.topology(lonely())
def test_waiting_in_vain_tells_what_came(lab):
    kernel_asks_once(lab)
    with reference(lab) as far:
        with pytest.raises(WaitTimeout, match=r"s for a frame; found no packet$"):
            far.wait_for(lambda row: True, "a frame", timeout=0)
        assert lab["a"].ping(B)
        found = f"s for TCP; found 2 other packets, the last of them .*ARP who-has {B}"
        with pytest.raises(WaitTimeout, match=found):
            far.wait_for(lambda row: False, "TCP", timeout=0.01)
    with pytest.raises(WaitTimeout):  # closed: nothing comes any more
        far.wait_for(lambda row: False, "TCP")
    assert far.wait_for(carries(ICMP), "a request").inner


@pytest.mark.topology(lonely())
def test_sending_to_where_no_way_leads(lab):
    with reference(lab) as far:
        for send in (far.send_bytes, far.send_outer):
            with pytest.raises(VxlabError, match=r"to 10.9.9.9, found: Network is unreachable"):
                send(b"", to="10.9.9.9")
        with pytest.raises(VxlabError, match="wanted to send 70000 bytes"):
            far.send_bytes(bytes(70000))
        with pytest.raises(VxlabError, match=r"wanted to send an IP packet of .*Message too long"):
            far.send_outer(bytes(3000))
    with reference(lab, vni=1, remotes=()) as far, pytest.raises(VxlabError, match="give to="):
        far.send(FRAME)


# --- bad arguments -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"vni": 1 << 24}, "vni: wanted 0 to 16777215, found 16777216"),
        ({"vni": "42"}, "vni: wanted a whole number, found '42'"),
        ({"port": 0}, "port: wanted 1 to 65535, found 0"),
        ({"local": "here"}, "local: wanted an IP address, found 'here'"),
        ({"local": "239.1.1.1"}, "local: wanted a unicast address"),
        ({"remotes": ["fd00::1"]}, "remotes: wanted an address of the family of 192.168.57.54"),
        ({"remotes": "there"}, "remotes: .* found 'there'"),
        ({"remotes": [None]}, "remotes: .* found None"),
        ({"address": B}, "address: wanted an address with prefix length"),
        ({"mac": "01:00:00:00:00:01"}, "mac: wanted a unicast MAC"),
        ({"ttl": 256}, "ttl: wanted 1 to 255, found 256"),
        ({"answer": 1}, "answer: wanted True or False, found 1"),
        ({"gbp": True, "gpe": True}, "gpe: wanted gbp or gpe, found both"),
        ({"group": "10.0.0.1", "dev": "eth0"}, "group: wanted a multicast group"),
        ({"group": "ff08::1", "dev": "eth0"}, "group: wanted an address of the family"),
        ({"group": "239.1.1.1"}, "dev: wanted the interface to join 239.1.1.1 on"),
        ({"dev": ""}, "dev: wanted a non-empty string"),
        ({"local": None}, "local: wanted a non-empty string, found None"),
        ({"remotes": None}, "remotes: .* found None"),
        ({"address": 3}, "address: wanted a non-empty string, found 3"),
        ({"gpe": None}, "gpe: wanted True or False, found None"),
    ],
)
def test_bad_settings(options, found):
    with pytest.raises(VxlabError, match=f"^reference VTEP on b: {found}"):
        ReferenceVtep(Node("b", None), **options)


def test_what_is_no_node_is_refused():
    with pytest.raises(VxlabError, match=r"wanted a node, as lab\['b'\] is, found 'b'"):
        ReferenceVtep("b")


@pytest.mark.parametrize("inner", ["text", 60, None])
def test_what_is_no_frame_is_refused(inner):
    with pytest.raises(VxlabError, match="wanted a frame of bytes or scapy's, found "):
        ReferenceVtep(Node("b", None)).encapsulate(inner)


@pytest.mark.topology(empty())
@pytest.mark.parametrize(
    ("call", "options", "found"),
    [
        ("send", {"vni": -1}, "vni: wanted 0 to 16777215, found -1"),
        ("send", {"flags": 256}, "flags: wanted 0 to 255, found 256"),
        ("send", {"reserved1": 1 << 24}, "reserved1: wanted 0 to 16777215"),
        ("send", {"reserved2": None}, "reserved2: wanted a whole number, found None"),
        ("send", {"to": "fd00::1"}, "to: wanted an address of the family"),
        ("send_outer", {"source": "fd00::1"}, "source: wanted an address of the family"),
        ("send_outer", {"source_port": 65536}, "source_port: wanted 0 to 65535"),
        ("send_outer", {"port": -1}, "port: wanted 0 to 65535"),
        ("send_outer", {"ttl": 256}, "ttl: wanted 0 to 255"),
        ("send_outer", {"tos": 256}, "tos: wanted 0 to 255"),
        ("send_outer", {"checksum": "odd"}, "wanted a checksum right, zero or wrong, found 'odd'"),
        ("send_outer", {"fragment": 100}, "fragment: wanted a multiple of 8 bytes, found 100"),
        ("send_outer", {"fragment": 0}, "fragment: wanted 8 to 65528, found 0"),
    ],
)
def test_bad_things_to_send(lab, call, options, found):
    with reference(lab) as far, pytest.raises(VxlabError, match=found):
        getattr(far, call)(FRAME, **options)


@pytest.mark.topology(empty, family=6)
def test_ipv6_has_no_dont_fragment_bit(lab):
    with reference(lab) as far, pytest.raises(VxlabError, match="found IPv6, which has no such"):
        far.send_outer(FRAME, df=True)


@pytest.mark.topology(empty())
def test_a_ping_without_an_own_address(lab):
    with reference(lab) as far:
        with pytest.raises(VxlabError, match=r"to reach fd42::2 from, found 172.18.1.3/24"):
            far.ping("fd42::2")
        with pytest.raises(VxlabError, match="address: wanted an IP address, found 'a'"):
            far.ping("a")


# --- the header ----------------------------------------------------------------------------------

INNER_V4, INNER_V6 = b"\x45" + bytes(19), b"\x60" + bytes(39)


@pytest.mark.parametrize(
    ("first8", "inner", "mode", "problem"),
    [
        ("0800000000002a00", FRAME, "", ""),
        ("08000000", b"", "", "wanted a header of 8 bytes, found 4"),
        ("0000000000002a00", FRAME, "", r"wanted the I flag \(0x08\), found flags 0x00"),
        ("1800000000002a00", FRAME, "", "wanted no other flags, found 0x10"),
        ("8800006400002a00", FRAME, "", "wanted no other flags, found 0x80; wanted the first"),
        ("0800000100002a00", FRAME, "", "wanted the first reserved field zero, found 0x000001"),
        ("0800000000002b00", FRAME, "", "wanted the VNI 42, found 43"),
        ("0800000000002a01", FRAME, "", "wanted the last reserved byte zero, found 0x01"),
        ("0800000000002a00", FRAME[:13], "", "wanted an Ethernet frame inside, found 13 bytes"),
        ("0800000000002a00", bytes(14), "", "wanted a unicast source MAC inside, found 00:00"),
        ("0800000000002a00", b"\xff" * 14, "", "wanted a unicast source MAC inside, found ff:ff"),
        ("8848006400002a00", FRAME, "gbp", ""),
        ("0800000000002a00", FRAME, "gbp", ""),
        ("0800006400002a00", FRAME, "gbp", "wanted the first reserved field zero, found 0x000064"),
        ("8810006400002a00", FRAME, "gbp", "wanted the first reserved field zero, found 0x100000"),
        ("c800006400002a00", FRAME, "gbp", "wanted no other flags, found 0x40"),
        ("0c00000300002a00", FRAME, "gpe", ""),
        ("0800000000002a00", FRAME, "gpe", ""),
        ("0e00000300002a00", FRAME, "gpe", ""),
        ("0c00000100002a00", INNER_V4, "gpe", ""),
        ("0c00000200002a00", INNER_V6, "gpe", ""),
        ("0c00000100002a00", INNER_V6, "gpe", "wanted an IPv4 packet inside"),
        ("0c00000200002a00", INNER_V6[:39], "gpe", "wanted an IPv6 packet inside"),
        ("0c00000400002a00", FRAME, "gpe", "wanted a next protocol of 1, 2 or 3, found 4"),
        ("0800000300002a00", FRAME, "gpe", "wanted the first reserved field zero"),
        ("1c00000300002a00", FRAME, "gpe", "wanted the GPE version 0, found 1"),
        ("0d00000300002a00", FRAME, "gpe", "wanted a packet to forward, found an OAM packet"),
        ("8c00000300002a00", FRAME, "gpe", "wanted no other flags, found 0x80"),
    ],
)
def test_what_a_header_may_say(first8, inner, mode, problem):
    modes = {mode: True} if mode else {}
    found = header.problem(bytes.fromhex(first8) + inner, 42, **modes)
    assert bool(found) == bool(problem)
    assert not problem or found.startswith(problem.replace("\\", ""))


def test_a_header_is_its_bytes():
    head = Header(flags=0x88, reserved1=0x480064, vni=0x010203, reserved2=4)
    assert bytes(head) == bytes.fromhex("8848006401020304")
    assert Header.parse(bytes(head) + b"more") == head
    assert Header.parse(b"\x08\x01") == Header(flags=8, reserved1=0x010000, vni=0)


@pytest.mark.topology(lonely())
def test_malformed_packets_are_told_apart(lab):
    with reference(lab) as far, lab["a"].socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for payload in ("08", "00000000 00002a00", "08000000 00002a00"):
            sock.sendto(bytes.fromhex(payload), (far.local, 4789))
        far.wait_for(lambda row: row.problem.startswith("wanted an Ethernet"), "the last one")
        assert [row.problem.split(",")[0] for row in far.received] == [
            "wanted a header of 8 bytes",
            "wanted the I flag (0x08)",
            "wanted an Ethernet frame inside",
        ]
        assert all("(refused: wanted " in str(row) for row in far.received)
        assert isinstance(far.received[0], Received)
        with pytest.raises(dataclasses.FrozenInstanceError):
            far.received[0].vni = 1


# --- the host in the overlay ---------------------------------------------------------------------

HOST = OverlayHost(MAC, ReferenceVtep(Node("b", None), address=(f"{B}/24", "fd42::3/64")).addresses)
PEER = "02:00:00:00:00:01"
TO_ALL = "ff:ff:ff:ff:ff:ff"
ASKED = "33:33:ff:00:00:03"


def solicitation(source="fd42::2", target="fd42::3", hops=255):
    ip = IPv6(src=source, dst="ff02::1:ff00:3", hlim=hops)
    return Ether(bytes(Ether(src=PEER, dst=ASKED) / ip / ICMPv6ND_NS(tgt=target)))


def test_a_solicitation_is_answered_to_who_asks():
    answer = HOST.answer(solicitation())
    assert (answer.src, answer.dst) == (MAC, PEER)
    assert (answer[IPv6].src, answer[IPv6].dst, answer[IPv6].hlim) == ("fd42::3", "fd42::2", 255)
    assert (answer[ICMPv6ND_NA].S, answer[ICMPv6ND_NA].O, answer[ICMPv6ND_NA].R) == (1, 1, 0)
    assert HOST.mac_in(answer, "fd42::3") == MAC
    assert HOST.mac_in(answer, "fd42::2") is None


def test_who_tests_an_address_is_answered_to_all_nodes():
    answer = HOST.answer(solicitation("::"))
    assert (answer.dst, answer[IPv6].dst) == ("33:33:00:00:00:01", "ff02::1")
    assert answer[ICMPv6ND_NA].S == 0


ECHO = IP(src=A, dst=B) / ICMP(type=8, id=1, seq=2) / b"data"


@pytest.mark.parametrize(
    "packet",
    [
        solicitation(hops=64),
        solicitation(target="fd42::4"),
        Ether(src=PEER, dst=TO_ALL) / ARP(op=1, psrc=A, pdst="172.18.1.4"),
        Ether(src=PEER, dst=TO_ALL) / ARP(op=2, psrc=A, pdst=B),
        Ether(src=PEER, dst=TO_ALL) / Dot1Q(vlan=5) / ARP(op=1, psrc=A, pdst=B),
        Ether(src=PEER, dst=PEER) / ECHO,
        Ether(src=PEER, dst=MAC) / IP(src=A, dst="172.18.1.4") / ICMP(type=8),
        Ether(src=PEER, dst=MAC) / IP(src=A, dst=B) / ICMP(type=0),
        Ether(src=PEER, dst=MAC) / IP(src=A, dst=B, flags="MF") / ICMP(type=8),
        Ether(src=PEER, dst=MAC) / IP(src=A, dst=B) / UDP(),
        Ether(src=PEER, dst=MAC, type=0x88B6) / b"what is this",
    ],
)
def test_what_is_not_for_the_host_has_no_answer(packet):
    assert HOST.answer(Ether(bytes(packet))) is None


def test_an_echo_reply_has_the_data_and_no_padding():
    request = Ether(src=PEER, dst=MAC) / ECHO
    answer = HOST.answer(Ether(bytes(request) + bytes(18)))
    assert (answer[IP].src, answer[IP].dst, answer.dst) == (B, A, PEER)
    assert bytes(answer[ICMP].payload) == b"data"
    assert (answer[ICMP].type, answer[ICMP].id, answer[ICMP].seq) == (0, 1, 2)


@pytest.mark.parametrize("address", [A, "fd42::2"])
def test_a_reply_is_not_replied_to(address):
    own = ReferenceVtep(Node("a", None), address=(f"{A}/24", "fd42::2/64")).addresses
    reply = OverlayHost(PEER, own).answer(Ether(bytes(HOST.echo_request(address, PEER, 1))))
    assert HOST.is_echo_reply(Ether(bytes(reply)), address, 1)
    assert HOST.answer(Ether(bytes(reply))) is None


def test_only_its_own_echo_reply_counts():
    request = HOST.echo_request(A, PEER, 5)
    reply = OverlayHost(PEER, ReferenceVtep(Node("a", None), address=f"{A}/24").addresses)
    found = Ether(bytes(reply.answer(Ether(bytes(request)))))
    assert HOST.is_echo_reply(found, A, 5)
    assert not HOST.is_echo_reply(found, A, 6)
    assert not HOST.is_echo_reply(found, "172.18.1.4", 5)
    assert not HOST.is_echo_reply(Ether(bytes(request)), B, 5)
