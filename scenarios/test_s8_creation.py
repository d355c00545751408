"""8.3 Bad input at creation: who refuses a device, with which error, in which words.

    a eth0 192.168.57.50 ── lan

Every case goes twice: by raw netlink, where the kernel answers, and by `ip`, which refuses some
of it before the kernel is asked.  Where `ip` is too old for a word, it says so in its own.
"""

from __future__ import annotations

import errno
import struct

import pytest
from device_tools import assert_refused, bare, harmless, link_of
from vxlab.features.netlink import add_link

from vxlab import ApplyError
from vxlab.operations import AddLink

pytestmark = pytest.mark.topology(bare, hosts=1)

VALIDATE = "drivers/net/vxlan/vxlan_core.c: vxlan_validate()"
CONFIG = "drivers/net/vxlan/vxlan_core.c: vxlan_config_validate()"
CONF = "drivers/net/vxlan/vxlan_core.c: vxlan_nl2conf()"
IP = "ip/iplink_vxlan.c: vxlan_parse_opt()"

EINVAL, ERANGE = errno.EINVAL, errno.ERANGE
A, B = "192.168.57.50", "192.168.57.54"
GPE = "VXLAN GPE does not support this combination of attributes"
SCOPES = "Invalid combination of local and remote address scopes"
BITS = "cannot overlap reserved bits"
UNKNOWN = "unknown command"

# What is asked for, the kernel's error number and words, and ip's own words where it has some.
BAD = {
    "a-vni-of-2-to-the-24": (
        {"id": 1 << 24},
        ERANGE,
        "VXLAN ID must be lower than 16777216",
        'argument "16777216" is wrong: invalid id',
    ),
    "a-vni-of-2-to-the-32-less-one": (
        {"id": 0xFFFFFFFF},
        ERANGE,
        "must be lower than",
        "invalid id",
    ),
    "a-group-without-dev": (
        {"group": "239.1.1.1"},
        EINVAL,
        "Local interface required for multicast remote destination",
        "'group' requires 'dev' to be specified",
    ),
    "an-ipv6-group-without-dev": (
        {"group": "ff08::1"},
        EINVAL,
        "Local interface required for multicast remote destination",
        "'group' requires 'dev' to be specified",
    ),
    "a-multicast-local": (
        {"local": "239.1.1.1"},
        EINVAL,
        "Local address cannot be multicast",
        "invalid local address",
    ),
    "an-ipv6-multicast-local": (
        {"local": "ff08::1"},
        EINVAL,
        "Local address cannot be multicast",
        "invalid local address",
    ),
    "mixed-families": (
        {"local": A, "remote": "fd00::1"},
        EINVAL,
        "Local and remote address must be from the same family",
        "inet address is expected rather than",
    ),
    "a-source-port-range-the-wrong-way-round": (
        {"srcport": (2000, 1000)},
        EINVAL,
        "Invalid source port range",
    ),
    "a-flow-label-on-ipv4": (
        {"remote": B, "flowlabel": 5},
        EINVAL,
        "Label attribute only applies to IPv6 VXLAN devices",
    ),
    "a-link-local-remote-and-a-global-local": (
        {"local": "fd00::1", "remote": "fe80::1", "dev": "eth0"},
        EINVAL,
        SCOPES,
    ),
    "a-link-local-local-and-a-global-remote": (
        {"local": "fe80::1", "remote": "fd00::1", "dev": "eth0"},
        EINVAL,
        SCOPES,
    ),
    "a-link-local-local-without-dev": (
        {"local": "fe80::1"},
        EINVAL,
        "Local interface required for link-local local/remote addresses",
    ),
    "ipv6-on-a-card-without-ipv6": (
        {"remote": "fd00::1", "dev": "eth0"},
        errno.EPERM,
        "IPv6 support disabled by administrator",
    ),
}

