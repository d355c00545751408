"""Probes of vxlan attributes, one for each row of :data:`vxlab.describe.vxlan.ATTRIBUTES`.

The kernel silently ignores attributes of a device that are too new for it, so having created a
device proves nothing.  Each probe sets a value other than the default, reads the device back, and
compares.  Some attributes are never sent back (mcroute in 6.18): there a second device with a
malformed value tells, since only a kernel that knows an attribute refuses that.  Raw netlink is
used, so that the kernel is probed and not the ``ip`` in use.
"""

from __future__ import annotations

import errno
import functools
import struct
from collections.abc import Mapping

from vxlab.describe import vxlan
from vxlab.describe.vxlan import Attribute, Value
from vxlab.errors import ApplyError, CapabilityError
from vxlab.features.kernel import scratch
from vxlab.features.model import NEWER_IN_A_MACHINE, Check
from vxlab.netlink import devices
from vxlab.system.namespaces import Namespaces

_LOWER = "lower"
_VNI = struct.pack("=I", 43)  # of the malformed device

#: Values for attributes that take no plain number (addresses for documentation: RFC 5737, and
#: MCAST-TEST-NET of RFC 5771).
_VALUES: Mapping[str, Value] = {
    "group": "233.252.0.1",
    "remote": "192.0.2.1",
    "local": "192.0.2.2",
    "dev": _LOWER,
    "srcport": (10000, 10010),
    "reserved_bits": 0xFF,
}

#: What the kernel wants to see beside an attribute (``vxlan_config_validate()``).
_COMPANIONS: Mapping[str, Mapping[str, Value]] = {
    "group": {"dev": _LOWER},
    "flowlabel": {"remote": "2001:db8::1"},
    "label_policy": {"remote": "2001:db8::1"},
    "mcroute": {"group": "233.252.0.1", "dev": _LOWER},
    "gpe": {"external": True, "learning": False},
    "vnifilter": {"external": True},
}


def probe_value(attribute: Attribute) -> Value:
    """A value for an attribute that differs from its default."""
    if attribute.name in _VALUES:
        return _VALUES[attribute.name]
    if attribute.kind in ("bool", "flag"):
        return not attribute.default
    return min(attribute.high, 7)


def probe_attributes(attribute: Attribute) -> dict[str, Value]:
    """All attributes of the device that is created to probe one of them."""
    wanted: dict[str, Value] = {"id": 42, "dstport": vxlan.IANA_PORT}
    wanted |= _COMPANIONS.get(attribute.name, {})
    wanted[attribute.name] = probe_value(attribute)
    if wanted.get("external"):
        del wanted["id"]  # such a device has no VNI of its own
    return wanted


def _attempt(attribute: Attribute) -> str:
    wanted = probe_attributes(attribute)
    with scratch() as namespaces:
        lower = devices.add_link(namespaces, "veth", name=_LOWER)
        encoded = (vxlan.encode(name, value, lambda _: lower) for name, value in wanted.items())
        data = dict(pair for pair in encoded if pair)
        index = devices.add_link(namespaces, "vxlan", data.items())
        found = devices.kind_attributes(namespaces, index)
        number = attribute.number
        if number in found:
            _compare(attribute, data[number], found[number])
        elif not _refuses_malformed(namespaces, number):
            raise CapabilityError(f"the kernel does not know attribute {number} of vxlan devices")
    return ""


def _compare(attribute: Attribute, wanted: bytes, found: bytes) -> None:
    if attribute.kind == "flag" and any(found):
        return  # ttl_inherit is set by an empty attribute, and sent back as one byte
    if wanted != found:
        raise CapabilityError(
            f"the kernel ignored the value: wanted {wanted.hex()}, found {found.hex()}"
        )


def _refuses_malformed(namespaces: Namespaces, number: int) -> bool:
    """Whether an empty value is refused, as it is for any known attribute but a flag."""
    try:
        devices.add_link(namespaces, "vxlan", [(1, _VNI), (number, b"")], name="malformed")
    except ApplyError as error:
        if error.errno in (errno.EINVAL, errno.ERANGE):
            return True
        raise  # which the table of verdicts judges
    return False


def check_of(attribute: Attribute) -> Check:
    """The probe of one attribute."""
    return Check(
        name=f"vxlan.{attribute.name}",
        title=f"the attribute {attribute.name} of a vxlan device",
        attempt=functools.partial(_attempt, attribute),
        hint=f"run on a newer kernel: {NEWER_IN_A_MACHINE}",
    )


#: All probes of vxlan attributes, named ``vxlan.ttl``, ``vxlan.localbypass`` and so on.
CHECKS: tuple[Check, ...] = tuple(map(check_of, vxlan.ATTRIBUTES))
