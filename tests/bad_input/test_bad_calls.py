"""Generated calls of the builder and of the elements: a topology, or a sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from bad_values import REPEATABLE, TEXT, VALUES
from hypothesis import given, settings
from hypothesis import strategies as st

from vxlab.apply.script import script_of
from vxlab.describe import vxlan
from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.devices import (
    Bond,
    Bridge,
    Device,
    Dummy,
    Loopback,
    Macvlan,
    Vlan,
    Vrf,
    Vxlan,
)
from vxlab.describe.filters import Rule, drop_udp, raise_ttl
from vxlab.describe.topology import Topology
from vxlab.errors import TopologyError
from vxlab.plan.operations.checks import check, split
from vxlab.plan.planner import make_plan

#: A call of each method that is right, as it stands.
CALLS: Mapping[str, dict[str, Any]] = {
    "switch": {"name": "s", "network": "10.9.0.0/24", "snooping": False, "mtu": 1500},
    "cable": {"name": "s", "network": "10.9.0.0/24", "mtu": 1500},
    "router": {"name": "r", "daemon": None, "rules": ()},
    "host": {"name": "h3", "switch": "lan", "address": None, "device": "eth0", "rules": ()},
    "nic": {
        **{"host": "h1", "switch": "wan", "address": None, "device": "eth1", "mac": None},
        **{"mtu": None, "master": None, "port": None, "vlans": (), "impairment": None},
    },
    "route": {
        **{"machine": "h1", "destination": "10.8.0.0/24", "via": "10.0.0.9", "interface": None},
        **{"table": None, "vrf": None, "metric": 0, "source": None, "mtu": 0, "onlink": False},
        **{"type": "unicast", "hops": ()},
    },
    "setting": {"machine": "h1", "name": "net.ipv4.ip_forward", "value": 1},
    "segment": {
        **{"name": "blue", "vni": 43, "flood": None, "group": None, "port": 4789},
        **{"attributes": None, "duplicates": False},
    },
    "vtep": {
        **{"host": "h2", "segment": "red", "device": None, "addresses": "1.1.1.2/24"},
        **{"bridge": None, "vrf": None, "dev": True, "local": None, "nic": None},
        **{"remotes": None, "mac": None, "attributes": None, "mtu": None, "port": None},
        **{"vlans": ()},
    },
    "container": {
        **{"name": "c", "host": "h1", "bridge": "br0", "addresses": "1.1.1.3/24"},
        **{"device": "eth0", "host_device": "", "mac": None, "mtu": None, "port": None},
        **{"host_addresses": None, "vlans": (), "rules": ()},
    },
}
ARGUMENTS = [(method, name) for method, names in CALLS.items() for name in names]


def described() -> TopologyBuilder:
    t = TopologyBuilder("t").switch("lan", "10.0.0.0/24").switch("wan", "10.1.0.0/24")
    t.segment("red", vni=42).host("h1", "lan").host("h2", "lan")
    return t.vtep("h1", "red", bridge="br0")


#: A device of each kind that is right, with other fields than its name.
DEVICES: tuple[Device, ...] = (
    Bond("x0", mode="802.3ad", xmit_hash_policy="layer3+4", lacp_rate="fast"),
    Bridge("x0", vlan_filtering=True, vlan_protocol="802.1Q", vlan_default_pvid=0, vlans=(5,)),
    Dummy("x0", addresses="10.7.0.1/24"),
    Loopback(addresses="10.7.0.1/32"),
    Macvlan("x0", link="eth0", mode="bridge"),
    Vlan("x0", link="eth0", id=5, master="br0", port={"isolated": True}),
    Vrf("x0", table=10),
    Vxlan("x0", attributes={"external": True, "ttl": "inherit"}),
)
FIELDS = [
    (device, field.name) for device in DEVICES for field in dataclasses.fields(device) if field.init
]


@settings(REPEATABLE, max_examples=150)
@given(st.sampled_from(FIELDS), VALUES)
def test_a_device_with_any_value_is_a_topology_or_a_sentence(
    field: tuple[Device, str], value: Any
) -> None:
    device, name = field
    try:
        changed = dataclasses.replace(device, **{name: value})
        check_built(described().device("h1", changed).build())
    except TopologyError as error:
        check_refused(error)


def check_built(topology: Topology) -> None:
    """What could be described can be planned, written as a script, and stored."""
    for operation in make_plan(topology):
        check(operation)
    text = script_of(topology)
    assert text.encode()
    assert all(line.replace("\t", " ").isprintable() for line in text.splitlines())


def check_refused(error: TopologyError) -> None:
    assert str(error).isprintable()
    assert any(word in error.problem for word in ("wanted", "found", "needs")), error
    assert "Error(" not in error.problem


@settings(REPEATABLE, max_examples=150)
@given(st.sampled_from(ARGUMENTS), VALUES)
def test_a_call_with_any_value_is_a_topology_or_a_sentence(
    argument: tuple[str, str], value: Any
) -> None:
    method, name = argument
    builder = described()
    try:
        getattr(builder, method)(**{**CALLS[method], name: value})
        check_built(builder.build())
    except TopologyError as error:
        check_refused(error)


@settings(REPEATABLE, max_examples=60)
@given(st.one_of(st.sampled_from(list(vxlan.BY_NAME)), TEXT), VALUES)
def test_an_attribute_with_any_value_is_a_device_or_a_sentence(name: str, value: Any) -> None:
    try:
        check_built(described().vtep("h2", "red", attributes={name: value}).build())
    except TopologyError as error:
        check_refused(error)


@settings(REPEATABLE, max_examples=60)
@given(VALUES, VALUES)
def test_a_rule_of_any_words_is_a_rule_or_a_sentence(one: Any, other: Any) -> None:
    for make in (
        lambda: Rule(one, other),
        lambda: Rule((one, other)),
        lambda: raise_ttl(one, other),
        lambda: drop_udp(one, other),
        lambda: TopologyBuilder(one).build(),
        lambda: described().build().with_host("h1", rules=one),
        lambda: described().build().with_vtep("h1", one, mac=other),
    ):
        try:
            make()
        except TopologyError as error:
            check_refused(error)


@settings(REPEATABLE, max_examples=100)
@given(st.data())
def test_an_operation_with_any_value_is_sound_or_refused(data: st.DataObject) -> None:
    operation = data.draw(st.sampled_from(make_plan(described().build())))
    field = data.draw(st.sampled_from(dataclasses.fields(operation)))
    value = data.draw(VALUES)
    changed = dataclasses.replace(operation, **{field.name: value})
    sound, error = split([changed])
    if error is None:
        assert str(sound[0]).encode()
    else:
        assert f"{field.name}: wanted " in str(error)
