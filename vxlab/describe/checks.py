"""Checks of single values.

All take ``node`` and ``field``, the element and the attribute that a TopologyError names, and
``value``, what a person wrote there.  They return the value, or raise TopologyError.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterable
from typing import Any

from vxlab.errors import TopologyError

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: The least MTU of a device that speaks IPv6 (RFC 8200, section 5): below it the kernel does not.
MTU_IPV6 = 1280

#: IFNAMSIZ is 16 with the closing NUL (include/uapi/linux/if.h).
NAME_BYTES = 15

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")

#: Names that no new interface may have: the loopback device, and the folders beside those of
#: the interfaces in ``/proc/sys/net/ipv4/conf``.
RESERVED = frozenset({"lo", "all", "default"})


@functools.lru_cache(maxsize=1 << 16)
def parsed(address: str) -> Interface:
    """The ``address`` of an interface, with prefix length, parsed; ValueError where it is none.

    Kept, as in :func:`parsed_ip`: a topology asks for each of its addresses again and again.
    """
    return ipaddress.ip_interface(address)


@functools.lru_cache(maxsize=1 << 16)
def parsed_ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IP ``address``, without prefix length, parsed; ValueError where it is none."""
    return ipaddress.ip_address(address)


def printable(node: str, field: str, value: Any) -> str:
    """``value`` if it is a string without control characters, and without half of a surrogate pair.

    Those would be lines of their own in a script, or obeyed by a terminal; programs and files take
    neither NUL nor surrogates.  TopologyError of ``node`` and ``field`` where it is not.
    """
    if not isinstance(value, str):
        raise TopologyError(node, field, f"wanted text, found {value!r}")
    if not value.isprintable():
        raise TopologyError(node, field, f"wanted printable characters only, found {value!r}")
    return value


def text(node: str, field: str, value: Any) -> str:
    """``value`` if it is a non-empty string of printable characters.

    TopologyError of ``node`` and ``field`` where it is not.
    """
    if not isinstance(value, str) or not value:
        raise TopologyError(node, field, f"wanted a non-empty string, found {value!r}")
    return printable(node, field, value)


def name(node: str, field: str, value: Any) -> str:
    """``value`` if it can name a node: a host name that also fits an interface name.

    TopologyError of ``node`` and ``field`` where it is not.
    """
    text(node, field, value)
    if not _NAME.match(value):
        raise TopologyError(
            node,
            field,
            f"wanted letters, digits, '-', '_' or '.' (no leading sign), found {value!r}",
        )
    if len(value.encode()) > NAME_BYTES:
        found = len(value.encode())
        raise TopologyError(
            node, field, f"wanted at most {NAME_BYTES} bytes, found {found} in {value!r}"
        )
    return str(value)


def device(node: str, field: str, value: Any) -> str:
    """``value`` if it can name a new interface.

    TopologyError of ``node`` and ``field`` where it is not.
    """
    name(node, field, value)
    if value in RESERVED:
        raise TopologyError(node, field, f"wanted a free interface name, found {value!r}: reserved")
    return str(value)


