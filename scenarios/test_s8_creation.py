"""8.1 Bad input at creation: what the kernel or `ip` refuses, with which error and message.

    a eth0 192.168.57.50 ── lan

Most cases run twice: by raw netlink, where the kernel answers, and by `ip`, which refuses some
input before it asks the kernel.  An `ip` that is too old for an attribute has a message for that.
"""

from __future__ import annotations

import errno
import struct

import pytest
from device_tools import assert_refused, bare, find_link, harmless

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

# The attributes, the kernel's error number and message, and ip's own message where it has one.
INVALID = {
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
    "ipv6-on-a-lower-device-without-ipv6": (
        {"remote": "fd00::1", "dev": "eth0"},
        errno.EPERM,
        "IPv6 support disabled by administrator",
    ),
}

# The same with attributes that not every kernel has; the error number is EINVAL.
INVALID_NEWER = [
    (
        "vnifilter",
        "vnifilter-without-external",
        {"vnifilter": True},
        "vxlan vnifilter only valid in collect metadata mode",
        "vnifilter is valid only when 'external' is set",
    ),
    ("gpe", "gpe-without-external", {"gpe": True, "learning": False}, GPE),
    (
        "label_policy",
        "a-label-policy-on-ipv4",
        {"remote": B, "label_policy": 1},
        "Label policy only applies to IPv6 VXLAN devices",
        UNKNOWN,
    ),
    (
        "reserved_bits",
        "reserved-bits-that-are-the-i-flag",
        {"reserved_bits": 0x0800_0000_0000_0000},
        BITS,
        BITS,
        UNKNOWN,
    ),
    (
        "reserved_bits",
        "reserved-bits-of-the-vni",
        {"reserved_bits": 0x100},
        BITS,
        BITS,
        UNKNOWN,
    ),
    (
        "reserved_bits",
        "reserved-bits-that-gbp-uses",
        {"gbp": True, "reserved_bits": 1 << 63},
        BITS,
        BITS,
        UNKNOWN,
    ),
]
CASES = [pytest.param(case, id=name) for name, case in INVALID.items()]
CASES += [
    pytest.param(
        (attributes, EINVAL, *words), id=name, marks=pytest.mark.requires(f"vxlan.{feature}")
    )
    for feature, name, attributes, *words in INVALID_NEWER
]
BOTH = pytest.mark.parametrize("by", ["netlink", "iproute2"])
#: Of a control that has a valid device created in place of the one that must be refused.
ACCEPTED = {"change": harmless, "because": "DID NOT RAISE.*ApplyError"}


def create(lab, by, *, mtu=None, mac=None, **attributes):
    """Create the device "bad" on a."""
    attributes = {"id": 42, "dstport": 4789} | attributes
    lab.apply(AddLink("a", "bad", "vxlan", 0, tuple(attributes.items()), mtu=mtu, mac=mac), by=by)


@pytest.mark.behaviour(
    "a device with an invalid attribute or contradictory attributes is refused with a reason and"
    " not created",
    source=CONFIG,
)
@pytest.mark.control("a device with valid attributes is created instead", **ACCEPTED)
@BOTH
@pytest.mark.parametrize("case", CASES)
def test_a_device_with_invalid_attributes_is_refused(lab, case, by):
    attributes, number, *words = case
    with pytest.raises(ApplyError) as refused:
        create(lab, by, **attributes)
    assert_refused(refused, by, number, *words)
    assert find_link(lab, "a", "bad") is None


@pytest.mark.behaviour(
    "`ip` refuses an invalid value of an attribute with a message of its own, and no device is"
    " created",
    source=IP,
)
@pytest.mark.control("a device with valid attributes is created instead", **ACCEPTED)
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
def test_ip_refuses_an_invalid_value(lab, word, value, said):
    with pytest.raises(ApplyError, match=said):
        create(lab, "iproute2", **{word: value})
    assert find_link(lab, "a", "bad") is None


@pytest.mark.behaviour("`ip` refuses to create a device without a VNI", source=IP)
@pytest.mark.control("a device with VNI 1 is created instead", **ACCEPTED)
def test_ip_refuses_a_device_without_a_vni(lab):
    bad = AddLink("a", "bad", "vxlan", 0, (("dstport", 4789),))
    with pytest.raises(ApplyError, match="missing virtual network identifier"):
        lab.apply(bad, by="iproute2")
    assert find_link(lab, "a", "bad") is None


@pytest.mark.behaviour("a device without any attribute is refused", source=VALIDATE)
@pytest.mark.control("a device with a VNI and a port is created instead", **ACCEPTED)
@BOTH
def test_a_device_without_any_attribute_is_refused(lab, by):
    with pytest.raises(ApplyError) as refused:
        lab.apply(AddLink("a", "bad", "vxlan", 0), by=by)
    assert_refused(refused, by, EINVAL, "Required attributes not provided")