# The same, of attributes that not every kernel has.
NEWER = {
    "vnifilter": (
        "vnifilter-without-external",
        {"vnifilter": True},
        "vxlan vnifilter only valid in collect metadata mode",
        "vnifilter is valid only when 'external' is set",
    ),
    "gpe": ("gpe-without-external", {"gpe": True, "learning": False}, GPE),
    "label_policy": (
        "a-label-policy-on-ipv4",
        {"remote": B, "label_policy": 1},
        "Label policy only applies to IPv6 VXLAN devices",
        UNKNOWN,
    ),
    "reserved_bits": (
        "reserved-bits-that-are-the-i-flag",
        {"reserved_bits": 0x0800_0000_0000_0000},
        BITS,
        BITS,
        UNKNOWN,
    ),
    "reserved_bits ": ("reserved-bits-of-the-vni", {"reserved_bits": 0x100}, BITS, BITS, UNKNOWN),
    "reserved_bits  ": (
        "reserved-bits-that-gbp-uses",
        {"gbp": True, "reserved_bits": 1 << 63},
        BITS,
        BITS,
        UNKNOWN,
    ),
}
CASES = [pytest.param(*case, id=name) for name, case in ((n, (c,)) for n, c in BAD.items())]
CASES += [
    pytest.param(
        (attributes, EINVAL, *words),
        id=name,
        marks=pytest.mark.requires(f"vxlan.{feature.strip()}"),
    )
    for feature, (name, attributes, *words) in NEWER.items()
]


def create(lab, by, *, mtu=None, mac=None, **attributes):
    """Make a device "bad" on a."""
    attributes = {"id": 42, "dstport": 4789} | attributes
    lab.apply(AddLink("a", "bad", "vxlan", 0, tuple(attributes.items()), mtu=mtu, mac=mac), by=by)


@pytest.mark.behaviour(
    "a device that contradicts itself is refused, and is not there", source=CONFIG
)
@pytest.mark.control("a good device is asked for", change=harmless, because="DID NOT RAISE")
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.parametrize("case", CASES)
def test_a_device_is_refused_for(lab, case, by):
    attributes, number, *words = case
    with pytest.raises(ApplyError) as refused:
        create(lab, by, **attributes)
    assert_refused(refused, by, number, *words)
    assert link_of(lab, "a", "bad") is None


@pytest.mark.behaviour("ip alone knows which values a word may have", source=IP)
@pytest.mark.control("a good device is asked for", change=harmless, because="DID NOT RAISE")
@pytest.mark.requires("ip")
@pytest.mark.parametrize(
    ("word", "value", "said"),
    [
        ("id", -1, "invalid id"),
        ("id", "many", "invalid id"),
        ("ttl", 256, "TTL must be <= 255"),
        ("ttl", "forever", "invalid TTL"),
        ("tos", 0x1FF, "bad TOS value"),
        ("flowlabel", 0x100000, "invalid flowlabel"),
        ("dstport", 65536, "dst port"),
        ("ageing", -1, "ageing timer"),
        ("maxaddress", "few", "max addresses"),
        ("group", "192.168.57.54", "invalid group address"),
        ("remote", "239.1.1.1", "invalid remote address"),
        ("local", "here", "address is expected rather than"),
        ("dev", "nowhere", 'Cannot find device "nowhere"'),
    ],
)
def test_ip_refuses_a_value(lab, word, value, said):
    with pytest.raises(ApplyError, match=said):
        create(lab, "iproute2", **{word: value})
    assert link_of(lab, "a", "bad") is None


@pytest.mark.behaviour("ip wants a VNI, the kernel does not: its default is 0", source=IP)
@pytest.mark.control("a VNI is given", change=harmless, because="DID NOT RAISE")
def test_without_a_vni_ip_refuses(lab):
    bad = AddLink("a", "bad", "vxlan", 0, (("dstport", 4789),))
    with pytest.raises(ApplyError, match="missing virtual network identifier"):
        lab.apply(bad, by="iproute2")
    assert link_of(lab, "a", "bad") is None


@pytest.mark.behaviour("a device without any attribute is refused", source=VALIDATE)
@pytest.mark.control("it has some", change=harmless, because="DID NOT RAISE")
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
def test_without_any_attribute_a_device_is_refused(lab, by):
    with pytest.raises(ApplyError) as refused:
        lab.apply(AddLink("a", "bad", "vxlan", 0), by=by)
    assert_refused(refused, by, EINVAL, "Required attributes not provided")


@pytest.mark.behaviour("a device made without a VNI has VNI 0", source=CONF)
@pytest.mark.control("it is given one", change=harmless, because="'id'|== 0|1 ==")
def test_without_a_vni_the_kernel_takes_0(lab):
    lab.apply(AddLink("a", "bad", "vxlan", 0, (("dstport", 4789),)), by="netlink")
    assert link_of(lab, "a", "bad").attributes["id"] == 0


