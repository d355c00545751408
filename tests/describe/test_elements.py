"""The elements of a topology: what each checks by itself, and what it works out."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from vxlab import vxlan
from vxlab.describe import elements
from vxlab.describe.containers import Container
from vxlab.describe.elements import (
    Host,
    Nic,
    Router,
    Segment,
    Switch,
    Vtep,
)
from vxlab.describe.filters import Rule, drop_udp, raise_ttl
from vxlab.errors import TopologyError

SWITCH = Switch("lan", "10.0.0.0/24")
NIC = Nic("eth0", "lan", "10.0.0.1/24")
SEGMENT = Segment("red", 42)
VTEP = Vtep("red")
HOST = Host("h1")
ROUTER = Router("r")
CONTAINER = Container("c1", "h1", "br0")


@pytest.mark.parametrize(
    ("element", "text"),
    [
        (SWITCH, "switch lan"),
        (NIC, "nic eth0"),
        (SEGMENT, "segment red"),
        (VTEP, "vtep vxlan0"),
        (HOST, "host h1"),
        (ROUTER, "router r"),
        (CONTAINER, "container c1"),
    ],
)
def test_an_element_is_plain_frozen_data(element: Any, text: str) -> None:
    assert str(element) == text
    assert dataclasses.replace(element) == element
    assert hash(dataclasses.replace(element)) == hash(element)
    field = dataclasses.fields(element)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(element, field, "other")


BAD: list[tuple[Any, dict[str, Any], str]] = [
    (SWITCH, {"name": ""}, "switch: name: wanted a non-empty string"),
    (SWITCH, {"network": "10.0.0.1"}, "switch lan: network: wanted a network"),
    (SWITCH, {"snooping": 1}, "switch lan: snooping: wanted True or False, found 1"),
    (SWITCH, {"mtu": 67}, "switch lan: mtu: wanted 68 to 65535, found 67"),
    (
        SWITCH,
        {"network": "fd00::/64", "mtu": 1279},
        "switch lan: mtu: wanted 1280 to 65535, found 1279",
    ),
    (NIC, {"device": "lo"}, "nic: device: wanted a free interface name, found 'lo'"),
    (NIC, {"device": "sixteen-letters-"}, "nic: device: wanted at most 15 bytes"),
    (NIC, {"switch": None}, "nic eth0: switch: wanted a non-empty string, found None"),
    (NIC, {"address": "10.0.0.1"}, "nic eth0: address: wanted an address with prefix length"),
    (NIC, {"mac": "01:00:00:00:00:01"}, "nic eth0: mac: wanted a unicast MAC"),
    (SEGMENT, {"name": "a b"}, "segment: name: wanted letters"),
    (SEGMENT, {"vni": -1}, "segment red: vni: wanted 0 to 16777215, found -1"),
    (SEGMENT, {"vni": 1 << 24}, "segment red: vni: wanted 0 to 16777215, found 16777216"),
    (SEGMENT, {"vni": "42"}, "segment red: vni: wanted a whole number, found '42'"),
    (SEGMENT, {"vni": True}, "segment red: vni: wanted a whole number, found True"),
    (SEGMENT, {"vni": 42.0}, "segment red: vni: wanted a whole number, found 42.0"),
    (SEGMENT, {"port": -1}, "segment red: port: wanted 0 to 65535, found -1"),
    (SEGMENT, {"port": 65536}, "segment red: port: wanted 0 to 65535, found 65536"),
    (SEGMENT, {"flood": "all"}, "segment red: flood: wanted group, remote or none, found 'all'"),
    (SEGMENT, {"flood": "group"}, "segment red: group: wanted a non-empty string, found None"),
    (
        SEGMENT,
        {"flood": "group", "group": "10.0.0.1"},
        "segment red: group: wanted a multicast group",
    ),
    (
        SEGMENT,
        {"group": "239.1.1.1"},
        "segment red: group: wanted none with flood 'remote', found 239.1.1.1",
    ),
    (SEGMENT, {"attributes": {"ttl": 1}}, "segment red: attributes: wanted a tuple of tuple"),
    (SEGMENT, {"attributes": ("ttl",)}, "segment red: attributes: wanted a tuple of tuple"),
    (SEGMENT, {"attributes": (("ttl",),)}, "segment red: attributes: wanted pairs of name"),
    (SEGMENT, {"attributes": ((["ttl"], 1),)}, "segment red: attributes: wanted pairs of name"),
    (SEGMENT, {"attributes": (("tll", 1),)}, "segment red: tll: wanted a vxlan attribute ("),
    (SEGMENT, {"attributes": (("ttl", 256),)}, "segment red: ttl: wanted 0 to 255, found 256"),
    (SEGMENT, {"duplicates": None}, "segment red: duplicates: wanted True or False"),
    (VTEP, {"segment": ""}, "vtep: segment: wanted a non-empty string"),
    (VTEP, {"device": "a/b"}, "vtep a/b: device: wanted letters"),
    (VTEP, {"addresses": "10.0.0.1/24"}, "vtep vxlan0: addresses: wanted a tuple of str"),
    (VTEP, {"addresses": ("10.0.0.1",)}, "vtep vxlan0: addresses: wanted an address with prefix"),
    (VTEP, {"bridge": "lo"}, "vtep vxlan0: bridge: wanted a free interface name"),
    (VTEP, {"vrf": ""}, "vtep vxlan0: vrf: wanted a non-empty string"),
    (VTEP, {"nic": 0}, "vtep vxlan0: nic: wanted a non-empty string, found 0"),
    (VTEP, {"dev": "eth0"}, "vtep vxlan0: dev: wanted True or False, found 'eth0'"),
    (VTEP, {"local": 1}, "vtep vxlan0: local: wanted True or False"),
    (VTEP, {"local": "239.1.1.1"}, "vtep vxlan0: local: wanted a unicast address"),
    (VTEP, {"remotes": ["10.0.0.2"]}, "vtep vxlan0: remotes: wanted a tuple of str"),
    (VTEP, {"remotes": ("239.1.1.1",)}, "vtep vxlan0: remotes: wanted a unicast address"),
    (
        VTEP,
        {"remotes": ("fd00::1", "FD00:0::1")},
        "vtep vxlan0: remotes: wanted each remote once, found 'fd00::1' twice",
    ),
    (VTEP, {"mac": "zz"}, "vtep vxlan0: mac: wanted a MAC like"),
    (
        VTEP,
        {"bridge": "br0", "addresses": ("10.0.0.1/24",)},
        "vtep vxlan0: addresses: wanted none on a device that sits in a bridge",
    ),
    (VTEP, {"attributes": (("df", 3),)}, "vtep vxlan0: df: wanted 0 to 2, found 3"),
    (HOST, {"name": "-h"}, "host: name: wanted letters"),
    (HOST, {"nics": (VTEP,)}, "host h1: nics: wanted a tuple of Nic, found "),
    (HOST, {"vteps": [VTEP]}, "host h1: vteps: wanted a tuple of Vtep"),
    (HOST, {"rules": ("-A INPUT",)}, "host h1: rules: wanted a tuple of Rule"),
    (ROUTER, {"name": "r r"}, "router: name: wanted letters"),
    (ROUTER, {"nics": NIC}, "router r: nics: wanted a tuple of Nic"),
    (ROUTER, {"daemon": "bird"}, "router r: daemon: wanted smcroute, pimd or None, found 'bird'"),
    (ROUTER, {"daemon": ["pimd"]}, "router r: daemon: wanted smcroute, pimd or None"),
    (CONTAINER, {"name": 1}, "container: name: wanted a non-empty string, found 1"),
    (CONTAINER, {"host": None}, "container c1: host: wanted a non-empty string"),
    (CONTAINER, {"bridge": ""}, "container c1: bridge: wanted a non-empty string"),
    (CONTAINER, {"device": "all"}, "container c1: device: wanted a free interface name"),
    (CONTAINER, {"addresses": None}, "container c1: addresses: wanted a tuple of str"),
    (CONTAINER, {"addresses": ("1.1.1.0/24",)}, "container c1: addresses: wanted the address of"),
    (CONTAINER, {"host_device": "a:b"}, "container c1: host_device: wanted letters"),
    (CONTAINER, {"mac": "ff:ff:ff:ff:ff:ff"}, "container c1: mac: wanted a unicast MAC"),
]


@pytest.mark.parametrize(("element", "changes", "message"), BAD)
def test_a_bad_field_is_refused(element: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        dataclasses.replace(element, **changes)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("vni", [1, 4095, 4096, vxlan.MAX_VNI])
def test_a_vni_has_24_bits(vni: int) -> None:
    assert Segment("red", vni).vni == vni


def test_a_segment_s_port_is_the_kernel_s_by_default() -> None:
    assert SEGMENT.port == vxlan.KERNEL_PORT == 8472
    assert SEGMENT.flood == "remote"


def test_a_nic_s_address_is_parsed() -> None:
    assert NIC.ip == "10.0.0.1"
    assert str(NIC.interface.network) == "10.0.0.0/24"


def test_a_container_s_host_end_is_named_after_it_and_fits() -> None:
    assert CONTAINER.host_device == "c1-eth0"
    assert Container("fifteen-letters", "h1", "br0").host_device == "fifteen-le-eth0"
    assert Container("c1", "h1", "br0", host_device="veth7").host_device == "veth7"


def test_rules_are_the_words_of_iptables() -> None:
    assert raise_ttl("239.1.1.1").words == (
        *("-t", "mangle", "-A", "OUTPUT", "-d", "239.1.1.1"),
        *("-j", "TTL", "--ttl-inc", "1"),
    )
    six = raise_ttl("ff08::1", 3)
    assert six.words[-4:] == ("-j", "HL", "--hl-inc", "3")
    assert six.family == 6
    assert drop_udp(8472, 6) == Rule(
        ("-A", "INPUT", "-p", "udp", "--dport", "8472", "-j", "DROP"), 6
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rule(()), "rule: words: wanted the words of a rule, found none"),
        (lambda: Rule("-A"), "rule: words: wanted a tuple of str"),  # type: ignore[arg-type]
        (lambda: Rule((1,)), "rule: words: wanted a tuple of str"),  # type: ignore[arg-type]
        (lambda: Rule(("-A",), 5), "rule: family: wanted 4 or 6, found 5"),  # type: ignore[arg-type]
        (lambda: raise_ttl("10.0.0.1"), "rule: group: wanted a multicast group"),
        (lambda: raise_ttl("239.1.1.1", 0), "rule: by: wanted 1 to 254, found 0"),
        (lambda: drop_udp(0), "rule: port: wanted 1 to 65535, found 0"),
    ],
)
def test_bad_rules_are_refused(make: Any, message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        make()
    assert str(caught.value).startswith(message)


def test_daemons_are_those_that_routers_take() -> None:
    for daemon in (*elements.DAEMONS, None):
        assert Router("r", daemon=daemon).daemon == daemon
