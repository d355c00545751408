"""Probes of vxlan attributes agree with what ip(8) can set and show."""

from __future__ import annotations

import pytest
from feature_tools import run

from vxlab import features, vxlan
from vxlab.describe.vxlan import Attribute, spelling
from vxlab.features import attributes
from vxlab.live.json_output import read_json
from vxlab.netlink import devices
from vxlab.system.namespaces import Namespaces

#: `ip` shows a ttl of `inherit` by leaving it out; the kernel (6.18) never tells of mcroute.
NEVER_SHOWN = ("ttl_inherit", "mcroute")


@pytest.mark.parametrize("attribute", vxlan.ATTRIBUTES, ids=lambda item: item.name)
def test_probe_values_are_valid_and_not_the_default(attribute: Attribute) -> None:
    wanted = attributes.probe_attributes(attribute)
    assert vxlan.check(wanted) is None
    assert wanted[attribute.name] != attribute.default
    encoded = vxlan.encode(attribute.name, wanted[attribute.name], lambda _: 7)
    assert encoded is not None
    assert encoded[0] == attribute.number


@pytest.mark.parametrize(
    "attribute",
    [item for item in vxlan.ATTRIBUTES if item.name not in NEVER_SHOWN],
    ids=lambda item: item.name,
)
def test_an_attribute_is_there_if_ip_can_set_it_and_show_it(attribute: Attribute) -> None:
    wanted = attributes.probe_attributes(attribute)
    words = [word for name, value in wanted.items() for word in vxlan.words(name, value)]
    with Namespaces("direct") as node:
        run(node, "ip", "link", "add", "lower", "type", "veth")
        code, said = run(node, "ip", "link", "add", "vx0", "type", "vxlan", *words)
        if code:
            pytest.skip(f"`ip` or the kernel refuses {' '.join(words)}: {said.splitlines()[0]}")
        _, shown = run(node, "ip", "-j", "-d", "link", "show", "vx0")
    data = read_json(shown)[0]["linkinfo"]["info_data"]
    set_and_shown = vxlan.from_json(data).get(attribute.name) == wanted[attribute.name]
    assert features.probe(f"vxlan.{attribute.name}").available == set_and_shown, data


def test_an_attribute_from_the_future_is_not_there() -> None:
    future = Attribute("imaginary", 900, "u8", "imaginary", default=0, low=0, high=9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spelling, "BY_NAME", {**vxlan.BY_NAME, "imaginary": future})
        found = attributes.check_of(future).feature()
    assert found.name == "vxlan.imaginary"
    assert found.reason == "the kernel does not know attribute 900 of vxlan devices"


def test_an_attribute_that_is_not_sent_back_is_told_by_what_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "kind_attributes", lambda namespaces, index: {})
    assert attributes.check_of(vxlan.BY_NAME["ttl"]).feature().available


def test_an_attribute_whose_value_is_ignored_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "kind_attributes", lambda namespaces, index: {5: b"\0"})
    found = attributes.check_of(vxlan.BY_NAME["ttl"]).feature()
    assert found.reason == "the kernel ignored the value: wanted 07, found 00"