@pytest.mark.behaviour(
    "a device that is created without a VNI, which raw netlink allows, has VNI 0", source=CONF
)
@pytest.mark.control(
    "the device is created with VNI 1", change=harmless, because="the VNI is 1, not 0"
)
def test_a_device_without_a_vni_has_vni_0(lab):
    lab.apply(AddLink("a", "bad", "vxlan", 0, (("dstport", 4789),)), by="netlink")
    vni = find_link(lab, "a", "bad").attributes["id"]
    assert vni == 0, f"the VNI is {vni}, not 0"


@pytest.mark.behaviour("`ip` refuses a device with both `external` and a VNI", source=IP)
@pytest.mark.control("a device without `external` is created instead", **ACCEPTED)
def test_ip_refuses_external_with_a_vni(lab):
    with pytest.raises(ApplyError, match="both 'external' and vni cannot be specified"):
        create(lab, "iproute2", external=True)
    assert find_link(lab, "a", "bad") is None


@pytest.mark.behaviour("`ip` refuses a device with both a group and a remote", source=IP)
@pytest.mark.control("a device without group and remote is created instead", **ACCEPTED)
def test_ip_refuses_group_and_remote_together(lab):
    with pytest.raises(ApplyError, match="both group and remote cannot be specified"):
        create(lab, "iproute2", group="239.1.1.1", remote=B, dev="eth0")


@pytest.mark.behaviour("an MTU below 68 or above 65535 is refused at creation", source=VALIDATE)
@pytest.mark.control("the device is created without an MTU", **ACCEPTED)
@BOTH
@pytest.mark.parametrize("mtu", [67, 65536])
def test_an_mtu_out_of_range_is_refused(lab, mtu, by):
    with pytest.raises(ApplyError) as refused:
        create(lab, by, mtu=mtu)
    assert_refused(refused, by, EINVAL, "MTU must be between 68 and 65535")


@pytest.mark.behaviour(
    "an MTU too large for the lower device is reduced at creation, without an error",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_config_apply()",
)
@pytest.mark.control(
    "the device is created without a lower device and an MTU",
    change=harmless,
    because="the MTU is 1500, not 1450",
)
@BOTH
@pytest.mark.parametrize("mtu", [1451, 65535])
def test_an_mtu_too_large_for_the_lower_device_is_reduced(lab, mtu, by):
    create(lab, by, mtu=mtu, remote=B, dev="eth0")
    found = find_link(lab, "a", "bad").mtu
    assert found == 1450, f"the MTU is {found}, not 1450"


@pytest.mark.behaviour(
    "a multicast, broadcast or zero MAC address is refused at creation", source=VALIDATE
)
@pytest.mark.control("the device is created without a MAC address", **ACCEPTED)
@BOTH
@pytest.mark.parametrize("mac", ["01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"])
def test_a_mac_that_is_not_unicast_is_refused(lab, mac, by):
    with pytest.raises(ApplyError) as refused:
        create(lab, by, mac=mac)
    assert_refused(refused, by, errno.EADDRNOTAVAIL, "Provided Ethernet address is not unicast")


@pytest.mark.behaviour(
    "a vxlan device may have `lo` as its lower device, and then has the MTU of `lo` less 50",
    source=CONFIG,
)
@pytest.mark.control(
    "the device is created without a lower device",
    change=harmless,
    because="the MTU is 1500, not that of lo less 50",
)
@BOTH
def test_lo_may_be_the_lower_device(lab, by):
    create(lab, by, dev="lo", remote="127.0.0.1")
    mtu = find_link(lab, "a", "bad").mtu
    wanted = find_link(lab, "a", "lo").mtu - 50
    assert mtu == wanted, f"the MTU is {mtu}, not that of lo less 50"


IFLA_ID, IFLA_GROUP, IFLA_LINK, IFLA_TTL, IFLA_DF, IFLA_LOCALBYPASS = 1, 2, 3, 5, 29, 31
VNI = (IFLA_ID, struct.pack("=I", 42))


@pytest.mark.behaviour(
    "a netlink request with a malformed attribute is refused, and no device is created",
    source=VALIDATE,
)
@pytest.mark.control(
    "the netlink request has a VNI and no other attribute",
    arguments={"data": (VNI,)},
    because="DID NOT RAISE.*ApplyError",
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
            id="an-unknown-lower-device",
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
def test_a_malformed_attribute_is_refused(lab, data, number, kernel):
    with pytest.raises(ApplyError) as refused:
        lab["a"].add_raw_link("bad", "vxlan", data)
    assert refused.value.errno == number
    assert kernel in refused.value.extack
    assert find_link(lab, "a", "bad") is None
