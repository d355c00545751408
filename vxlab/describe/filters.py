"""Packet filter rules of machines, by iptables or nftables."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Literal

from vxlab.describe import checks
from vxlab.errors import TopologyError


@dataclass(frozen=True, slots=True)
class NftRules:
    """Packet filter rules of nftables, for any machine.

    ``text`` is what ``nft -f`` reads: tables with their chains.
    """

    text: str

    def __post_init__(self) -> None:
        checks.text("rules", "text", self.text)


@dataclass(frozen=True, slots=True)
class Rule:
    """A packet filter rule of a machine.

    ``words`` follow the program's name: ``("-A", "INPUT", …)``; ``family`` is 4 for ``iptables``
    and 6 for ``ip6tables``.
    """

    words: tuple[str, ...]
    family: Literal[4, 6] = 4

    def __post_init__(self) -> None:
        checks.members("rule", "words", self.words, str)
        if not self.words:
            raise TopologyError("rule", "words", "wanted the words of a rule, found none")
        for word in self.words:
            checks.printable("rule", "words", word)
        if self.family not in (4, 6):
            raise TopologyError("rule", "family", f"wanted 4 or 6, found {self.family!r}")


def raise_ttl(group: str, by: int = 1) -> Rule:
    """The rule that lets multicast to ``group`` pass routers: it leaves with its TTL raised.

    ``group`` is an IPv4 or IPv6 multicast address, ``by`` the number of routers to pass (1 to
    254).  TopologyError where they are not.
    """
    checks.group("rule", "group", group)
    checks.number("rule", "by", by, 1, 254)
    destination = ("-t", "mangle", "-A", "OUTPUT", "-d", group)
    if ipaddress.ip_address(group).version == 4:
        return Rule((*destination, "-j", "TTL", "--ttl-inc", str(by)), 4)
    return Rule((*destination, "-j", "HL", "--hl-inc", str(by)), 6)


def drop_udp(port: int, family: Literal[4, 6] = 4) -> Rule:
    """The rule that drops what arrives on UDP ``port`` (1 to 65535), in one address ``family``.

    TopologyError where the port or the family (4 or 6) is none.
    """
    checks.number("rule", "port", port, 1, 65535)
    return Rule(("-A", "INPUT", "-p", "udp", "--dport", str(port), "-j", "DROP"), family)


def check_rules(node: str, rules: tuple[object, ...]) -> None:
    """TopologyError of ``node`` unless all ``rules`` are some; their words are none yet."""
    if all(isinstance(rule, Rule | NftRules) for rule in rules):
        return
    wanted = 'wanted a tuple of Rule, such as Rule(("-A", "INPUT", "-j", "DROP")), or of NftRules'
    words = any(isinstance(rule, str | tuple | list) for rule in rules)
    raise TopologyError(node, "rules", f"{wanted}, found {'words: ' if words else ''}{rules!r}")
