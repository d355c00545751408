"""Checks of single values: what passes, what is refused, and how the refusal reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vxlab.describe import checks
from vxlab.errors import TopologyError

GOOD: list[tuple[Callable[..., Any], Any]] = [
    (checks.text, "x"),
    (checks.name, "a"),
    (checks.name, "0-_.Z"),
    (checks.name, "fifteen-letters"),
    (checks.name, "lo"),
    (checks.device, "eth0.10"),
    (checks.boolean, False),
    (checks.mac, "02:00:00:00:00:01"),
    (checks.mac, "fe:ff:ff:ff:ff:ff"),
    (checks.mtu, 68),
    (checks.mtu, 65535),
    (checks.host_address, "192.0.2.1"),
    (checks.host_address, "2001:db8::1"),
    (checks.group, "224.0.0.1"),
    (checks.group, "239.255.255.255"),
    (checks.group, "ff02::1"),
]

BAD: list[tuple[Callable[..., Any], Any, str]] = [
    (checks.text, "", "wanted a non-empty string, found ''"),
    (checks.text, None, "wanted a non-empty string, found None"),
    (checks.text, b"x", "wanted a non-empty string, found b'x'"),
    (checks.name, 5, "wanted a non-empty string, found 5"),
    (checks.name, "-a", "(no leading sign), found '-a'"),
    (checks.name, ".a", "(no leading sign), found '.a'"),
    (checks.name, "a b", "found 'a b'"),
    (checks.name, "a/b", "found 'a/b'"),
    (checks.name, "a\n", "found 'a\\n'"),
    (checks.name, "hôte", "found 'hôte'"),
    (checks.name, "sixteen-letters-", "wanted at most 15 bytes, found 16"),
    (checks.device, "lo", "found 'lo': reserved"),
    (checks.device, "all", "found 'all': reserved"),
    (checks.device, "default", "found 'default': reserved"),
    (checks.boolean, 1, "wanted True or False, found 1"),
    (checks.boolean, None, "wanted True or False, found None"),
    (checks.mac, None, "wanted a non-empty string"),
    (checks.mac, "02:00:00:00:00", "wanted a MAC like"),
    (checks.mac, "02-00-00-00-00-01", "wanted a MAC like"),
    (checks.mac, "02:00:00:00:00:0G", "wanted a MAC like"),
    (checks.mac, "02:00:00:00:00:01\n", "wanted printable characters only"),
    (checks.mac, "01:00:5e:00:00:01", "wanted a unicast MAC address, found '01:00:5e:00:00:01'"),
    (checks.mac, "ff:ff:ff:ff:ff:ff", "wanted a unicast MAC address"),
    (checks.mac, "00:00:00:00:00:00", "wanted a unicast MAC address"),
    (checks.mtu, 67, "wanted 68 to 65535, found 67"),
    (checks.mtu, 65536, "wanted 68 to 65535, found 65536"),
    (checks.mtu, "1500", "wanted a whole number, found '1500'"),
    (checks.mtu, 1500.0, "wanted a whole number, found 1500.0"),
    (checks.mtu, True, "wanted a whole number, found True"),
    (checks.host_address, "192.0.2.1/24", "wanted an IP address"),
    (checks.host_address, "192.0.2.256", "wanted an IP address"),
    (checks.host_address, "", "wanted a non-empty string"),
    (checks.host_address, "224.0.0.1", "wanted a unicast address"),
    (checks.host_address, "ff02::1", "wanted a unicast address"),
    (checks.host_address, "0.0.0.0", "wanted a unicast address"),
    (checks.host_address, "::", "wanted a unicast address"),
    (checks.group, "192.0.2.1", "wanted a multicast group (224.0.0.0/4 or ff00::/8)"),
    (checks.group, "2001:db8::1", "wanted a multicast group"),
    (checks.group, "all", "wanted a multicast group"),
    (checks.group, None, "wanted a non-empty string"),
]


@pytest.mark.parametrize(("check", "value"), GOOD)
def test_a_good_value_is_handed_back(check: Callable[..., Any], value: Any) -> None:
    assert check("host a", "field", value) == value


@pytest.mark.parametrize(("check", "value", "problem"), BAD)
def test_a_bad_value_is_refused_in_words(
    check: Callable[..., Any], value: Any, problem: str
) -> None:
    with pytest.raises(TopologyError) as caught:
        check("host a", "field", value)
    assert str(caught.value).startswith("host a: field: wanted ")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "value", ["10.0.0.1/24", "10.0.0.0/31", "10.0.0.1/32", "2001:db8::1/64", "fe80::1/64"]
)
def test_interface_addresses_pass(value: str) -> None:
    assert str(checks.interface("host a", "address", value)) == value


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("10.0.0.1", "wanted an address with prefix length, such as 10.0.0.1/24"),
        ("10.0.0.1/33", "wanted an address like 192.0.2.1/24, found '10.0.0.1/33'"),
        ("10.0.0.1/", "wanted an address like"),
        ("10.0.0/24", "wanted an address like"),
        ("10.0.0.1/24/24", "wanted an address like"),
        ("10.0.0.1/255.255.255.0", "wanted no mask and no scope"),
        ("10.0.0.1/0.0.0.255", "wanted no mask and no scope"),
        ("fe80::1%eth0/64", "wanted no mask and no scope"),
        ("224.0.0.1/24", "a multicast group"),
        ("ff02::1/64", "a multicast group"),
        ("0.0.0.0/0", "unspecified or loopback"),
        ("127.0.0.1/8", "unspecified or loopback"),
        ("::1/128", "unspecified or loopback"),
        ("10.0.0.0/24", "the network's own address"),
        ("10.0.0.255/24", "the broadcast address"),
        (7, "wanted a non-empty string, found 7"),
    ],
)
def test_bad_interface_addresses_are_refused(value: Any, problem: str) -> None:
    with pytest.raises(TopologyError, match=r"^host a: address: wanted ") as caught:
        checks.interface("host a", "address", value)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "value",
    ["10.0.0.0/24", "10.0.0.0/30", "10.0.0.0/31", "2001:db8::/64", "fe80::/126"],
)
def test_networks_pass(value: str) -> None:
    assert str(checks.network("switch s", "network", value)) == value


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("10.0.0.1/24", "has host bits set"),
        ("10.0.0.0/32", "room for hosts"),
        ("10.0.0.0", "room for hosts"),
        ("224.0.0.0/8", "room for hosts"),
        ("net", "wanted a network like 192.0.2.0/24"),
        (None, "wanted a non-empty string"),
    ],
)
def test_bad_networks_are_refused(value: Any, problem: str) -> None:
    with pytest.raises(TopologyError, match=r"^switch s: network: wanted ") as caught:
        checks.network("switch s", "network", value)
    assert problem in str(caught.value)


@settings(derandomize=True, deadline=None, database=None)
@given(st.integers(), st.integers(-1000, 1000), st.integers(0, 1000))
def test_a_number_passes_exactly_within_its_range(value: int, low: int, width: int) -> None:
    high = low + width
    if low <= value <= high:
        assert checks.number("host a", "field", value, low, high) == value
    else:
        with pytest.raises(TopologyError, match=f"wanted {low} to {high}, found {value}"):
            checks.number("host a", "field", value, low, high)


@settings(derandomize=True, deadline=None, database=None)
@given(st.one_of(st.none(), st.integers(), st.text(), st.binary(), st.lists(st.integers())))
def test_no_check_ends_in_another_error(value: Any) -> None:
    for check, _ in GOOD:
        problem = ""
        try:
            check("host a", "field", value)
        except TopologyError as error:
            problem = str(error)
        assert problem.startswith("host a: field: wanted ") or not problem


def test_the_members_of_a_tuple_are_checked() -> None:
    checks.members("host a", "remotes", ("1", "2"), str)
    checks.members("host a", "remotes", (), str)
    with pytest.raises(TopologyError, match=r"wanted a tuple of str, found \['1'\]"):
        checks.members("host a", "remotes", ["1"], str)
    with pytest.raises(TopologyError, match=r"wanted a tuple of str, found 2 in it"):
        checks.members("host a", "remotes", ("1", 2), str)


def test_what_stands_twice_is_refused() -> None:
    checks.unique("host a", "remotes", ("1", "2"), "remote")
    with pytest.raises(TopologyError, match="wanted each remote once, found '1' twice"):
        checks.unique("host a", "remotes", iter(("1", "2", "1")), "remote")
