"""What the topologies of the catalog have in common: names, addresses, the TTL of multicast."""

from __future__ import annotations

from typing import Literal

from vxlab.describe import checks, vxlan
from vxlab.describe.builder import TopologyBuilder
from vxlab.errors import TopologyError

#: How multicast gets past the first router: by a packet filter rule on the hosts, by the
#: device's own ttl attribute, or not at all.
Ttl = Literal["rule", "device"] | None

#: A group of organisation-local scope in each family (RFC 2365, RFC 4291 section 2.7).
GROUPS = {4: "239.1.1.1", 6: "ff08::239:1:1:1"}


def host_names(name: str, hosts: int) -> str:
    """The names of so many hosts: a, b, c, …; TopologyError of ``name`` for none or over 26."""
    return "abcdefghijklmnopqrstuvwxyz"[: checks.number(name, "hosts", hosts, 1, 26)]


def check_choice(name: str, field: str, value: object, *choices: object) -> None:
    """TopologyError unless ``value`` is one of ``choices``.

    ``name`` is the topology and ``field`` the argument that the error names.
    """
    if value not in choices:
        wanted = ", ".join(map(str, choices))
        raise TopologyError(name, field, f"wanted {wanted}, found {value!r}")


def network_of(family: int, network: str) -> str:
    """A network of the underlay in the wanted family."""
    check_choice("underlay", "family", family, 4, 6)
    if family == 4:
        return network
    parts = network.split("/")[0].split(".")
    return f"fd00:{parts[0]}:{parts[1]}:{parts[2]}::/64"


def address_of(family: int, address: str) -> str:
    """An address of the underlay, with prefix length, in the wanted family."""
    if family == 4:
        return f"{address}/24"
    parts = address.split(".")
    return f"fd00:{parts[0]}:{parts[1]}:{parts[2]}::{parts[3]}/64"


def ttl_attributes(ttl: Ttl) -> dict[str, vxlan.Value]:
    """The attributes of a device that raises the TTL of multicast itself, if it does."""
    check_choice("underlay", "ttl", ttl, "rule", "device", None)
    return {"ttl": 8} if ttl == "device" else {}


def join(t: TopologyBuilder, hosts: int, network: str) -> None:
    """Add ``lan`` with its ``network`` to ``t``: a cable for two ``hosts``, else a switch."""
    if hosts == 2:
        t.cable("lan", network)
    else:
        t.switch("lan", network)
