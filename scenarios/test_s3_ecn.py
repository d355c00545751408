"""3.4 Receiving ECN marks: how decapsulation combines the outer and the inner one.

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
from reception_tools import (
    accepted,
    assert_outcome,
    dropped_by_vxlan,
    found_outcome,
    inner_ipv4,
    inner_ipv6,
    kernel_at_a,
    outcome,
    reference_at_b,
)

DECAPSULATE = "include/net/inet_ecn.h: __INET_ECN_decapsulate(); RFC 6040, 4.2"
INNER_DSCP, OUTER_DSCP = 0xB8, 0xF8  # the inner one is expedited forwarding

NOT_ECT, ECT1, ECT0, CE = 0, 1, 2, 3
NAMES = {NOT_ECT: "not-ect", ECT1: "ect1", ECT0: "ect0", CE: "ce"}
#: The inner mark after decapsulation, by outer and inner mark; None where the packet is dropped.
TABLE = {
    (outer, inner): inner for outer in (NOT_ECT, ECT1, ECT0) for inner in (NOT_ECT, ECT1, ECT0, CE)
}
TABLE |= {(ECT1, ECT0): ECT1, (CE, NOT_ECT): None, (CE, ECT1): CE, (CE, ECT0): CE, (CE, CE): CE}

ECN_ERROR = dropped_by_vxlan({"rx_errors": 1, "rx_frame_errors": 1})
INNER = {"inner-ipv4": inner_ipv4, "inner-ipv6": inner_ipv6}

both_families = pytest.mark.topology(kernel_at_a, family=[4, 6])
both_inner_families = pytest.mark.parametrize("make", INNER.values(), ids=INNER.keys())


def marks(pairs):
    """Cases of the table: pairs of outer and inner mark."""
    named = [f"{NAMES[outer]}-around-{NAMES[inner]}" for outer, inner in pairs]
    return pytest.mark.parametrize(("outer", "inner"), pairs, ids=named)


def outcome_of(lab, make, outer, inner, after):
    """The outcome of a packet marked ``outer`` whose inner frame has the mark ``inner``.

    It counts as delivered if the frame comes out with the mark ``after``, else unchanged.
    """
    with reference_at_b(lab) as far:

        def send(far, frame):
            far.send_outer(far.encapsulate(frame), tos=OUTER_DSCP | outer)

        sent, delivered = (make(tos=INNER_DSCP | mark) for mark in (inner, after))
        return outcome(lab, far, send, sent, delivered)


@pytest.mark.behaviour(
    "decapsulation sets the inner ECN mark from the outer and inner marks as RFC 6040 says, and "
    "leaves the inner DSCP as it is",
    source=DECAPSULATE,
)
@pytest.mark.control(
    "the outer header is marked CE while the inner header is Not-ECT",
    arguments={"outer": CE, "inner": NOT_ECT},
    because=found_outcome(ECN_ERROR),
)
@both_families
@both_inner_families
@marks([pair for pair, after in TABLE.items() if after is not None])
def test_the_inner_mark_is_as_rfc_6040_says(lab, make, outer, inner):
    after = TABLE[outer, inner]
    if after is None:  # only the control sends what is dropped
        after = inner
    assert_outcome(outcome_of(lab, make, outer, inner, after), accepted())


@pytest.mark.behaviour(
    "a packet marked CE around an inner packet marked Not-ECT is dropped, and counted in rx_errors "
    "and rx_frame_errors",
    source=DECAPSULATE,
)
@pytest.mark.control(
    "the inner packet is marked ECT(0)",
    arguments={"inner": ECT0},
    because=found_outcome(accepted()),
)
@both_families
@both_inner_families
@marks([(CE, NOT_ECT)])
def test_ce_around_not_ect_is_an_error(lab, make, outer, inner):
    assert_outcome(outcome_of(lab, make, outer, inner, after=CE), ECN_ERROR)


@pytest.mark.behaviour(
    "an inner frame that does not carry IP is delivered even from a packet marked CE",
    source=DECAPSULATE,
)
@pytest.mark.control(
    "the inner frame carries IPv4 marked Not-ECT",
    arguments={"frame": inner_ipv4(tos=NOT_ECT)},
    because=found_outcome(ECN_ERROR),
)
@both_families
@pytest.mark.parametrize(
    "frame",
    [bytes.fromhex((OTHER + MAC).replace(":", "") + kind) + bytes(46) for kind in ("0806", "88b5")],
    ids=["arp", "unknown"],
)
def test_ce_around_a_frame_without_ip_is_delivered(lab, frame):
    with reference_at_b(lab) as far:

        def send(far, frame):
            far.send_outer(far.encapsulate(frame), tos=CE)

        assert_outcome(outcome(lab, far, send, frame), accepted())
