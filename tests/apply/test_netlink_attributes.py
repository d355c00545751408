"""Every vxlan attribute by netlink: read back, changed or refused as its table says."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from ip_output_tools import vxlan_of
from vxlan_samples import SAMPLES

from vxlab import features, state, vxlan
from vxlab.errors import ApplyError
from vxlab.live.lab import Lab
from vxlab.operations import AddLink, SetVxlan

#: What an attribute must have beside it.
BESIDE: dict[str, dict[str, Any]] = {
    "group": {"dev": "eth0"},
    "flowlabel": {"remote": "fd00::9"},
    "label_policy": {"remote": "fd00::9"},
    "gpe": {"external": True, "learning": False},
    "vnifilter": {"external": True},
}
#: Attributes that the kernel takes and does not show.
SILENT = {"mcroute"}
#: Attributes that ip may be too old to show, or the kernel too old to know.
NEWER = {
    "remcsum_nopartial",
    "vnifilter",
    "localbypass",
    "label_policy",
    "reserved_bits",
    "mcroute",
}


@pytest.mark.parametrize("name", SAMPLES)
def test_an_attribute_is_read_back(lab: Lab, name: str) -> None:
    skip_without(name)
    value = SAMPLES[name][0]
    wanted = {"id": 77, "dstport": 4790, **BESIDE.get(name, {}), name: value}
    assert vxlan.check(wanted) is None
    lab.apply(AddLink("h1", "vx", "vxlan", 90, tuple(wanted.items())))
    (link,) = (each for each in state.links(lab["h1"].namespaces) if each.name == "vx")
    if name not in SILENT:
        assert dict(link.attributes)[name] == value
    read = vxlan_of(lab, "h1", "vx")
    if name in read:
        assert read[name] == value
    else:
        assert name in {"ttl_inherit", *NEWER}  # the former is the absence of a key


def skip_without(*names: str) -> None:
    missing = features.missing(f"vxlan.{name}" for name in names if name in vxlan.BY_NAME)
    if missing:
        pytest.skip(missing[0].sentence())


def change(lab: Lab, name: str) -> None:
    """Make a device, and change one attribute of it."""
    before = {"remote": "10.0.0.99", **BESIDE.get(name, {})}
    if name == "group":
        before = {"group": "239.9.9.9", "dev": "eth0"}
    base = {"id": 77, "dstport": 4790, **before}
    lab.apply(AddLink("h1", "vx", "vxlan", 90, tuple(base.items())))
    lab.apply(SetVxlan("h1", "vx", ((name, SAMPLES[name][0]),)))


@pytest.mark.parametrize(
    "changed", [each for each in vxlan.ATTRIBUTES if each.changeable], ids=lambda a: a.name
)
def test_what_the_table_calls_changeable_can_be_changed(lab: Lab, changed: Any) -> None:
    skip_without(changed.name)
    change(lab, changed.name)
    (link,) = (each for each in state.links(lab["h1"].namespaces) if each.name == "vx")
    if changed.name not in SILENT:
        assert dict(link.attributes)[changed.name] == SAMPLES[changed.name][0]


@pytest.mark.parametrize(
    "fixed", [each for each in vxlan.ATTRIBUTES if not each.changeable], ids=lambda a: a.name
)
def test_what_the_table_calls_unchangeable_is_refused(lab: Lab, fixed: Any) -> None:
    skip_without(fixed.name)
    with pytest.raises(ApplyError, match=r"link set dev vx type vxlan .*\(EOPNOTSUPP\)") as caught:
        change(lab, fixed.name)
    assert caught.value.errno == errno.EOPNOTSUPP


@pytest.mark.parametrize(
    "attributes",
    [
        {"flowlabel": 5},
        {"label_policy": 1},
        {"gpe": True, "external": True},
        {"gpe": True, "external": True, "learning": False, "proxy": True},
        {"gpe": True, "external": True, "learning": False, "ttl_inherit": True},
        {"gpe": True, "learning": False},
        {"vnifilter": True},
        {"reserved_bits": 0x100},
        {"reserved_bits": 1 << 63, "gbp": True},
        {"local": "10.0.0.1", "remote": "fd00::1"},
        {"local": "fe80::1", "remote": "fd00::1", "dev": "eth0"},
        {"local": "fe80::1", "group": "ff08::1", "dev": "eth0"},
        {"remote": "fe80::1", "dev": "eth0"},
        {"local": "fe80::1"},
        {"group": "239.1.1.1"},
    ],
)
def test_what_the_table_refuses_the_kernel_refuses(lab: Lab, attributes: dict[str, Any]) -> None:
    asked = {"id": 77, "dstport": 4790, **attributes}
    assert vxlan.check(asked) is not None
    skip_without(*asked)
    with pytest.raises(ApplyError, match="type vxlan id 77") as caught:
        lab.apply(AddLink("h1", "vx", "vxlan", 90, tuple(asked.items())))
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("name", vxlan.RECEIVE_FLAGS)
def test_devices_that_disagree_cannot_share_a_port(lab: Lab, name: str) -> None:
    skip_without(name)
    beside = BESIDE.get(name, {})
    plain = {key: value for key, value in beside.items() if key != "learning"}
    if name == "vnifilter":
        one, two = {**beside, name: True}, plain
    else:
        one, two = {**beside, name: True}, {}
    shared = (("id", 77), ("dstport", 4790))
    lab.apply(AddLink("h1", "vx", "vxlan", 90, (*shared, *one.items()), up=True))
    other = (("id", 78), ("dstport", 4790), *two.items())
    with pytest.raises(ApplyError, match="ip -n h1 link add dev vy") as caught:
        lab.apply(AddLink("h1", "vy", "vxlan", 91, other, up=True))
    assert caught.value.errno == errno.EADDRINUSE
