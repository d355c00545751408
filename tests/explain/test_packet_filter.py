"""Which packet filter rules could have dropped a packet."""

from __future__ import annotations

import dataclasses

import pytest

from vxlab.explain.diagnosis.packet_filter import INPUT_CHAINS, FilteredPacket, could_drop

PACKET = FilteredPacket(
    version=4,
    protocol=17,
    source="10.0.0.1",
    destination="10.0.0.2",
    port=4789,
    in_interface="eth0",
)


@pytest.mark.parametrize(
    ("rule", "possible"),
    [
        ("-A INPUT -j DROP", True),
        ("-P INPUT DROP", True),
        ("-A FORWARD -j DROP", False),
        ("-A own -j DROP", True),
        ("-A INPUT -p udp -m udp --dport 4789 -j DROP", True),
        ("-A INPUT -p udp -m udp --dport 4000:5000 -j DROP", True),
        ("-A INPUT -p udp -m udp --dport 8472 -j DROP", False),
        ("-A INPUT -p udp -m udp ! --dport 8472 -j DROP", True),
        ("-A INPUT -p udp -m udp ! --dport 4789 -j DROP", False),
        ("-A INPUT -p tcp -j DROP", False),
        ("-A INPUT ! -p tcp -j DROP", True),
        ("-A INPUT -s 10.0.0.0/24 -j DROP", True),
        ("-A INPUT -s 10.0.1.0/24 -j DROP", False),
        ("-A INPUT ! -d 10.0.0.2/32 -j DROP", False),
        ("-A INPUT -i eth0 -j DROP", True),
        ("-A INPUT -i eth+ -j DROP", True),
        ("-A INPUT -i ens33 -j DROP", False),
        ('-A INPUT -m comment --comment "no -p tcp" -j DROP', True),
    ],
)
def test_a_rule_is_blamed_only_for_what_it_can_match(rule: str, possible: bool) -> None:
    assert could_drop(f"iptables {rule}", PACKET, INPUT_CHAINS) is possible
    assert not could_drop(f"ip6tables {rule}", PACKET, INPUT_CHAINS)


def test_what_is_not_known_of_a_packet_excludes_no_rule() -> None:
    unknown = dataclasses.replace(
        PACKET, source=None, destination=None, port=None, in_interface=None
    )
    rule = "iptables -A INPUT -s 9.9.9.9/32 -d 8.8.8.8/32 -i x0 -p udp -m udp --dport 1 -j DROP"
    assert could_drop(rule, unknown, ("INPUT",))
    assert not could_drop(rule, PACKET, ("INPUT",))
