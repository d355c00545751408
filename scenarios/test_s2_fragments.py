"""2.2 Outer packets that are too large: fragmented or dropped, and what the sender learns.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2                172.18.1.3 vxlan0, or the reference (`far`)

No vxlan device is bound to a lower device: both have an MTU of 1500, which leaves no room for the
outer headers.  A full packet here is an inner packet of 1500 bytes.
"""

from __future__ import annotations

import pytest
from mtu_tools import (
    inner_mtu,
    learned_mtu,
    link_counters,
    mtu_of,
    refused_mtu,
    sized_ping,
    with_mtu,
)
from outer_tools import dissect, ip_frame, one_tunnel, outer_packet, send_frame

from vxlab import operations, wait_until

CORE = "drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one()"
PMTU = "net/ipv4/ip_tunnel_core.c: skb_tunnel_check_pmtu()"
UNSET, SET, INHERIT = 0, 1, 2  # df, as in include/uapi/linux/if_link.h: enum ifla_vxlan_df


def with_a_larger_underlay(topology):
    """The same over an underlay that has room for all headers."""
    return with_mtu(topology, 1600)


def drop_first_fragments(lab):
    """Let b drop the first fragment of any packet that has passed one more router."""
    match = ("-m", "ttl", "--ttl-eq", "63", "!", "-f")
    lab["b"].run("iptables", "-t", "raw", "-A", "PREROUTING", *match, "-j", "DROP")


def full(far, version=4, df=False):
    """A frame with an inner packet of 1500 bytes."""
    small = ip_frame(far, version, df=df)
    return ip_frame(far, version, df=df, more=bytes(1514 - len(small)))


def unbound(family=4, **attributes):
    """One tunnel whose vxlan devices are bound to no lower device."""
    return one_tunnel(family, bind="none", **attributes)


