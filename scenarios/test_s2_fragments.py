"""2 MTU: packets that are too large outside: in pieces, or dropped, and what the sender learns.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2                172.18.1.3 vxlan0, or the reference (`far`)

Neither device is bound to its card: both have MTU 1500, and nothing leaves room for the headers.
"""

from __future__ import annotations

import pytest
from mtu_tools import counters, learned_mtu, mtu_of, ping, room, told_mtu
from outer_tools import dissect, inner_ip, made, see, send

from vxlab import operations, wait_until

CORE = "drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one()"
PMTU = "net/ipv4/ip_tunnel_core.c: skb_tunnel_check_pmtu()"
UNSET, SET, INHERIT = 0, 1, 2  # df, as in include/uapi/linux/if_link.h: enum ifla_vxlan_df

bound = pytest.mark.control(
    "a's device is bound to its card, and so has room", vteps={"a": {"dev": True}}
)


def full(far, version=4, df=False):
    """A frame that carries a packet of 1500 bytes."""
    small = inner_ip(far, version, df=df)
    return inner_ip(far, version, df=df, more=bytes(1514 - len(small)))


def unbound(family=4, **attributes):
    return made(family, bind="none", **attributes)


@pytest.mark.behaviour(
    "without dev a full packet goes out in two IPv4 fragments, and the far end joins them",
    source=f"{CORE}; net/ipv4/ip_output.c: ip_do_fragment(); RFC 7348, section 4.3 would have none",
)
@pytest.mark.control("a's device has df set", vteps={"a": {"df": SET}}, because="to take out")
@pytest.mark.topology(unbound())
@pytest.mark.parametrize("version", [4, 6], ids=["inner_ipv4", "inner_ipv6"])
def test_over_ipv4_a_full_packet_goes_out_in_fragments(lab, far, version):
    mtu_of_a = mtu_of(lab, "a")
    with lab.capture("b:eth0") as seen:
        send(lab, frame := full(far, version))
        far.wait_for(frame, timeout=3)
    pieces = [each for each in seen["b:eth0"].frames if each.ethertype == 0x0800]
    assert (mtu_of_a, [each.length for each in pieces]) == (1500, [1514, 84])
    assert [dissect(each.data).flags for each in pieces] == [0x2000, 1480 // 8]
    assert len({dissect(each.data).id for each in pieces}) == 1


@pytest.mark.behaviour(
    "over IPv6 a full packet is not fragmented but dropped, and counted in tx_errors",
    source="net/ipv6/ip6_output.c: ip6_finish_output(), ignore_df; net/ipv6/ip6_udp_tunnel.c",
)
@pytest.mark.control("the packet is small", arguments={"size": 60}, because="the frame|tx_errors|0")
@pytest.mark.topology(unbound, family=[6])
@pytest.mark.parametrize("size", [1514], ids=["full"])
def test_over_ipv6_a_full_packet_is_dropped(lab, far, size):
    with lab.capture("b:eth0") as seen:
        before = counters(lab)
        send(lab, frame := full(far)[:size])
        wait_until(lambda: counters(lab).tx_errors == before.tx_errors + 1, "tx_errors", timeout=3)
        see(lab, small := inner_ip(far))
        far.wait_for(small)
        seen["b:eth0"].assert_silent(lambda x: frame[14:60] in x.data, "piece of the frame")
        assert not [each for each in seen["b:eth0"].frames if each.data[20] == 44]  # no fragment


@pytest.mark.behaviour(
    "with df set a full packet is dropped, and counted in tx_dropped", source=f"{CORE}: df"
)
@pytest.mark.control("a's device has df unset", vteps={"a": {"df": UNSET}})
@pytest.mark.topology(unbound, df=SET)
@pytest.mark.requires("vxlan.df")
@pytest.mark.parametrize("version", [4, 6], ids=["inner_ipv4", "inner_ipv6"])
def test_with_df_set_a_full_packet_is_dropped(lab, far, version):
    check_dropped(lab, far, full(far, version))


def check_dropped(lab, far, frame):
    """Assert that a frame is counted as dropped, and that no piece of it arrives at b."""
    with lab.capture("b:eth0") as seen:
        before = counters(lab)
        send(lab, frame)
        now = wait_until(lambda: counters_if_more(lab, before), "tx_dropped", timeout=3)
        assert (now.tx_dropped, now.tx_errors) == (before.tx_dropped + 1, before.tx_errors)
        outer = see(lab, small := inner_ip(far))
        assert outer.port == 4789
        far.wait_for(small)
        seen["b:eth0"].assert_silent(lambda x: frame[14:60] in x.data, "piece of the frame")


def counters_if_more(lab, before):
    now = counters(lab)
    return now if now.tx_dropped > before.tx_dropped else None


@pytest.mark.behaviour(
    "with df inherit a full packet that has DF, or is IPv6, is dropped",
    source=f"{CORE}: df; man 8 ip-link: df",
)
@pytest.mark.control("a's device has df unset", vteps={"a": {"df": UNSET}})
@pytest.mark.topology(unbound, df=INHERIT)
@pytest.mark.requires("vxlan.df")
@pytest.mark.parametrize("version", [4, 6], ids=["inner_ipv4_with_df", "inner_ipv6"])
def test_with_df_inherit_a_full_packet_with_df_is_dropped(lab, far, version):
    check_dropped(lab, far, full(far, version, df=True))


@pytest.mark.behaviour(
    "with df inherit a full packet without DF goes out in fragments", source=f"{CORE}: df"
)
@pytest.mark.control("a's device has df set", vteps={"a": {"df": SET}})
@pytest.mark.topology(unbound, df=INHERIT)
@pytest.mark.requires("vxlan.df")
def test_with_df_inherit_a_full_packet_without_df_goes_out_in_fragments(lab, far):
    with lab.capture("b:eth0") as seen:
        send(lab, frame := full(far))
        far.wait_for(frame, timeout=3)
    pieces = [each for each in seen["b:eth0"].frames if each.ethertype == 0x0800]
    assert [dissect(each.data).flags for each in pieces] == [0x2000, 1480 // 8]


@pytest.mark.behaviour(
    "the fragments of an outer packet may come in any order, as of any datagram",
    source="net/ipv4/ip_fragment.c: ip_frag_queue(); RFC 791, section 3.2",
)
@pytest.mark.control(
    "the first piece never comes", arguments={"order": (1,)}, because="to take out"
)
@pytest.mark.topology(unbound())
@pytest.mark.requires("iptables")
@pytest.mark.parametrize("order", [(1, 0)], ids=["last_first"])
def test_outer_fragments_are_joined_in_any_order(lab, far, order):
    lab["b"].run(
        "iptables", "-t", "raw", "-A", "PREROUTING", "-m", "ttl", "--ttl-eq", "64", "-j", "DROP"
    )
    with lab.capture("b:eth0") as seen:
        send(lab, frame := full(far))
        second = seen["b:eth0"].wait_for(lambda x: x.length == 84, "the second piece")
    pieces = [each.data for each in seen["b:eth0"].frames if each.ethertype == 0x0800]
    assert pieces[-1] == second.data
    for number in order:
        send(lab, with_ttl_63(pieces[number]), "a:eth0")
    far.wait_for(frame, timeout=3)


def with_ttl_63(frame):
    """The same IPv4 packet behind one more router."""
    total = int.from_bytes(frame[24:26], "big") + 0x0100
    checksum = (total & 0xFFFF) + (total >> 16)
    return frame[:22] + b"\x3f" + frame[23:24] + checksum.to_bytes(2, "big") + frame[26:]


@pytest.mark.behaviour(
    "a host that sends a full packet itself learns at once what there is room for: later packets "
    "with DF are refused to it, those without are fragmented inside",
    source=f"{PMTU}; skb_dst_update_pmtu_no_confirm()",
)
@bound
@pytest.mark.topology(unbound, family=[4, 6])
def test_the_host_itself_learns_the_path_mtu_at_once(lab, far):
    assert lab["a"].ping(far.address)
    assert learned_mtu(lab, far.address) is None
    lab["a"].send_marked(far.address, bytes(1460) + b"first")
    assert learned_mtu(lab, far.address) == room(lab)
    refused = ping(lab, far.address, room(lab) + 1, df=True)
    assert (refused.code, told_mtu(refused)) == (1, room(lab))
    assert ping(lab, far.address, room(lab), df=True).code == 0
    with lab.capture("b:eth0") as seen:
        lab["a"].send_marked(far.address, bytes(1460) + b"later")
        last = seen["b:eth0"].wait_for(lambda x: x.data.endswith(b"later"), "the last piece")
    assert dissect(last.data).flags == 0
    assert dissect(last.data).inner[20:22].hex() == f"{(room(lab) - 20) // 8:04x}"


@pytest.mark.behaviour(
    "the MTU of the underlay's route counts, where it is less than the card's",
    source=f"{PMTU}: dst_mtu(); man 8 ip-route: mtu",
)
@pytest.mark.control("the route has no MTU", arguments={"mtu": 1500})
@pytest.mark.topology(made, family=[4, 6])
@pytest.mark.parametrize("mtu", [1300])
def test_the_mtu_of_the_underlays_route_counts(lab, far, mtu):
    prefix = f"{far.ip}/{128 if ':' in far.ip else 32}"
    lab["a"].run("ip", "route", "add", prefix, "dev", "eth0", "mtu", str(mtu))
    assert lab["a"].ping(far.address)
    lab["a"].send_marked(far.address, bytes(1350) + b"first")
    assert learned_mtu(lab, far.address) == room(lab, 1300)
    assert ping(lab, far.address, room(lab, 1300), df=True).code == 0


@pytest.mark.behaviour(
    "when the card's MTU is lowered later the device keeps its own, and the path MTU is learned",
    source=f"{PMTU}; drivers/net/vxlan/vxlan_core.c: vxlan_netdevice_event()",
)
@pytest.mark.control("the card's MTU stays", without=operations.SetLink)
@pytest.mark.topology(made, family=[4, 6])
def test_a_card_that_is_lowered_later_is_learned_of(lab, far):
    assert lab["a"].ping(far.address)
    lab.apply(operations.SetLink("a", "eth0", mtu=1400))
    assert mtu_of(lab, "a") == room(lab, 1500)
    lab["a"].send_marked(far.address, bytes(1380) + b"first")
    assert learned_mtu(lab, far.address) == room(lab, 1400)
    assert ping(lab, far.address, room(lab, 1400), df=True).code == 0
    refused = ping(lab, far.address, room(lab, 1400) + 1, df=True)
    assert (refused.code, told_mtu(refused)) == (1, room(lab, 1400))