@pytest.mark.behaviour("an external device with a VNI is refused by ip alone", source=IP)
@pytest.mark.control("it is not external", change=harmless, because="DID NOT RAISE")
def test_external_with_a_vni_is_refused_by_ip(lab):
    with pytest.raises(ApplyError, match="both 'external' and vni cannot be specified"):
        create(lab, "iproute2", external=True)
    assert link_of(lab, "a", "bad") is None


@pytest.mark.behaviour("ip refuses a group and a remote together", source=IP)
@pytest.mark.control("neither is given", change=harmless, because="DID NOT RAISE")
def test_group_and_remote_together_are_refused_by_ip(lab):
    with pytest.raises(ApplyError, match="both group and remote cannot be specified"):
        create(lab, "iproute2", group="239.1.1.1", remote=B, dev="eth0")


@pytest.mark.behaviour("an MTU below 68 or above 65535 is refused at creation", source=VALIDATE)
@pytest.mark.control("no MTU is asked for", change=harmless, because="DID NOT RAISE")
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.parametrize("mtu", [67, 65536])
def test_an_mtu_out_of_range_is_refused(lab, mtu, by):
    with pytest.raises(ApplyError) as refused:
        create(lab, by, mtu=mtu)
    assert_refused(refused, by, EINVAL, "MTU must be between 68 and 65535")


@pytest.mark.behaviour(
    "an MTU too large for the underlay is cut down in silence at creation",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_config_apply()",
)
@pytest.mark.control("no MTU and no card is asked for", change=harmless, because="1500 == 1450")
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.parametrize("mtu", [1451, 65535])
def test_an_mtu_too_large_for_the_card_is_cut_down(lab, mtu, by):
    create(lab, by, mtu=mtu, remote=B, dev="eth0")
    assert link_of(lab, "a", "bad").mtu == 1450


@pytest.mark.behaviour("a MAC that is no unicast address is refused", source=VALIDATE)
@pytest.mark.control("no MAC is asked for", change=harmless, because="DID NOT RAISE")
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.parametrize("mac", ["01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"])
def test_a_mac_of_nobody_is_refused(lab, mac, by):
    with pytest.raises(ApplyError) as refused:
        create(lab, by, mac=mac)
    assert_refused(refused, by, errno.EADDRNOTAVAIL, "Provided Ethernet address is not unicast")


@pytest.mark.behaviour("lo may carry a vxlan device, whose MTU is lo's less 50", source=CONFIG)
@pytest.mark.control("the device is bound to nothing", change=harmless, because="1500 ==")
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
def test_lo_may_be_the_underlay(lab, by):
    create(lab, by, dev="lo", remote="127.0.0.1")
    assert link_of(lab, "a", "bad").mtu == link_of(lab, "a", "lo").mtu - 50


IFLA_ID, IFLA_GROUP, IFLA_LINK, IFLA_TTL, IFLA_DF, IFLA_LOCALBYPASS = 1, 2, 3, 5, 29, 31
VNI = (IFLA_ID, struct.pack("=I", 42))


@pytest.mark.behaviour("malformed attributes are refused, and nothing is made", source=VALIDATE)
@pytest.mark.control(
    "no more than a VNI is sent", arguments={"data": (VNI,)}, because="DID NOT RAISE"
)
@pytest.mark.parametrize(
    ("data", "number", "kernel"),
    [
        pytest.param(((IFLA_ID, b"\1"),), ERANGE, "failed policy validation", id="a-short-vni"),
        pytest.param((VNI, (IFLA_GROUP, b"\1\2")), ERANGE, "failed policy", id="a-short-remote"),
        pytest.param((VNI, (IFLA_TTL, b"")), ERANGE, "failed policy validation", id="an-empty-ttl"),
        pytest.param((VNI, (IFLA_DF, b"\3")), EINVAL, "Invalid DF attribute", id="a-df-of-3"),
        pytest.param(
            (VNI, (IFLA_LINK, struct.pack("=I", 999))),
            errno.ENODEV,
            "Invalid local interface, device not found",
            id="an-unknown-card",
        ),
        pytest.param(
            (VNI, (IFLA_LOCALBYPASS, b"\2")),
            ERANGE,
            "integer out of range",
            id="a-localbypass-of-2",
            marks=pytest.mark.requires("vxlan.localbypass"),
        ),
    ],
)
def test_malformed_attributes_are_refused(lab, data, number, kernel):
    with pytest.raises(ApplyError) as refused:
        add_link(lab["a"].namespaces, "vxlan", data, name="bad")
    assert refused.value.errno == number
    assert kernel in refused.value.extack
    assert link_of(lab, "a", "bad") is None