@pytest.mark.behaviour(
    "over IPv4 a vxlan device without `dev` sends an inner packet of 1500 bytes in two "
    "outer fragments, which the remote VTEP reassembles",
    source=f"{CORE}; net/ipv4/ip_output.c: ip_do_fragment(); RFC 7348, section 4.3 would have none",
)
@pytest.mark.control(
    "VTEP a has `df set`", vteps={"a": {"df": SET}}, because="waited 3.* to decapsulate b"
)
@pytest.mark.topology(unbound())
@pytest.mark.parametrize("version", [4, 6], ids=["inner_ipv4", "inner_ipv6"])
def test_over_ipv4_a_full_packet_is_sent_in_outer_fragments(lab, far, version):
    mtu_of_a = mtu_of(lab, "a")
    with lab.capture("b:eth0") as seen:
        send_frame(lab, frame := full(far, version))
        far.wait_for(frame, timeout=3)
    fragments = [each for each in seen["b:eth0"].frames if each.ethertype == 0x0800]
    assert (mtu_of_a, [each.length for each in fragments]) == (1500, [1514, 84])
    assert [dissect(each.data).flags for each in fragments] == [0x2000, 1480 // 8]
    assert len({dissect(each.data).id for each in fragments}) == 1


@pytest.mark.behaviour(
    "over IPv6 a vxlan device without `dev` drops an inner packet of 1500 bytes in place of "
    "fragmenting it, and counts it in `tx_errors`",
    source="net/ipv6/ip6_output.c: ip6_finish_output(), ignore_df; net/ipv6/ip6_udp_tunnel.c",
)
@pytest.mark.control(
    "the underlay has an MTU of 1600, which leaves room for the headers",
    topology=with_a_larger_underlay,
    because="waited 3.* for tx_errors to grow",
)
@pytest.mark.topology(unbound, family=[6])
def test_over_ipv6_a_full_packet_is_dropped(lab, far):
    with lab.capture("b:eth0") as seen:
        before = link_counters(lab)
        send_frame(lab, frame := full(far))
        wanted = before.tx_errors + 1
        wait_until(
            lambda: link_counters(lab).tx_errors == wanted, "tx_errors to grow by 1", timeout=3
        )
        outer_packet(lab, small := ip_frame(far))
        far.wait_for(small)
        seen["b:eth0"].assert_silent(lambda x: frame[14:60] in x.data, "fragment of the frame")
        fragments = [each for each in seen["b:eth0"].frames if each.data[20] == 44]
        assert not fragments, "b received IPv6 fragments"


@pytest.mark.behaviour(
    "with `df set` a vxlan device drops an inner packet whose outer packet is larger than "
    "the MTU of the underlay, and counts it in `tx_dropped`",
    source=f"{CORE}: df",
)
@pytest.mark.control(
    "VTEP a has `df unset`", vteps={"a": {"df": UNSET}}, because="waited 3.* for tx_dropped to grow"
)
@pytest.mark.topology(unbound, df=SET)
@pytest.mark.requires("vxlan.df")
@pytest.mark.parametrize("version", [4, 6], ids=["inner_ipv4", "inner_ipv6"])
def test_with_df_set_a_full_packet_is_dropped(lab, far, version):
    assert_dropped(lab, far, full(far, version))


def assert_dropped(lab, far, frame):
    """Assert that a counts a frame in tx_dropped, and that b receives no fragment of it."""
    with lab.capture("b:eth0") as seen:
        before = link_counters(lab)
        send_frame(lab, frame)
        now = wait_until(lambda: counters_if_dropped(lab, before), "tx_dropped to grow", timeout=3)
        assert (now.tx_dropped, now.tx_errors) == (before.tx_dropped + 1, before.tx_errors)
        outer = outer_packet(lab, small := ip_frame(far))
        assert outer.port == 4789
        far.wait_for(small)
        seen["b:eth0"].assert_silent(lambda x: frame[14:60] in x.data, "fragment of the frame")


def counters_if_dropped(lab, before):
    now = link_counters(lab)
    return now if now.tx_dropped > before.tx_dropped else None


@pytest.mark.behaviour(
    "with `df inherit` a vxlan device drops an inner packet that is too large, if it is "
    "IPv6, or IPv4 with DF",
    source=f"{CORE}: df; man 8 ip-link: df",
)
@pytest.mark.control(
    "VTEP a has `df unset`", vteps={"a": {"df": UNSET}}, because="waited 3.* for tx_dropped to grow"
)
@pytest.mark.topology(unbound, df=INHERIT)
@pytest.mark.requires("vxlan.df")
@pytest.mark.parametrize("version", [4, 6], ids=["inner_ipv4_with_df", "inner_ipv6"])
def test_with_df_inherit_a_full_packet_with_df_is_dropped(lab, far, version):
    assert_dropped(lab, far, full(far, version, df=True))


@pytest.mark.behaviour(
    "with `df inherit` an inner IPv4 packet that is too large and has no DF is sent in "
    "outer fragments",
    source=f"{CORE}: df",
)
@pytest.mark.control(
    "VTEP a has `df set`", vteps={"a": {"df": SET}}, because="waited 3.* to decapsulate b"
)
@pytest.mark.topology(unbound, df=INHERIT)
@pytest.mark.requires("vxlan.df")
def test_with_df_inherit_a_full_packet_without_df_is_fragmented(lab, far):
    with lab.capture("b:eth0") as seen:
        send_frame(lab, frame := full(far))
        far.wait_for(frame, timeout=3)
    fragments = [each for each in seen["b:eth0"].frames if each.ethertype == 0x0800]
    assert [dissect(each.data).flags for each in fragments] == [0x2000, 1480 // 8]


@pytest.mark.behaviour(
    "a VTEP reassembles outer fragments that arrive in reverse order",
    source="net/ipv4/ip_fragment.c: ip_frag_queue(); RFC 791, section 3.2",
)
@pytest.mark.control(
    "VTEP b drops the first fragment",
    lab=drop_first_fragments,
    because="waited 3.* to decapsulate b",
)
@pytest.mark.topology(unbound())
@pytest.mark.requires("iptables")
def test_outer_fragments_are_reassembled_in_any_order(lab, far):
    lab["b"].run(
        "iptables", "-t", "raw", "-A", "PREROUTING", "-m", "ttl", "--ttl-eq", "64", "-j", "DROP"
    )
    with lab.capture("b:eth0") as seen:
        send_frame(lab, frame := full(far))
        second = seen["b:eth0"].wait_for(lambda x: x.length == 84, "the second fragment")
    fragments = [each.data for each in seen["b:eth0"].frames if each.ethertype == 0x0800]
    assert len(fragments) == 2
    assert fragments[-1] == second.data
    for fragment in reversed(fragments):
        send_frame(lab, with_ttl_63(fragment), "a:eth0")
    far.wait_for(frame, timeout=3)


def with_ttl_63(frame):
    """The same IPv4 packet with a TTL of 63, as if it had passed one more router."""
    total = int.from_bytes(frame[24:26], "big") + 0x0100
    checksum = (total & 0xFFFF) + (total >> 16)
    return frame[:22] + b"\x3f" + frame[23:24] + checksum.to_bytes(2, "big") + frame[26:]


@pytest.mark.behaviour(
    "a host whose own packet is too large for the tunnel learns the path MTU at once: later "
    "packets with DF are refused to the sender, those without DF are sent in inner "
    "fragments",
    source=f"{PMTU}; skb_dst_update_pmtu_no_confirm()",
)
@pytest.mark.control(
    "VTEP a is bound to its lower device, and so has an MTU that leaves room for the headers",
    vteps={"a": {"dev": True}},
    because=r"a has not learned the path MTU\nassert None == 14[35]0",
)
@pytest.mark.topology(unbound, family=[4, 6])
def test_the_host_itself_learns_the_path_mtu_at_once(lab, far):
    assert lab["a"].ping(far.address), "b does not answer"
    assert learned_mtu(lab, far.address) is None
    lab["a"].send_marked(far.address, bytes(1460) + b"first")
    assert learned_mtu(lab, far.address) == inner_mtu(lab), "a has not learned the path MTU"
    assert refused_mtu(lab, far.address, inner_mtu(lab) + 1) == inner_mtu(lab)
    assert sized_ping(lab, far.address, inner_mtu(lab), df=True).code == 0
    with lab.capture("b:eth0") as seen:
        lab["a"].send_marked(far.address, bytes(1460) + b"later")
        last = seen["b:eth0"].wait_for(lambda x: x.data.endswith(b"later"), "the last fragment")
    assert dissect(last.data).flags == 0
    assert dissect(last.data).inner[20:22].hex() == f"{(inner_mtu(lab) - 20) // 8:04x}"


@pytest.mark.behaviour(
    "where the route to the remote has an MTU below that of the lower device, the tunnel's "
    "path MTU is computed from the route",
    source=f"{PMTU}: dst_mtu(); man 8 ip-route: mtu",
)
@pytest.mark.control(
    "the route to the remote has an MTU of 1500",
    arguments={"mtu": 1500},
    because=r"a has not learned the path MTU\nassert None == 12[35]0",
)
@pytest.mark.topology(one_tunnel, family=[4, 6])
@pytest.mark.parametrize("mtu", [1300])
def test_the_mtu_of_the_underlay_route_counts(lab, far, mtu):
    prefix = f"{far.ip}/{128 if ':' in far.ip else 32}"
    lab["a"].run("ip", "route", "add", prefix, "dev", "eth0", "mtu", str(mtu))
    assert lab["a"].ping(far.address), "b does not answer"
    lab["a"].send_marked(far.address, bytes(1350) + b"first")
    assert learned_mtu(lab, far.address) == inner_mtu(lab, 1300), "a has not learned the path MTU"
    assert sized_ping(lab, far.address, inner_mtu(lab, 1300), df=True).code == 0


@pytest.mark.behaviour(
    "when the MTU of the lower device is lowered, the vxlan device keeps its MTU, and its "
    "host learns the smaller path MTU",
    source=f"{PMTU}; drivers/net/vxlan/vxlan_core.c: vxlan_netdevice_event()",
)
@pytest.mark.control(
    "the MTU of the lower device stays at 1500",
    without=operations.SetLink,
    because=r"a has not learned the path MTU\nassert None == 13[35]0",
)
@pytest.mark.topology(one_tunnel, family=[4, 6])
def test_a_lowered_mtu_of_the_lower_device_is_learned(lab, far):
    assert lab["a"].ping(far.address), "b does not answer"
    lab.apply(operations.SetLink("a", "eth0", mtu=1400))
    assert mtu_of(lab, "a") == inner_mtu(lab, 1500), "the vxlan device has another MTU"
    lab["a"].send_marked(far.address, bytes(1380) + b"first")
    assert learned_mtu(lab, far.address) == inner_mtu(lab, 1400), "a has not learned the path MTU"
    assert sized_ping(lab, far.address, inner_mtu(lab, 1400), df=True).code == 0
    assert refused_mtu(lab, far.address, inner_mtu(lab, 1400) + 1) == inner_mtu(lab, 1400)
