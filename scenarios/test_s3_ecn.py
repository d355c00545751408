"""3.4 ECN: what the outer header's congestion mark does to the inner one.

a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2                a reference VTEP, no vxlan device

outer \\ inner   Not-ECT   ECT(1)    ECT(0)    CE
Not-ECT         Not-ECT   ECT(1)    ECT(0)    CE
ECT(1)          Not-ECT   ECT(1)    ECT(1)    CE
ECT(0)          Not-ECT   ECT(1)    ECT(0)    CE
CE              dropped   CE        CE        CE       (RFC 6040, section 4.2)
"""

from __future__ import annotations

import pytest
from fdb_tools import MAC, OTHER
from reception_tools import accepted, far_end, ip6_inside, ip_inside, one_end, outcome, refused

DECAPSULATE = "include/net/inet_ecn.h: __INET_ECN_decapsulate(); RFC 6040, 4.2"
DSCP = 0xB8  # expedited forwarding: it must stay what it is

NOT_ECT, ECT1, ECT0, CE = 0, 1, 2, 3
NAMES = {NOT_ECT: "not-ect", ECT1: "ect1", ECT0: "ect0", CE: "ce"}
#: What comes out, by outer and inner mark; None where the frame is dropped.
TABLE = {
    (outer, inner): inner for outer in (NOT_ECT, ECT1, ECT0) for inner in (NOT_ECT, ECT1, ECT0, CE)
}
TABLE |= {(ECT1, ECT0): ECT1, (CE, NOT_ECT): None, (CE, ECT1): CE, (CE, ECT0): CE, (CE, CE): CE}

INSIDE = {"inner-ipv4": ip_inside, "inner-ipv6": ip6_inside}

both = pytest.mark.topology(one_end, family=[4, 6])
inside = pytest.mark.parametrize("make", INSIDE.values(), ids=INSIDE.keys())


def marks(pairs):
    """Cases of the table: pairs of outer and inner mark."""
    named = [f"{NAMES[outer]}-round-{NAMES[inner]}" for outer, inner in pairs]
    return pytest.mark.parametrize(("outer", "inner"), pairs, ids=named)


def sent(lab, make, outer, inner, after):
    """What comes of a frame, marked ``inner``, in a packet marked ``outer``."""
    with far_end(lab) as far:

        def send(far, frame):
            far.send_outer(far.encapsulate(frame), tos=DSCP ^ 0x40 | outer)

        return outcome(lab, far, send, make(tos=DSCP | inner), make(tos=DSCP | after))


@pytest.mark.behaviour("the two marks become one, the DSCP stays", source=DECAPSULATE)
@pytest.mark.control("a CE mark is put round it", arguments={"outer": CE, "inner": NOT_ECT})
@both
@inside
@marks([pair for pair, after in TABLE.items() if after is not None])
def test_the_inner_mark_afterwards(lab, make, outer, inner):
    after = TABLE[outer, inner]
    after = NOT_ECT if after is None else after
    assert sent(lab, make, outer, inner, after) == accepted()


@pytest.mark.behaviour("CE round what knows no ECN is an error", source=DECAPSULATE)
@pytest.mark.control("the inner mark is ECT(0)", arguments={"inner": ECT0}, because="assert")
@both
@inside
@marks([(CE, NOT_ECT)])
def test_ce_round_not_ect_is_an_error(lab, make, outer, inner):
    counted = {"rx_errors": 1, "rx_frame_errors": 1}
    assert sent(lab, make, outer, inner, inner) == refused(counted)


@pytest.mark.behaviour("what is no IP has no mark, and is delivered", source=DECAPSULATE)
@pytest.mark.control("it is IPv4", arguments={"frame": ip_inside(tos=NOT_ECT)}, because="assert")
@both
@pytest.mark.parametrize(
    "frame",
    [bytes.fromhex((OTHER + MAC).replace(":", "") + kind) + bytes(46) for kind in ("0806", "88b5")],
    ids=["arp", "unknown"],
)
def test_ce_round_what_is_no_ip_is_delivered(lab, frame):
    with far_end(lab) as far:

        def send(far, frame):
            far.send_outer(far.encapsulate(frame), tos=CE)

        assert outcome(lab, far, send, frame) == accepted()
