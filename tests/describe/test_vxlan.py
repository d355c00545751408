"""The table of vxlan attributes: its numbers, checks, words, encodings and read-back."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vxlan_samples import SAMPLES

from vxlab import vxlan
from vxlab.describe.vxlan import ATTRIBUTES, BY_NAME


def index_of(name: str) -> int:
    return {"eth0": 7}[name]


def test_the_table_is_complete_and_without_doubles() -> None:
    numbers = [each.number for each in ATTRIBUTES] + [e.number6 for e in ATTRIBUTES if e.number6]
    assert set(numbers) == set(range(1, 35))
    shared = {BY_NAME["group"].number, BY_NAME["group"].number6}
    assert {each for each in numbers if numbers.count(each) > 1} == shared
    assert set(SAMPLES) == set(BY_NAME) == {each.name for each in ATTRIBUTES}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_passes_and_becomes_words_and_bytes(name: str) -> None:
    value, words, encoded = SAMPLES[name]
    assert value != BY_NAME[name].default
    assert vxlan.check_one(name, value) is None
    assert vxlan.words(name, value) == words
    assert vxlan.encode(name, value, index_of) == encoded


@pytest.mark.parametrize(
    ("name", "value", "words", "encoded"),
    [
        ("learning", True, ["learning"], (7, b"\1")),
        ("proxy", False, ["noproxy"], (11, b"\0")),
        ("gbp", False, [], None),
        ("gpe", False, [], None),
        ("ttl_inherit", False, [], None),
        ("df", 0, ["df", "unset"], (29, b"\0")),
        ("df", 2, ["df", "inherit"], (29, b"\2")),
        ("remote", "fd00::9", ["remote", "fd00::9"], (16, ipaddress.ip_address("fd00::9").packed)),
        ("group", "ff08::1", ["group", "ff08::1"], (16, ipaddress.ip_address("ff08::1").packed)),
        ("local", "fd00::1", ["local", "fd00::1"], (17, ipaddress.ip_address("fd00::1").packed)),
    ],
)
def test_the_other_values_have_words_and_bytes(
    name: str, value: Any, words: list[str], encoded: tuple[int, bytes] | None
) -> None:
    assert vxlan.words(name, value) == words
    assert vxlan.encode(name, value, index_of) == encoded


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("vni", 5, "wanted a vxlan attribute (id, group,"),
        ("id", -1, "wanted 0 to 16777215, found -1"),
        ("id", 1 << 24, "wanted 0 to 16777215, found 16777216"),
        ("id", "5", "wanted a whole number, found '5'"),
        ("id", True, "wanted a whole number, found True"),
        ("ttl", 256, "wanted 0 to 255, found 256"),
        ("tos", -1, "wanted 0 to 255"),
        ("ageing", 1 << 32, "wanted 0 to 4294967295"),
        ("maxaddress", -1, "wanted 0 to 4294967295"),
        ("dstport", 65536, "wanted 0 to 65535, found 65536"),
        ("flowlabel", 1 << 20, "wanted 0 to 1048575"),
        ("df", "set", "wanted a whole number, found 'set'"),
        ("df", 3, "wanted 0 to 2, found 3"),
        ("label_policy", 2, "wanted 0 to 1, found 2"),
        ("group", "10.0.0.1", "wanted a multicast group"),
        ("group", "x", "wanted an IP address, found 'x'"),
        ("remote", "239.1.1.1", "wanted a unicast address, found the multicast group"),
        ("local", "ff08::1", "wanted a unicast address"),
        ("local", None, "wanted an IP address, found None"),
        ("dev", "", "wanted a device name of 1 to 15 bytes, found ''"),
        ("dev", "sixteen-letters-", "wanted a device name of 1 to 15 bytes"),
        ("dev", 2, "wanted a device name of 1 to 15 bytes, found 2"),
        ("learning", 0, "wanted True or False, found 0"),
        ("gbp", "yes", "wanted True or False, found 'yes'"),
        ("srcport", 5, "wanted a pair (low, high), found 5"),
        ("srcport", (1, 2, 3), "wanted a pair (low, high)"),
        ("srcport", (2, 1), "wanted low <= high, found (2, 1)"),
        ("srcport", (0, 65536), "wanted ports from 0 to 65535"),
        ("srcport", (False, True), "wanted ports from 0 to 65535"),
        ("reserved_bits", -1, "wanted a 64-bit mask, found -1"),
        ("reserved_bits", 1 << 64, "wanted a 64-bit mask"),
        ("reserved_bits", True, "wanted a 64-bit mask, found True"),
    ],
)
def test_a_bad_value_is_refused(name: str, value: Any, problem: str) -> None:
    assert (vxlan.check_one(name, value) or "").startswith(problem)
    found = vxlan.check({"id": 5, "dev": "eth0", name: value})
    assert found is not None
    assert found[0] == name
    assert found[1].startswith(problem)


SIX = {"local": "fd00::1", "dev": "eth0"}
NEAR = {"local": "fe80::1", "dev": "eth0"}
GPE = {"gpe": True, "external": True, "learning": False}


@pytest.mark.parametrize(
    ("attributes", "name", "problem"),
    [
        ({"group": "239.1.1.1", "remote": "10.0.0.1"}, "remote", "found both"),
        ({"group": "239.1.1.1"}, "group", "needs the device it leaves by (dev)"),
        ({"gpe": True}, "gpe", "wanted external beside gpe"),
        ({"vnifilter": True}, "vnifilter", "wanted external beside vnifilter"),
        ({"ttl": 5, "ttl_inherit": True}, "ttl", "wanted either a number or ttl_inherit"),
        ({"gpe": True, "external": True}, "learning", "wanted False beside gpe"),
        *(
            ({**GPE, name: True}, name, "wanted False beside gpe (the kernel has no other)")
            for name in ("gbp", "proxy", "rsc", "l2miss", "l3miss", "remcsumtx", "remcsumrx")
        ),
        ({**GPE, "ttl_inherit": True}, "ttl_inherit", "wanted False beside gpe"),
        ({"local": "10.0.0.1", "remote": "fd00::1"}, "local", "wanted one address family"),
        ({"flowlabel": 1}, "flowlabel", "wanted none (only IPv6 has flow labels)"),
        ({"label_policy": 1, "local": "10.0.0.1"}, "label_policy", "wanted none (only IPv6"),
        ({**NEAR, "remote": "fd00::2"}, "remote", "wanted a link-local one as local is"),
        ({**NEAR, "group": "ff08::1"}, "group", "wanted one of link-local scope (ff02::/16)"),
        ({**SIX, "remote": "fe80::2"}, "local", "wanted a link-local one as the remote fe80::2 is"),
        ({"remote": "fe80::2", "dev": "eth0"}, "local", "wanted a link-local one"),
        ({"local": "fe80::1"}, "dev", "wanted the device that fe80::1 belongs to"),
        ({"reserved_bits": 1 << 59}, "reserved_bits", "wanted none of the used bits"),
        ({"reserved_bits": 0x100}, "reserved_bits", "found 0x0000000000000100"),
        ({"reserved_bits": 1, "remcsumrx": True}, "reserved_bits", "found 0x0000000000000001"),
        ({"reserved_bits": 1 << 63, "gbp": True}, "reserved_bits", "found 0x8000000000000000"),
        ({**GPE, "reserved_bits": 1 << 32}, "reserved_bits", "found 0x0000000100000000"),
    ],
)
def test_contradictions_are_refused(attributes: Any, name: str, problem: str) -> None:
    found = vxlan.check({"id": 5, **attributes})
    assert found is not None
    assert found[0] == name
    assert problem in found[1]


@pytest.mark.parametrize(
    "attributes",
    [
        {"group": "239.1.1.1", "dev": "eth0"},
        GPE,
        {**GPE, "vnifilter": True, "udpcsum": False, "mcroute": True},
        {**GPE, "proxy": False, "ttl_inherit": False},
        {"ttl": 0, "ttl_inherit": True},
        {"flowlabel": 0, "label_policy": 0},
        {**SIX, "flowlabel": 5, "label_policy": 1},
        {**SIX, "group": "ff02::1"},
        {**NEAR, "remote": "fe80::2"},
        {**NEAR, "group": "ff12::1"},
        {**NEAR},
        {**NEAR, "remote": "fd00::1", "external": True},
        {"reserved_bits": 0xF7FFFFFF000000FF},
    ],
)
def test_what_the_kernel_takes_passes(attributes: Any) -> None:
    assert vxlan.check({"id": 5, **attributes}) is None


def test_the_family_of_a_device_is_that_of_its_addresses() -> None:
    assert vxlan.family({"id": 5}) == 4
    assert vxlan.family({"remote": "10.0.0.1"}) == 4
    assert vxlan.family({"group": "ff08::1"}) == 6
    assert vxlan.family({"local": "fd00::1"}) == 6


def test_multicast_addresses_are_told_from_others() -> None:
    assert vxlan.is_multicast("224.0.0.1")
    assert vxlan.is_multicast("ff02::1")
    assert not vxlan.is_multicast("10.0.0.1")
    assert not vxlan.is_multicast("fd00::1")


def test_flags_that_share_a_socket_are_in_the_table() -> None:
    assert set(vxlan.RECEIVE_FLAGS) <= set(BY_NAME)
    assert all(BY_NAME[name].kind in ("bool", "flag") for name in vxlan.RECEIVE_FLAGS)


def test_read_back_from_ip_json() -> None:
    found = vxlan.from_json(
        {
            "id": 42,
            "group6": "ff08::1",
            "link": "eth0",
            "local6": "fd00::1",
            "port_range": {"low": 5, "high": 6},
            "port": 4789,
            "learning": False,
            "ttl": 8,
            "tos": "0x10",
            "df": "inherit",
            "label": "0xabcde",
            "limit": 7,
            "gbp": None,
            "udp_zero_csum6_tx": True,
            "something new": 1,
        }
    )
    assert found == {
        "id": 42,
        "group": "ff08::1",
        "dev": "eth0",
        "local": "fd00::1",
        "srcport": (5, 6),
        "dstport": 4789,
        "learning": False,
        "ttl": 8,
        "tos": 16,
        "df": 2,
        "flowlabel": 0xABCDE,
        "maxaddress": 7,
        "gbp": True,
        "udp6zerocsumtx": True,
    }


def test_read_back_of_an_old_ip() -> None:
    found = vxlan.from_json({"remote": "10.0.0.1", "gbp": True, "tos": 3, "label": 5})
    assert found == {"remote": "10.0.0.1", "gbp": True, "tos": 3, "flowlabel": 5}
    assert vxlan.from_json({}) == {}


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 1 << 65),
    st.text(max_size=20),
    st.tuples(st.integers(-1, 70000), st.integers(-1, 70000)),
    st.ip_addresses().map(str),
)


@settings(derandomize=True, deadline=None, database=None)
@given(st.dictionaries(st.sampled_from(sorted(BY_NAME)), VALUES))
def test_whatever_passes_the_check_has_words_and_bytes(attributes: dict[str, Any]) -> None:
    problem = vxlan.check(attributes)
    if problem is not None:
        name, sentence = problem
        assert name in BY_NAME
        assert sentence
        return
    for name, value in attributes.items():
        assert all(isinstance(word, str) for word in vxlan.words(name, value))
        encoded = vxlan.encode(name, value, lambda _: 3)
        assert encoded is None or isinstance(encoded[1], bytes)