def number(node: str, field: str, value: Any, low: int, high: int) -> int:
    """``value`` if it is a whole number from ``low`` to ``high``, both included.

    TopologyError of ``node`` and ``field`` where it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TopologyError(node, field, f"wanted a whole number, found {value!r}")
    if not low <= value <= high:
        raise TopologyError(node, field, f"wanted {low} to {high}, found {value}")
    return value


def boolean(node: str, field: str, value: Any) -> bool:
    """``value`` if it is True or False.

    TopologyError of ``node`` and ``field`` where it is not.
    """
    if not isinstance(value, bool):
        raise TopologyError(node, field, f"wanted True or False, found {value!r}")
    return value


def mac(node: str, field: str, value: Any) -> str:
    """``value`` if it is a unicast MAC address in lower-case colon form.

    TopologyError of ``node`` and ``field`` where it is not.
    """
    text(node, field, value)
    if not _MAC.match(value):
        raise TopologyError(node, field, f"wanted a MAC like 02:00:00:00:00:01, found {value!r}")
    if int(value[:2], 16) & 1 or value == "00:00:00:00:00:00":
        raise TopologyError(node, field, f"wanted a unicast MAC address, found {value!r}")
    return str(value)


def mtu(node: str, field: str, value: Any) -> int:
    """``value`` if it is an MTU in bytes that Ethernet devices of Linux take (68 to 65535).

    TopologyError of ``node`` and ``field`` where it is not.
    """
    return number(node, field, value, 68, 65535)


def interface(node: str, field: str, value: Any) -> Interface:
    """``value`` parsed as the address of an interface with its prefix length.

    TopologyError of ``node`` and ``field`` where it is not.
    """
    text(node, field, value)
    if "/" not in value:
        raise TopologyError(
            node,
            field,
            f"wanted an address with prefix length, such as {value}/24, found {value!r}",
        )
    try:
        found = parsed(value)
    except ValueError as error:
        raise TopologyError(
            node, field, f"wanted an address like 192.0.2.1/24, found {value!r}: {error}"
        ) from error
    problem = _unusable(found)
    if problem:
        raise TopologyError(node, field, f"wanted the address of a host, found {value}: {problem}")
    if not value.rpartition("/")[2].isdigit() or "%" in value:
        raise TopologyError(node, field, f"wanted no mask and no scope, found {value!r}")
    return found


def _unusable(found: Interface) -> str | None:
    address, net = found.ip, found.network
    if address.is_multicast:
        return "a multicast group"
    if address.is_unspecified or address.is_loopback:
        return "unspecified or loopback"
    if address.version == 4 and net.prefixlen < 31:
        if address == net.network_address:
            return "the network's own address"
        if address == net.broadcast_address:
            return "the broadcast address"
    return None


def network(node: str, field: str, value: Any) -> Network:
    """``value`` parsed as a network of at least two hosts, such as ``192.0.2.0/24``.

    TopologyError of ``node`` and ``field`` where it is not.
    """
    parsed = prefix(node, field, value)
    if parsed.is_multicast or parsed.num_addresses < 2:
        raise TopologyError(node, field, f"wanted a network with room for hosts, found {value}")
    return parsed


def prefix(node: str, field: str, value: Any) -> Network:
    """``value`` parsed as a network of any size, such as ``192.0.2.1/32`` or ``2001:db8::/64``.

    TopologyError of ``node`` and ``field`` where it is not.
    """
    text(node, field, value)
    try:
        parsed = ipaddress.ip_network(value)
    except ValueError as error:
        raise TopologyError(
            node, field, f"wanted a network like 192.0.2.0/24, found {value!r}: {error}"
        ) from error
    if "%" in value:
        raise TopologyError(node, field, f"wanted a network without a scope, found {value!r}")
    return parsed


def host_address(node: str, field: str, value: Any) -> str:
    """``value`` if it is a unicast IP address without prefix length.

    TopologyError of ``node`` and ``field`` where it is not.
    """
    text(node, field, value)
    try:
        parsed = ipaddress.ip_address(value)
    except ValueError as error:
        raise TopologyError(
            node, field, f"wanted an IP address, found {value!r}: {error}"
        ) from error
    if parsed.is_multicast or parsed.is_unspecified or "%" in value:
        raise TopologyError(
            node, field, f"wanted a unicast address without a scope, found {value!r}"
        )
    return str(value)


def group(node: str, field: str, value: Any) -> str:
    """``value`` if it is a multicast group, of either family.

    TopologyError of ``node`` and ``field`` where it is not.
    """
    text(node, field, value)
    try:
        good = ipaddress.ip_address(value).is_multicast and "%" not in str(value)
    except ValueError:
        good = False
    if not good:
        raise TopologyError(
            node, field, f"wanted a multicast group (224.0.0.0/4 or ff00::/8), found {value!r}"
        )
    return str(value)


def members(node: str, field: str, value: Any, kind: type) -> None:
    """TopologyError of ``node`` and ``field`` unless ``value`` is a tuple of ``kind``."""
    wanted = f"wanted a tuple of {kind.__name__}"
    if not isinstance(value, tuple):
        raise TopologyError(node, field, f"{wanted}, found {value!r}")
    for item in value:
        if not isinstance(item, kind):
            raise TopologyError(node, field, f"{wanted}, found {item!r} in it")


def unique(node: str, field: str, values: Iterable[str], what: str) -> None:
    """TopologyError of ``node`` and ``field`` where anything stands twice in ``values``.

    ``what`` says what the values are: ``interface name``.
    """
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise TopologyError(node, field, f"wanted each {what} once, found {value!r} twice")
        seen.add(value)
